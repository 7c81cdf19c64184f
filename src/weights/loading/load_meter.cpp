#include "weights/loading/load_meter.h"

#include <algorithm>
#include <utility>

namespace easel {

namespace {

thread_local LoadMeter* current_meter = nullptr;

}  // namespace

LoadMeter::LoadMeter(std::int64_t total_bytes, std::function<void(double)> progress)
    : total_bytes_(std::max<std::int64_t>(total_bytes, 1)), progress_(std::move(progress)) {
  current_meter = this;
}

LoadMeter::~LoadMeter() {
  current_meter = nullptr;
}

void LoadMeter::add(std::int64_t bytes) {
  if (!current_meter || !current_meter->progress_) return;
  current_meter->bytes_ += bytes;
  const auto part = static_cast<double>(current_meter->bytes_) / static_cast<double>(current_meter->total_bytes_);
  current_meter->progress_(std::min(part, 1.0));
}

}  // namespace easel
