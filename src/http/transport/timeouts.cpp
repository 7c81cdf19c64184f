// Deadlines of transfers.
#include "http/transport/timeouts.h"

#include <algorithm>

namespace easel::http {
namespace {

constexpr std::size_t kBytesPerExtraSecond = 64 * 1024;
constexpr std::size_t kProgressBytes = 8 * 1024;

}  // namespace

TransferDeadline TransferDeadline::of_body(const ConnectionTimeouts& timeouts, Pressure pressure) {
  return {timeouts.body, timeouts.under_load, timeouts.under_load, pressure};
}

TransferDeadline TransferDeadline::of_response(const ConnectionTimeouts& timeouts, Pressure pressure) {
  // It may be an image that was accepted before the server stopped.
  return {timeouts.write, timeouts.under_load, 5 * timeouts.under_load, pressure};
}

void TransferDeadline::progress(std::size_t bytes) {
  bytes_ += bytes;
  if (bytes_ - bytes_at_progress_ < kProgressBytes) return;
  bytes_at_progress_ = bytes_;
  progressed_at_ = Clock::now();
}

void TransferDeadline::postpone(std::chrono::nanoseconds time) {
  started_ += time;
  progressed_at_ += time;
}

TransferDeadline::Clock::time_point TransferDeadline::at(Pressure pressure) {
  const auto deadline = started_ + allowed_ + std::chrono::seconds(bytes_ / kBytesPerExtraSecond);
  if (pressure == Pressure::kNone) return deadline;
  auto under_pressure = std::min(deadline, (began_under_pressure_ ? started_ : progressed_at_) + under_load_);
  if (pressure == Pressure::kStopping) {
    if (!stopping_since_) stopping_since_ = Clock::now();
    under_pressure = std::min(under_pressure, *stopping_since_ + after_stop_);
  }
  return under_pressure;
}

}  // namespace easel::http
