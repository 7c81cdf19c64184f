// Fuzzes the parser of safetensors headers, which is the first code that reads an untrusted file.
#include <cstdlib>
#include <span>

#include "../weights/samples.h"
#include "easel/error.h"
#include "fuzz_target.h"
#include "weights/format/safetensors_header.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header = easel::parse_safetensors_header(std::as_bytes(std::span(data, size)), "input");
    // The tensors of an accepted header must cover the file, one after the other.
    std::uint64_t covered = 0;
    for (const auto& tensor : header.tensors) {
      if (tensor.begin != covered || tensor.end < tensor.begin) std::abort();
      covered = tensor.end;
    }
    if (header.data_begin + covered != size) std::abort();
  } catch (const easel::Error&) {
    // The other right outcome: the file is refused.
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  using samples::safetensors;
  return {samples::valid_safetensors(), safetensors("{}", 0),
          safetensors(R"({"x":{"dtype":"F4","shape":[2],"later":[{"a":1}],"data_offsets":[0,1]}})", 1)};
}
