// Where models are kept.
#pragma once

#include <string>

namespace easel {

/// --models-dir; else `models` in the working directory, if it exists; else easel/models in the user's data folder
/// ($XDG_DATA_HOME, by default ~/.local/share). The result may not exist; it is empty when there is no user's folder.
/// @param given  the value of --models-dir
std::string models_dir(const std::string& given);

}  // namespace easel
