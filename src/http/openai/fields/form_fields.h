// The text parts of a form as the JSON object that a client of the JSON routes would have sent, so that both are read
// by the same code.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "http/transport/multipart.h"

namespace easel::http {

/// Each text becomes a value of its field's type, as request_fields() has it. A text that does not parse as that type
/// stays a text, for the reader of the field to refuse. Arrays may be sent as JSON, as numbers between commas, or as
/// repeated parts `name[]` (`loras[][name]` and `loras[][weight]` for objects), as clients' libraries write them. Line
/// ends become LF, whatever the client's form encoder made of them. An empty text is an absent field, except for the
/// prompt. Of equal names the last one counts.
///
/// @throws HttpFailure(400)  a text is not UTF-8, or a part of an array has a name of another pattern
nlohmann::json form_to_json(const std::vector<FormPart>& texts);

}  // namespace easel::http
