// How many images may be in memory: arithmetic on values.
#include "engine/admission.h"

#include <gtest/gtest.h>

namespace easel {
namespace {

TEST(Admission, AQuarterOfThePlacesIsKeptForFirstImages) {
  const Admission empty({.max_active = 8, .max_parked = 0}, {});
  EXPECT_EQ(empty.free_places(), 8);
  EXPECT_EQ(empty.images_to_begin({.images = 0, .remaining_seconds = 1}, 20), 6);
  EXPECT_EQ(empty.images_to_begin({.images = 0, .remaining_seconds = 1}, 3), 3);
  const Admission busy({.max_active = 8, .max_parked = 0}, {{.images = 6, .remaining_seconds = 100}});
  EXPECT_EQ(busy.images_to_begin({.images = 6, .remaining_seconds = 100}, 14), 0) << "its first image is in memory";
  EXPECT_EQ(busy.images_to_begin({.images = 0, .remaining_seconds = 100}, 14), 1);
}

TEST(Admission, NothingBeginsWhenAllPlacesAreTakenAndNoneMayBeParked) {
  const Admission full({.max_active = 2, .max_parked = 0}, {{.images = 2, .remaining_seconds = 100}});
  EXPECT_EQ(full.free_places(), 0);
  EXPECT_FALSE(full.admits_first_image(1));
  EXPECT_EQ(full.images_to_begin({.images = 0, .remaining_seconds = 1}, 1), 0);
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
