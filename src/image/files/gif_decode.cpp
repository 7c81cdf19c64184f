// Decodes the first frame of GIF files with giflib.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "image/checks.h"
#include "image/files/decoders.h"
#include "image/files/pixel_rows.h"

namespace easel {
namespace {

constexpr int kIndices = 256, kRgbaChannels = 4;

int read_gif_bytes(GifFileType* gif, GifByteType* out, int count) {
  auto& rest = *static_cast<std::string_view*>(gif->UserData);
  const auto size = std::min(rest.size(), static_cast<std::size_t>(count));
  std::memcpy(out, rest.data(), size);
  rest.remove_prefix(size);
  return static_cast<int>(size);
}

/// A file that is read record by record, so that the frames behind the first are never unpacked.
class GifReader {
 public:
  /// @param bytes  must outlive the reader
  explicit GifReader(std::string_view bytes) : rest_(bytes) {
    int error = 0;
    gif_.reset(DGifOpen(&rest_, &read_gif_bytes, &error));
    if (!gif_) fail(error);
  }

  /// Reads up to the first frame's pixels.
  void find_frame() {
    for (GifRecordType type = UNDEFINED_RECORD_TYPE; type != IMAGE_DESC_RECORD_TYPE;) {
      require(DGifGetRecordType(gif_.get(), &type));
      if (type == TERMINATE_RECORD_TYPE) fail(D_GIF_ERR_NO_IMAG_DSCR);
      if (type == EXTENSION_RECORD_TYPE) read_extension();
    }
    require(DGifGetImageDesc(gif_.get()));
  }

  const GifFileType& gif() const { return *gif_; }
  const GifImageDesc& frame() const { return gif_->Image; }
  std::optional<int> transparent() const { return transparent_; }

  /// The next row of the frame, as indices of colours.
  void read_row(std::vector<GifPixelType>& row) {
    require(DGifGetLine(gif_.get(), row.data(), static_cast<int>(row.size())));
  }

 private:
  struct Close {
    void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
  };

  [[noreturn]] static void fail(int error) {
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM)
      throw Error(ErrorCode::kResourceExhausted, "out of memory when reading a GIF file");
    const auto* message = GifErrorString(error);
    throw Error(ErrorCode::kInvalidArgument,
                concat("the GIF file is damaged: ", message != nullptr ? message : "its data is invalid"));
  }
  void require(int status) const {
    if (status != GIF_OK) fail(gif_->Error);
  }

  void read_extension() {
    int code = 0;
    GifByteType* block = nullptr;  // its first byte is the length of the rest
    require(DGifGetExtension(gif_.get(), &code, &block));
    GraphicsControlBlock control{};
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && DGifExtensionToGCB(block[0], block + 1, &control)) {
      transparent_ =
          control.TransparentColor == NO_TRANSPARENT_COLOR ? std::nullopt : std::optional(control.TransparentColor);
    }
    while (block != nullptr) require(DGifGetExtensionNext(gif_.get(), &block));
  }

  std::string_view rest_;
  std::unique_ptr<GifFileType, Close> gif_;
  std::optional<int> transparent_;
};

/// RGBA of every index. Without a palette, indices are shades of gray; what is beyond a palette is black.
std::array<std::array<std::uint8_t, kRgbaChannels>, kIndices> rgba_of_indices(const GifReader& reader) {
  constexpr std::uint8_t kOpaque = 255;
  const auto* map = reader.frame().ColorMap != nullptr ? reader.frame().ColorMap : reader.gif().SColorMap;
  std::array<std::array<std::uint8_t, kRgbaChannels>, kIndices> rgba{};
  for (int i = 0; i < kIndices; ++i) {
    auto& colour = rgba[static_cast<std::size_t>(i)];
    const auto gray = static_cast<std::uint8_t>(i);
    if (map == nullptr) {
      colour = {gray, gray, gray, kOpaque};
    } else if (i < map->ColorCount) {
      colour = {map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue, kOpaque};
    } else {
      colour = {0, 0, 0, kOpaque};
    }
  }
  if (reader.transparent()) rgba[static_cast<std::size_t>(*reader.transparent())][kChannels] = 0;
  return rgba;
}

/// The order in which an interlaced frame has its rows.
std::vector<int> row_order(int height, bool interlaced) {
  constexpr std::pair<int, int> kPasses[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  std::vector<int> order;
  order.reserve(static_cast<std::size_t>(height));
  if (!interlaced) {
    for (int y = 0; y < height; ++y) order.push_back(y);
    return order;
  }
  for (const auto& [first, step] : kPasses) {
    for (int y = first; y < height; y += step) order.push_back(y);
  }
  return order;
}

}  // namespace

DecodedImage decode_gif(std::string_view bytes, const ImageFileLimits& limits) {
  GifReader reader(bytes);
  check_decoding(reader.gif().SWidth, reader.gif().SHeight, 0, limits);
  reader.find_frame();
  const auto& frame = reader.frame();
  // A frame may be larger than the screen that the file declares.
  const int width = std::max(reader.gif().SWidth, frame.Left + frame.Width);
  const int height = std::max(reader.gif().SHeight, frame.Top + frame.Height);
  check_decoding(width, height, kRgbaChannels, limits);
  if (frame.Width < 1 || frame.Height < 1)
    throw Error(ErrorCode::kInvalidArgument, "the GIF file is damaged: its first frame is empty");

  const auto rgba = rgba_of_indices(reader);
  const bool transparent = reader.transparent().has_value();
  const int channels = transparent ? kRgbaChannels : kChannels;
  PixelRows rows(width, height, transparent, 1);
  // Around the frame there is the transparent colour, or the first one, as in Pillow.
  const auto& outside = rgba[static_cast<std::size_t>(reader.transparent().value_or(0))];
  std::vector<std::uint8_t> row;
  for (int x = 0; x < width; ++x) row.insert(row.end(), outside.begin(), outside.begin() + channels);
  for (int y = 0; y < height; ++y) {
    if (y < frame.Top || y >= frame.Top + frame.Height) rows.put(y, row.data());
  }
  std::vector<GifPixelType> indices(static_cast<std::size_t>(frame.Width));
  for (const int y : row_order(frame.Height, frame.Interlace)) {
    reader.read_row(indices);
    auto out = row.begin() + std::ptrdiff_t{frame.Left} * channels;
    for (const auto index : indices) out = std::copy_n(rgba[index].begin(), channels, out);
    rows.put(frame.Top + y, row.data());
  }
  return rows.take();
}

}  // namespace easel
