#include "http/openai/input_images.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/text.h"
#include "easel/image_file.h"
#include "http/openai/field_values.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"

namespace easel::http {
namespace {

constexpr int kMaxUploadedEdge = 16384;  // pixels: WebP's own limit

DecodedImage decode(const char* field, const std::string& bytes, const ServerOptions& limits) {
  try {
    return decode_image(
        bytes,
        {.max_bytes = limits.max_image_bytes, .max_edge = kMaxUploadedEdge, .max_pixels = limits.max_image_pixels});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw HttpFailure(http_error(error));
    throw field_error(field, "invalid_image_file", concat("`", field, "` cannot be used: ", error.what(), "."));
  }
}

std::string size_of(const Image& image) {
  return concat(image.width, "x", image.height);
}

Image read_mask(const std::string& bytes, const Image& image, const ServerOptions& limits) {
  auto mask = decode("mask", bytes, limits);
  if (mask.image.width != image.width || mask.image.height != image.height) {
    throw field_error("mask", "invalid_mask_image_format",
                      concat("`mask` is ", size_of(mask.image), ", but `image` is ", size_of(image),
                             "; both must have the same size."));
  }
  return mask_from_file(std::move(mask));
}

std::optional<Image> resolve_mask(const ImageUpload& upload, ImageTask task, const DecodedImage& decoded,
                                  const ServerOptions& limits) {
  if (task == ImageTask::kEdit) {
    return upload.mask ? read_mask(*upload.mask, decoded.image, limits) : mask_from_alpha(decoded);
  }
  if (!upload.mask) return std::nullopt;
  throw field_error("mask", "unsupported_parameter",
                    "`mask` is for POST /v1/images/edits only; this route works on the whole image.");
}

// For a request without a size.
void default_size_from(const Image& image, int factor, const ServerOptions& limits, GenerationRequest& request) {
  const auto width = std::int64_t{image.width} * factor, height = std::int64_t{image.height} * factor;
  if (!is_allowed_size(width, height, limits)) {
    throw field_error("image", "invalid_value",
                      concat("`image` is ", size_of(image), "; without `size` the result would be ", width, "x", height,
                             "; ", describe_size_limits(limits), "."));
  }
  request.width = static_cast<int>(width);
  request.height = static_cast<int>(height);
}

// An upscaler multiplies the size of its input by its factor, so the input is resized to the size asked for divided by
// it.
Image fit_to_factor(Image image, int factor, const GenerationRequest& request) {
  if (*request.width % factor != 0 || *request.height % factor != 0) {
    throw field_error("size", "invalid_value",
                      concat("`size` is ", *request.width, "x", *request.height, "; this model upscales by ", factor,
                             ", so both edges must be multiples of ", factor, "."));
  }
  return resize(image, *request.width / factor, *request.height / factor);
}

void check_image_count(std::size_t count, ImageTask task) {
  if (count == 0) throw field_error("image", "missing_required_parameter", "`image` is missing.");
  if (count == 1 || task == ImageTask::kEdit) return;
  throw field_error("image", "duplicate_parameter",
                    "`image` was sent more than once; only POST /v1/images/edits takes several images.");
}

void attach_more_images(const ImageUpload& upload, const ModelDescription& model, const ServerOptions& limits,
                        ImageRequest& request) {
  const auto sent = upload.images.size();
  if (sent == 1) return;
  const auto used = std::min(sent, static_cast<std::size_t>(model.max_input_images));
  for (std::size_t i = 1; i < used; ++i) {
    request.more_images.push_back(std::make_shared<Image>(decode("image", upload.images[i], limits).image));
  }
  request.response.images_used = static_cast<std::int64_t>(used);
}

}  // namespace

void attach_input_images(const ImageUpload& upload, ImageTask task, const ModelDescription& model,
                         const ServerOptions& limits, ImageRequest& request) {
  check_image_count(upload.images.size(), task);
  auto decoded = decode("image", upload.images.front(), limits);
  auto mask = resolve_mask(upload, task, decoded, limits);
  if (model.needs_mask && !mask) {
    throw field_error("mask", "missing_required_parameter",
                      concat("`mask` is missing: the model ", quote(model.id), " redraws parts of images."));
  }
  const int factor = task == ImageTask::kUpscale ? model.upscale_factor : 1;
  if (!request.width) {
    default_size_from(decoded.image, factor, limits, request);
  } else if (task == ImageTask::kUpscale) {
    decoded.image = fit_to_factor(std::move(decoded.image), factor, request);
  }
  request.image = std::make_shared<Image>(std::move(decoded.image));
  attach_more_images(upload, model, limits, request);
  if (mask) request.mask = std::make_shared<Image>(std::move(*mask));
}

}  // namespace easel::http
