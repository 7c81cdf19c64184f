// Decodes JPEG files with libjpeg-turbo.
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include <array>
#include <csetjmp>
#include <string>
#include <vector>

#include "image/checks.h"
#include "image/decoders.h"

namespace easel {
namespace {

// A progressive file may have any number of scans, and each costs a pass over all pixels; encoders write about ten.
constexpr int kMaxScans = 100;
constexpr int kCmykChannels = 4;

/// libjpeg's error manager together with what its callbacks record.
struct ErrorState {
  jpeg_error_mgr manager;  // must be first: a pointer to it is cast to this struct
  std::jmp_buf failed;
  int code = 0;
  char message[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void leave(j_common_ptr jpeg) {
  auto& errors = *reinterpret_cast<ErrorState*>(jpeg->err);
  errors.code = jpeg->err->msg_code;
  jpeg->err->format_message(jpeg, errors.message);
  std::longjmp(errors.failed, 1);
}

// libjpeg warns when it continues with invented pixels. These warnings are about bytes that do not affect pixels.
bool is_harmless_warning(int warning) {
  return warning == JWRN_EXTRANEOUS_DATA || warning == JWRN_JFIF_MAJOR || warning == JWRN_NOT_SEQUENTIAL ||
         warning == JWRN_ADOBE_XFORM;
}

void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && !is_harmless_warning(jpeg->err->msg_code)) leave(jpeg);
}

void count_scans(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMaxScans) ERREXIT(jpeg, JERR_BAD_PROGRESSION);
}

// Replaces libjpeg's own saving of markers, which walks over all markers saved so far, so that a file with nothing but
// markers would take hours. The whole file is in the source's buffer.
boolean read_app1(j_decompress_ptr jpeg) {
  constexpr std::size_t kLengthBytes = 2;
  auto& source = *jpeg->src;
  const std::string_view rest(reinterpret_cast<const char*>(source.next_input_byte), source.bytes_in_buffer);
  if (rest.size() < kLengthBytes) ERREXIT(jpeg, JERR_INPUT_EOF);
  const auto length = std::size_t{source.next_input_byte[0]} << 8 | source.next_input_byte[1];
  if (length < kLengthBytes) ERREXIT(jpeg, JERR_BAD_LENGTH);
  if (length > rest.size()) ERREXIT(jpeg, JERR_INPUT_EOF);
  const auto app1 = rest.substr(kLengthBytes, length - kLengthBytes);
  // The first EXIF marker counts.
  auto& orientation = *static_cast<int*>(jpeg->client_data);
  if (orientation == 0 && app1.starts_with("Exif")) orientation = exif_orientation(app1);
  source.next_input_byte += length;
  source.bytes_in_buffer -= length;
  return TRUE;
}

/// Owns libjpeg's struct.
class JpegReader {
 public:
  explicit JpegReader(std::string_view bytes) : bytes_(bytes) {
    jpeg_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = &leave;
    errors_.manager.emit_message = &on_message;
    progress_.progress_monitor = &count_scans;
  }
  ~JpegReader() { jpeg_destroy_decompress(&jpeg_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  // libjpeg leaves a failed call by longjmp, which skips destructors, so these three functions create no object that
  // has one. Each returns false when the file is damaged or memory runs out: see error().

  bool read_header() {
    if (setjmp(errors_.failed)) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_.progress = &progress_;
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_.client_data = &orientation_;
    jpeg_set_marker_processor(&jpeg_, JPEG_APP0 + 1, &read_app1);
    jpeg_read_header(&jpeg_, TRUE);
    const bool cmyk = jpeg_.jpeg_color_space == JCS_CMYK || jpeg_.jpeg_color_space == JCS_YCCK;
    jpeg_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    return true;
  }

  bool read_rgb(std::uint8_t* pixels) {
    if (setjmp(errors_.failed)) return false;
    jpeg_start_decompress(&jpeg_);
    const auto row_bytes = static_cast<std::size_t>(jpeg_.output_width) * kChannels;
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = pixels + jpeg_.output_scanline * row_bytes;
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  /// @param row  buffer for one row of CMYK pixels
  bool read_cmyk(std::uint8_t* row, std::uint8_t* pixels) {
    if (setjmp(errors_.failed)) return false;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      auto* out = pixels + jpeg_.output_scanline * (std::size_t{jpeg_.output_width} * kChannels);
      jpeg_read_scanlines(&jpeg_, &row, 1);
      for (const auto* ink = row; ink != row + std::size_t{jpeg_.output_width} * kCmykChannels; ink += kCmykChannels) {
        for (int c = 0; c < kChannels; ++c) *out++ = cmyk_to_rgb(ink[c], ink[kChannels]);
      }
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  bool is_cmyk() const { return jpeg_.out_color_space == JCS_CMYK; }
  const jpeg_decompress_struct& jpeg() const { return jpeg_; }

  /// EXIF's orientation, after read_header(); markers after the header are ignored.
  int orientation() const { return orientation_ == 0 ? 1 : orientation_; }

  Error error() const {
    if (errors_.code == JERR_OUT_OF_MEMORY)
      return {ErrorCode::kResourceExhausted, "out of memory when reading a JPEG file"};
    return {ErrorCode::kInvalidArgument, concat("the JPEG file is damaged: ", errors_.message)};
  }

 private:
  // Multiplies the light that an ink and black leave. Adobe's files store that light, others the amount of ink.
  std::uint8_t cmyk_to_rgb(int ink, int black) const {
    if (!jpeg_.saw_Adobe_marker) ink = 255 - ink, black = 255 - black;
    return static_cast<std::uint8_t>((ink * black + 127) / 255);
  }

  std::string_view bytes_;
  ErrorState errors_{};
  jpeg_progress_mgr progress_{};
  int orientation_ = 0;  // 0: the file has none
  jpeg_decompress_struct jpeg_{};
};

}  // namespace

DecodedImage decode_jpeg(std::string_view bytes, const ImageFileLimits& limits) {
  JpegReader reader(bytes);
  if (!reader.read_header()) throw reader.error();
  const int orientation = reader.orientation();
  auto decoded = allocate_image(reader.jpeg().image_width, reader.jpeg().image_height, limits);
  auto* pixels = decoded.image.pixels.data();
  std::vector<std::uint8_t> row(reader.is_cmyk() ? std::size_t{reader.jpeg().image_width} * kCmykChannels : 0);
  if (!(reader.is_cmyk() ? reader.read_cmyk(row.data(), pixels) : reader.read_rgb(pixels))) throw reader.error();
  return upright(std::move(decoded), orientation);
}

}  // namespace easel
