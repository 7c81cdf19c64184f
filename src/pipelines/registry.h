// Opens checkpoints as models that the engine can serve.
#pragma once

#include <string>

#include "checkpoints/checkpoint.h"
#include "easel/engine.h"
#include "easel/model.h"
#include "pipelines/denoising/diffusion_pipeline.h"

namespace easel {

/// Reads JSON files and tensor headers. The weights are read by ServedModel::load, whose device is one of
/// make_placement's names, or empty for that of `options`, and whose progress counts bytes of weights.
/// @param id    the name that requests use
/// @param path  a folder in diffusers' layout, or a safetensors file in the original one
/// @param how   how the checkpoint is opened
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
ServedModel open_model(const std::string& id, const std::string& path, const PipelineOptions& options,
                       const CheckpointOptions& how = {});

/// Checks a model that is not on the disk yet.
/// @param class_name  `_class_name` of its model_index.json
/// @param where       the file, for messages
/// @throws Error(kUnsupported)  easel does not run models of this class
void check_pipeline_class(const std::string& class_name, const std::string& where);

}  // namespace easel
