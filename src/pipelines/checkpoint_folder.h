// A checkpoint in diffusers' folder layout: what its JSON files say, before any weight is read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/generation.h"

namespace easel {

/// "512x768" as width and height, both positive; none when it is anything else.
std::optional<std::pair<int, int>> parse_size(const std::string& text);

/// easel.json, an optional file beside model_index.json: what the person who packed the model knows about it.
///
/// {"name", "licence", "native_size": "WxH", "native_size_only": bool,
///  "refiner": "FOLDER", "upscale_tile": N, "defaults": {"num_inference_steps", "guidance_scale", "scheduler",
///  "denoising_end"}}; every field is optional, others are errors.
struct Manifest {
  std::string licence;
  std::optional<std::pair<int, int>> native_size;  ///< width, height in pixels
  bool native_size_only = false;
  int upscale_tile = 0;  ///< of upscalers: pictures larger than this square are drawn in tiles of it; 0: the default
  std::optional<std::int64_t> num_inference_steps;
  std::optional<double> guidance_scale;
  std::string scheduler;
  std::string refiner;                  ///< folder of SDXL's refiner, relative to this one; empty for none
  std::optional<double> denoising_end;  ///< where the refiner takes over
};

/// The parts that model_index.json names.
struct CheckpointFolder {
  std::string path;
  std::string class_name;  ///< e.g. "StableDiffusionPipeline"
  std::map<std::string, std::string>
      components;                        ///< name -> class, e.g. "unet" -> "UNet2DConditionModel"; nulls left out
  std::map<std::string, bool> settings;  ///< e.g. "force_zeros_for_empty_prompt"
  Manifest manifest;

  /// @throws Error(kNotFound)     no folder, no model_index.json
  /// @throws Error(kCorruptData)  not what such a file holds
  static CheckpointFolder open(const std::string& path);

  std::string file(const std::string& relative) const { return path + "/" + relative; }
  /// @throws Error(kCorruptData, kUnsupported)  the component is absent, or of another class
  void require(const std::string& component, const std::string& class_name) const;
};

/// A checkpoint's licence as its folder tells it: the manifest, the model card's front matter, or the first line of a
/// LICENSE file; empty when none does.
std::string find_licence(const CheckpointFolder& folder);

}  // namespace easel
