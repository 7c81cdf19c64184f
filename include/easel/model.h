// Opening checkpoints. Everything here is plain data and needs no libtorch headers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/engine.h"
#include "easel/generation.h"

namespace easel {

/// How a model is loaded. The defaults suit most machines.
struct ModelOptions {
  std::string id = {};           ///< what requests call the model; empty: checkpoint_name() of its path
  std::string preview_vae = {};  ///< folder or file of an AutoencoderTiny that decodes previews; empty: colours only
  std::string vae = {};  ///< folder or file of an autoencoder to use in place of the checkpoint's own; empty: its own
  std::string variant = {};  ///< of the weights in a folder, such as "bf16" or "non_ema"; empty: the plain files
  /// Files and folders of single components, by role: a component's name in model_index.json, or "clip_l", "clip_g",
  /// "t5", "qwen"; "configs" is a folder in diffusers' layout for everything that is not given.
  std::map<std::string, std::string> components = {};
  /// Makes the matrices of denoiser and text encoders smaller when they are loaded: "fp8" (8-bit floating point with a
  /// scale), "q8_0" (8-bit integers with a scale for each 32 of them); empty: as they are stored.
  std::string quantize = {};
  /// Tensors that may be left out if the model does not use them; patterns as in a shell. By default such a tensor is
  /// an error. Scales, norms, biases and markers of quantisation are never left out.
  std::vector<std::string> ignored_tensors = {};

  /// "auto" (the first CUDA device if there is one, else the CPU), "cpu", "cuda" or "cuda:N".
  std::string device = "auto";
  /// What the model computes in: "float32", "float16", "bfloat16", or "auto": float16 on a GPU; on a CPU float32, or
  /// bfloat16 if the CPU multiplies bfloat16 matrices (AVX512-BF16, AMX) and the denoiser's weights are stored in 16 or
  /// fewer bits or are exact in bfloat16.
  std::string dtype = "auto";
  /// On a CPU: keep large weights in the dtype of the file where that is smaller, and convert them whenever they are
  /// used. Saves memory and changes no image.
  bool keep_stored_dtype = false;
  /// On a GPU: the components of the model (text encoders, UNet, autoencoder) take turns in the GPU's memory and wait
  /// in the host's.
  bool offload_components = false;
  /// The same, and a transformer that does not fit into the GPU's free memory by itself is streamed through it block by
  /// block, the next one copied while one computes.
  bool offload_blocks = false;
  bool release_text_encoders = false;   ///< free them after each prompt; the next new prompt reads them again
  std::optional<bool> vae_tiling = {};  ///< decode large images in overlapping tiles; none: where memory requires it
  int max_generations_per_step = 0;     ///< images that may share a step; 0: 1 on a CPU, 8 on a GPU

  PromptSyntax prompt_syntax = PromptSyntax::kPlain;   ///< of requests that name none
  std::string embeddings_dir = {};                     ///< folder of textual inversions; empty: none
  std::string lora_dir = {};                           ///< folder of LoRA files that requests may choose; empty: none
  std::int64_t lora_memory = std::int64_t{512} << 20;  ///< bytes of LoRA files kept in memory

  /// Fill ModelDescription::activations, which takes a fraction of a second.
  bool estimate_activations = true;
  /// Width and height, in pixels, of further image sizes to estimate activations for.
  std::vector<std::pair<int, int>> estimated_sizes = {};
};

/// Opens a checkpoint: reads its JSON files and tensor headers, and checks that easel supports it. The weights are read
/// by ServedModel::load, whose device may be empty to mean ModelOptions::device. Thread-safe.
/// @param path  a folder in the layout of diffusers, or a .safetensors or .gguf file in the original layout
/// @throws Error(kInvalidArgument)  an unknown device or dtype
/// @throws Error(kUnavailable)      the device is not on this machine
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
ServedModel open_model(const std::string& path, const ModelOptions& options = {});

/// What a checkpoint is called when no name is given: its folder's name, or its file's name without the extension. A
/// folder of Hugging Face's cache, models--ORG--NAME or a snapshot in it, is called ORG/NAME.
std::string checkpoint_name(const std::string& path);

/// The checkpoints directly in `directory`, sorted by path: folders with a model_index.json, .safetensors files that
/// hold a checkpoint, and .ckpt files. open_model() refuses the last kind and says how to convert them. Thread-safe.
/// @throws Error(kNotFound)  no such directory
std::vector<std::string> find_checkpoints(const std::string& directory);

}  // namespace easel
