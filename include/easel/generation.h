// What is asked for and what comes back, as plain data: it may cross a thread, a queue or a wire. No torch here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "easel/image.h"

namespace easel {

/// One request for n pictures of one prompt. Names are diffusers'. Empty optionals mean the model's own default.
struct GenerationRequest {
  std::string model;            ///< id of a served model; aliases are resolved before this point
  std::string prompt;           ///< UTF-8
  std::string negative_prompt;  ///< UTF-8; used only where guidance is on
  std::int64_t num_images = 1;  ///< picture i is drawn with seed + i
  std::uint64_t seed = 0;       ///< any value; picture i alone and picture i of n are the same picture
  std::optional<int> width;     ///< pixels of the answer; both or neither
  std::optional<int> height;
  std::optional<double> guidance_scale;  ///< w in uncond + w * (text - uncond); w <= 1 turns guidance off
  std::optional<std::int64_t> num_inference_steps;
  std::optional<std::string> scheduler;  ///< a name of ModelDescription::schedulers or an alias
  double eta = 0.0;                      ///< of DDIM and TCD, 0 to 1; other schedulers ignore it, as in diffusers
  std::optional<std::int64_t> clip_skip;  ///< text encoder layers left out, counted from the end; 0 = none
};

/// One finished picture and the seed that gives it again.
struct GeneratedImage {
  Image image;
  std::uint64_t seed = 0;
};

/// How far a generation is. Steps are model evaluations: PNDM has n + 1 of them for n inference steps.
struct StepProgress {
  std::int64_t steps_done = 0;
  std::int64_t steps_total = 0;
};

/// What is known about a model before its weights are read: from its folder's JSON files and tensor headers.
struct ModelDescription {
  std::string id;
  std::string family;             ///< e.g. "stable-diffusion"; from model_index.json's _class_name
  std::string licence;            ///< name or short text; empty when the folder has none
  std::string folder;             ///< where it lies
  std::int64_t parameters = 0;    ///< number of weights
  std::int64_t weight_bytes = 0;  ///< as stored on disk
  std::int64_t memory_bytes = 0;  ///< device memory to draw one picture at the native size, estimated
  std::int64_t created = 0;       ///< Unix seconds, from the files' time
  int native_width = 512;         ///< pixels drawn when the request names no size
  int native_height = 512;
  int cell = 8;                       ///< pixels per latent cell; sizes are rounded up to it and cropped
  bool draws_native_size_only = false;  ///< another size is drawn at native scale and resized
  std::int64_t default_steps = 50;
  double default_guidance_scale = 7.5;
  std::string default_scheduler;        ///< a name of `schedulers`
  std::vector<std::string> schedulers;  ///< names that a request may use
  std::vector<std::string> scheduler_aliases;  ///< further ones, not listed; spelled as core/plain_name.h does
  std::int64_t max_clip_skip = 0;       ///< text encoder layers
};

}  // namespace easel
