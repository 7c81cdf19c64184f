// A second pass over a larger version of an image, known as "hires fix". Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace easel {

/// How an image, or its latents, become larger between the two passes.
enum class HiresUpscaler {
  kLatent,                    ///< torch.nn.functional.interpolate of the latents, bilinear
  kLatentAntialiased,         ///< bilinear with antialiasing
  kLatentBicubic,             ///< bicubic
  kLatentBicubicAntialiased,  ///< bicubic with antialiasing
  kLatentNearest,             ///< nearest
  kLatentNearestExact,        ///< nearest-exact
  kLanczos,                   ///< Pillow's LANCZOS on the decoded image
  kNearest,                   ///< Pillow's NEAREST on the decoded image
};

struct HiresUpscalerName {
  std::string_view name;  ///< as AUTOMATIC1111's web UI spells it
  HiresUpscaler upscaler;
};

inline constexpr HiresUpscalerName kHiresUpscalers[] = {
    {"Latent", HiresUpscaler::kLatent},
    {"Latent (antialiased)", HiresUpscaler::kLatentAntialiased},
    {"Latent (bicubic)", HiresUpscaler::kLatentBicubic},
    {"Latent (bicubic antialiased)", HiresUpscaler::kLatentBicubicAntialiased},
    {"Latent (nearest)", HiresUpscaler::kLatentNearest},
    {"Latent (nearest-exact)", HiresUpscaler::kLatentNearestExact},
    {"Lanczos", HiresUpscaler::kLanczos},
    {"Nearest", HiresUpscaler::kNearest},
};

/// Whether it enlarges latents instead of pixels.
constexpr bool enlarges_latents(HiresUpscaler upscaler) {
  return upscaler != HiresUpscaler::kLanczos && upscaler != HiresUpscaler::kNearest;
}

/// The second pass: image to image from the enlarged result of the first, with the same seed, prompt and scheduler.
struct HiresPass {
  int width = 0;  ///< of the result, in pixels; both above 0
  int height = 0;
  HiresUpscaler upscaler = HiresUpscaler::kLatent;
  /// Id of a served model that enlarges the image instead; empty: `upscaler` does. Pipelines take requests without it
  /// only: the engine makes such images in three requests.
  std::string upscaler_model = {};
  std::optional<std::int64_t> num_inference_steps = std::nullopt;  ///< none: those of the first pass
  double strength = 0.75;                                          ///< 0 to 1: share of the steps that is applied

  /// A name of kHiresUpscalers, or `upscaler_model`.
  std::string upscaler_name() const {
    for (const auto& row : kHiresUpscalers) {
      if (upscaler_model.empty() && row.upscaler == upscaler) return std::string(row.name);
    }
    return upscaler_model;
  }
  /// Sets `upscaler` to the one of that name, or else `upscaler_model`.
  void set_upscaler(const std::string& name) {
    upscaler_model.clear();
    for (const auto& row : kHiresUpscalers) {
      if (row.name == name) {
        upscaler = row.upscaler;
        return;
      }
    }
    upscaler_model = name;
  }

  bool operator==(const HiresPass&) const = default;
};

}  // namespace easel
