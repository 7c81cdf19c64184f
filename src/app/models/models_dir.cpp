#include "app/models/models_dir.h"

#include <cstdlib>
#include <filesystem>

namespace easel {

std::string models_dir(const std::string& given) {
  if (!given.empty()) return given;
  if (std::filesystem::is_directory("models")) return "models";
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data == '/') return std::string(data) + "/easel/models";
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? std::string(home) + "/.local/share/easel/models" : "";
}

}  // namespace easel
