// Files that links lead to: their limits in bytes and time, and their ids.
#include "http/openai/responses/image_store.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace easel::http {
namespace {

using std::chrono::seconds;

StoredImage image_file(char content, std::size_t bytes) {
  return {.bytes = std::string(bytes, content), .format = ImageFormat::kWebp};
}

TEST(ImageStore, KeepsFilesUnderIdsThatDiffer) {
  ImageStore store(100, seconds(60));
  std::set<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    const auto id = store.add(image_file('a', 5));
    ASSERT_TRUE(id);
    EXPECT_EQ(id->size(), 32u);
    EXPECT_EQ(id->find_first_not_of("0123456789abcdef"), std::string::npos) << *id;
    ids.insert(*id);
  }
  EXPECT_EQ(ids.size(), 20u);
  const auto found = store.find(*ids.begin());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, "aaaaa");
  EXPECT_EQ(found->format, ImageFormat::kWebp);
  EXPECT_EQ(store.find("0123456789abcdef0123456789abcdef"), nullptr);
  EXPECT_EQ(store.find(""), nullptr);
}

TEST(ImageStore, DropsTheOldestFilesToMakeRoom) {
  ImageStore store(10, seconds(60));
  const auto first = store.add(image_file('a', 4)), second = store.add(image_file('b', 4));
  // Reading a file does not make it younger.
  EXPECT_TRUE(store.find(*first));
  const auto third = store.add(image_file('c', 4));
  EXPECT_FALSE(store.find(*first));
  EXPECT_TRUE(store.find(*second));
  EXPECT_TRUE(store.find(*third));
  const auto whole = store.add(image_file('d', 10));
  EXPECT_FALSE(store.find(*second) || store.find(*third));
  EXPECT_TRUE(store.find(*whole));
}

TEST(ImageStore, RefusesAFileThatIsLargerThanTheStoreAndLeavesItWhole) {
  ImageStore store(10, seconds(60));
  const auto kept = store.add(image_file('a', 10));
  auto large = image_file('b', 11);
  EXPECT_FALSE(store.add(std::move(large)));
  // NOLINTNEXTLINE(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(large.bytes, std::string(11, 'b'));
  EXPECT_TRUE(store.find(*kept)) << "a file that is not kept drops no other";
  ImageStore none(0, seconds(60));
  EXPECT_FALSE(none.add(image_file('a', 1)));
}

TEST(ImageStore, DropsFilesAfterTheirLifetime) {
  auto now = ImageStore::Clock::time_point();
  ImageStore store(10, seconds(60), [&] { return now; });
  const auto first = store.add(image_file('a', 5));
  now += seconds(30);
  const auto second = store.add(image_file('b', 5));
  now += seconds(29);
  EXPECT_TRUE(store.find(*first));
  now += seconds(1);
  EXPECT_FALSE(store.find(*first));
  EXPECT_TRUE(store.find(*second));
  now += seconds(30);
  EXPECT_FALSE(store.find(*second));
}

TEST(ImageStore, StaysWithinItsLimitsWhenManyThreadsUseIt) {
  ImageStore store(50, seconds(60));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        const auto id = store.add(image_file('a', 7));
        const auto found = store.find(*id);
        EXPECT_TRUE(!found || found->bytes.size() == 7);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  // The store has room for seven files of seven bytes, so that an eighth drops the first.
  const auto first = store.add(image_file('b', 7));
  for (int i = 0; i < 6; ++i) store.add(image_file('c', 7));
  EXPECT_TRUE(store.find(*first));
  store.add(image_file('d', 7));
  EXPECT_FALSE(store.find(*first));
}

}  // namespace
}  // namespace easel::http
