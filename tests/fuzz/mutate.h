// Mutates bytes with a seeded random source.
#pragma once

#include <algorithm>
#include <random>
#include <string>

namespace easel {

/// Returns `bytes` with one to four changes: a bit flipped, a byte replaced, inserted or removed, the end cut off, or a
/// range copied to another position.
inline std::string mutate(std::string bytes, std::mt19937_64& random) {
  const auto below = [&](std::size_t limit) {
    return static_cast<std::size_t>(random() % std::max<std::size_t>(limit, 1));
  };
  for (std::size_t changes = 1 + below(4); changes-- > 0;) {
    const std::size_t at = below(bytes.size());
    const char byte = static_cast<char>(below(256));
    switch (bytes.empty() ? 2 : below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes[at] = byte;
        break;
      case 2:
        bytes.insert(at, 1, byte);
        break;
      case 3:
        bytes.erase(at, 1 + below(4));
        break;
      case 4:
        bytes.resize(at);
        break;
      default: {
        const auto count = below(64);  // drawn first, since compilers evaluate arguments in different orders
        bytes.insert(at, bytes.substr(below(bytes.size()), count));
      }
    }
  }
  return bytes;
}

}  // namespace easel
