// Which models there are, from the flags.
#pragma once

#include <vector>

#include "app/options.h"
#include "easel/engine.h"

namespace easel {

/// The models that the flags name, the default one first. A folder named by --model must be good; one that is only found
/// in --models-dir is left out with a warning when it is not.
/// @throws Error  a bad folder, two models of one id, no model at all, an unknown default or pinned one, an unknown device or dtype
std::vector<ServedModel> list_models(const ModelOptions& options);

}  // namespace easel
