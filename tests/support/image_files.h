// Image files of every kind, written by the libraries themselves. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "easel/image_file.h"

namespace easel::testing {

/// Colours that differ from pixel to pixel but change smoothly, so that lossy formats keep them nearly unchanged.
Image gradient(int width, int height);

/// One colour everywhere.
Image flat(int width, int height, std::uint8_t red, std::uint8_t green, std::uint8_t blue);

/// @param alpha  width * height bytes; empty: a file without transparency
std::string png_file(const Image& image, const std::vector<std::uint8_t>& alpha = {});

/// The same, interlaced.
std::string interlaced_png_file(const Image& image, const std::vector<std::uint8_t>& alpha = {});

/// A chunk of compressed text (zTXt), to be put into a PNG file.
std::string png_text_chunk(const std::string& text);

enum class JpegKind { kColour, kProgressive, kGray, kRgb, kCmyk };

/// CMYK files are written as Adobe's programs do, inverted and with their marker.
std::string jpeg_file(const Image& image, JpegKind kind = JpegKind::kColour, int quality = 95);

/// The same file, of any format, with an EXIF orientation.
/// @param orientation  EXIF's; any 16 bits
/// @param order        of the bytes, "MM" or "II"
std::string with_orientation(const std::string& file, std::uint16_t orientation, const std::string& order = "MM");

/// Lossless where `alpha` is given, so that opacity and colours are kept to the bit; else lossy.
std::string webp_file(const Image& image, const std::vector<std::uint8_t>& alpha = {});

/// An animation of two frames: `image` at (left, top) of a canvas, then another one. Both lossless.
std::string animated_webp_file(const Image& image, int canvas_width, int canvas_height, int left = 0, int top = 0);

/// A palette of the image's own colours, of which there are at most 255.
/// @param transparent  make the palette's first colour, which is the image's first pixel, transparent
std::string gif_file(const Image& image, bool interlaced = false, bool transparent = false, int frames = 1);

/// Lossless.
/// @param alpha      width * height bytes, or empty
/// @param rotation   quarters of a turn to the left that the file asks for, 0 to 3
/// @param mirroring  -1: none; 0: top and bottom are exchanged after the rotation; 1: left and right
std::string avif_file(const Image& image, const std::vector<std::uint8_t>& alpha = {}, int rotation = 0,
                      int mirroring = -1);

/// Lossy. Empty where the tests are built without libheif.
std::string heic_file(const Image& image);

}  // namespace easel::testing
