// A small state machine: size line, data, line end, ..., trailers.
#include "http/transport/chunked.h"

#include <algorithm>
#include <charconv>

#include "http/transport/message.h"
#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

constexpr std::size_t kMaxLineBytes = 4096;      // a size with its extensions, or one trailer
constexpr std::size_t kMaxTrailerBytes = 16384;  // all trailers

ProtocolError malformed(const char* message) {
  return ProtocolError({.status = 400, .message = message, .close = true});
}
ProtocolError too_large() {
  return ProtocolError({.status = 413, .message = "The request's body is too large.", .close = true});
}

std::uint64_t chunk_size(std::string_view line) {
  const auto digits = trimmed(line.substr(0, line.find(';')));
  std::uint64_t size = 0;
  const auto* end = digits.data() + digits.size();
  const auto [parsed, error] = std::from_chars(digits.data(), end, size, 16);
  if (error == std::errc::result_out_of_range) throw too_large();
  if (error != std::errc() || parsed != end) throw malformed("A chunk's size is not a hexadecimal number.");
  return size;
}

}  // namespace

std::size_t ChunkedDecoder::feed(std::string_view bytes) {
  std::size_t used = 0;
  while (used < bytes.size() && !done()) {
    if (state_ == State::kData) {
      const auto piece =
          bytes.substr(used, static_cast<std::size_t>(std::min<std::uint64_t>(chunk_left_, bytes.size())));
      body_ += piece;
      chunk_left_ -= piece.size();
      used += piece.size();
      if (chunk_left_ == 0) state_ = State::kDataEnd;
      continue;
    }
    const char c = bytes[used++];
    line_ += c;
    if (line_.size() > kMaxLineBytes) throw malformed("A line of the chunked body is too long.");
    if (c == '\n') end_line();
  }
  return used;
}

void ChunkedDecoder::end_line() {
  if (!line_.ends_with("\r\n")) throw malformed("A line of the chunked body ends without a carriage return.");
  const auto line = std::string_view(line_).substr(0, line_.size() - 2);
  switch (state_) {
    case State::kSizeLine:
      chunk_left_ = chunk_size(line);
      if (chunk_left_ > max_bytes_ - body_bytes_) throw too_large();
      body_bytes_ += chunk_left_;
      state_ = chunk_left_ ? State::kData : State::kTrailerLine;
      break;
    case State::kDataEnd:
      if (!line.empty()) throw malformed("A chunk is longer than its size says.");
      state_ = State::kSizeLine;
      break;
    default:
      trailer_bytes_ += line.size();
      if (trailer_bytes_ > kMaxTrailerBytes) throw malformed("The chunked body's trailers are too long.");
      if (line.empty()) state_ = State::kDone;
      break;
  }
  line_.clear();
}

}  // namespace easel::http
