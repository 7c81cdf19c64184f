// Fuzzes the decoders of uploaded images: PNG, JPEG, WebP, GIF, AVIF and HEIC.
#include <cstdlib>
#include <string_view>

#include "easel/error.h"
#include "easel/image_file.h"
#include "fuzz_target.h"
#include "support/image_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Small limits, so that the time is spent on parsing files and not on filling pixels.
  constexpr easel::ImageFileLimits kLimits{.max_bytes = 1u << 20, .max_edge = 256, .max_pixels = 256 * 256};
  try {
    const auto decoded = easel::decode_image({reinterpret_cast<const char*>(data), size}, kLimits);
    const auto pixels = static_cast<std::size_t>(decoded.image.width) * static_cast<std::size_t>(decoded.image.height);
    const bool whole = decoded.image.pixels.size() == 3 * pixels;
    if (!whole || (!decoded.alpha.empty() && decoded.alpha.size() != pixels)) std::abort();
  } catch (const easel::Error& error) {
    if (error.code() != easel::ErrorCode::kInvalidArgument) std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using namespace easel::testing;
  const auto image = gradient(24, 17);
  std::vector<std::uint8_t> alpha(24 * 17);
  for (std::size_t i = 0; i < alpha.size(); ++i) alpha[i] = static_cast<std::uint8_t>(i);
  const auto few = flat(24, 17, 1, 2, 3);
  return {png_file(image),
          png_file(image, alpha),
          jpeg_file(image),
          jpeg_file(image, JpegKind::kProgressive),
          jpeg_file(image, JpegKind::kGray),
          with_orientation(jpeg_file(image, JpegKind::kCmyk), 6),
          webp_file(image),
          webp_file(image, alpha),
          animated_webp_file(image, 40, 20, 8, 2),
          gif_file(few),
          gif_file(few, true, true, 2),
          avif_file(image),
          avif_file(image, alpha, 3, 1),
          heic_file(image)};
}
