#include "app/models/state_folder.h"

#include <cstdlib>

namespace easel {

namespace fs = std::filesystem;

fs::path state_folder(const char* name) {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return fs::path(state) / "easel" / name;
  const char* home = std::getenv("HOME");
  return home != nullptr && *home == '/' ? fs::path(home) / ".local" / "state" / "easel" / name : fs::path();
}

}  // namespace easel
