#include "core/lru_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace easel {
namespace {

TEST(LruCache, EvictsTheLeastRecentlyUsedValue) {
  LruCache<int> cache(2);
  cache.insert("a", 1, 1);
  cache.insert("b", 2, 1);
  ASSERT_NE(cache.find("a"), nullptr);
  cache.insert("c", 3, 1);
  EXPECT_EQ(cache.find("b"), nullptr);
  EXPECT_EQ(*cache.find("a"), 1);
  EXPECT_EQ(*cache.find("c"), 3);
  EXPECT_EQ(cache.weight(), 2u);
}

TEST(LruCache, EvictsAsManyValuesAsTheWeightNeeds) {
  LruCache<std::string> cache(4);
  for (const char* key : {"a", "b", "c", "d"}) cache.insert(key, key, 1);
  cache.insert("heavy", "x", 3);
  EXPECT_NE(cache.find("d"), nullptr);
  for (const char* key : {"a", "b", "c"}) EXPECT_EQ(cache.find(key), nullptr) << key;
  cache.insert("heavier than the cache", "y", 5);
  EXPECT_EQ(cache.find("heavy"), nullptr);
  EXPECT_EQ(cache.find("heavier than the cache"), nullptr);
  EXPECT_EQ(cache.weight(), 0u);
}

TEST(LruCache, ReplacesTheValueOfAKeyWithItsWeight) {
  LruCache<int> cache(10);
  cache.insert("a", 1, 6);
  cache.insert("b", 2, 2);
  cache.insert("a", 3, 7);
  EXPECT_EQ(*cache.find("a"), 3);
  EXPECT_EQ(*cache.find("b"), 2);
  EXPECT_EQ(cache.weight(), 9u);
  cache.erase("a");
  cache.erase("a");
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_EQ(cache.weight(), 2u);
}

}  // namespace
}  // namespace easel
