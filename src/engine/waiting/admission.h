// How many images may be in memory on a device.
#pragma once

#include <cstdint>
#include <vector>

namespace easel {

/// Answers, for the images that are in memory at one moment, what may be begun next. A value: no threads, no clock.
///
/// A device has places for `max_active` images. A quarter of them is kept for the first images of requests, so that a
/// request with many images does not take them all. A request that has been begun holds a place until its last image
/// is begun, also between two of its images: it is one request with the sum of its work. When all places are taken, a
/// request that needs much less time than the running ones may still begin one image; others are then parked, at most
/// `max_parked`.
class Admission {
 public:
  struct Limits {
    std::int64_t max_active = 16;
    std::int64_t max_parked = 48;
  };
  /// A request that has been begun.
  struct Running {
    std::int64_t images = 0;       ///< in memory
    std::int64_t not_begun = 0;    ///< further images
    double remaining_seconds = 0;  ///< estimated device time
  };

  Admission(Limits limits, std::vector<Running> running);

  /// Places that are not taken. Negative while images are parked.
  std::int64_t free_places() const { return free_places_; }
  /// Whether a request may begin its first image in memory. @param seconds  estimated device time that it still needs
  bool admits_first_image(double seconds) const;
  /// How many images a request may begin now. @param request  one of the running ones
  std::int64_t images_to_begin(const Running& request) const;

 private:
  const Limits limits_;
  const std::vector<Running> running_;
  std::int64_t free_places_;
};

}  // namespace easel
