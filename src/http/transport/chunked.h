// The chunked transfer coding of RFC 9112 section 7.1, from bytes that arrive piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace easel::http {

/// Takes a chunked body apart. Chunk extensions and trailers are read and dropped. Not thread-safe.
class ChunkedDecoder {
 public:
  /// @param max_bytes  most that the decoded body may have
  explicit ChunkedDecoder(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// Decodes as much as it can. @return how many bytes were used; fewer than given only once done()
  /// @throws ProtocolError  400: not chunked coding; 413: over the limit. Both close
  std::size_t feed(std::string_view bytes);

  bool done() const { return state_ == State::kDone; }
  /// What was decoded since the last call.
  std::string take_body() { return std::exchange(body_, {}); }

 private:
  enum class State { kSizeLine, kData, kDataEnd, kTrailerLine, kDone };

  void end_line();

  std::size_t max_bytes_;
  State state_ = State::kSizeLine;
  std::string line_;               // of the size, data end or trailer line being read
  std::size_t trailer_bytes_ = 0;  // read so far
  std::uint64_t chunk_left_ = 0;
  std::uint64_t body_bytes_ = 0;  // that the sizes seen so far add up to
  std::string body_;
};

}  // namespace easel::http
