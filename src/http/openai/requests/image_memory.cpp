#include "http/openai/requests/image_memory.h"

#include <utility>

#include "core/mutex.h"
#include "http/transport/account_usage.h"

namespace easel::http {

struct ImageMemory::State {
  explicit State(std::size_t bytes) : usage(bytes) {}

  bool fits(const std::string& account, std::size_t more) const EASEL_REQUIRES(mutex) {
    if (usage.used() == 0) return true;
    if (usage.of(account) == 0) return usage.used() + more <= usage.total();
    return usage.is_within_half(account, more) && usage.leaves_a_quarter(more);
  }

  Mutex mutex;
  CondVar changed;
  bool ending EASEL_GUARDED_BY(mutex) = false;
  AccountUsage usage EASEL_GUARDED_BY(mutex);
};

class ImageMemory::Holding {
 public:
  Holding(std::shared_ptr<State> state, std::string account, std::size_t bytes)
      : state_(std::move(state)), account_(std::move(account)), bytes_(bytes) {}
  ~Holding() {
    const MutexLock lock(state_->mutex);
    state_->usage.remove(account_, bytes_);
    state_->changed.notify_all();
  }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

 private:
  const std::shared_ptr<State> state_;
  const std::string account_;
  const std::size_t bytes_;
};

ImageMemory::ImageMemory(std::size_t bytes, std::chrono::milliseconds wait)
    : wait_(wait), state_(std::make_shared<State>(bytes)) {}

ImageMemory::Place ImageMemory::try_take(const std::string& account, std::size_t bytes) {
  {
    const MutexLock lock(state_->mutex);
    if (!state_->fits(account, bytes)) return nullptr;
    state_->usage.add(account, bytes);
  }
  return std::make_shared<const Holding>(state_, account, bytes);
}

ImageMemory::Place ImageMemory::take(const std::string& account, std::size_t bytes) {
  const auto until = std::chrono::steady_clock::now() + wait_;
  while (true) {
    if (auto place = try_take(account, bytes)) return place;
    const MutexLock lock(state_->mutex);
    bool in_time = true;
    while (!state_->fits(account, bytes) && !state_->ending && in_time) {
      in_time = state_->changed.wait_until(state_->mutex, until);
    }
    if (state_->ending || !in_time) return nullptr;
  }
}

void ImageMemory::end_waiting() {
  const MutexLock lock(state_->mutex);
  state_->ending = true;
  state_->changed.notify_all();
}

}  // namespace easel::http
