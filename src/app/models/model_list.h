// The models and devices that the flags name.
#pragma once

#include <string>
#include <vector>

#include "app/command_line/options.h"
#include "app/models/model_watch.h"
#include "checkpoints/model_search.h"
#include "easel/engine.h"

namespace easel {

/// The models that the flags name, the default one first. --model takes a path, or the name of a
/// model that was pulled into the models folder. A checkpoint that it names must be usable; an
/// unusable checkpoint in --models-dir is skipped with a warning.
/// @throws Error  an unusable checkpoint, two models with one id, no model at all, or an unknown default or pinned
///                model, device or dtype
/// @param passed_over  receives what is in --models-dir and is not served, with the reasons; may be null
std::vector<ServedModel> list_models(const ModelFlags& flags, std::vector<PassedOver>* passed_over = nullptr);

/// What a ModelWatch does for these flags: finds the checkpoints as list_models does, and opens them. The models that
/// it opens share their embeddings and their places on a device among themselves.
ModelWatch::Actions watch_actions(const ModelFlags& flags);

/// The folder that is searched for models: that of --models-dir, or where no flag names a model, the usual one. Empty:
/// none.
std::string searched_folder(const ModelFlags& flags);

/// What --model names that is neither a path nor in the models folder, but could be pulled into it: names of recipes
/// and references to repositories.
std::vector<std::string> names_to_pull(const ModelFlags& flags);

/// The devices that the flags name, in full: "cpu", or "cuda:0" and so on.
/// @throws Error(kInvalidArgument)  no device, one named twice, a CPU together with a GPU, or an unknown name
/// @throws Error(kUnavailable)      a device that is not on this machine
std::vector<std::string> list_devices(const ModelFlags& flags);

}  // namespace easel
