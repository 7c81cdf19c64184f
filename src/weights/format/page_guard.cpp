#include "weights/format/page_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace easel {
namespace {

// A signal handler may neither lock nor read memory that another thread could free, so mappings are in a fixed table.
struct GuardedRange {
  std::atomic<bool> taken = false, truncated = false;
  std::atomic<std::uintptr_t> begin = 0, end = 0;
};
std::array<GuardedRange, PageGuard::kMaxMappings> guarded_ranges;
std::uintptr_t page_bytes = 0;
struct sigaction before;
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_bus_error(int, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (auto& range : guarded_ranges) {
    if (address < range.begin || address >= range.end) continue;
    void* const page = static_cast<std::byte*>(info->si_addr) - address % page_bytes;
    const auto flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (mmap(page, page_bytes, PROT_READ, flags, -1, 0) == MAP_FAILED) break;
    range.truncated = true;
    return;
  }
  sigaction(SIGBUS, &before, nullptr);  // not a mapping of ours: the read is repeated and meets the former handler
}

void install_handler() {
  page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, &before);
}

}  // namespace

void install_truncation_guard() {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
}

PageGuard::PageGuard(const void* data, std::size_t size) : range_index_(kMaxMappings) {
  for (std::size_t i = 0; i < kMaxMappings; ++i) {
    if (guarded_ranges[i].taken.exchange(true)) continue;
    range_index_ = i;
    guarded_ranges[i].truncated = false;
    guarded_ranges[i].begin = reinterpret_cast<std::uintptr_t>(data);
    guarded_ranges[i].end = reinterpret_cast<std::uintptr_t>(data) + size;
    return;
  }
}

PageGuard::~PageGuard() {
  if (range_index_ == kMaxMappings) return;
  guarded_ranges[range_index_].end = 0;
  guarded_ranges[range_index_].begin = 0;
  guarded_ranges[range_index_].taken = false;
}

bool PageGuard::truncated() const {
  return range_index_ != kMaxMappings && guarded_ranges[range_index_].truncated;
}

}  // namespace easel
