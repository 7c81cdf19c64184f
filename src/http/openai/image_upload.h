// Bodies with images: forms, and JSON with the images in base64.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "easel/server.h"
#include "http/transport/client.h"
#include "http/transport/request_head.h"

namespace easel::http {

struct ImageUpload {
  nlohmann::json fields;             ///< an object, as in the body of a JSON request
  std::optional<std::string> image;  ///< a file's bytes, not checked yet
  std::optional<std::string> mask;
};

/// Receives a form with the files `image` (or `image[]`) and `mask`; or JSON with `image` and `mask` as base64 or data
/// URLs, or in OpenAI's spelling: `images` with one {"image_url": ...}, and `mask` in the same way. A malformed form is
/// still received to its end, so that its client reads the error.
///
/// @throws HttpFailure, ProtocolError  400: neither, malformed, or more than one image; 413: a file, the texts or the
///                                     whole body is too large
ImageUpload read_upload(const RequestHead& head, Client& client, const ServerOptions& limits);

}  // namespace easel::http
