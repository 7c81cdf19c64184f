// The images of a request: decoded, checked against each other and against the model, and put into it.
#pragma once

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/image_upload.h"
#include "http/openai/openai_images.h"

namespace easel::http {

/// Decodes the upload's files into `request.image` and `request.mask`, and settles the size: without one the image's
/// own is drawn, or that times the model's factor.
///
/// A mask marks what to redraw. OpenAI's are transparent there; a mask that is nowhere transparent marks it white. An
/// edited image with transparent parts and no mask is its own. Opacity counts as transparent below one half.
///
/// @param request  as read_image_request gave it
/// @throws HttpFailure  400: param image or mask: missing, damaged, too large, of two sizes, or not for this task or
///                      model; param size: an upscaler cannot reach it. 429: out of memory
void attach_input_images(const ImageUpload& upload, ImageTask task, const ModelDescription& model,
                         const ServerOptions& limits, GenerationRequest& request);

}  // namespace easel::http
