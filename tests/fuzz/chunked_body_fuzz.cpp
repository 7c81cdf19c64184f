// Fuzzes chunked bodies through a whole connection. A body that arrives in pieces is read as one that arrives at once.
#include <cstdlib>
#include <string>

#include "fuzz_target.h"
#include "http/support/served_bytes.h"

namespace {

constexpr std::size_t kMaxBytes = 20'000;  // more does not fit into the pair of sockets
constexpr std::size_t kMaxBodyBytes = 4'000;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > kMaxBytes) return 0;
  const auto request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                       std::string(reinterpret_cast<const char*>(data), size);
  const auto whole = easel::test::serve_bytes(request, request.size(), kMaxBodyBytes);
  const auto pieces = easel::test::serve_bytes(request, /*step=*/1 + size / 20, kMaxBodyBytes);
  if (whole.body != pieces.body) std::abort();
  if (whole.body && whole.body->size() > kMaxBodyBytes) std::abort();
  return 0;
}

std::vector<std::string> easel::seed_corpus() {
  return {"5\r\nhello\r\n0\r\n\r\n", "1;name=\"value\"\r\n \r\n00a ; x\r\nwor\r\nld!!!\r\n0\r\nTrailer: x\r\n\r\n",
          "ffffffffffffffff\r\nx", "1\r\na\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"};
}
