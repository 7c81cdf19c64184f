// The folder of adapter files that requests choose from.
#pragma once

#include <string>
#include <vector>

namespace easel {

/// The .safetensors files in a folder and its subfolders. An adapter's name is its path relative to the folder without
/// the extension: "ink", "sdxl/ink". The folder is read on every call, so files may be added and removed. Thread-safe.
class AdapterDirectory {
 public:
  /// @param path  empty: there are no adapters
  explicit AdapterDirectory(std::string path);

  /// Sorted. Empty where the folder cannot be read.
  std::vector<std::string> names() const;
  /// The file of an adapter. If only one name ends with `name` after a slash, that adapter is meant: "ink" finds
  /// "sdxl/ink".
  /// @throws Error(kInvalidArgument)  there is no such adapter, or there are several; the message lists adapters. Names
  ///                                  that leave the folder, such as "../x", are never found. Param loras
  std::string file(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace easel
