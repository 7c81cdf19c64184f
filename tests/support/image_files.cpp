#include "support/image_files.h"

#include <cstdio>
// jpeglib.h needs FILE and size_t declared before it.
#include <jpeglib.h>
#include <png.h>
#include <webp/decode.h>
#include <webp/encode.h>

#include <cstdlib>
#include <stdexcept>

namespace easel::testing {
namespace {

std::vector<std::uint8_t> interleaved(const Image& image, const std::vector<std::uint8_t>& alpha) {
  std::vector<std::uint8_t> rgba;
  for (std::size_t i = 0; i < alpha.size(); ++i) {
    rgba.insert(rgba.end(), &image.pixels[3 * i], &image.pixels[3 * i] + 3);
    rgba.push_back(alpha[i]);
  }
  return rgba;
}

int components_of(JpegKind kind) {
  return kind == JpegKind::kGray ? 1 : kind == JpegKind::kCmyk ? 4 : 3;
}

// A row as the file's kind has it. All black is in the fourth ink, and Adobe's inks are upside down.
std::vector<std::uint8_t> jpeg_row(const Image& image, int y, JpegKind kind) {
  std::vector<std::uint8_t> row;
  for (int x = 0; x < image.width; ++x) {
    const auto* rgb = &image.pixels[(static_cast<std::size_t>(y) * static_cast<std::size_t>(image.width) + x) * 3];
    if (kind == JpegKind::kGray) {
      row.push_back(rgb[0]);
      continue;
    }
    row.insert(row.end(), rgb, rgb + 3);
    if (kind == JpegKind::kCmyk) row.push_back(255);
  }
  return row;
}

std::string number_in(const std::string& order, std::uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * (order == "MM" ? size - 1 - i : i)));
  return bytes;
}

/// @param chunk  its type and contents
std::string png_chunk(const std::string& chunk) {
  std::uint32_t check = ~0u;  // CRC-32
  for (const char byte : chunk) {
    check ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) check = check >> 1 ^ ((check & 1) != 0 ? 0xedb88320u : 0);
  }
  return number_in("MM", static_cast<std::uint32_t>(chunk.size() - 4), 4) + chunk + number_in("MM", ~check, 4);
}

std::string webp_chunk(const std::string& type, const std::string& contents) {
  return type + number_in("II", static_cast<std::uint32_t>(contents.size()), 4) + contents +
         std::string(contents.size() % 2, '\0');
}

/// The extended form of a file, as the WebP container specification has it.
std::string webp_with_exif(const std::string& file, const std::string& exif) {
  constexpr std::size_t kFileHead = 12;
  constexpr char kAlpha = 0x10, kExif = 0x08;
  WebPBitstreamFeatures features;
  WebPGetFeatures(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), &features);
  const auto flags = std::string(1, static_cast<char>(kExif | (features.has_alpha != 0 ? kAlpha : 0)));
  const auto head = flags + std::string(3, '\0') + number_in("II", static_cast<std::uint32_t>(features.width - 1), 3) +
                    number_in("II", static_cast<std::uint32_t>(features.height - 1), 3);
  return webp_chunk("RIFF", "WEBP" + webp_chunk("VP8X", head) + file.substr(kFileHead) + webp_chunk("EXIF", exif));
}

void append_png_bytes(png_structp writer, png_bytep data, std::size_t count) {
  static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<const char*>(data), count);
}

}  // namespace

Image gradient(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.pixels.push_back(static_cast<std::uint8_t>(255 * x / width));
      image.pixels.push_back(static_cast<std::uint8_t>(255 * y / height));
      image.pixels.push_back(static_cast<std::uint8_t>(127 * (x + y) / (width + height)));
    }
  }
  return image;
}

Image flat(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  Image image{width, height, {}};
  for (int i = 0; i < width * height; ++i) image.pixels.insert(image.pixels.end(), {red, green, blue});
  return image;
}

std::string png_file(const Image& image, const std::vector<std::uint8_t>& alpha) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = alpha.empty() ? PNG_FORMAT_RGB : PNG_FORMAT_RGBA;
  const auto pixels = alpha.empty() ? image.pixels : interleaved(image, alpha);
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string bytes(size, 0);
  if (!png_image_write_to_memory(&png, bytes.data(), &size, 0, pixels.data(), 0, nullptr)) {
    throw std::runtime_error(png.message);
  }
  bytes.resize(size);
  return bytes;
}

std::string interlaced_png_file(const Image& image, const std::vector<std::uint8_t>& alpha) {
  std::string bytes;
  auto* png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  auto* info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, &append_png_bytes, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), 8,
               alpha.empty() ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_RGBA, PNG_INTERLACE_ADAM7,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  auto pixels = alpha.empty() ? image.pixels : interleaved(image, alpha);
  const auto row_bytes = pixels.size() / static_cast<std::size_t>(image.height);
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) rows.push_back(&pixels[y * row_bytes]);
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

std::string png_text_chunk(const std::string& text) {
  std::string bytes;
  auto* png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  auto* info = png_create_info_struct(png);
  png_set_write_fn(png, &bytes, &append_png_bytes, nullptr);
  png_set_IHDR(png, info, 1, 1, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  std::string key = "Comment", copy = text;
  png_text comment{};
  comment.compression = PNG_TEXT_COMPRESSION_zTXt;
  comment.key = key.data();
  comment.text = copy.data();
  comment.text_length = copy.size();
  png_set_text(png, info, &comment, 1);
  png_write_info(png, info);
  png_destroy_write_struct(&png, &info);
  constexpr std::size_t kSignatureAndHeader = 33;
  return bytes.substr(kSignatureAndHeader);
}

std::string jpeg_file(const Image& image, JpegKind kind, int quality) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors;  // its default ends the program, which is good enough for a test
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.input_components = components_of(kind);
  jpeg.in_color_space = kind == JpegKind::kGray ? JCS_GRAYSCALE : kind == JpegKind::kCmyk ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  if (kind == JpegKind::kRgb) jpeg_set_colorspace(&jpeg, JCS_RGB);
  if (kind == JpegKind::kProgressive) jpeg_simple_progression(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  for (int y = 0; y < image.height; ++y) {
    auto row = jpeg_row(image, y, kind);
    JSAMPROW start = row.data();
    jpeg_write_scanlines(&jpeg, &start, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  const std::string file(reinterpret_cast<char*>(bytes), size);
  std::free(bytes);
  return file;
}

std::string with_orientation(const std::string& file, std::uint16_t orientation, const std::string& order) {
  const auto number = [&](std::uint32_t value, int size) { return number_in(order, value, size); };
  // One directory with an entry that says nothing of the orientation, and one that does.
  const auto tiff = order + number(42, 2) + number(8, 4) + number(2, 2) +                            //
                    number(0x0100, 2) + number(3, 2) + number(1, 4) + number(7, 2) + number(0, 2) +  //
                    number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + number(0, 2) +
                    number(0, 4);
  if (file.starts_with("RIFF")) return webp_with_exif(file, tiff);
  if (file.starts_with("\x89PNG")) {
    constexpr std::size_t kEndChunk = 12;
    return file.substr(0, file.size() - kEndChunk) + png_chunk("eXIf" + tiff) + file.substr(file.size() - kEndChunk);
  }
  const auto exif = std::string("Exif\0\0", 6) + tiff;
  const auto length = number_in("MM", static_cast<std::uint32_t>(exif.size() + 2), 2);
  return file.substr(0, 2) + "\xff\xe1" + length + exif + file.substr(2);
}

std::string webp_file(const Image& image, const std::vector<std::uint8_t>& alpha) {
  constexpr float kQuality = 95;
  std::uint8_t* bytes = nullptr;
  std::size_t size = 0;
  if (alpha.empty()) {
    size = WebPEncodeRGB(image.pixels.data(), image.width, image.height, image.width * 3, kQuality, &bytes);
  } else {
    const auto rgba = interleaved(image, alpha);
    size = WebPEncodeLosslessRGBA(rgba.data(), image.width, image.height, image.width * 4, &bytes);
  }
  if (size == 0) throw std::runtime_error("libwebp could not write the file");
  const std::string file(reinterpret_cast<char*>(bytes), size);
  WebPFree(bytes);
  return file;
}

}  // namespace easel::testing
