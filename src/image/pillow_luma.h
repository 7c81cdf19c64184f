// Brightness as Pillow computes it.
#pragma once

#include <cstdint>

namespace easel {

/// The brightness of an RGB pixel, 0 to 255: ITU-R 601 luma in the integer arithmetic of Pillow's conversion to "L".
/// @param rgb  three bytes
inline std::uint8_t pillow_luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 0x8000u) >> 16);
}

}  // namespace easel
