// A request as JSON, by the names that the fields have in the API.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "easel/generation.h"

namespace easel {

/// Every field but the images. Absent fields and empty texts and lists are left out. Seeds above 2^53, which many JSON
/// libraries would round, are text.
nlohmann::ordered_json request_to_json(const GenerationRequest& request);

/// Sets the fields that the object has; unknown ones are ignored.
/// @throws Error(kInvalidArgument)  a field has another type; the message names it
void request_from_json(const nlohmann::json& object, GenerationRequest& request);

}  // namespace easel
