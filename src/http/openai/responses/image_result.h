// The images of a finished request as files, and the body that brings them to the client.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "http/openai/responses/image_store.h"
#include "http/openai/responses/response_options.h"
#include "http/wire/http_error.h"
#include "provenance/image_record.h"

namespace easel::http {

/// What a request took, in tokens. The tokens of an image are a quarter of its latent cells.
struct Usage {
  std::int64_t text_tokens = 0;          ///< of the prompt
  std::int64_t input_image_tokens = 0;   ///< of the images that the request gave
  std::int64_t output_image_tokens = 0;  ///< of the images that it got
};

/// The tokens of an image.
/// @param cell  ModelDescription::cell
std::int64_t image_tokens(int width, int height, int cell);

/// Everything that the response to a finished request says.
struct ImageResult {
  struct Item {
    std::string file;            ///< the image in the request's format
    std::string stored_id = {};  ///< of the same file in the image store; empty: it was not put there
    std::uint64_t seed = 0;
    bool prompt_cut = false;
  };
  std::int64_t created = 0;  ///< Unix seconds
  std::uint64_t seed = 0;    ///< of the request, which is that of its first image
  int width = 0;             ///< of every image, pixels
  int height = 0;
  ResponseOptions options = {};
  Usage usage = {};
  std::vector<Item> items = {};
};

/// What is known about a request before its images are.
struct ResultContext {
  ResponseOptions options = {};
  std::uint64_t seed = 0;
  int cell = 8;  ///< ModelDescription::cell
  std::int64_t input_image_tokens = 0;
  std::vector<std::string> model_folders = {};  ///< ModelDescription::folder of each served model
  MetadataOf metadata = {};                     ///< of each file; null: none
};

/// The error of a job that failed. The log gets the whole text, and clients the one without the server's folders.
HttpError result_error(const Error& error, const ResultContext& context);

/// The longest edge that an image file of the format can have, in pixels.
int max_edge_of(ImageFormat format);

/// Encodes the images. `images` are used up: each is dropped once it is encoded.
/// @param created  Unix seconds
/// @throws Error(kInvalidArgument, kResourceExhausted)  as encode()
ImageResult make_result(std::vector<GeneratedImage> images, std::int64_t created, ResultContext context);

/// The members of a response that do not depend on how its images are delivered, as JSON without braces: `size`,
/// `quality`, `background`, `output_format`, `usage`, and, where they say something, `resized_from`, `images_used` and
/// `ignored`.
std::string result_members(const ImageResult& result);

// The members of a stream's event that has an image, after its `type`: see EventWriter::send.

/// Of a partial image. @param created  Unix seconds
std::string partial_image_members(const Image& image, std::int64_t created, const ResponseOptions& options);
/// Of the finished image, which is used up.
std::string completed_image_members(ImageResult result);

/// The body of a successful response. The files are used up. An image that does not fit into the store is sent as
/// base64, and the log says so.
/// @param link_base  scheme and authority of links, without a slash at its end
std::string image_response_body(ImageResult result, ImageStore& store, const std::string& link_base);

/// The path of a stored image below the base of its link, e.g. "/v1/images/files/ID.png".
std::string stored_image_path(const std::string& id, ImageFormat format);

}  // namespace easel::http
