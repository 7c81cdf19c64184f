// From a checkpoint to something the engine can serve.
#pragma once

#include <string>
#include <vector>

#include "easel/engine.h"
#include "pipelines/denoising/diffusion_pipeline.h"

namespace easel {

/// Reads JSON files and tensor headers; the weights wait for ServedModel::load, whose device is one of make_placement's
/// names, or empty: that of `options`. Its progress goes by the bytes of weights taken up.
/// @param id    what requests call it
/// @param path  a folder in diffusers' layout, or a safetensors file in the original one
/// @param vae   folder or file of an autoencoder to use instead of the checkpoint's own; empty: its own
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
ServedModel open_model(const std::string& id, const std::string& path, const PipelineOptions& options,
                       const std::string& vae = "");

/// What a checkpoint is called where nothing else is said: its folder's name, or its file's without the extension.
std::string checkpoint_name(const std::string& path);

/// What lies directly in `directory`, sorted by name: folders that hold a model_index.json, safetensors files that hold
/// a checkpoint, and .ckpt files, for open_model to say why it does not take them.
/// @throws Error(kNotFound)  no such directory
std::vector<std::string> find_checkpoints(const std::string& directory);

}  // namespace easel
