// Requests and results as plain data, which can be passed between threads and over the network. Does not include torch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/hires.h"
#include "easel/image.h"

namespace easel {

/// SDXL's conditioning on sizes and crops (Podell et al. 2023, arXiv:2307.01952, section 2.2). Other families ignore
/// it. Sizes and corners are in pixels, (height, width) and (top, left), as in diffusers.
struct MicroConditioning {
  using Pixels = std::pair<int, int>;
  std::optional<Pixels> original_size;  ///< of the training images to resemble; default: the generated size
  Pixels crops_coords_top_left = {0, 0};
  std::optional<Pixels> target_size;             ///< default: the generated size
  std::optional<Pixels> negative_original_size;  ///< for the unconditional row. Starting from noise, the
                                                 ///< negative sizes count only if both are given
  Pixels negative_crops_coords_top_left = {0, 0};
  std::optional<Pixels> negative_target_size;
  double aesthetic_score = 6.0;  ///< of the refiner
  double negative_aesthetic_score = 2.5;
};

/// How a prompt is read. In both syntaxes, `<lora:...>` and `<lyco:...>` in the prompt select adapters and are removed.
enum class PromptSyntax {
  kPlain,  ///< as in diffusers: the rest is used literally, and truncated to the text encoder's length
  kA1111,  ///< weights in brackets, BREAK, and any length
};

/// Guidance in a part of the steps only (Kynkaanniemi et al. 2024, arXiv:2404.07724): a step outside of it computes the
/// prompt's row only. In fractions of a pass's steps, that is, of its model evaluations after `strength` skipped some.
struct GuidanceInterval {
  double start = 0;  ///< 0 or above
  double end = 1;    ///< above start, at most 1
  auto operator<=>(const GuidanceInterval&) const = default;

  /// Whether both are in their ranges; false where one is NaN.
  bool is_valid() const { return start >= 0 && start < end && end <= 1; }

  /// Steps first to end - 1 of a pass, counted from 0. As in diffusers' guiders, both ends are rounded down.
  struct Steps {
    std::int64_t first;
    std::int64_t end;
  };
  Steps of(std::int64_t steps) const {
    const auto before = [&](double share) { return static_cast<std::int64_t>(share * static_cast<double>(steps)); };
    return {before(start), before(end)};
  }
};

/// A low-rank adapter, by the name of its file without extension, and its weight.
struct AdapterSelection {
  std::string name;
  double weight = 1.0;                                       ///< -100 to 100; 0 has no effect
  std::optional<double> text_encoder_weight = std::nullopt;  ///< for the text encoders; default: `weight`
};

/// An adapter that requests may select, as its file describes it.
struct AdapterDescription {
  std::string name;                             ///< AdapterSelection::name
  std::string alias = {};                       ///< the name that its trainer gave it; empty: none
  std::string family = {};                      ///< of the models that it is for; empty: unknown
  std::vector<std::string> trigger_words = {};  ///< that bring out what it was trained for
  std::int64_t bytes = 0;                       ///< of its file
};

/// One request for n images of one prompt. Names are those of diffusers. Empty optionals mean the model's default.
struct GenerationRequest {
  std::string model;            ///< id of a served model; aliases are resolved before this point
  std::string prompt;           ///< UTF-8
  std::string negative_prompt;  ///< UTF-8; used only with guidance. Empty: none, as None in diffusers
  std::int64_t num_images = 1;  ///< image i is generated with seed + i
  std::uint64_t seed = 0;       ///< any value; image i does not depend on how many images are requested
  std::optional<int> width;     ///< pixels of the output; both or neither
  std::optional<int> height;
  std::optional<double> guidance_scale;  ///< w in uncond + w * (text - uncond); w <= 1 turns guidance off
  /// Of models that take guidance_scale as an input (ModelDescription::separate_guidance): the w above, and
  /// guidance_scale is not. Needs a negative prompt; 1 or less turns guidance off.
  std::optional<double> true_cfg_scale;
  /// Where guidance applies; without one in all steps. Needs guidance. Each pass, and each tile of a large image, is
  /// divided by itself; base and refiner are divided together.
  std::optional<GuidanceInterval> guidance_interval = std::nullopt;
  double guidance_rescale = 0.0;  ///< 0 to 1: share of guided predictions that is rescaled to the text row's
                                  ///< standard deviation (Lin et al. 2023, arXiv:2305.08891, section 3.4)
  std::optional<std::int64_t> num_inference_steps;
  std::optional<std::string> scheduler;   ///< a name of ModelDescription::schedulers or an alias
  double eta = 0.0;                       ///< of DDIM and TCD, 0 to 1; other schedulers ignore it, as in diffusers
  std::optional<std::int64_t> clip_skip;  ///< text encoder layers that are skipped, counted from the end
  MicroConditioning micro_conditioning;
  /// Where a refiner takes over: the share of the noise levels, counted from the noisiest, that the base model
  /// processes; 0 to 1. Only for models with a refiner.
  std::optional<double> denoising_end;
  /// An image to start from instead of noise, resampled to the generated size. Its size is the default of width and
  /// height.
  std::shared_ptr<const Image> image;
  /// Further images, in the order of the request, for models that take several: at most
  /// ModelDescription::max_input_images together with `image`.
  std::vector<std::shared_ptr<const Image>> more_images = {};
  /// Selects the part of `image` that is redrawn: pixels of at least half brightness. Resampled in the same way.
  std::shared_ptr<const Image> mask;
  /// Draws only the part that the mask selects, with this many pixels of the image around it, and puts it back into
  /// `image`, as in diffusers. Width and height are then those at which the part is drawn, by default the model's own;
  /// the output has the size of `image`, which `mask` must have, too. Needs `mask`; 0 or more.
  std::optional<int> padding_mask_crop;
  /// After decoding, copies the pixels that the mask keeps (black) from `image` as it was resampled, and mixes them
  /// where the mask is gray. padding_mask_crop always does so. Without `mask` it has no effect.
  bool keep_unmasked = false;
  std::optional<double> strength;  ///< 0 to 1: share of the steps that is applied to `image`; 1 leaves little of it
  std::optional<double> image_guidance_scale;  ///< of InstructPix2Pix: how closely to follow `image`; below 1 turns all
                                               ///< guidance off, as in diffusers
  std::optional<std::int64_t> noise_level;  ///< of the upscaler on pixels: the timestep whose noise is added to `image`
  std::vector<double> timesteps;            ///< replace num_inference_steps; descending
  std::vector<double> sigmas;               ///< also replace it; at most one of the two lists
  std::optional<PromptSyntax> prompt_syntax;  ///< default: the server's
  std::vector<AdapterSelection> loras;
  /// A second pass. width and height are then those of the first pass, and the result has the size of the second. Only
  /// without `image`.
  std::optional<HiresPass> hires = std::nullopt;

  /// The requested inference steps, before `strength` skips some; for estimates.
  /// @param model_default  ModelDescription::default_steps
  std::int64_t requested_steps(std::int64_t model_default) const {
    if (!timesteps.empty()) return static_cast<std::int64_t>(timesteps.size());
    if (!sigmas.empty()) return static_cast<std::int64_t>(sigmas.size());
    return num_inference_steps.value_or(model_default);
  }

  /// The steps of the second pass, for estimates; 0 without one.
  std::int64_t second_pass_steps(std::int64_t model_default) const {
    if (!hires) return 0;
    const auto steps = hires->num_inference_steps.value_or(requested_steps(model_default));
    return std::max(std::int64_t{1}, static_cast<std::int64_t>(static_cast<double>(steps) * hires->strength));
  }
};

/// A finished image, and the seed that reproduces it.
struct GeneratedImage {
  Image image;
  std::uint64_t seed = 0;
  bool prompt_cut = false;         ///< the prompt or the negative prompt was truncated
  std::int64_t prompt_tokens = 0;  ///< that the tokenizer makes of the prompt, without what is added around it
};

/// Progress of a generation. Steps are model evaluations: PNDM needs n + 1 for n inference steps.
struct StepProgress {
  std::int64_t steps_done = 0;
  std::int64_t steps_total = 0;
};

/// Memory of the weights of one component of a model.
struct ComponentMemory {
  std::string name;                                  ///< of the component's folder, e.g. "unet", "refiner/unet"
  std::int64_t parameters = 0;                       ///< number of weights
  std::map<std::string, std::int64_t> stored_bytes;  ///< on disk, by dtype, e.g. {"float16", ...}
  std::map<std::string, std::int64_t> memory_bytes;  ///< in memory, by dtype
};

/// Memory that the largest calls need in addition to the weights, for images of one size.
struct ActivationMemory {
  int width = 0;  ///< pixels as generated: whole latent cells
  int height = 0;
  std::map<int, std::int64_t> step_bytes;  ///< by rows: 1, those of one image with guidance, the most of a step
  std::int64_t decode_bytes = 0;           ///< of the autoencoder, with tiling if it is on; 0: unknown
};

/// What is known about a model before its weights are read, from JSON files and tensor headers.
struct ModelDescription {
  std::string id;
  std::string family;             ///< e.g. "stable-diffusion"; from _class_name in model_index.json
  std::string licence;            ///< name or short text; empty if unknown
  std::string folder;             ///< path of the folder or the file
  std::int64_t parameters = 0;    ///< number of weights
  std::int64_t weight_bytes = 0;  ///< as stored on disk
  std::int64_t memory_bytes = 0;  ///< estimated device memory for one image at the native size: all weights, and the
                                  ///< larger of the activations of a guided step and of a decode
  std::vector<ComponentMemory> components;
  std::vector<ActivationMemory> activations;  ///< at the native size, then at further requested sizes
  std::int64_t created = 0;                   ///< Unix seconds; the files' modification time
  std::string dtype;                          ///< that it computes in: "float32", "float16" or "bfloat16"
  int native_width = 512;                     ///< pixels, for requests without a size
  int native_height = 512;
  int cell = 8;                   ///< pixels per latent cell; sizes are rounded up to a multiple and cropped
  bool rounds_size_down = false;  ///< sizes are rounded down to whole cells instead, and images have that size
  bool native_size_only = false;  ///< images of other sizes are generated at the native size and resized
  std::int64_t default_steps = 50;
  double default_guidance_scale = 7.5;
  double guides_above = 1.0;                   ///< the guidance scale above which the negative prompt counts
  bool separate_guidance = false;              ///< the negative prompt counts with GenerationRequest::true_cfg_scale
  std::string default_scheduler;               ///< a name of `schedulers`
  std::vector<std::string> schedulers;         ///< names that requests may use
  std::vector<std::string> scheduler_aliases;  ///< further names, unlisted; in lower case with underscores
  std::string prediction_type;                 ///< of its UNet: "epsilon", "v_prediction" or another of diffusers'
  std::string prediction_source;               ///< where that was found, in words
  std::int64_t max_clip_skip = 0;              ///< in text encoder layers
  bool needs_image = false;                    ///< GenerationRequest::image is required
  bool needs_mask = false;                     ///< GenerationRequest::mask is required too
  std::int64_t max_input_images = 1;           ///< that a request may give; 0: none; further ones are not used
  /// Of requests without a mask, the first image only is used. With one, the model sees the second in place of the
  /// first.
  bool second_image_needs_mask = false;
  /// Input images are not resampled to the size of the request. Without a size, the model chooses that of the output.
  /// GenerationRequest::strength counts only with a mask.
  bool keeps_input_sizes = false;
  /// Of a model that sees input images along with the sample at every step: the most pixels that it makes of each, and
  /// the fewest. 0: it does not see them so.
  std::int64_t max_reference_pixels = 0;
  std::int64_t min_reference_pixels = 0;
  double default_strength = 0.8;
  /// Fields of requests that change nothing with this model, by their names in GenerationRequest, e.g.
  /// "aesthetic_score".
  std::vector<std::string> unused_fields = {};
  std::vector<std::string> eta_schedulers = {};  ///< names and aliases of the schedulers that use `eta`
  int upscale_factor = 0;  ///< of upscalers: output pixels per pixel of GenerationRequest::image; else 0

  /// The size of images for which a request asks for this one.
  std::pair<int, int> output_size(int width, int height) const {
    if (!rounds_size_down) return {width, height};
    return {std::max(width / cell, 1) * cell, std::max(height / cell, 1) * cell};
  }
};

/// Whether each step of a request also has a row for the negative prompt, as far as the request tells; for estimates.
inline bool is_guided(const GenerationRequest& request, const ModelDescription& model) {
  if (model.separate_guidance) return request.true_cfg_scale.value_or(1) > 1 && !request.negative_prompt.empty();
  const auto& unused = model.unused_fields;
  if (std::find(unused.begin(), unused.end(), "negative_prompt") != unused.end()) return false;
  return request.guidance_scale.value_or(model.default_guidance_scale) > model.guides_above;
}

/// The rows of the steps from `first` to `steps` - 1 of a pass, together; for estimates.
/// @param guided_rows  of a step with guidance
inline std::int64_t rows_from(std::int64_t first, std::int64_t steps, int guided_rows,
                              const std::optional<GuidanceInterval>& interval) {
  const auto left = std::max(steps - first, std::int64_t{0});
  if (guided_rows <= 1 || !interval) return left * guided_rows;
  const auto guided = interval->of(steps);
  const auto guided_left = std::max(guided.end - std::max(guided.first, first), std::int64_t{0});
  return left + guided_left * (guided_rows - 1);
}

/// Width and height of a request's images in pixels, where they do not depend on an input image.
inline std::pair<int, int> output_size(const GenerationRequest& request, const ModelDescription& model) {
  if (request.hires) return {request.hires->width, request.hires->height};
  return model.output_size(request.width.value_or(model.native_width), request.height.value_or(model.native_height));
}

}  // namespace easel
