// Writes WebP files with libwebp.
#include <webp/encode.h>
#include <webp/mux.h>

#include <cstdint>
#include <limits>
#include <memory>

#include "image/checks.h"
#include "image/files/encoders.h"

namespace easel {
namespace {

/// libwebp's description of an image, which owns its YUV planes, and the file that it is written to.
class WebpWriter {
 public:
  WebpWriter() {
    WebPPictureInit(&planes_);
    WebPMemoryWriterInit(&file_);
    planes_.writer = &WebPMemoryWrite;
    planes_.custom_ptr = &file_;
  }
  ~WebpWriter() {
    WebPPictureFree(&planes_);
    WebPMemoryWriterClear(&file_);
  }
  WebpWriter(const WebpWriter&) = delete;
  WebpWriter& operator=(const WebpWriter&) = delete;

  /// @return false when memory runs out
  bool write(const Image& image, const WebPConfig& config) {
    planes_.width = image.width;
    planes_.height = image.height;
    return WebPPictureImportRGB(&planes_, image.pixels.data(), image.width * kChannels) != 0 &&
           WebPEncode(&config, &planes_) != 0;
  }
  WebPData data() const { return {.bytes = file_.mem, .size = file_.size}; }

 private:
  WebPPicture planes_;
  WebPMemoryWriter file_;
};

WebPData data_of(const std::string& bytes) {
  return {.bytes = reinterpret_cast<const std::uint8_t*>(bytes.data()), .size = bytes.size()};
}

Error webp_out_of_memory() {
  return {ErrorCode::kResourceExhausted, "out of memory when writing a WebP file"};
}

/// The file with two more chunks.
std::string with_chunks(const WebPData& file, const std::string& exif, const std::string& xmp) {
  const std::unique_ptr<WebPMux, decltype(&WebPMuxDelete)> mux(WebPMuxCreate(&file, 0), &WebPMuxDelete);
  if (!mux) throw webp_out_of_memory();
  const auto set = [&](const char* type, const std::string& contents) {
    const auto data = data_of(contents);
    return contents.empty() || WebPMuxSetChunk(mux.get(), type, &data, 1) == WEBP_MUX_OK;
  };
  WebPData assembled{.bytes = nullptr, .size = 0};
  if (!set("EXIF", exif) || !set("XMP ", xmp) || WebPMuxAssemble(mux.get(), &assembled) != WEBP_MUX_OK)
    throw webp_out_of_memory();
  const std::unique_ptr<const std::uint8_t,
                        decltype([](const std::uint8_t* bytes) { WebPFree(const_cast<std::uint8_t*>(bytes)); })>
      owned(assembled.bytes);
  return {reinterpret_cast<const char*>(assembled.bytes), assembled.size};
}

}  // namespace

std::string encode_webp(const Image& image, int quality, const ImageMetadata& metadata) {
  if (image.width > WEBP_MAX_DIMENSION || image.height > WEBP_MAX_DIMENSION) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("an image of ", image.width, " x ", image.height, " cannot be a WebP file; at most ",
                       WEBP_MAX_DIMENSION, " pixels along an edge"));
  }
  WebPConfig config;
  WebPConfigInit(&config);
  config.quality = static_cast<float>(quality);
  WebpWriter writer;
  if (!writer.write(image, config)) throw webp_out_of_memory();
  const auto exif = exif_of(metadata, std::numeric_limits<std::uint32_t>::max() / 4), xmp = xmp_of(metadata);
  const auto file = writer.data();
  if (exif.empty() && xmp.empty()) return {reinterpret_cast<const char*>(file.bytes), file.size};
  return with_chunks(file, exif, xmp);
}

}  // namespace easel
