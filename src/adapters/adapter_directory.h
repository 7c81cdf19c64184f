// The folder that adapters are chosen from.
#pragma once

#include <string>
#include <vector>

namespace easel {

/// Adapters are the .safetensors files in a folder and the folders inside it, by their paths from there without
/// extension: "ink", "sdxl/ink". It is looked at anew each time, so files may come and go. Thread-safe.
class AdapterDirectory {
 public:
  /// @param path  empty: there are no adapters
  explicit AdapterDirectory(std::string path);

  /// Sorted. Empty where the folder cannot be read.
  std::vector<std::string> names() const;
  /// The file of an adapter. The end of its path will do, "ink" for "sdxl/ink", where it is the only one.
  /// @throws Error(kInvalidArgument)  no such adapter, or several; lists what there is. Also for names that lead
  ///                                  elsewhere, such as "../x". Param loras
  std::string file(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace easel
