// Decodes JPEG files with libjpeg-turbo.
#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <string>
#include <utility>
#include <vector>

#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

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

  /// @param row  buffer for one row, of CMYK pixels where the file has those
  bool read_rows(std::uint8_t* row, PixelRows& rows) {
    if (setjmp(errors_.failed)) return false;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      const auto y = static_cast<int>(jpeg_.output_scanline);
      jpeg_read_scanlines(&jpeg_, &row, 1);
      if (is_cmyk()) row_to_rgb(row);
      rows.put(y, row);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  /// Decodes at 1/denominator of the size, rounded up. @param denominator  1, 2, 4 or 8
  void set_scale(unsigned int denominator) {
    jpeg_.scale_num = 1;
    jpeg_.scale_denom = denominator;
  }

  int channels() const { return is_cmyk() ? kCmykChannels : kChannels; }

  /// Bytes that libjpeg needs for the coefficients, which it keeps of a file with several scans.
  std::int64_t coefficient_bytes() {
    if (!jpeg_has_multiple_scans(&jpeg_)) return 0;
    std::int64_t samples = 0;
    for (int i = 0; i < jpeg_.num_components; ++i) {
      const auto& component = jpeg_.comp_info[i];
      samples += std::int64_t{jpeg_.image_width} * jpeg_.image_height * component.h_samp_factor *
                 component.v_samp_factor / (jpeg_.max_h_samp_factor * jpeg_.max_v_samp_factor);
    }
    return samples * std::int64_t{sizeof(JCOEF)};
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

  void row_to_rgb(std::uint8_t* row) const {
    auto* out = row;
    for (const auto* ink = row; ink != row + std::size_t{jpeg_.output_width} * kCmykChannels; ink += kCmykChannels) {
      const int black = ink[kChannels];
      for (int c = 0; c < kChannels; ++c) *out++ = cmyk_to_rgb(ink[c], black);
    }
  }

  std::string_view bytes_;
  ErrorState errors_{};
  jpeg_progress_mgr progress_{};
  int orientation_ = 0;  // 0: the file has none
  jpeg_decompress_struct jpeg_{};
};

/// The denominator of the scale that Pillow's JpegImageFile.draft chooses: the largest at which the image is not
/// smaller than the used size. 1 unless the image has more than four times the pixels.
int draft_scale(const std::pair<int, int>& size, const std::pair<int, int>& used) {
  const auto pixels = [](const std::pair<int, int>& edges) { return std::int64_t{edges.first} * edges.second; };
  if (pixels(size) <= 4 * pixels(used)) return 1;
  const int scale = std::min(size.first / used.first, size.second / used.second);
  for (const int denominator : {8, 4, 2}) {
    if (scale >= denominator) return denominator;
  }
  return 1;
}

}  // namespace

DecodedImage decode_jpeg(std::string_view bytes, const ImageFileLimits& limits, const UsedSize& used_size) {
  JpegReader reader(bytes);
  if (!reader.read_header()) throw reader.error();
  const int orientation = reader.orientation();
  const auto& jpeg = reader.jpeg();
  const std::int64_t width = jpeg.image_width, height = jpeg.image_height;
  check_decoding(width, height, 0, limits);
  std::pair original{static_cast<int>(width), static_cast<int>(height)};
  if (orientation >= 5) std::swap(original.first, original.second);
  const int denominator = used_size ? draft_scale(original, used_size(original.first, original.second)) : 1;
  const auto scaled = [&](std::int64_t edge) { return static_cast<int>((edge + denominator - 1) / denominator); };
  const auto result_bytes = static_cast<double>(std::int64_t{scaled(width)} * scaled(height) * kChannels);
  const auto bytes_per_pixel =
      (result_bytes + static_cast<double>(reader.coefficient_bytes())) / static_cast<double>(width * height);
  check_decoding(width, height, bytes_per_pixel, limits);

  reader.set_scale(static_cast<unsigned int>(denominator));
  PixelRows rows(scaled(width), scaled(height), false, orientation);
  std::vector<std::uint8_t> row(static_cast<std::size_t>(scaled(width)) * static_cast<std::size_t>(reader.channels()));
  if (!reader.read_rows(row.data(), rows)) throw reader.error();
  auto decoded = rows.take();
  decoded.original_size = std::move(original);
  return decoded;
}

}  // namespace easel
