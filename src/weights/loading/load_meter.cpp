#include "weights/loading/load_meter.h"

#include <algorithm>
#include <utility>

namespace easel {

namespace {

thread_local LoadMeter* listening = nullptr;

}  // namespace

LoadMeter::LoadMeter(std::int64_t total_bytes, std::function<void(double)> progress)
    : total_bytes_(std::max<std::int64_t>(total_bytes, 1)), progress_(std::move(progress)) {
  listening = this;
}

LoadMeter::~LoadMeter() {
  listening = nullptr;
}

void LoadMeter::add(std::int64_t bytes) {
  if (!listening || !listening->progress_) return;
  listening->bytes_ += bytes;
  const auto part = static_cast<double>(listening->bytes_) / static_cast<double>(listening->total_bytes_);
  listening->progress_(std::min(part, 1.0));
}

}  // namespace easel
