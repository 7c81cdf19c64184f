// Files that are not what their names say: what a site or a tool wrote in place of a model.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace easel {

/// Refuses a saved web page (HTML or XML), a saved JSON response, and a pointer of Git LFS, which are the usual results
/// of a download that failed.
/// @param file   all bytes of the file
/// @param where  the file's name in messages
/// @throws Error(kCorruptData)  says which it is and how it begins
void refuse_saved_page(std::span<const std::byte> file, const std::string& where);

}  // namespace easel
