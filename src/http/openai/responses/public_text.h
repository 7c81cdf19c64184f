// What clients may read of the texts of errors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "easel/generation.h"

namespace easel::http {

/// `text` with the files of models named relative to their model's folder, so that no client learns where the models
/// are. A folder by itself becomes its name.
/// @param folders  ModelDescription::folder of each of them
std::string without_folders(std::string text, std::vector<std::string> folders);
std::string without_folder(std::string text, std::string_view folder);

}  // namespace easel::http
