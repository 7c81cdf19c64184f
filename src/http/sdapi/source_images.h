// The images of an img2img request.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "easel/server.h"
#include "http/openai/requests/image_upload.h"

namespace easel::http::sdapi {

/// How A1111 reads them.
struct SourceImages {
  const ServerOptions& limits;
  std::int64_t width = 0;  ///< of the image that is made; 0: that of the first image
  std::int64_t height = 0;
  bool crop = false;      ///< cut to the shape of the size instead of stretching
  bool inverted = false;  ///< black is drawn anew instead of white
  std::size_t most = 1;   ///< images that the model takes; further ones are not read

  /// Fills the images and the mask of `upload`. Where the mask is transparent, opacity counts, as in A1111; easel's own
  /// routes take transparency the other way round, so the mask is written anew without it, in the image's size.
  /// @param images  a list of texts in base64, or data URLs; @param mask  one such text, or null
  /// @throws HttpFailure  422: not of that form; 400: not an image that this server reads
  void read(const nlohmann::json* images, const nlohmann::json* mask, ImageUpload& upload) const;
};

/// The bytes of a file in base64, with or without the prefix of a data URL.
/// @throws HttpFailure  422: `value` is neither
std::string decode_file(const char* name, const nlohmann::json& value);

}  // namespace easel::http::sdapi
