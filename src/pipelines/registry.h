// From a checkpoint to something the engine can serve.
#pragma once

#include <string>

#include "easel/engine.h"
#include "easel/model.h"
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

}  // namespace easel
