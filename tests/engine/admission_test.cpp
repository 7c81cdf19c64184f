// How many images may be in memory: arithmetic on values.
#include "engine/waiting/admission.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

constexpr Admission::Limits kEight{.max_active = 8, .max_parked = 0};

TEST(Admission, AQuarterOfThePlacesIsKeptForFirstImages) {
  const Admission::Running large{.images = 0, .not_begun = 20, .remaining_seconds = 100};
  EXPECT_EQ(Admission(kEight, {large}).images_to_begin(large), 6);
  const Admission::Running small{.images = 0, .not_begun = 3, .remaining_seconds = 100};
  EXPECT_EQ(Admission(kEight, {small}).images_to_begin(small), 3);
  const Admission::Running begun{.images = 6, .not_begun = 14, .remaining_seconds = 100};
  const Admission busy(kEight, {begun, large});
  EXPECT_EQ(busy.free_places(), 1);
  EXPECT_EQ(busy.images_to_begin(begun), 0) << "its first image is in memory";
  EXPECT_EQ(busy.images_to_begin(large), 1);
}

TEST(Admission, ARequestHoldsItsPlaceBetweenTwoOfItsImages) {
  const Admission::Running between{.images = 0, .not_begun = 2, .remaining_seconds = 100};
  const Admission::Running other{.images = 7, .not_begun = 0, .remaining_seconds = 1};
  const Admission full(kEight, {between, other});
  EXPECT_EQ(full.free_places(), 0);
  EXPECT_FALSE(full.admits_first_image(1)) << "a waiting request must not take the place";
  EXPECT_EQ(full.images_to_begin(between), 1);
}

TEST(Admission, NothingBeginsWhenAllPlacesAreTakenAndNoneMayBeParked) {
  const Admission full({.max_active = 2, .max_parked = 0}, {{.images = 2, .remaining_seconds = 100}});
  EXPECT_EQ(full.free_places(), 0);
  EXPECT_FALSE(full.admits_first_image(1));
}

TEST(Admission, AMuchShorterRequestParksOthers) {
  const Admission full({.max_active = 2, .max_parked = 1}, {{.images = 1, .remaining_seconds = 60},
                                                            {.images = 1, .remaining_seconds = 20},
                                                            {.images = 0, .remaining_seconds = 1000}});
  EXPECT_TRUE(full.admits_first_image(10)) << "a quarter of 40 s, the average of those with an image in memory";
  EXPECT_FALSE(full.admits_first_image(10.1));
  const Admission parked({.max_active = 2, .max_parked = 1},
                         {{.images = 2, .remaining_seconds = 60}, {.images = 1, .remaining_seconds = 10}});
  EXPECT_EQ(parked.free_places(), -1);
  EXPECT_FALSE(parked.admits_first_image(0.1)) << "as many images are parked as may be";
}

}  // namespace
}  // namespace easel
