// Decodes the primary image of HEIC files with libheif, where easel is built with it.
#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

#ifdef EASEL_WITH_HEIF

#include <libheif/heif.h>

#include <algorithm>
#include <memory>

namespace easel {
namespace {

void check_heif(const heif_error& error) {
  if (error.code == heif_error_Ok) return;
  // libheif reports sizes beyond its limits as failed allocations, too.
  if (error.code == heif_error_Memory_allocation_error && error.subcode != heif_suberror_Security_limit_exceeded)
    throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a HEIC file");
  throw Error(ErrorCode::kInvalidArgument,
              concat("the HEIC file is damaged: ", error.message != nullptr ? error.message : "its data is invalid"));
}

template <auto kFree>
struct FreeHeif {
  template <class Object>
  void operator()(Object* object) const {
    kFree(object);
  }
};
using HeifContext = std::unique_ptr<heif_context, FreeHeif<&heif_context_free>>;
using HeifHandle = std::unique_ptr<heif_image_handle, FreeHeif<&heif_image_handle_release>>;
using HeifImage = std::unique_ptr<heif_image, FreeHeif<&heif_image_release>>;

HeifContext open_heif(std::string_view bytes, const ImageFileLimits& limits) {
  HeifContext context(heif_context_alloc());
  if (!context) throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a HEIC file");
  heif_context_set_maximum_image_size_limit(context.get(), static_cast<int>(limits.max_edge));
  heif_context_set_max_decoding_threads(context.get(), 0);
  check_heif(heif_context_read_from_memory_without_copy(context.get(), bytes.data(), bytes.size(), nullptr));
  return context;
}

/// libheif holds the planes of the codec (at most YUV 4:4:4), and a second time while it turns the image; then the
/// planes and the converted image; then that image is copied.
int heif_bytes_per_pixel(const heif_image_handle& handle, int channels) {
  const int planes = heif_image_handle_get_luma_bits_per_pixel(&handle) > 8 ? 2 * channels : channels;
  return std::max({2 * planes, planes + channels, 2 * channels});
}

}  // namespace

DecodedImage decode_heic(std::string_view bytes, const ImageFileLimits& limits) {
  const auto context = open_heif(bytes, limits);
  heif_image_handle* found = nullptr;
  check_heif(heif_context_get_primary_image_handle(context.get(), &found));
  const HeifHandle handle(found);
  const bool alpha = heif_image_handle_has_alpha_channel(handle.get()) != 0;
  const int channels = alpha ? kChannels + 1 : kChannels;
  const int bytes_per_pixel = heif_bytes_per_pixel(*handle, channels);
  check_decoding(heif_image_handle_get_width(handle.get()), heif_image_handle_get_height(handle.get()), bytes_per_pixel,
                 limits);
  heif_image* pixels = nullptr;
  check_heif(heif_decode_image(handle.get(), &pixels, heif_colorspace_RGB,
                               alpha ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, nullptr));
  const HeifImage image(pixels);
  const int width = heif_image_get_width(image.get(), heif_channel_interleaved);
  const int height = heif_image_get_height(image.get(), heif_channel_interleaved);
  check_decoding(width, height, bytes_per_pixel, limits);  // what the codec found decides
  int stride = 0;
  const auto* plane = heif_image_get_plane_readonly(image.get(), heif_channel_interleaved, &stride);
  if (plane == nullptr) throw Error(ErrorCode::kInvalidArgument, "the HEIC file is damaged: it has no pixels");
  PixelRows rows(width, height, alpha, 1);
  for (int y = 0; y < height; ++y) rows.put(y, plane + static_cast<std::ptrdiff_t>(y) * stride);
  return rows.take();
}

}  // namespace easel

#else

namespace easel {

DecodedImage decode_heic(std::string_view, const ImageFileLimits&) {
  throw Error(ErrorCode::kInvalidArgument,
              "this is a HEIC file, which this build of easel does not read; save it as PNG, JPEG, WebP, GIF or AVIF");
}

}  // namespace easel

#endif
