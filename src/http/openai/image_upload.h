// Bodies that bring images: forms, and JSON with the images in base64.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "easel/server.h"
#include "http/transport/client.h"
#include "http/transport/request_head.h"

namespace easel::http {

struct ImageUpload {
  nlohmann::json fields;             ///< an object, as the JSON routes have it
  std::optional<std::string> image;  ///< a file's bytes, not looked at yet
  std::optional<std::string> mask;
};

/// Receives such a body: a form with the files `image` (or `image[]`) and `mask`; or JSON with `image` and `mask` as
/// base64 or data URLs, or as OpenAI has them: `images` with one {"image_url": ...}, and `mask` likewise. A form that
/// is no good is still received to its end, so that its client hears why.
///
/// @throws HttpFailure  400: neither, or malformed; more than one image; 413: a file, the texts or all are too large
ImageUpload read_upload(const RequestHead& head, Client& client, const ServerOptions& limits);

}  // namespace easel::http
