// What a client wants its images delivered as.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/image_output.h"

namespace easel::http {

/// What the fields of a request say about its response instead of about its images.
struct ResponseOptions {
  bool base64 = true;  ///< each image has `b64_json`
  bool link = false;   ///< each image has `url`
  OutputFormat output = {};
  bool embed_metadata = true;    ///< where the server embeds any
  const char* quality = "high";  ///< as the response names it: low, medium or high
  /// Names of fields, as the client sent them, that the image was made without.
  std::vector<std::string> ignored = {};
  /// Width and height of the input image, where the result is smaller because the request named no size.
  std::optional<std::pair<int, int>> resized_from = {};
  std::optional<std::int64_t> images_used = {};  ///< of the images that the client sent; none: it sent at most one
};

}  // namespace easel::http
