// Request ids.
#include "http/openai/request_id.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>

namespace easel::http {
namespace {

constexpr std::size_t kMaxBytes = 128;

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
         c == '.' || c == ':';
}

}  // namespace

std::string request_id(const Headers& headers) {
  const auto* given = headers.find("x-request-id");
  if (given && !given->empty() && given->size() <= kMaxBytes && std::all_of(given->begin(), given->end(), is_plain)) {
    return *given;
  }
  static constexpr char kHex[] = "0123456789abcdef";
  thread_local std::random_device source;
  std::string id = "req_";
  for (int word = 0; word < 4; ++word) {
    const std::uint32_t bits = source();
    for (int shift = 28; shift >= 0; shift -= 4) id += kHex[(bits >> shift) & 15];
  }
  return id;
}

}  // namespace easel::http
