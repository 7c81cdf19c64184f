// From a folder to something the engine can serve.
#pragma once

#include <string>
#include <vector>

#include "easel/engine.h"
#include "pipelines/diffusion_pipeline.h"

namespace easel {

/// Reads the folder's JSON files and tensor headers; the weights wait for ServedModel::load, whose device is one of
/// make_placement's names, or empty: that of `options`. Its progress goes by the bytes of weights taken up.
/// @param id  what requests call it
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
ServedModel open_model(const std::string& id, const std::string& folder, const PipelineOptions& options);

/// The folders directly below `directory` that hold a model_index.json, sorted by name.
/// @throws Error(kNotFound)  no such directory
std::vector<std::string> find_checkpoints(const std::string& directory);

}  // namespace easel
