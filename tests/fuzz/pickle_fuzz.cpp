// Fuzzes the readers of `easel convert`: pickles, and the zip archives that contain them.
#include <cstdlib>
#include <span>

#include "../weights/samples.h"
#include "easel/error.h"
#include "fuzz_target.h"
#include "weights/format/pickle.h"
#include "weights/format/zip_archive.h"

namespace {

void read_state_dict(std::span<const std::byte> bytes) {
  const auto pickle = easel::read_pickle(bytes, "input");
  for (const auto& [name, tensor] : easel::state_dict_of(pickle, "input")) {
    // An accepted tensor must be inside its storage.
    const auto& storage = pickle.storages.at(tensor->storage);
    if (tensor->offset < 0 || tensor->extent < 0 || tensor->extent > storage.size - tensor->offset) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    if (size >= 2 && data[0] == 'P' && data[1] == 'K') {
      for (const auto& [name, entry] : easel::read_zip_archive(bytes, "input")) read_state_dict(entry);
    } else {
      read_state_dict(bytes);
    }
  } catch (const easel::Error&) {
    // The other right outcome: the file is refused.
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using namespace easel::samples;
  const std::string shared = storage("HalfStorage", "7", 6);
  return {valid_pickle(), zip("archive/data.pkl", valid_pickle()),
          pickle(global("collections", "OrderedDict") +
                 tuple("](" + text("a") + tensor(shared, 2, integer(2), integer(2)) + "q\x05\x86" + "e") + "R" +
                 text("b") + "h\x05s}b"),
          pickle("}" + text("state_dict") + "}" + text("w") + global("torch._utils", "_rebuild_parameter") +
                 tuple(tensor(shared, 0, "", "") + "\x88N") + "Rss"),
          pickle(global("posix", "system") + tuple(text("true")) + "R")};
}
