// Where the program keeps what it remembers from one start to the next.
#pragma once

#include <filesystem>

namespace easel {

/// A folder of that name under $XDG_STATE_HOME/easel, or else under ~/.local/state/easel; it may not exist yet. Empty
/// where neither variable is set.
std::filesystem::path state_folder(const char* name);

}  // namespace easel
