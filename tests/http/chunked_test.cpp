// Chunked bodies in every cut, and broken ones.
#include "http/transport/chunked.h"

#include <gtest/gtest.h>

#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

constexpr std::size_t kLimit = 100;

// Feeds `text` in pieces of `step` bytes. @return the decoded body; none if it did not end
std::optional<std::string> decode(std::string_view text, std::size_t step) {
  ChunkedDecoder decoder(kLimit);
  for (std::size_t at = 0; at < text.size() && !decoder.done(); at += step) decoder.feed(text.substr(at, step));
  if (!decoder.done()) return std::nullopt;
  return decoder.take_body();
}

int refusal_of(std::string_view text) {
  try {
    decode(text, 3);
  } catch (const ProtocolError& failure) {
    EXPECT_TRUE(failure.reason().close);
    return failure.reason().status;
  }
  return 0;
}

TEST(ChunkedDecoder, DecodesAcrossAnySplit) {
  const std::string text =
      "5\r\nhello\r\n1;name=\"value\"\r\n \r\n00a ; x\r\nwor\r\nld!!!\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\n";
  for (std::size_t step = 1; step <= text.size(); ++step) EXPECT_EQ(decode(text, step), "hello wor\r\nld!!!") << step;
}

TEST(ChunkedDecoder, LeavesBytesOfTheNextRequest) {
  const std::string_view text = "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1";
  ChunkedDecoder decoder(kLimit);
  EXPECT_EQ(decoder.feed(text), text.find("GET"));
  EXPECT_TRUE(decoder.done());
}

TEST(ChunkedDecoder, NotDoneBeforeTheLastChunk) {
  for (const std::string_view text : {"", "5", "5\r\nhel", "5\r\nhello\r\n", "0\r\n", "0\r\nTrailer: x\r\n"}) {
    EXPECT_EQ(decode(text, 2), std::nullopt) << text;
  }
}

TEST(ChunkedDecoder, RejectsMalformedChunks) {
  for (const std::string_view text : {"zz\r\n", "-1\r\n", "+5\r\n", "0x5\r\n", "\r\n", ";ext\r\n", "5 5\r\n",
                                      "5\nhello", "5\r\nhello!\r\n", "5\r\nhello\n", "{\"prompt\":1}\r\n"}) {
    EXPECT_EQ(refusal_of(text), 400) << text;
  }
  EXPECT_EQ(refusal_of("5;" + std::string(10000, 'x')), 400);
  std::string trailers = "0\r\n";
  for (int i = 0; i < 100; ++i) trailers += "T: " + std::string(1000, 'x') + "\r\n";
  EXPECT_EQ(refusal_of(trailers), 400);
}

TEST(ChunkedDecoder, BodyOverTheLimitReturns413) {
  const std::string most(kLimit, 'x');
  EXPECT_EQ(decode("64\r\n" + most + "\r\n0\r\n\r\n", 7), most);
  EXPECT_EQ(refusal_of("65\r\n"), 413) << "before a byte of it is read";
  EXPECT_EQ(refusal_of("60\r\n" + std::string(96, 'x') + "\r\n5\r\n"), 413);
  EXPECT_EQ(refusal_of("ffffffffffffffff\r\n"), 413);
  EXPECT_EQ(refusal_of("1ffffffffffffffff\r\n"), 413) << "no overflow";
}

}  // namespace
}  // namespace easel::http
