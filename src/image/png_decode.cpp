// Decodes PNG files with libpng.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "image/checks.h"
#include "image/decoders.h"

namespace easel {
namespace {

/// What the callbacks of libpng share.
struct ReadState {
  std::string_view rest;
  std::string message;
};

void read_bytes(png_structp png, png_bytep out, std::size_t count) {
  auto& state = *static_cast<ReadState*>(png_get_io_ptr(png));
  if (count > state.rest.size()) png_error(png, "the file ends too early");
  std::memcpy(out, state.rest.data(), count);
  state.rest.remove_prefix(count);
}

void on_error(png_structp png, png_const_charp message) {
  static_cast<ReadState*>(png_get_error_ptr(png))->message = message;
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

/// Owns libpng's two structs.
class PngReader {
 public:
  explicit PngReader(ReadState& state)
      : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, &on_error, &ignore_warning)),
        info_(png_ != nullptr ? png_create_info_struct(png_) : nullptr) {}
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  bool made() const { return info_ != nullptr; }
  png_structp png() const { return png_; }
  png_infop info() const { return info_; }

 private:
  png_structp png_;
  png_infop info_;
};

// libpng leaves a failed call by longjmp, which skips destructors, so the functions that call setjmp and the callbacks
// create no object that has one.

/// @return false with a message in the ReadState that the reader was made with
bool read_header(const PngReader& reader, ReadState& state) {
  if (setjmp(png_jmpbuf(reader.png()))) return false;
  png_set_read_fn(reader.png(), &state, &read_bytes);
  png_set_user_limits(reader.png(), PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // the caller checks our own limits
  // A negative count means all chunks that pixels do not depend on. Texts and profiles are skipped, not unpacked.
  png_set_keep_unknown_chunks(reader.png(), PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  constexpr png_byte kExif[] = "eXIf";
  png_set_keep_unknown_chunks(reader.png(), PNG_HANDLE_CHUNK_AS_DEFAULT, kExif, 1);
  png_read_info(reader.png(), reader.info());
  return true;
}

/// Reads 8-bit RGB, or RGBA where the file has transparency.
/// @param row_bytes  size of each row's buffer
bool read_pixels(const PngReader& reader, std::vector<png_bytep>& rows, std::size_t row_bytes) {
  if (setjmp(png_jmpbuf(reader.png()))) return false;
  png_set_expand(reader.png());
  png_set_strip_16(reader.png());
  png_set_gray_to_rgb(reader.png());
  png_read_update_info(reader.png(), reader.info());
  if (png_get_rowbytes(reader.png(), reader.info()) != row_bytes)
    png_error(reader.png(), "its rows have an unexpected length");
  png_read_image(reader.png(), rows.data());
  png_read_end(reader.png(), reader.info());  // EXIF may follow the pixels
  return true;
}

bool has_alpha(const PngReader& reader) {
  return (png_get_color_type(reader.png(), reader.info()) & PNG_COLOR_MASK_ALPHA) != 0 ||
         png_get_valid(reader.png(), reader.info(), PNG_INFO_tRNS) != 0;
}

int orientation(const PngReader& reader) {
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  if (png_get_eXIf_1(reader.png(), reader.info(), &size, &exif) == 0) return 1;
  return exif_orientation({reinterpret_cast<const char*>(exif), size});
}

Error damaged_error(const ReadState& state) {
  return {ErrorCode::kInvalidArgument, concat("the PNG file is damaged: ", state.message)};
}

}  // namespace

DecodedImage decode_png(std::string_view bytes, const ImageFileLimits& limits) {
  ReadState state{.rest = bytes, .message = ""};
  const PngReader reader(state);
  if (!reader.made()) throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a PNG file");
  if (!read_header(reader, state)) throw damaged_error(state);
  const auto width = png_get_image_width(reader.png(), reader.info());
  const auto height = png_get_image_height(reader.png(), reader.info());
  auto decoded = allocate_image(width, height, limits);

  const bool transparent = has_alpha(reader);
  const std::size_t row_bytes = std::size_t{width} * (transparent ? kChannels + 1 : kChannels);
  std::vector<std::uint8_t> rgba(transparent ? row_bytes * height : 0);
  auto* pixels = transparent ? rgba.data() : decoded.image.pixels.data();
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < height; ++y) rows.push_back(pixels + y * row_bytes);
  if (!read_pixels(reader, rows, row_bytes)) throw damaged_error(state);
  if (transparent) split_alpha(rgba.data(), decoded);
  return upright(std::move(decoded), orientation(reader));
}

}  // namespace easel
