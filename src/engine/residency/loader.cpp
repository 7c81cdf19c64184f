#include "engine/residency/loader.h"

#include <utility>

namespace easel {

Loader::Loader() : thread_([this] { work(); }) {}

Loader::~Loader() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void Loader::run(std::function<void()> task) {
  const MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  changed_.notify_one();
}

std::vector<std::function<void()>> Loader::next_tasks() {
  const MutexLock lock(mutex_);
  while (tasks_.empty() && !stopping_) changed_.wait(mutex_);
  return std::exchange(tasks_, {});
}

void Loader::work() {
  for (auto tasks = next_tasks(); !tasks.empty(); tasks = next_tasks()) {
    for (const auto& task : tasks) task();
  }
}

}  // namespace easel
