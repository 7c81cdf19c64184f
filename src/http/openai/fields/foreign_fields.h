// Names in a request that are neither OpenAI's nor easel's.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "http/openai/fields/request_fields.h"

namespace easel::http {

/// Removes from a body the foreign and unknown names whose values count as absent. Foreign names that request_fields()
/// has a row for stay in the body, and are read by it.
///
/// @param body  an object
/// @return the names that remain unknown, in their order; the image is made without them
/// @throws HttpFailure  400 with the name as param: a field that the client relies on and that this route, or this
///                      server, cannot honour, e.g. `init_images` on generations, or `controlnet_conditioning_scale`
std::vector<std::string> sort_out_foreign_fields(nlohmann::json& body, ImageTask task);

}  // namespace easel::http
