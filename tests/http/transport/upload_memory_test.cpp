// Memory for request bodies: its order, its parts, and what happens without it.
#include "http/transport/upload_memory.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

#include "http/transport/protocol_error.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMebibyte = std::size_t{1} << 20;
constexpr milliseconds kShortWait{50};
constexpr std::chrono::seconds kLongWait{20};

/// Takes memory on a thread of its own.
class Taking {
 public:
  Taking(UploadMemory& memory, const std::string& account, std::size_t bytes)
      : result_(std::async(std::launch::async, [&memory, account, bytes] { return memory.take(account, 0, bytes); })) {}
  bool waits() const { return result_.wait_for(kShortWait) == std::future_status::timeout; }
  bool succeeded() { return result_.get(); }

 private:
  std::future<bool> result_;
};

TEST(UploadMemory, SmallBodiesHaveAQuarterOfTheirOwn) {
  UploadMemory memory(8 * kMebibyte, kShortWait);
  EXPECT_EQ(memory.max_body(), 6 * kMebibyte);
  EXPECT_TRUE(memory.take("a", 0, 3 * kMebibyte));
  EXPECT_TRUE(memory.take("b", 0, 3 * kMebibyte));
  EXPECT_FALSE(memory.take("c", 0, kMebibyte + 1)) << "only small bodies are left";
  EXPECT_TRUE(memory.take("c", 0, kMebibyte));
  EXPECT_TRUE(memory.take("d", 0, kMebibyte));
  EXPECT_FALSE(memory.take("e", 0, 1)) << "all of it is taken";
}

TEST(UploadMemory, NoAccountHoldsMoreThanHalfWhileAnotherWaits) {
  UploadMemory memory(8 * kMebibyte, kLongWait);
  EXPECT_TRUE(memory.take("a", 0, 3 * kMebibyte));
  EXPECT_TRUE(memory.take("a", 0, 3 * kMebibyte)) << "nobody else wants it";
  Taking other(memory, "b", 4 * kMebibyte);
  EXPECT_TRUE(other.waits());
  Taking same(memory, "a", 2 * kMebibyte);
  EXPECT_TRUE(same.waits());
  memory.give_back("a", 3 * kMebibyte);
  EXPECT_TRUE(same.waits()) << "it would fit, but half is the most while b waits";
  memory.give_back("a", 3 * kMebibyte);
  EXPECT_TRUE(other.succeeded());
  EXPECT_TRUE(same.succeeded());
}

TEST(UploadMemory, LargeBodiesAreNotStarvedBySmallerOnes) {
  UploadMemory memory(8 * kMebibyte, kLongWait);
  EXPECT_TRUE(memory.take("a", 0, 3 * kMebibyte));
  EXPECT_TRUE(memory.take("b", 0, 2 * kMebibyte));
  Taking large(memory, "c", 6 * kMebibyte);
  EXPECT_TRUE(large.waits());
  Taking later(memory, "d", 1 + kMebibyte);
  EXPECT_TRUE(later.waits());
  memory.give_back("a", 3 * kMebibyte);
  EXPECT_TRUE(later.waits()) << "there is space for it, but not after it for the one before it";
  memory.give_back("b", 2 * kMebibyte);
  EXPECT_TRUE(large.succeeded());
  memory.give_back("c", 6 * kMebibyte);
  EXPECT_TRUE(later.succeeded());
}

TEST(UploadMemory, NobodyWaitsOnceTheServerEnds) {
  UploadMemory memory(8 * kMebibyte, kLongWait);
  EXPECT_TRUE(memory.take("a", 0, 6 * kMebibyte));
  Taking other(memory, "b", 2 * kMebibyte);
  EXPECT_TRUE(other.waits());
  memory.end_waiting();
  EXPECT_FALSE(other.succeeded());
  EXPECT_TRUE(memory.take("c", 0, kMebibyte)) << "for this one nobody has to wait";
}

/// Sends a body in pieces of a mebibyte.
class SendingClient final : public Client {
 public:
  explicit SendingClient(std::size_t bytes) : bytes_(bytes) {}
  void receive_body(std::size_t max_bytes, const Sink& sink) override {
    limit = max_bytes;
    for (; sent < bytes_; sent += kMebibyte) sink(std::string(kMebibyte, 'x'));
  }
  const std::string& address() const override { return address_; }
  bool gone() override { return false; }

  std::size_t limit = 0;
  std::size_t sent = 0;

 private:
  const std::size_t bytes_;
  const std::string address_ = "192.0.2.1";
};

RequestHead head_of(std::size_t bytes, bool chunked) {
  RequestHead head;
  head.chunked = chunked;
  head.body_bytes = chunked ? 0 : bytes;
  return head;
}

TEST(BudgetedClient, HoldsTheDeclaredLengthUntilItIsDestroyed) {
  UploadMemory memory(8 * kMebibyte, kShortWait);
  const auto head = head_of(4 * kMebibyte, /*chunked=*/false);
  const std::string account = "a";
  {
    SendingClient client(4 * kMebibyte);
    BudgetedClient budgeted(client, head, memory, account);
    EXPECT_EQ(budgeted.read_body(100 * kMebibyte).size(), 4 * kMebibyte);
    EXPECT_EQ(client.limit, memory.max_body());
    EXPECT_FALSE(memory.take("b", 0, 3 * kMebibyte));
  }
  EXPECT_TRUE(memory.take("b", 0, 3 * kMebibyte));
}

TEST(BudgetedClient, BodyOfUnknownLengthGrows) {
  UploadMemory memory(64 * kMebibyte, kShortWait);
  const auto head = head_of(0, /*chunked=*/true);
  const std::string account = "a";
  SendingClient client(20 * kMebibyte);
  BudgetedClient budgeted(client, head, memory, account);
  EXPECT_EQ(budgeted.read_body(40 * kMebibyte).size(), 20 * kMebibyte);
  EXPECT_TRUE(memory.take("b", 0, 24 * kMebibyte)) << "48 are for large bodies, of which 24 are taken";
  EXPECT_FALSE(memory.take("c", 0, 2 * kMebibyte));
}

TEST(BudgetedClient, Returns429WithoutMemory) {
  UploadMemory memory(64 * kMebibyte, kShortWait);
  ASSERT_TRUE(memory.take("b", 0, 36 * kMebibyte));
  const std::string account = "a";
  for (const bool chunked : {false, true}) {
    const auto head = head_of(20 * kMebibyte, chunked);
    SendingClient client(20 * kMebibyte);
    BudgetedClient budgeted(client, head, memory, account);
    try {
      budgeted.read_body(40 * kMebibyte);
      ADD_FAILURE() << "there is memory for 12 only";
    } catch (const ProtocolError& refused) {
      EXPECT_EQ(refused.reason().status, 429);
      EXPECT_TRUE(refused.reason().close);
      EXPECT_EQ(client.sent, chunked ? 8 * kMebibyte : 0) << "the rest is not read";
    }
  }
  EXPECT_TRUE(memory.take("c", 0, 12 * kMebibyte)) << "what was taken is given back";
}

TEST(BudgetedClient, Returns503OnceTheServerEnds) {
  UploadMemory memory(64 * kMebibyte, kLongWait);
  ASSERT_TRUE(memory.take("b", 0, 40 * kMebibyte));
  memory.end_waiting();
  const auto head = head_of(20 * kMebibyte, /*chunked=*/false);
  const std::string account = "a";
  SendingClient client(20 * kMebibyte);
  BudgetedClient budgeted(client, head, memory, account);
  try {
    budgeted.read_body(40 * kMebibyte);
    ADD_FAILURE() << "there is memory for 8 only";
  } catch (const ProtocolError& refused) {
    EXPECT_EQ(refused.reason().status, 503);
  }
}

}  // namespace
}  // namespace easel::http
