// Files of the formats that came after PNG and JPEG, and animations.
#include <avif/avif.h>
#include <gif_lib.h>
#include <webp/mux.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

#include "support/image_files.h"

#ifdef EASEL_WITH_HEIF
#include <libheif/heif.h>
#endif

namespace easel::testing {
namespace {

void require(bool done, const char* what) {
  if (!done) throw std::runtime_error(what);
}

std::string avif_bytes(avifImage& image) {
  avifEncoder* encoder = avifEncoderCreate();
  encoder->speed = AVIF_SPEED_FASTEST;
  encoder->minQuantizer = encoder->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
  encoder->minQuantizerAlpha = encoder->maxQuantizerAlpha = AVIF_QUANTIZER_LOSSLESS;
  avifRWData output = AVIF_DATA_EMPTY;
  const auto result = avifEncoderWrite(encoder, &image, &output);
  const std::string file(reinterpret_cast<const char*>(output.data), output.size);
  avifRWDataFree(&output);
  avifEncoderDestroy(encoder);
  require(result == AVIF_RESULT_OK, "libavif could not write the file");
  return file;
}

using Colour = std::array<std::uint8_t, Image::kChannels>;

Colour colour_at(const Image& image, std::size_t pixel) {
  const auto* rgb = &image.pixels[pixel * Image::kChannels];
  return {rgb[0], rgb[1], rgb[2]};
}

void write_gif_frame(GifFileType* gif, const Image& image, const std::vector<Colour>& palette, bool interlaced) {
  constexpr std::pair<int, int> kPasses[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};
  require(EGifPutImageDesc(gif, 0, 0, image.width, image.height, interlaced, nullptr) == GIF_OK, "giflib failed");
  const auto put_row = [&](int y) {
    std::vector<GifPixelType> row;
    for (int x = 0; x < image.width; ++x) {
      const auto colour = colour_at(image, static_cast<std::size_t>(y * image.width + x));
      row.push_back(static_cast<GifPixelType>(std::find(palette.begin(), palette.end(), colour) - palette.begin()));
    }
    require(EGifPutLine(gif, row.data(), image.width) == GIF_OK, "giflib failed");
  };
  for (const auto& [first, step] : kPasses) {
    if (!interlaced && first != 0) continue;
    for (int y = first; y < image.height; y += interlaced ? step : 1) put_row(y);
  }
}

}  // namespace

std::string animated_webp_file(const Image& image, int canvas_width, int canvas_height, int left, int top) {
  const auto still = webp_file(image, std::vector<std::uint8_t>(image.pixels.size() / 3, 200));
  WebPMux* mux = WebPMuxNew();
  for (int i = 0; i < 2; ++i) {
    WebPMuxFrameInfo frame{};
    frame.id = WEBP_CHUNK_ANMF;
    frame.duration = 100;
    frame.x_offset = i == 0 ? left : 0;
    frame.y_offset = i == 0 ? top : 0;
    frame.dispose_method = WEBP_MUX_DISPOSE_NONE;
    frame.blend_method = WEBP_MUX_NO_BLEND;
    frame.bitstream = {reinterpret_cast<const std::uint8_t*>(still.data()), still.size()};
    require(WebPMuxPushFrame(mux, &frame, 1) == WEBP_MUX_OK, "libwebpmux failed");
  }
  constexpr WebPMuxAnimParams kAnimation{};
  WebPMuxSetAnimationParams(mux, &kAnimation);
  WebPMuxSetCanvasSize(mux, canvas_width, canvas_height);
  WebPData assembled{nullptr, 0};
  const bool done = WebPMuxAssemble(mux, &assembled) == WEBP_MUX_OK;
  const std::string file(reinterpret_cast<const char*>(assembled.bytes), assembled.size);
  WebPDataClear(&assembled);
  WebPMuxDelete(mux);
  require(done, "libwebpmux could not write the file");
  return file;
}

std::string gif_file(const Image& image, bool interlaced, bool transparent, int frames) {
  std::vector<Colour> palette;
  for (std::size_t i = 0; i < image.pixels.size() / Image::kChannels; ++i) {
    const auto colour = colour_at(image, i);
    if (std::find(palette.begin(), palette.end(), colour) == palette.end()) palette.push_back(colour);
  }
  constexpr std::size_t kColours = 256;
  require(palette.size() < kColours, "a GIF file has at most 256 colours");
  std::vector<GifColorType> colours(kColours);
  for (std::size_t i = 0; i < palette.size(); ++i) colours[i] = {palette[i][0], palette[i][1], palette[i][2]};

  std::string file;
  int error = 0;
  GifFileType* gif = EGifOpen(
      &file,
      [](GifFileType* writer, const GifByteType* bytes, int count) {
        static_cast<std::string*>(writer->UserData)
            ->append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(count));
        return count;
      },
      &error);
  require(gif != nullptr, "giflib failed");
  EGifSetGifVersion(gif, true);
  const std::unique_ptr<ColorMapObject, decltype(&GifFreeMapObject)> map(
      GifMakeMapObject(static_cast<int>(kColours), colours.data()), &GifFreeMapObject);
  require(EGifPutScreenDesc(gif, image.width, image.height, 8, 0, map.get()) == GIF_OK, "giflib failed");
  for (int i = 0; i < frames; ++i) {
    if (transparent) {
      GifByteType extension[4];
      GraphicsControlBlock control{};
      control.TransparentColor = 0;
      EGifGCBToExtension(&control, extension);
      EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, sizeof extension, extension);
    }
    write_gif_frame(gif, image, palette, interlaced);
  }
  require(EGifCloseFile(gif, &error) == GIF_OK, "giflib failed");
  return file;
}

std::string avif_file(const Image& image, const std::vector<std::uint8_t>& alpha, int rotation, int mirroring) {
  avifImage* avif = avifImageCreate(image.width, image.height, 8, AVIF_PIXEL_FORMAT_YUV444);
  avif->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_IDENTITY;  // lossless
  if (rotation != 0) avif->transformFlags |= AVIF_TRANSFORM_IROT;
  if (mirroring >= 0) avif->transformFlags |= AVIF_TRANSFORM_IMIR;
  avif->irot.angle = static_cast<std::uint8_t>(rotation);
  avif->imir.mode = static_cast<std::uint8_t>(std::max(mirroring, 0));
  std::vector<std::uint8_t> rgba;
  for (std::size_t i = 0; i < image.pixels.size() / 3; ++i) {
    rgba.insert(rgba.end(), &image.pixels[3 * i], &image.pixels[3 * i] + 3);
    if (!alpha.empty()) rgba.push_back(alpha[i]);
  }
  avifRGBImage rgb;
  avifRGBImageSetDefaults(&rgb, avif);
  rgb.format = alpha.empty() ? AVIF_RGB_FORMAT_RGB : AVIF_RGB_FORMAT_RGBA;
  rgb.pixels = rgba.data();
  rgb.rowBytes = rgb.width * avifRGBImagePixelSize(&rgb);
  require(avifImageRGBToYUV(avif, &rgb) == AVIF_RESULT_OK, "libavif failed");
  const auto file = avif_bytes(*avif);
  avifImageDestroy(avif);
  return file;
}

#ifdef EASEL_WITH_HEIF

std::string heic_file(const Image& image) {
  heif_context* context = heif_context_alloc();
  heif_image* pixels = nullptr;
  heif_image_create(image.width, image.height, heif_colorspace_RGB, heif_chroma_interleaved_RGB, &pixels);
  heif_image_add_plane(pixels, heif_channel_interleaved, image.width, image.height, 8);
  int stride = 0;
  auto* plane = heif_image_get_plane(pixels, heif_channel_interleaved, &stride);
  for (int y = 0; y < image.height; ++y)
    std::copy_n(&image.pixels[static_cast<std::size_t>(3 * y * image.width)], 3 * image.width, plane + y * stride);
  heif_encoder* encoder = nullptr;
  heif_context_get_encoder_for_format(context, heif_compression_HEVC, &encoder);
  require(encoder != nullptr, "libheif has no encoder for HEIC");
  constexpr int kQuality = 95;
  heif_encoder_set_lossy_quality(encoder, kQuality);
  const auto encoded = heif_context_encode_image(context, pixels, encoder, nullptr, nullptr);
  std::string file;
  heif_writer writer{};
  writer.writer_api_version = 1;
  writer.write = [](heif_context*, const void* data, std::size_t size, void* out) -> heif_error {
    static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
    return {heif_error_Ok, heif_suberror_Unspecified, ""};
  };
  const auto written = heif_context_write(context, &writer, &file);
  heif_encoder_release(encoder);
  heif_image_release(pixels);
  heif_context_free(context);
  require(encoded.code == heif_error_Ok && written.code == heif_error_Ok, "libheif could not write the file");
  return file;
}

#else

std::string heic_file(const Image&) {
  return {};
}

#endif

}  // namespace easel::testing
