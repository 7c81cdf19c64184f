// Starting from a low-resolution image, which the denoising model sees at every step.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "pipelines/denoising/start_strategy.h"
#include "pipelines/starts/upscale_tiles.h"

namespace easel {

/// What an upscaler's denoising model sees of the low-resolution image. Immutable; thread-safe.
class LowResolutionInput {
 public:
  virtual ~LowResolutionInput() = default;

  /// @throws Error(kInvalidArgument)  names the field
  virtual void check(const GenerationRequest&) const {}

  /// Channels of the noise that is added to the image, which are also the further channels of the model's input.
  virtual std::int64_t channels(const ImageCodec& codec) const = 0;

  /// Makes the further channels of the model's input, [1, channels, h, w] in latent cells, from float32 noise of the
  /// size of the tile that was read, on the CPU.
  using NoisyTile = std::function<at::Tensor(const at::Tensor& noise)>;

  /// Reads one tile, once for all images of a request.
  /// @param pixels  float32 [1, 3, H, W], -1 to 1
  virtual NoisyTile read(const at::Tensor& pixels, const StartInput& input) const = 0;
};

/// The start of upscalers. Images beyond UpscaleSizes::max_untiled_area are generated one tile after another.
class FromLowResolution : public StartStrategy {
 public:
  /// @param latent_cell  pixels of the generated image per latent cell
  FromLowResolution(const UpscaleSizes& sizes, int latent_cell, std::unique_ptr<const LowResolutionInput> input);

  void check(const GenerationRequest& request) const override;
  Canvas canvas(const GenerationRequest& request) const override;
  Guidance guidance(const GenerationRequest& request, double guidance_scale,
                    const DenoisingModel& model) const override;
  std::unique_ptr<const RequestStart> read(const StartInput& input) const override;

 private:
  UpscaleSizes sizes_;
  int latent_cell_;
  std::unique_ptr<const LowResolutionInput> input_;
};

}  // namespace easel
