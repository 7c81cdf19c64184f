#include "engine/waiting/admission.h"

#include <algorithm>
#include <utility>

namespace easel {

namespace {

// The part of the places that is kept for the first images of requests.
constexpr std::int64_t kReserveDivisor = 4;
// A request may park others if it needs less than this part of the time that they need on average.
constexpr double kMuchShorter = 0.25;

// The place that a request holds between two of its images, or before its first one.
std::int64_t place_without_image(const Admission::Running& request) {
  return request.images == 0 && request.not_begun > 0 ? 1 : 0;
}

}  // namespace

Admission::Admission(Limits limits, std::vector<Running> running)
    : limits_(limits), running_(std::move(running)), free_places_(limits.max_active) {
  for (const auto& request : running_) free_places_ -= request.images + place_without_image(request);
}

// To begin everything at once would gain nothing: a request that is not much shorter than the running ones starts when
// one of them is done.
bool Admission::admits_first_image(double seconds) const {
  if (free_places_ > 0) return true;
  if (free_places_ + limits_.max_parked <= 0) return false;
  double total = 0, count = 0;
  for (const auto& request : running_) {
    if (request.images == 0) continue;
    total += request.remaining_seconds;
    ++count;
  }
  return seconds * count <= kMuchShorter * total;
}

std::int64_t Admission::images_to_begin(const Running& request) const {
  const auto reserve = limits_.max_active / kReserveDivisor;
  const auto own = place_without_image(request);
  return std::min(request.not_begun, std::max(own, free_places_ + own - reserve));
}

}  // namespace easel
