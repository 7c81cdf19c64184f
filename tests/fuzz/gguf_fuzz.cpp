// Fuzzes the parser of GGUF headers, which is the first code that reads an untrusted file of this format.
#include <cstdlib>
#include <span>

#include "../weights/samples.h"
#include "easel/error.h"
#include "fuzz_target.h"
#include "weights/format/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto file = std::as_bytes(std::span(data, size));
    const auto header = easel::parse_gguf_header(file, "input");
    std::uint64_t covered = 0;
    for (const auto& tensor : header.tensors) {
      // The tensors of an accepted header lie in the file, one after the other, and their blocks can be decoded.
      if (tensor.begin < covered || tensor.end < tensor.begin || tensor.end > size) std::abort();
      covered = tensor.end;
      if ((tensor.dtype == nullptr) == (tensor.blocks == nullptr)) std::abort();
      if (tensor.blocks == nullptr) continue;
      const auto bytes = file.subspan(tensor.begin, tensor.end - tensor.begin);
      if (bytes.size() % static_cast<std::size_t>(tensor.blocks->bytes) != 0) std::abort();
      std::vector<float> values(bytes.size() / static_cast<std::size_t>(tensor.blocks->bytes) *
                                static_cast<std::size_t>(tensor.blocks->values));
      easel::decode_blocks(*tensor.blocks, bytes, values);
    }
  } catch (const easel::Error&) {
    // The other right outcome: the file is refused.
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using namespace samples;
  return {valid_gguf(), gguf({}, {}, 0), gguf({}, {}, 0, 2),
          gguf({gguf_number("general.alignment", 8)},
               {gguf_tensor("x", {256}, 12, 0), gguf_tensor("y", {1, 1, 1, 1}, 24, 144)}, 145, 3, 8)};
}
