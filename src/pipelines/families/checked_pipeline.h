// A pipeline whose files are looked at again when something is odd.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "easel/pipeline.h"
#include "weights/format/mapped_files.h"

namespace easel {

/// The same pipeline. Images made while another program wrote to its files are Errors and no images; so are those
/// that a step or a decode made infinite, with the tensor at fault where one of the checkpoint's is infinite itself.
/// @param files  what `pipeline` was loaded from
std::unique_ptr<Pipeline> with_checks(std::unique_ptr<Pipeline> pipeline, const Checkpoint& folder,
                                      std::shared_ptr<const MappedFiles> files);

}  // namespace easel
