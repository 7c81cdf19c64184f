// Fuzzes the reader of zip archives. Every entry of an accepted archive lies inside the file.
#include <cstdlib>
#include <functional>
#include <span>

#include "../weights/samples.h"
#include "easel/error.h"
#include "fuzz_target.h"
#include "weights/format/zip_archive.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const auto& [name, entry] : easel::read_zip_archive(file, "input")) {
      const auto* begin = entry.data();
      const auto* end = begin + entry.size();
      constexpr std::less<> kBefore;
      if (!entry.empty() && (kBefore(begin, file.data()) || kBefore(file.data() + file.size(), end))) std::abort();
    }
  } catch (const easel::Error& error) {
    if (error.code() != easel::ErrorCode::kCorruptData && error.code() != easel::ErrorCode::kUnsupported) std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using namespace easel::samples;
  auto compressed = zip("archive/data.pkl", "text");
  compressed[8] = 8;  // the method of the local header
  return {zip("archive/data.pkl", valid_pickle()),
          zip("", ""),
          zip("a", std::string(300, 'x')),
          compressed,
          zip("a", "b") + "comment",
          "PK\x05\x06" + std::string(18, '\0')};
}
