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

}  // namespace easel::testing
