#include "http/openai/requests/input_images.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "core/text.h"
#include "easel/image_file.h"
#include "http/openai/fields/field_values.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"
#include "image/pillow_blur.h"

namespace easel::http {
namespace {

std::string size_of(const std::pair<int, int>& size) {
  return concat(size.first, "x", size.second);
}

// The size at which a request uses images of some size: its own one, or where it has none, that of the image. Of an
// image with more than twice the pixels of the model's own size, for example a photograph, it is that area. Empty where
// images are used at their own size.
UsedSize used_size_of(ImageTask task, const GenerationRequest& request, const ModelDescription& model) {
  if (task == ImageTask::kUpscale || model.keeps_input_sizes || request.padding_mask_crop) return {};
  if (request.width) return [size = std::pair(*request.width, *request.height)](int, int) { return size; };
  return [&model](int width, int height) -> std::pair<int, int> {
    const auto native = std::int64_t{model.native_width} * model.native_height;
    if (std::int64_t{width} * height <= 2 * native) return {width, height};
    const auto size = native_area_size(width, height, model);
    return {static_cast<int>(size.first), static_cast<int>(size.second)};
  };
}

Image read_mask(const std::string& bytes, const DecodedImage& image, const ServerOptions& limits,
                const UsedSize& used_size) {
  auto mask = decode_upload("mask", bytes, limits, used_size);
  if (mask.original_size != image.original_size) {
    throw field_error("mask", "invalid_mask_image_format",
                      concat("`mask` is ", size_of(mask.original_size), ", but `image` is ",
                             size_of(image.original_size), "; both must have the same size."));
  }
  return mask_from_file(std::move(mask));
}

std::optional<Image> resolve_mask(const ImageUpload& upload, ImageTask task, const DecodedImage& decoded,
                                  const ServerOptions& limits, const UsedSize& used_size) {
  if (task == ImageTask::kEdit) {
    return upload.mask ? read_mask(*upload.mask, decoded, limits, used_size) : mask_from_alpha(decoded);
  }
  if (!upload.mask) return std::nullopt;
  throw field_error("mask", "unsupported_parameter",
                    "`mask` is for POST /v1/images/edits only; this route works on the whole image.");
}

// For a request without a size.
// @param image  its own size
// @param used   the size at which it is used
void default_size_from(const std::pair<int, int>& image, const std::pair<int, int>& used, int factor,
                       const ServerOptions& limits, ImageRequest& request) {
  const auto width = std::int64_t{used.first} * factor, height = std::int64_t{used.second} * factor;
  if (!is_allowed_size(width, height, limits)) {
    throw field_error("image", "invalid_value",
                      concat("`image` is ", size_of(image), "; without `size` the result would be ", width, "x", height,
                             "; ", describe_size_limits(limits), "."));
  }
  request.width = static_cast<int>(width);
  request.height = static_cast<int>(height);
  if (used != image) request.response.resized_from = image;
}

// An upscaler multiplies the size of its input by its factor, so the input is resized to the size asked for divided by
// it.
Image fit_to_factor(const Image& image, int factor, const GenerationRequest& request) {
  if (*request.width % factor != 0 || *request.height % factor != 0) {
    throw field_error("size", "invalid_value",
                      concat("`size` is ", *request.width, "x", *request.height, "; this model upscales by ", factor,
                             ", so both edges must be multiples of ", factor, "."));
  }
  return resize(image, *request.width / factor, *request.height / factor);
}

// With padding_mask_crop, the result has the size of the image, and `size` is that of the part that is drawn.
void check_crop(bool has_mask, const std::pair<int, int>& image, const ServerOptions& limits) {
  if (!has_mask) {
    throw field_error("padding_mask_crop", "invalid_value",
                      "`padding_mask_crop` needs `mask`, or an image with transparent parts: it draws the part that a "
                      "mask selects.");
  }
  if (is_allowed_size(image.first, image.second, limits)) return;
  throw field_error("image", "invalid_value",
                    concat("`image` is ", size_of(image), ", and with `padding_mask_crop` the result has its size; ",
                           describe_size_limits(limits), "."));
}

void check_image_count(std::size_t count, ImageTask task) {
  if (count == 0) throw field_error("image", "missing_required_parameter", "`image` is missing.");
  if (count == 1 || task == ImageTask::kEdit) return;
  throw field_error("image", "duplicate_parameter",
                    "`image` was sent more than once; only POST /v1/images/edits takes several images.");
}

// For a request without a size whose images stay as they are: the result has about the size of the first one, which the
// model reduces to its own area.
void check_reference_size(const std::pair<int, int>& image, const ModelDescription& model,
                          const ServerOptions& limits) {
  const auto native = std::int64_t{model.native_width} * model.native_height;
  const bool reduced = std::int64_t{image.first} * image.second > native;
  const auto [width, height] =
      reduced ? native_area_size(image.first, image.second, model) : std::pair<std::int64_t, std::int64_t>(image);
  if (is_allowed_size(width, height, limits)) return;
  throw field_error("image", "invalid_value",
                    concat("`image` is ", size_of(image), "; without `size` the result would be about ", width, "x",
                           height, "; ", describe_size_limits(limits), "."));
}

// A model that sees whole images as references has nothing to apply a strength to, unless a mask selects a part.
void drop_strength_without_mask(const ImageUpload& upload, const ServerOptions& limits, ImageRequest& request) {
  if (!request.strength || request.mask) return;
  request.strength.reset();
  const std::vector<ModelDescription> no_models;
  const std::string no_model;
  const FieldContext context{.models = no_models,
                             .limits = limits,
                             .default_model = no_model,
                             .task = ImageTask::kEdit,
                             .strict = is_strict(Fields(upload.fields), limits)};
  set_aside(context, "strength", "has no use in this model without a mask", request);
}

void attach_more_images(const ImageUpload& upload, const ModelDescription& model, bool has_mask,
                        const ServerOptions& limits, const UsedSize& used_size, ImageRequest& request) {
  const auto sent = upload.images.size();
  if (sent == 1) return;
  const auto usable = model.second_image_needs_mask && !has_mask ? 1 : model.max_input_images;
  const auto used = std::min(sent, static_cast<std::size_t>(usable));
  for (std::size_t i = 1; i < used; ++i) {
    request.more_images.push_back(
        std::make_shared<Image>(decode_upload("image", upload.images[i], limits, used_size).image));
    check_pixel_bytes("image", pixel_bytes(request), limits);
  }
  request.response.images_used = static_cast<std::int64_t>(used);
}

}  // namespace

std::size_t pixel_bytes(const ImageRequest& request) {
  const auto bytes_of = [](const std::shared_ptr<const Image>& image) { return image ? image->pixels.size() : 0; };
  auto bytes = bytes_of(request.image) + bytes_of(request.mask);
  for (const auto& image : request.more_images) bytes += bytes_of(image);
  return bytes;
}

void keep_with_images(const ImageMemory::Place& place, ImageRequest& request) {
  const auto keep = [&place](std::shared_ptr<const Image>& image) {
    if (!image) return;
    const auto both = std::make_shared<std::pair<std::shared_ptr<const Image>, ImageMemory::Place>>(image, place);
    image = std::shared_ptr<const Image>(both, both->first.get());
  };
  keep(request.image);
  keep(request.mask);
  for (auto& image : request.more_images) keep(image);
}

void check_pixel_bytes(const char* field, std::size_t bytes, const ServerOptions& limits) {
  if (bytes <= limits.upload_memory) return;
  throw field_error(field, "invalid_value",
                    concat("`", field, "` has images of more than ", limits.upload_memory / Image::kChannels,
                           " pixels together; send fewer or smaller ones."));
}

DecodedImage decode_upload(const char* field, const std::string& bytes, const ServerOptions& limits,
                           const UsedSize& used_size) {
  constexpr int kMaxUploadedEdge = 16384;  // pixels: WebP's own limit
  try {
    return decode_image(
        bytes,
        {.max_bytes = limits.max_image_bytes, .max_edge = kMaxUploadedEdge, .max_pixels = limits.max_image_pixels},
        used_size);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kInvalidArgument) throw HttpFailure(http_error(error));
    throw field_error(field, "invalid_image_file", concat("`", field, "` cannot be used: ", error.what(), "."));
  }
}

void attach_input_images(const ImageUpload& upload, ImageTask task, const ModelDescription& model,
                         const ServerOptions& limits, ImageRequest& request) {
  check_image_count(upload.images.size(), task);
  const auto used_size = used_size_of(task, request, model);
  auto decoded = decode_upload("image", upload.images.front(), limits, used_size);
  auto mask = resolve_mask(upload, task, decoded, limits, used_size);
  if (model.needs_mask && !mask) {
    throw field_error("mask", "missing_required_parameter",
                      concat("`mask` is missing: the model ", quote(model.id), " redraws parts of images."));
  }
  if (request.padding_mask_crop) check_crop(mask.has_value(), decoded.original_size, limits);
  const int factor = task == ImageTask::kUpscale ? model.upscale_factor : 1;
  if (!request.width && model.keeps_input_sizes) {
    check_reference_size(decoded.original_size, model, limits);
  } else if (!request.width && !request.padding_mask_crop) {
    const auto [width, height] = decoded.original_size;
    default_size_from(decoded.original_size, used_size ? used_size(width, height) : decoded.original_size, factor,
                      limits, request);
  } else if (task == ImageTask::kUpscale) {
    decoded.image = fit_to_factor(decoded.image, factor, request);
  }
  request.image = std::make_shared<Image>(std::move(decoded.image));
  attach_more_images(upload, model, mask.has_value(), limits, used_size, request);
  if (mask) request.mask = std::make_shared<Image>(pillow_gaussian_blur(*mask, request.mask_blur));
  request.keep_unmasked = request.keep_unmasked && mask;
  if (model.keeps_input_sizes) drop_strength_without_mask(upload, limits, request);
}

}  // namespace easel::http
