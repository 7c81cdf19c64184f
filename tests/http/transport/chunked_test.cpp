// Chunked bodies split at every byte, and malformed ones.
#include <gtest/gtest.h>

#include <string>

#include "http/support/served_bytes.h"

namespace easel::test {
namespace {

constexpr std::size_t kLimit = 100;
constexpr std::size_t kOnePiece = 1 << 20;

ServedBytes serve_chunks(std::string_view chunks, std::size_t step) {
  return serve_bytes("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(chunks), step,
                     kLimit);
}

bool ended_early(const ServedBytes& served) {
  return served.refusal && served.refusal->reason().message.find("ended before") != std::string::npos;
}

// The body, or none when the bytes ended before it.
std::optional<std::string> decode(std::string_view chunks, std::size_t step) {
  const auto served = serve_chunks(chunks, step);
  EXPECT_TRUE(served.body || ended_early(served)) << chunks;
  return served.body;
}

int refusal_of(std::string_view chunks, std::size_t step = 3) {
  const auto served = serve_chunks(chunks, step);
  if (!served.refusal) return 0;
  EXPECT_FALSE(ended_early(served)) << "it is refused without waiting for more: " << chunks;
  EXPECT_TRUE(served.refusal->reason().close);
  return served.refusal->reason().status;
}

TEST(ChunkedBody, DecodesAcrossAnySplit) {
  const std::string text =
      "5\r\nhello\r\n1;name=\"value\"\r\n \r\n00a ; x\r\nwor\r\nld!!!\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\n";
  for (std::size_t step = 1; step <= text.size(); ++step) EXPECT_EQ(decode(text, step), "hello wor\r\nld!!!") << step;
}

TEST(ChunkedBody, LineFeedsAreContent) {
  for (std::size_t step = 1; step < 10; ++step) {
    EXPECT_EQ(decode("1\r\n\n\r\n2\r\n\n\n\r\n1\r\n\r\r\n0\r\n\r\n", step), "\n\n\n\r") << step;
  }
}

TEST(ChunkedBody, LeavesBytesOfTheNextRequest) {
  const std::string text = "1\r\na\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, kOnePiece}) {
    const auto served = serve_chunks(text, step);
    EXPECT_EQ(served.body, "a");
    EXPECT_EQ(served.next_path, "/next");
  }
}

TEST(ChunkedBody, NotDoneBeforeTheLastChunk) {
  for (const std::string_view text : {"", "5", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nTrailer: x\r\n"}) {
    EXPECT_EQ(decode(text, 2), std::nullopt) << text;
  }
}

TEST(ChunkedBody, RejectsMalformedChunks) {
  for (const std::string_view text :
       {"zz\r\n", "-1\r\n", "+5\r\n", "0x5\r\n", "\r\n", ";ext\r\n", "5 5\r\n", "5\nhello", "5\r\nhello!\r\n",
        "5\r\nhello\n", "{\"prompt\":1}\r\n", "5;a\rb\r\nhello\r\n", "5;a\nb\r\nhello\r\n", " 5\r\nhello\r\n",
        "0\r\nTrailer: x\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\t\r\nhello\r\n0\r\n\r\n", "1\r\na\r\n0  \r\n\r\n",
        "0 \r\n\r\n"}) {
    EXPECT_EQ(refusal_of(text), 400) << text;
    EXPECT_EQ(refusal_of(text, 1), 400) << text;
    EXPECT_EQ(refusal_of(text, kOnePiece), 400) << text;
  }
  EXPECT_EQ(refusal_of("5;" + std::string(10000, 'x'), 1000), 400);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 100; ++i) trailers += "T: " + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(refusal_of(trailers, 4000), 400);
}

TEST(ChunkedBody, BodyOverTheLimitReturns413) {
  const std::string most(kLimit, 'x');
  EXPECT_EQ(decode("64\r\n" + most + "\r\n0\r\n\r\n", 7), most);
  EXPECT_EQ(refusal_of("65\r\n"), 413) << "before a byte of it is read";
  EXPECT_EQ(refusal_of("60\r\n" + std::string(96, 'x') + "\r\n5\r\n"), 413);
  EXPECT_EQ(refusal_of("ffffffffffffffff\r\n"), 413);
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, kOnePiece}) {
    EXPECT_EQ(refusal_of("1ffffffffffffffff\r\n", step), 413) << "no overflow";
    EXPECT_EQ(refusal_of("10000000000000000;x\r\n", step), 413);
    EXPECT_EQ(refusal_of("1\r\na\r\n123456789012345678901234567890\r\n", step), 413);
  }
  EXPECT_EQ(decode("00000000000000000000001\r\na\r\n00000000000000000000\r\nffffffffffffffffff: x\r\n\r\n", 3), "a");
}

// Extensions and single bytes as chunks are allowed, but the framing must stay in proportion to the content.
TEST(ChunkedBody, FramingIsBounded) {
  std::string bytes_as_chunks;
  for (std::size_t i = 0; i < kLimit; ++i) bytes_as_chunks += "1\r\nx\r\n";
  EXPECT_EQ(decode(bytes_as_chunks + "0\r\n\r\n", 50), std::string(kLimit, 'x'));
  std::string extensions;
  for (int i = 0; i < 3; ++i) extensions += "1;" + std::string(4000, 'e') + "\r\nx\r\n";
  EXPECT_EQ(refusal_of(extensions, 1000), 400);
}

TEST(ChunkedBody, ReaderThatThrowsEndsTheConnection) {
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  for (const auto& rest : {chunked, std::string("Content-Length: 2\r\n\r\nab")}) {
    const auto text = "POST / HTTP/1.1\r\nHost: a\r\n" + rest + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    const auto served = serve_bytes(text, kOnePiece, kLimit, [](std::string_view) {
      throw http::ProtocolError({.status = 429, .message = "no memory", .close = true});
    });
    ASSERT_TRUE(served.refusal) << rest;
    EXPECT_EQ(served.refusal->reason().status, 429);
    EXPECT_FALSE(served.body);
    EXPECT_FALSE(served.next_path);
  }
}

}  // namespace
}  // namespace easel::test
