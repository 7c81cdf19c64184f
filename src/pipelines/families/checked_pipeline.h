// A pipeline that checks its files when results are suspect.
#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "easel/pipeline.h"
#include "weights/format/mapped_files.h"

namespace easel {

/// Wraps a pipeline so that calls throw Error(kCorruptData) if another program has written to its files, and so that
/// the error for infinite or NaN results names the stored tensor that is infinite or NaN, if there is one.
/// When it is destroyed, the memory that libtorch retains is given back.
/// @param files   the files that `pipeline` was loaded from
/// @param device  that it computes on
std::unique_ptr<Pipeline> with_checks(std::unique_ptr<Pipeline> pipeline, const Checkpoint& folder,
                                      std::shared_ptr<const MappedFiles> files, c10::Device device);

}  // namespace easel
