// Which models there are, from the flags.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "easel/engine.h"

namespace easel {

/// The models that the flags name, the default one first. A folder named by --model must be good; one that is only
/// found in --models-dir is left out with a warning when it is not.
/// @throws Error  a bad folder, two models of one id, no model at all, an unknown default or pinned one, an unknown
/// device or dtype
std::vector<ServedModel> list_models(const ModelOptions& options);

/// The devices that the flags name, in full: "cpu", or "cuda:0" and so on.
/// @throws Error(kInvalidArgument)  none, one twice, a CPU beside a card, or an unknown name
/// @throws Error(kUnavailable)      one that is not here
std::vector<std::string> list_devices(const ModelOptions& options);

}  // namespace easel
