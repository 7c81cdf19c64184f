// Request ids.
#include "http/openai/request_id.h"

#include <algorithm>
#include <cstddef>

#include "http/wire/random_id.h"

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
  return "req_" + random_id();
}

}  // namespace easel::http
