// The images of a request: decodes them and checks them against each other and against the model.
#pragma once

#include <cstddef>
#include <string>

#include "easel/generation.h"
#include "easel/image_file.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/requests/image_memory.h"
#include "http/openai/requests/image_upload.h"

namespace easel::http {

/// Decodes the uploaded files into `request.image`, `request.more_images` and `request.mask`. A request without a size
/// gets that of the first image, times the model's factor on upscale. On edits there may be several images: the model
/// uses as many of the first ones as it can, which the response says, and the others are not decoded.
///
/// Except on upscale, an image without a `size` that has more than twice the pixels of the model's own size gives a
/// result of that area, with the image's shape and in whole latent cells; `request.response.resized_from` is then the
/// image's size. JPEG files that are much larger than the result are decoded at a fraction of their size.
///
/// A mask marks what to redraw. OpenAI's masks are transparent there; a mask without transparent pixels is white there.
/// An image with transparent parts that is edited without a mask is its own mask. A pixel is transparent when its
/// opacity is below one half.
///
/// With `request.padding_mask_crop`, which needs a mask, the image keeps its size, which is that of the result, and
/// must be within the limits of results. Without a mask, `request.keep_unmasked` becomes false.
///
/// The mask is blurred by `request.mask_blur`, as Pillow's GaussianBlur does it.
///
/// @param request  as read_image_request gave it
/// @throws HttpFailure  400 with param image or mask: missing, damaged, too large, of different sizes, several where
/// the
///                      task takes one, or not for this task or model; 400 with param size: not a multiple of an
///                      upscaler's factor; 429: out of memory
void attach_input_images(const ImageUpload& upload, ImageTask task, const ModelDescription& model,
                         const ServerOptions& limits, ImageRequest& request);

/// Of the images that attach_input_images() attached, in memory.
std::size_t pixel_bytes(const ImageRequest& request);

/// The memory is given back when the last of the images is destroyed.
void keep_with_images(const ImageMemory::Place& place, ImageRequest& request);

/// Of the images of one request, all but the first have to fit into ServerOptions::upload_memory together with it.
/// @param bytes  of the pixels of the images that have been decoded so far
/// @throws HttpFailure  400: they do not
void check_pixel_bytes(const char* field, std::size_t bytes, const ServerOptions& limits);

/// Decodes one uploaded file within the limits of the server.
/// @param field      names the file in errors
/// @param used_size  as decode_image() takes it
/// @throws HttpFailure  400: not an image that this server reads; 429: out of memory
DecodedImage decode_upload(const char* field, const std::string& bytes, const ServerOptions& limits,
                           const UsedSize& used_size = {});

}  // namespace easel::http
