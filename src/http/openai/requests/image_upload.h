// Bodies with images: forms, and JSON with the images in base64.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "easel/server.h"
#include "http/transport/client.h"
#include "http/transport/request_head.h"

namespace easel::http {

/// The body of an image request.
struct ImageUpload {
  nlohmann::json fields;            ///< an object, as in the body of a JSON request without images
  std::vector<std::string> images;  ///< the bytes of files, in the order of the body, not checked yet
  std::optional<std::string> mask;
};

inline constexpr std::size_t kMaxUploadedImages = 16;  ///< of one request; OpenAI's limit

/// Receives a form with the files `image` (or `image[]`, or `image[0]` and so on) and `mask`; or JSON with `image` and
/// `mask` as base64 or data URLs, or in OpenAI's spelling: `images` with objects {"image_url": ...}, {"image_url":
/// {"url": ...}} or {"b64_json": ...}, and `mask` in the same way. `image` may be a list, too; where both are there,
/// `image` comes first. A malformed form is still received to its end, so that its client reads the error.
///
/// @throws HttpFailure, ProtocolError  400: neither, malformed, or more than 16 images; 413: a file, the texts or the
///                                     whole body is too large
ImageUpload read_upload(const RequestHead& head, Client& client, const ServerOptions& limits);

}  // namespace easel::http
