// Hostile files: truncated, damaged, or with a false size. The damage is the same in every run.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "easel/error.h"
#include "easel/image_file.h"
#include "fuzz/mutate.h"
#include "support/image_files.h"

namespace easel {
namespace {

using testing::gradient;
using testing::jpeg_file;
using testing::JpegKind;
using testing::png_file;
using testing::webp_file;

std::string message_of(const std::string& bytes, const ImageFileLimits& limits = {}) {
  try {
    decode_image(bytes, limits);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
    return e.what();
  }
  return "no error";
}

/// 30 x 20 pixels of 15 colours.
Image few_colours() {
  Image image{.width = 30, .height = 20, .pixels = {}};
  for (int i = 0; i < 600; ++i) {
    const auto value = static_cast<std::uint8_t>(i * 7 % 15 * 17);
    image.pixels.insert(image.pixels.end(), {value, static_cast<std::uint8_t>(255 - value), 9});
  }
  return image;
}

struct File {
  std::string name, bytes;
};

/// One file of each format, 30 x 20 pixels.
std::vector<File> files() {
  const auto image = gradient(30, 20);
  const std::vector<std::uint8_t> alpha(600, 128);
  return {{"PNG", png_file(image)},
          {"PNG with alpha", png_file(image, alpha)},
          {"JPEG", jpeg_file(image)},
          {"progressive JPEG", jpeg_file(image, JpegKind::kProgressive)},
          {"gray JPEG", jpeg_file(image, JpegKind::kGray)},
          {"CMYK JPEG", jpeg_file(image, JpegKind::kCmyk)},
          {"turned JPEG", testing::with_orientation(jpeg_file(image), 6)},
          {"WebP", webp_file(image)},
          {"lossless WebP", webp_file(image, alpha)},
          {"animated WebP", testing::animated_webp_file(image, 30, 20)},
          {"GIF", testing::gif_file(few_colours())},
          {"interlaced GIF", testing::gif_file(few_colours(), true, true)},
          {"AVIF", testing::avif_file(image)},
          {"AVIF with alpha", testing::avif_file(image, alpha, 1)}};
}

TEST(DamagedImage, UnknownFormatsAreRejected) {
  EXPECT_NE(message_of("").find("empty"), std::string::npos);
  for (const std::string text : {"RIFF....WAVEfmt ", "RIFF", "\x89PNG", "\xff\xd8", "<svg/>", "GIF88a", "....ftypisom"})
    EXPECT_EQ(message_of(text), "this is not a PNG, JPEG, WebP, GIF, AVIF or HEIC file") << text;
}

TEST(DamagedImage, FormatsThatAreNotSupportedAreNamed) {
  const std::pair<std::string, std::string> kFiles[] = {{"BM1234", "BMP"},
                                                        {std::string("II*\0....", 8), "TIFF"},
                                                        {std::string("MM\0*....", 8), "TIFF"},
                                                        {"\xff\x0a...", "JPEG XL"}};
  for (const auto& [bytes, name] : kFiles) {
    EXPECT_EQ(message_of(bytes),
              "this is a " + name + " file, which is not supported; save it as PNG, JPEG, WebP, GIF, AVIF or HEIC");
  }
}

TEST(DamagedImage, EveryTruncationIsAnError) {
  for (const auto& [name, bytes] : files()) {
    ASSERT_EQ(message_of(bytes), "no error") << name;
    // PNG's last chunk, a JPEG's last marker: what is missing behind the pixels is no longer theirs.
    const std::size_t whole = bytes.size() - (name.starts_with("PNG") ? 12 : 0);
    for (std::size_t length = 12; length < whole; length += 1 + length / 40) {
      EXPECT_NE(message_of(bytes.substr(0, length)).find("damaged"), std::string::npos) << name << " at " << length;
    }
  }
}

TEST(DamagedImage, LimitsAreCheckedFirst) {
  for (const auto& [name, bytes] : files()) {
    EXPECT_EQ(message_of(bytes, {.max_bytes = bytes.size(), .max_edge = 30, .max_pixels = 600}), "no error") << name;
    EXPECT_NE(message_of(bytes, {.max_bytes = bytes.size() - 1}).find("bytes"), std::string::npos) << name;
    EXPECT_NE(message_of(bytes, {.max_edge = 29}).find("30 x 20"), std::string::npos) << name;
    EXPECT_NE(message_of(bytes, {.max_pixels = 599}).find("599 pixels"), std::string::npos) << name;
  }
}

// A header that declares far more pixels than the file has is refused because of its size, before data or memory runs
// out.
TEST(DamagedImage, HugeDeclaredSizesAreRejectedBeforeAllocation) {
  auto png = png_file(gradient(30, 20)).substr(0, 33);
  std::fill_n(png.begin() + 17, 3, '\xff');
  EXPECT_NE(message_of(png), "no error");
  auto jpeg = jpeg_file(gradient(30, 20));
  const auto frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  std::fill_n(jpeg.begin() + static_cast<std::ptrdiff_t>(frame) + 5, 4, '\xfe');
  EXPECT_NE(message_of(jpeg).find("65278 x 65278"), std::string::npos);
  auto webp = webp_file(gradient(30, 20));
  std::fill_n(webp.begin() + 26, 4, '\x3f');
  EXPECT_NE(message_of(webp).find("16191 x 16191"), std::string::npos);
}

/// The most memory that the process has had so far.
std::int64_t peak_mebibytes() {
  rusage usage{};
  EXPECT_EQ(getrusage(RUSAGE_SELF, &usage), 0);
  return usage.ru_maxrss / 1024;
}

// libpng allocates and clears rows of the declared width before the first pixel.
TEST(DamagedImage, HugeDeclaredRowsOfPngFilesAreNotAllocated) {
  constexpr std::size_t kHeader = 12, kWidth = 16, kCheck = 29;  // where they begin in the file
  auto png = png_file(gradient(30, 20));
  png.replace(kWidth, 4, "\x7f\xff\xff\xff");
  const auto check = crc32(0, reinterpret_cast<const Bytef*>(&png[kHeader]), kCheck - kHeader);
  for (std::size_t i = 0; i < 4; ++i) png[kCheck + i] = static_cast<char>(check >> (24 - 8 * i));
  const auto before = peak_mebibytes();
  EXPECT_EQ(message_of(png),
            "the image is 2147483647 x 20; at most 16384 pixels along an edge and 64000000 pixels in all are accepted");
  EXPECT_LE(peak_mebibytes(), before + 100);
}

TEST(DamagedImage, AnAnimationWithoutFramesIsDamaged) {
  const std::string extended("VP8X\x0a\0\0\0\x02\0\0\0\x1d\0\0\x13\0\0", 18);
  std::string file =
      "RIFF" + std::string("\x1e\0\0\0", 4) + "WEBP" + extended + std::string("ANIM\x06\0\0\0\0\0\0\0\0\0", 14);
  EXPECT_EQ(message_of(file), "the WebP file is damaged: the file ends too early");
}

// Each scan of a progressive file costs a pass over all pixels; this file has more than any encoder writes.
TEST(DamagedImage, TooManyProgressiveScansAreRejected) {
  auto jpeg = jpeg_file(gradient(30, 20), JpegKind::kProgressive);
  const auto last_scan = jpeg.rfind("\xff\xda");
  const auto scan = jpeg.substr(last_scan, jpeg.size() - 2 - last_scan);
  jpeg.resize(jpeg.size() - 2);
  for (int i = 0; i < 200; ++i) jpeg += scan;
  EXPECT_NE(message_of(jpeg + "\xff\xd9").find("damaged"), std::string::npos);
}

/// CPU time of decoding a valid file.
double seconds_to_read(const std::string& bytes) {
  const auto start = std::clock();
  EXPECT_EQ(message_of(bytes), "no error");
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// Text chunks that unpack to a megabyte each: a file of half a megabyte holds 500 MB of text, which easel ignores.
TEST(DamagedImage, PngTextChunksAreNotDecompressed) {
  constexpr int kTexts = 500;
  auto png = testing::png_file(gradient(30, 20));
  const auto text = testing::png_text_chunk(std::string(1'000'000, ' '));
  ASSERT_LT(text.size(), 2000u);
  std::string texts;
  for (int i = 0; i < kTexts; ++i) texts += text;
  constexpr std::size_t kBehindHeader = 33;
  EXPECT_LT(seconds_to_read(png.insert(kBehindHeader, texts)), 0.3);
}

/// A PNG chunk with its checksum.
std::string png_chunk(const std::string& type, const std::string& contents) {
  const auto number = [](std::uint64_t value) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
    return bytes;
  };
  const auto body = type + contents;
  return number(contents.size()) + body + number(crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), body.size()));
}

// The pixels of 30 x 20 are followed by 500 MiB of zeros.
TEST(DamagedImage, PngRowsBehindTheImageAreNotInflated) {
  constexpr std::size_t kZeros = std::size_t{500} << 20;
  z_stream deflater{};
  ASSERT_EQ(deflateInit(&deflater, Z_BEST_SPEED), Z_OK);
  std::string zeros(1 << 20, '\0'), compressed(1 << 20, '\0'), data;
  for (std::size_t done = 0; done < kZeros; done += zeros.size()) {
    deflater.next_in = reinterpret_cast<Bytef*>(zeros.data());
    deflater.avail_in = static_cast<uInt>(zeros.size());
    do {
      deflater.next_out = reinterpret_cast<Bytef*>(compressed.data());
      deflater.avail_out = static_cast<uInt>(compressed.size());
      deflate(&deflater, done + zeros.size() < kZeros ? Z_NO_FLUSH : Z_FINISH);
      data.append(compressed, 0, compressed.size() - deflater.avail_out);
    } while (deflater.avail_out == 0);
  }
  deflateEnd(&deflater);
  const auto png = png_file(gradient(30, 20));
  const auto header = png.substr(0, 33);
  const auto file = header + png_chunk("IDAT", data) + png_chunk("IEND", "");
  EXPECT_LT(seconds_to_read(file), 0.1);
}

TEST(DamagedImage, AFileThatNeedsTooMuchMemoryIsRefused) {
  constexpr std::int64_t kPixels = 30 * 20;
  for (const auto& [name, bytes] : files()) {
    EXPECT_EQ(message_of(bytes, {.max_memory = 20 * kPixels}), "no error") << name;
    EXPECT_EQ(message_of(bytes, {.max_memory = 3 * kPixels - 1}),
              "decoding this image of 30 x 20 would take 1 MiB of memory; at most 0 MiB may be used for one image")
        << name;
  }
  // The coefficients of a progressive file, at two bytes for each sample of 4:2:0, are kept in memory.
  const auto progressive = jpeg_file(gradient(30, 20), JpegKind::kProgressive);
  EXPECT_EQ(message_of(progressive, {.max_memory = 6 * kPixels}), "no error");
  EXPECT_NE(message_of(progressive, {.max_memory = 6 * kPixels - 1}), "no error");
}

// As many empty metadata segments as fit into a file.
TEST(DamagedImage, ManyJpegMetadataSegmentsAreSkippedInLinearTime) {
  constexpr int kSegments = 200'000;
  auto jpeg = jpeg_file(gradient(30, 20));
  std::string segments;
  for (int i = 0; i < kSegments; ++i) segments += std::string("\xff\xe1\0\x02", 4);
  EXPECT_LT(seconds_to_read(jpeg.insert(2, segments)), 1.0);
}

TEST(DamagedImage, MutatedFilesDecodeOrAreRejected) {
  constexpr int kMutants = 1500;
  std::mt19937_64 random(1);
  int read = 0, refused = 0;
  for (const auto& [name, bytes] : files()) {
    for (int i = 0; i < kMutants; ++i) {
      try {
        const auto decoded = decode_image(mutate(bytes, random), {.max_edge = 512, .max_pixels = 512 * 512});
        const auto count =
            static_cast<std::size_t>(decoded.image.width) * static_cast<std::size_t>(decoded.image.height);
        ASSERT_EQ(decoded.image.pixels.size(), count * 3);
        ASSERT_TRUE(decoded.alpha.empty() || decoded.alpha.size() == count);
        ++read;
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace easel
