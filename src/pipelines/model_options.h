// From the plain options of the public interface to those of a pipeline.
#pragma once

#include "easel/model.h"
#include "pipelines/denoising/diffusion_pipeline.h"

namespace easel {

/// Models that are opened with one PipelineOptions share its embeddings and, with offload_components, take turns on a
/// device.
/// @throws Error(kInvalidArgument, kUnavailable)  as open_model
/// @throws Error(kNotFound)                       embeddings_dir or lora_dir does not exist
PipelineOptions make_pipeline_options(const ModelOptions& options);

}  // namespace easel
