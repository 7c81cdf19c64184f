#include "weights/format/file_names.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>

namespace easel {

std::string last_part(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string lower_extension(const std::string& path) {
  auto extension = std::filesystem::path(path).extension().string();
  std::ranges::transform(extension, extension.begin(), [](unsigned char c) { return std::tolower(c); });
  return extension;
}

bool is_safetensors_name(const std::string& path) {
  const auto extension = lower_extension(path);
  return extension == ".safetensors" || extension == ".sft";
}

bool is_gguf_name(const std::string& path) {
  return lower_extension(path) == ".gguf";
}

bool is_pickle_name(const std::string& path) {
  constexpr std::array<std::string_view, 4> kExtensions = {".ckpt", ".pt", ".pth", ".bin"};
  return std::ranges::find(kExtensions, lower_extension(path)) != kExtensions.end();
}

}  // namespace easel
