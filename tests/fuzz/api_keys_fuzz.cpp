// Fuzzes files of API keys. Whatever an accepted file contains, it has keys, and a key that nobody has is not found.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "easel/error.h"
#include "fuzz_target.h"
#include "http/access/api_keys.h"

namespace {

/// A file of this process, which is removed at its end.
class InputFile {
 public:
  ~InputFile() { std::filesystem::remove(path_); }
  const std::string& write(const std::uint8_t* data, std::size_t size) const {
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
    return path_;
  }

 private:
  const std::string path_ =
      (std::filesystem::temp_directory_path() / ("easel-keys-" + std::to_string(getpid()))).string();
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const InputFile file;
  try {
    easel::http::ApiKeys keys({}, file.write(data, size));
    if (!keys.required() || keys.find("a key that nobody has")) std::abort();
    if (const auto principal = keys.find("ann's key"); principal && principal->account.empty()) std::abort();
  } catch (const easel::Error& error) {
    if (std::string(error.what()).empty()) std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  // The hash is that of "ann's key".
  const std::string digest = "4a8c1eb8b2bbb2493bdc9ee3f7a3357b048de54a2dbc52301e88c39403cd6ce8";
  return {R"({"keys": [{"name": "ann", "sha256": ")" + digest + R"("}]})",
          R"({"keys": [{"name": "ann", "sha256": ")" + digest +
              R"(", "max_requests": 8, "share": 2.5, "operator": true}, {"name": "b", "sha256": ")" +
              std::string(64, 'A') + R"("}]})",
          R"({"keys": []})", R"({"keys": [{"name": "", "sha256": "0"}], "more": 1})", ""};
}
