// What is asked for and what comes back, as plain data: it may cross a thread, a queue or a wire. No torch here.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/image.h"

namespace easel {

/// What SDXL is told of an image's making (Podell et al. 2023, arXiv:2307.01952, section 2.2). Other families take no
/// notice. Sizes and corners are in pixels, (height, width) and (top, left), as in diffusers.
struct MicroConditioning {
  using Pixels = std::pair<int, int>;
  std::optional<Pixels> original_size;  ///< of the training image it should resemble; default: the size drawn
  Pixels crops_coords_top_left = {0, 0};
  std::optional<Pixels> target_size;             ///< default: the size drawn
  std::optional<Pixels> negative_original_size;  ///< the unconditional row's; from noise both sizes count, or none
  Pixels negative_crops_coords_top_left = {0, 0};
  std::optional<Pixels> negative_target_size;
  double aesthetic_score = 6.0;  ///< the refiner's
  double negative_aesthetic_score = 2.5;
};

/// How a prompt is read.
enum class PromptSyntax {
  kPlain,  ///< as diffusers reads it: every character counts, and what does not fit the text encoder is cut off
  kA1111,  ///< weights in brackets, BREAK, and any length
};

/// A low-rank adapter, by the name of its file without extension, and how strongly it works.
struct AdapterSelection {
  std::string name;
  double weight = 1.0;                                       ///< -100 to 100; 0 is as if it were not there
  std::optional<double> text_encoder_weight = std::nullopt;  ///< of the text encoders, where theirs is another
};

/// One request for n images of one prompt. Names are diffusers'. Empty optionals mean the model's own default.
struct GenerationRequest {
  std::string model;            ///< id of a served model; aliases are resolved before this point
  std::string prompt;           ///< UTF-8
  std::string negative_prompt;  ///< UTF-8; used only where guidance is on. Empty: none, as None in diffusers
  std::int64_t num_images = 1;  ///< image i is drawn with seed + i
  std::uint64_t seed = 0;       ///< any value; image i alone and image i of n are the same image
  std::optional<int> width;     ///< pixels of the answer; both or neither
  std::optional<int> height;
  std::optional<double> guidance_scale;  ///< w in uncond + w * (text - uncond); w <= 1 turns guidance off
  double guidance_rescale = 0.0;         ///< 0 to 1: how far guided predictions are brought back to the text row's
                                         ///< deviation (Lin et al. 2023, arXiv:2305.08891, section 3.4)
  std::optional<std::int64_t> num_inference_steps;
  std::optional<std::string> scheduler;   ///< a name of ModelDescription::schedulers or an alias
  double eta = 0.0;                       ///< of DDIM and TCD, 0 to 1; other schedulers ignore it, as in diffusers
  std::optional<std::int64_t> clip_skip;  ///< text encoder layers left out, counted from the end; 0 = none
  MicroConditioning micro_conditioning;
  /// Where a refiner takes over: the share of the noise levels, counted from the noisiest, that the base model draws
  /// down; 0 to 1. Only of models with a refiner.
  std::optional<double> denoising_end;
  /// An image to begin from instead of noise; resampled to the size drawn. Without width and height its own size is
  /// drawn.
  std::shared_ptr<const Image> image;
  /// Where to redraw `image`: pixels of at least half brightness. Resampled likewise.
  std::shared_ptr<const Image> mask;
  std::optional<double> strength;  ///< 0 to 1: share of the steps that `image` goes through; 1 leaves little of it
  std::optional<double> image_guidance_scale;  ///< of InstructPix2Pix: how closely `image` is kept to; below 1 turns
                                               ///< all guidance off, as in diffusers
  std::optional<std::int64_t> noise_level;     ///< of upscalers that take one: noise added to `image`, as a timestep
  std::vector<double> timesteps;               ///< the scheduler's own, instead of num_inference_steps; descending
  std::vector<double> sigmas;                  ///< likewise; at most one of the two
  std::optional<PromptSyntax> prompt_syntax;   ///< default: the server's
  std::vector<AdapterSelection> loras;

  /// Inference steps asked for, before `strength` leaves some out: for estimates. @param model_default  the model's own
  std::int64_t requested_steps(std::int64_t model_default) const {
    if (!timesteps.empty()) return static_cast<std::int64_t>(timesteps.size());
    if (!sigmas.empty()) return static_cast<std::int64_t>(sigmas.size());
    return num_inference_steps.value_or(model_default);
  }
};

/// One finished image and the seed that gives it again.
struct GeneratedImage {
  Image image;
  std::uint64_t seed = 0;
  bool prompt_cut = false;  ///< the text encoder did not see the end of the prompt, or of the negative prompt
};

/// How far a generation is. Steps are model evaluations: PNDM has n + 1 of them for n inference steps.
struct StepProgress {
  std::int64_t steps_done = 0;
  std::int64_t steps_total = 0;
};

/// What the weights of one part of a model take.
struct ComponentMemory {
  std::string name;                                  ///< of its folder, e.g. "unet", "refiner/unet"
  std::int64_t parameters = 0;                       ///< number of weights
  std::map<std::string, std::int64_t> stored_bytes;  ///< on disk, by dtype, e.g. {"float16", ...}
  std::map<std::string, std::int64_t> memory_bytes;  ///< in memory, likewise
};

/// Memory beside the weights that the largest calls take while they last, for images of one size.
struct ActivationMemory {
  int width = 0;  ///< pixels, as drawn: whole latent cells
  int height = 0;
  std::map<int, std::int64_t> step_bytes;  ///< by rows: 1; those of an image with guidance; the most of a step
  std::int64_t decode_bytes = 0;           ///< of the autoencoder, in tiles where they are on; 0: it is not known
};

/// What is known about a model before its weights are read: from its folder's JSON files and tensor headers.
struct ModelDescription {
  std::string id;
  std::string family;             ///< e.g. "stable-diffusion"; from model_index.json's _class_name
  std::string licence;            ///< name or short text; empty when the folder has none
  std::string folder;             ///< where it lies
  std::int64_t parameters = 0;    ///< number of weights
  std::int64_t weight_bytes = 0;  ///< as stored on disk
  std::int64_t memory_bytes = 0;  ///< device memory to draw one image at the native size, estimated: all weights,
                                  ///< and the larger of a guided step's activations and a decode's
  std::vector<ComponentMemory> components;
  std::vector<ActivationMemory> activations;  ///< at the native size, then at those asked for when it was described
  std::int64_t created = 0;                   ///< Unix seconds, from the files' time
  int native_width = 512;                     ///< pixels drawn when the request names no size
  int native_height = 512;
  int cell = 8;                   ///< pixels per latent cell; sizes are rounded up to it and cropped
  bool native_size_only = false;  ///< another size is drawn at native scale and resized
  std::int64_t default_steps = 50;
  double default_guidance_scale = 7.5;
  std::string default_scheduler;               ///< a name of `schedulers`
  std::vector<std::string> schedulers;         ///< names that a request may use
  std::vector<std::string> scheduler_aliases;  ///< further ones, not listed; in lower case with underscores
  std::int64_t max_clip_skip = 0;              ///< text encoder layers
  bool needs_image = false;                    ///< draws only from GenerationRequest::image
  bool needs_mask = false;                     ///< and with GenerationRequest::mask
  double default_strength = 0.8;
  int upscale_factor = 0;  ///< of upscalers: pixels of the answer per pixel of GenerationRequest::image; else 0
};

}  // namespace easel
