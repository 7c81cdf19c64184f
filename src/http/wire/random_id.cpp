#include "http/wire/random_id.h"

#include <cstdint>
#include <random>

namespace easel::http {

std::string random_id() {
  static constexpr char kHex[] = "0123456789abcdef";
  constexpr int kWords = 4;
  thread_local std::random_device source;
  std::string id;
  for (int word = 0; word < kWords; ++word) {
    const std::uint32_t bits = source();
    for (int shift = 28; shift >= 0; shift -= 4) id += kHex[(bits >> shift) & 15];
  }
  return id;
}

}  // namespace easel::http
