// Memory for decoded images: its parts, and the requests that wait for it.
#include "http/openai/requests/image_memory.h"

#include <gtest/gtest.h>

#include <future>
#include <string>

namespace easel::http {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kShort{50};
constexpr std::chrono::seconds kLong{20};

TEST(ImageMemory, AnAccountHoldsHalfAndOthersFindARest) {
  ImageMemory memory(800, kShort);
  const auto first = memory.try_take("a", 300);
  EXPECT_TRUE(first);
  EXPECT_FALSE(memory.try_take("a", 101)) << "half of it is the most";
  const auto second = memory.try_take("a", 100), other = memory.try_take("b", 200);
  EXPECT_TRUE(second && other);
  EXPECT_FALSE(memory.try_take("b", 1)) << "the last quarter is for accounts that hold none";
  const auto newcomer = memory.try_take("c", 200);
  EXPECT_TRUE(newcomer);
  EXPECT_FALSE(memory.try_take("d", 1)) << "all of it is taken";
}

TEST(ImageMemory, WhatIsLargerThanAllOfItIsAcceptedWhileNobodyHoldsAny) {
  ImageMemory memory(800, kShort);
  auto large = memory.try_take("a", 5000);
  EXPECT_TRUE(large);
  EXPECT_FALSE(memory.try_take("b", 1));
  large.reset();
  EXPECT_TRUE(memory.try_take("b", 5000));
}

TEST(ImageMemory, TakeWaitsUntilMemoryIsGivenBack) {
  ImageMemory memory(800, kLong);
  auto first = memory.try_take("a", 400);
  auto second = std::async(std::launch::async, [&] { return memory.take("a", 300); });
  EXPECT_EQ(second.wait_for(kShort), std::future_status::timeout);
  first.reset();
  EXPECT_TRUE(second.get());
}

TEST(ImageMemory, TakeEndsAfterTheLongestWaitAndWhenTheServerEnds) {
  ImageMemory impatient(800, kShort);
  const auto held = impatient.try_take("a", 800);
  EXPECT_FALSE(impatient.take("b", 1));

  ImageMemory patient(800, kLong);
  const auto all = patient.try_take("a", 800);
  auto waiting = std::async(std::launch::async, [&] { return patient.take("b", 1); });
  EXPECT_EQ(waiting.wait_for(kShort), std::future_status::timeout);
  patient.end_waiting();
  EXPECT_FALSE(waiting.get());
}

TEST(ImageMemory, PlacesMayOutliveTheObject) {
  ImageMemory::Place place;
  {
    ImageMemory memory(800, kShort);
    place = memory.try_take("a", 800);
  }
  place.reset();
  EXPECT_FALSE(place);
}

}  // namespace
}  // namespace easel::http
