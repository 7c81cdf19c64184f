// The models folder of a server, for the routes with which operators pull and remove models.
#pragma once

#include <memory>

#include "app/command_line/options.h"
#include "easel/model_library.h"

namespace easel {

/// @return null where the server searches no folder for models, so that nothing that is pulled would be served
std::shared_ptr<ModelLibrary> make_model_library(const Options& options);

}  // namespace easel
