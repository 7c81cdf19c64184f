// A1111's names in what easel's own fields are reported by.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "http/sdapi/translation.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {

/// An error about a field of easel's as one about the member that the field came from, so that the message names what
/// the client sent: `steps` instead of `num_inference_steps`. Other errors are returned as they are.
HttpError with_member_names(HttpError error, const Translation& translation);

/// Adds to Translation::ignored the fields that the model cannot use, under the names of the members that they came
/// from. A member that `body` does not have had A1111's default, and is not named.
void note_ignored(const std::vector<std::string>& fields, const nlohmann::json& body, Translation& translation);

}  // namespace easel::http::sdapi
