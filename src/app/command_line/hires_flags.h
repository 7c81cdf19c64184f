// easel draw: a second pass over a larger version of the image.
#pragma once

#include <vector>

#include "app/command_line/options.h"
#include "easel/engine.h"

namespace easel {

/// Adds to `request` the second pass that the flags ask for, with the sizes, names and defaults of the field `hires` of
/// the API. A request that has one already, because --like gave it, keeps what no flag changes.
/// @param models  the first one makes the image
/// @throws Error(kInvalidArgument)  --hires-upscaler is neither a name nor one of the models that upscale
void add_second_pass(const HiresFlags& flags, const std::vector<ServedModel>& models, GenerationRequest& request);

/// The model that upscales between the two passes; null: none does.
/// @throws Error(kNotFound)  it is not among the models
const ServedModel* upscaler_of(const GenerationRequest& request, const std::vector<ServedModel>& models);

}  // namespace easel
