// Decodes WebP files with libwebp.
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

namespace easel {
namespace {

const char* status_message(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "it uses a feature that libwebp does not support";
    default:
      return "its data is invalid";
  }
}

void check(VP8StatusCode status) {
  if (status == VP8_STATUS_OK) return;
  if (status == VP8_STATUS_OUT_OF_MEMORY)
    throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a WebP file");
  throw Error(ErrorCode::kInvalidArgument, concat("the WebP file is damaged: ", status_message(status)));
}

std::size_t little_endian(std::string_view bytes) {
  std::size_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// The first frame of a file, and its place on the canvas.
struct WebpFrame {
  std::string_view bytes;  ///< a file of its own, without the metadata
  int left = 0, top = 0;
  int canvas_width = 0, canvas_height = 0;
};

/// The frame of an animation. Only its head is checked here.
WebpFrame first_frame(std::string_view file) {
  const WebPData data{.bytes = reinterpret_cast<const std::uint8_t*>(file.data()), .size = file.size()};
  const std::unique_ptr<WebPDemuxer, decltype(&WebPDemuxDelete)> demuxer(WebPDemux(&data), &WebPDemuxDelete);
  WebPIterator frame;
  if (!demuxer || WebPDemuxGetFrame(demuxer.get(), 1, &frame) == 0) check(VP8_STATUS_NOT_ENOUGH_DATA);
  WebpFrame found{.bytes = {reinterpret_cast<const char*>(frame.fragment.bytes), frame.fragment.size},
                  .left = frame.x_offset,
                  .top = frame.y_offset,
                  .canvas_width = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)),
                  .canvas_height = static_cast<int>(WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT))};
  WebPDemuxReleaseIterator(&frame);
  return found;
}

/// Decodes the frame into a buffer of its canvas, whose other pixels keep their values.
void decode_frame(const WebpFrame& frame, WebPDecoderConfig& config, bool alpha, std::uint8_t* canvas) {
  const int pixel_bytes = alpha ? kChannels + 1 : kChannels;
  if (frame.left + config.input.width > frame.canvas_width || frame.top + config.input.height > frame.canvas_height)
    check(VP8_STATUS_BITSTREAM_ERROR);
  const auto stride = static_cast<std::size_t>(frame.canvas_width) * static_cast<std::size_t>(pixel_bytes);
  const auto begin = static_cast<std::size_t>(frame.top) * stride + static_cast<std::size_t>(frame.left * pixel_bytes);
  config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {.rgba = canvas + begin,
                          .stride = static_cast<int>(stride),
                          .size = stride * static_cast<std::size_t>(frame.canvas_height) - begin};
  check(WebPDecode(reinterpret_cast<const std::uint8_t*>(frame.bytes.data()), frame.bytes.size(), &config));
}

}  // namespace

std::string_view webp_chunk_of_type(std::string_view file, std::string_view type) {
  constexpr std::size_t kFileHead = 12, kChunkHead = 8;
  auto rest = file.substr(kFileHead);
  while (rest.size() > kChunkHead) {
    const auto size = little_endian(rest.substr(4, 4));
    if (rest.starts_with(type)) return rest.substr(kChunkHead, size);
    rest = rest.substr(std::min(rest.size(), kChunkHead + size + size % 2));
  }
  return {};
}

DecodedImage decode_webp(std::string_view bytes, const ImageFileLimits& limits) {
  const auto read_features = [](std::string_view file, WebPBitstreamFeatures& features) {
    check(WebPGetFeatures(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), &features));
  };
  constexpr int kLossless = 2, kArgbBytes = 4;
  WebPDecoderConfig config;
  WebPInitDecoderConfig(&config);
  read_features(bytes, config.input);
  const bool transparent = config.input.has_alpha != 0;
  WebpFrame frame{.bytes = bytes, .canvas_width = config.input.width, .canvas_height = config.input.height};
  if (config.input.has_animation) {
    check_decoding(config.input.width, config.input.height, 0, limits);
    frame = first_frame(bytes);
    read_features(frame.bytes, config.input);
  }
  const int orientation = exif_orientation(webp_chunk_of_type(bytes, "EXIF"));
  // The result, and either what libwebp writes to (RGBA where there is transparency, and ARGB inside of it where the
  // file is lossless) or the result a second time, turned.
  const int result = kChannels + (transparent ? 1 : 0);
  const int decoder = (transparent ? kChannels + 1 : 0) + (config.input.format == kLossless ? kArgbBytes : 0);
  const int bytes_per_pixel = result + std::max(decoder, orientation == 1 ? 0 : result);
  check_decoding(frame.canvas_width, frame.canvas_height, bytes_per_pixel, limits);
  auto image = allocate_image(frame.canvas_width, frame.canvas_height);
  const auto count = image.image.pixels.size() / kChannels;
  if (transparent) {
    std::vector<std::uint8_t> rgba(count * (kChannels + 1));
    decode_frame(frame, config, true, rgba.data());
    split_alpha(rgba.data(), image);
  } else {
    decode_frame(frame, config, false, image.image.pixels.data());
  }
  return upright(std::move(image), orientation);
}

}  // namespace easel
