// The folder that adapters are chosen from.
#pragma once

#include <string>
#include <vector>

namespace easel {

/// Adapters are the .safetensors files directly in one folder, by their names without extension. The folder is looked
/// at anew each time, so files may come and go. Thread-safe.
class AdapterDirectory {
 public:
  /// @param path  empty: there are no adapters
  explicit AdapterDirectory(std::string path);

  /// Sorted. Empty where the folder cannot be read.
  std::vector<std::string> names() const;
  /// The file of an adapter.
  /// @throws Error(kInvalidArgument)  no such adapter; lists what there is. Also for names that lead elsewhere, such as
  ///                                  "../x". Param loras
  std::string file(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace easel
