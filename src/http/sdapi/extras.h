// A1111's "extras": images that become larger without being drawn anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/image.h"
#include "easel/server.h"

namespace easel::http::sdapi {

/// How images become larger.
struct Upscaling {
  std::string model;       ///< id of a model that upscales; empty: the image is only resized
  bool nearest = false;    ///< resized by the nearest pixel instead of Lanczos
  double factor = 2;       ///< where there is no size
  std::int64_t width = 0;  ///< pixels; 0: by the factor
  std::int64_t height = 0;
  bool crop = true;  ///< the size is filled, and what is beyond it is cut; otherwise the image fits into it
};

/// The images of a request: `image`, or `several` in `imageList`.
/// @throws HttpFailure  422: not of that form; 400: not an image that this server reads, or too many
///                      pixels in all
std::vector<Image> read_sources(const nlohmann::json& body, bool several, const ServerOptions& limits);

/// Of all images, in memory.
std::size_t pixel_bytes(const std::vector<Image>& images);

/// @throws HttpFailure  404: unknown upscaler; 422: a member of another type
Upscaling read_upscaling(const nlohmann::json& body, const std::vector<ModelDescription>& models);

/// @throws HttpFailure(400)  the result would be larger than the server's limits
void check_size_of(const Upscaling& upscaling, const Image& source, const ServerOptions& limits);

/// The image in the size that the request asks for. @param source  what it was before a model enlarged it
Image resized(const Image& image, const Image& source, const Upscaling& upscaling);

}  // namespace easel::http::sdapi
