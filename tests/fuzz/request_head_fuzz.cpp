// Fuzzes the reader of request heads. A head that is found in pieces is the head that is found at once.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "fuzz_target.h"
#include "http/transport/protocol_error.h"
#include "http/transport/request_head.h"

namespace {

using easel::http::HeadScanner;
using easel::http::ProtocolError;

struct Found {
  std::optional<std::size_t> end;
  int status = 0;  // of a refusal
};

Found find_end(std::string_view bytes, std::size_t step) {
  HeadScanner scanner;
  for (std::size_t count = std::min(step, bytes.size());; count = std::min(count + step, bytes.size())) {
    try {
      if (const auto end = scanner.find_end(bytes.substr(0, count))) return {.end = end};
    } catch (const ProtocolError& error) {
      return {.end = {}, .status = error.reason().status};
    }
    if (count == bytes.size()) return {};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = find_end(bytes, bytes.size() + 1);
  const auto pieces = find_end(bytes, 7);
  if (whole.end && pieces.end && whole.end != pieces.end) std::abort();
  if (!whole.end) return 0;
  try {
    const auto head = easel::http::parse_request_head(bytes.substr(0, *whole.end));
    if (head.method.empty() || head.path.empty()) std::abort();
    if (head.chunked && head.body_bytes != 0) std::abort();
  } catch (const ProtocolError& error) {
    if (error.reason().status < 400 || error.reason().status > 599) std::abort();
  }
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  return {
      "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
      "POST /v1/images/edits?x=1 HTTP/1.1\r\nHost: [::1]:9225\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
      "POST http://a.example/v1 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
      "OPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\nX-A: \xc3\xa9\r\nX-A: b\r\n\r\n"};
}
