// The models and devices that the flags name.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"
#include "easel/engine.h"

namespace easel {

/// The models that the flags name, the default one first. A checkpoint that --model names must be usable; an
/// unusable checkpoint in --models-dir is skipped with a warning.
/// @throws Error  an unusable checkpoint, two models with one id, no model at all, or an unknown default or pinned
///                model, device or dtype
std::vector<ServedModel> list_models(const ModelFlags& flags);

/// The devices that the flags name, in full: "cpu", or "cuda:0" and so on.
/// @throws Error(kInvalidArgument)  no device, one named twice, a CPU together with a GPU, or an unknown name
/// @throws Error(kUnavailable)      a device that is not on this machine
std::vector<std::string> list_devices(const ModelFlags& flags);

}  // namespace easel
