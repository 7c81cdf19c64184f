// Decodes PNG files with libpng.
//
// libpng's progressive reader is used because it stops inflating when the last row is complete. The other one inflates
// the rest of the data, too, and a small file can hold a gigabyte of it.
#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <optional>
#include <string>
#include <vector>

#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

namespace easel {
namespace {

/// What the callbacks of libpng share.
struct PngState {
  std::int64_t max_edge = 0;  ///< a wider image is not read beyond its header
  bool header = false;        ///< the header has been read
  std::string message{};
  std::size_t unread = 0;                  ///< bytes behind the header
  std::optional<PixelRows> rows{};         ///< none until the header has been checked
  std::vector<std::uint8_t> interlaced{};  ///< all rows of an interlaced image; else empty
  std::size_t row_bytes = 0;
  bool finished = false;  ///< the last chunk has been read
};

PngState& state_of(png_structp png) {
  return *static_cast<PngState*>(png_get_progressive_ptr(png));
}

// The callbacks and the function that calls setjmp create no object that has a destructor, because libpng leaves a
// failed call by longjmp.

void on_png_error(png_structp png, png_const_charp message) {
  static_cast<PngState*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void ignore_png_warning(png_structp, png_const_charp) {}

/// Asks for 8-bit RGB, or RGBA where the file has transparency, and lets process() return.
void on_png_header(png_structp png, png_infop info) {
  auto& state = state_of(png);
  state.header = true;
  if (png_get_image_width(png, info) <= state.max_edge) {
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);  // allocates and clears rows of the width that the file says
    state.row_bytes = png_get_rowbytes(png, info);
  }
  state.unread = png_process_data_pause(png, 0);
}

/// @param row  null: this pass does not change the row
void on_png_row(png_structp png, png_bytep row, png_uint_32 y, int) {
  auto& state = state_of(png);
  if (state.interlaced.empty()) {
    if (row != nullptr) state.rows->put(static_cast<int>(y), row);
  } else {
    png_progressive_combine_row(png, &state.interlaced[y * state.row_bytes], row);
  }
}

void on_png_end(png_structp png, png_infop) {
  state_of(png).finished = true;
}

/// Owns libpng's two structs.
class PngReader {
 public:
  explicit PngReader(PngState& state)
      : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, &on_png_error, &ignore_png_warning)),
        info_(png_ != nullptr ? png_create_info_struct(png_) : nullptr) {
    if (info_ == nullptr) throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a PNG file");
    png_set_progressive_read_fn(png_, &state, &on_png_header, &on_png_row, &on_png_end);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller checks our own limits
    // A negative count means all chunks that pixels do not depend on. Texts and profiles are skipped, not unpacked.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  /// @return false with a message in the PngState when the file is damaged
  bool process(std::string_view bytes) {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_process_data(png_, info_, reinterpret_cast<png_bytep>(const_cast<char*>(bytes.data())), bytes.size());
    return true;
  }
  std::int64_t width() const { return png_get_image_width(png_, info_); }
  std::int64_t height() const { return png_get_image_height(png_, info_); }
  int channels() const { return png_get_channels(png_, info_); }
  bool interlaced() const { return png_get_interlace_type(png_, info_) != PNG_INTERLACE_NONE; }

 private:
  png_structp png_;
  png_infop info_;
};

/// The orientation from the file's EXIF chunk, which may stand before or behind the pixels.
int png_orientation(std::string_view file) {
  constexpr std::size_t kSignature = 8, kHead = 8, kCheck = 4;
  for (auto rest = file.substr(kSignature); rest.size() >= kHead;) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(rest[i]);
    if (rest.substr(4, 4) == "eXIf") return exif_orientation(rest.substr(kHead, size));
    rest.remove_prefix(std::min(rest.size(), kHead + size + kCheck));
  }
  return 1;
}

Error damaged_png(const std::string& message) {
  return {ErrorCode::kInvalidArgument, concat("the PNG file is damaged: ", message)};
}

void put_interlaced_rows(PngState& state) {
  if (state.interlaced.empty()) return;
  for (int y = 0; y < state.rows->height(); ++y)
    state.rows->put(y, &state.interlaced[static_cast<std::size_t>(y) * state.row_bytes]);
}

}  // namespace

DecodedImage decode_png(std::string_view bytes, const ImageFileLimits& limits) {
  constexpr const char* kTooShort = "the file ends too early";
  PngState state{.max_edge = limits.max_edge};
  PngReader reader(state);
  if (!reader.process(bytes)) throw damaged_png(state.message);
  if (!state.header) throw damaged_png(kTooShort);
  const bool alpha = reader.channels() > kChannels;
  const bool whole = reader.interlaced();
  check_decoding(reader.width(), reader.height(), reader.channels() * (whole ? 2 : 1), limits);
  if (state.row_bytes != static_cast<std::size_t>(reader.width() * reader.channels()))
    throw damaged_png("its rows have an unexpected length");
  state.rows.emplace(static_cast<int>(reader.width()), static_cast<int>(reader.height()), alpha,
                     png_orientation(bytes));
  if (whole) state.interlaced.resize(state.row_bytes * static_cast<std::size_t>(reader.height()));
  if (!reader.process(bytes.substr(bytes.size() - state.unread))) throw damaged_png(state.message);
  if (!state.finished) throw damaged_png(kTooShort);
  put_interlaced_rows(state);
  return state.rows->take();
}

}  // namespace easel
