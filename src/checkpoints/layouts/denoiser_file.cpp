#include "checkpoints/layouts/denoiser_file.h"

#include <array>

namespace easel {

std::span<const DenoiserFile> denoiser_files() {
  static const std::array files{z_image_file(), flux_file(), flux2_file()};
  return files;
}

}  // namespace easel
