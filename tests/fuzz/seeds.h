// Writes the seed corpus of a fuzz target as files, from which libFuzzer starts.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz_target.h"

namespace easel {

/// One file for each seed. The folder is made if it is not there.
inline void write_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const auto& seed : seed_corpus()) {
    std::ofstream(folder / ("seed_" + std::to_string(number++)), std::ios::binary) << seed;
  }
}

}  // namespace easel
