// The texts of a form as the JSON object that a client of the JSON routes would have sent, so that one place reads
// both.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "http/transport/multipart.h"

namespace easel::http {

/// Numbers, booleans and arrays become what they say; a text that says none stays a text, for the reader of the field
/// to refuse. Arrays come as JSON, as numbers between commas, or as the clients' repeated `name[]` (`loras[][name]`
/// and `loras[][weight]` for objects). Line ends become LF, whatever the client's form encoder made of them. An empty
/// text is an absent field, except the prompt's. Of equal names the last one counts.
///
/// @throws HttpFailure(400)  a text is not UTF-8
nlohmann::json form_to_json(const std::vector<FormPart>& texts);

}  // namespace easel::http
