#include "app/watchdog.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "app/allocator.h"
#include "app/service_manager.h"
#include "core/background_log.h"
#include "core/log.h"

namespace easel {
namespace {

constexpr std::chrono::seconds kUsualInterval{1};

}  // namespace

Watchdog::Watchdog(const Engine& engine, bool exit_on_stall)
    : engine_(engine), exit_on_stall_(exit_on_stall), thread_([this] { work(); }) {}

Watchdog::~Watchdog() {
  {
    const MutexLock lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Watchdog::work() {
  const std::chrono::microseconds usual = kUsualInterval;
  const auto interval = std::min(usual, watchdog_interval().value_or(usual));
  do look();
  while (wait(interval));
}

void Watchdog::look() {
  keep_freed_memory(!engine_.at_rest());
  if (engine_.all_devices_lost() && !std::exchange(ending_process_, true)) {
    log::error("no device works any more; the process ends when its responses are sent");
    kill(getpid(), SIGTERM);
  }
  const auto stalled = engine_.stalled_loops();
  if (stalled.empty()) {
    reported_ = false;
    if (watchdog_interval()) notify_service_manager("WATCHDOG=1");
    return;
  }
  if (reported_) return;
  reported_ = true;
  for (const auto& loop : stalled) {
    log::error("a device has made no progress",
               {{"device", loop.device}, {"seconds", loop.seconds}, {"work", loop.work}});
  }
  if (!exit_on_stall_) return;
  log::error("the process ends because of --exit-on-stall");
  log::flush_background();
  _exit(1);
}

/// @return false when the watchdog is to end
bool Watchdog::wait(std::chrono::microseconds time) {
  const auto until = CondVar::TimePoint::clock::now() + time;
  const MutexLock lock(mutex_);
  while (!ending_ && changed_.wait_until(mutex_, until)) {
  }
  return !ending_;
}

}  // namespace easel
