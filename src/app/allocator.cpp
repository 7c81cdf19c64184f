// The allocator of the process: jemalloc, which reads these settings before main. The environment variable MALLOC_CONF
// overrides them.
//
// A step allocates and frees hundreds of tensors of 10 to 100 MB. The C library would map and unmap each of them, and
// the kernel would clear every page each time, which takes a tenth of a step's time on a CPU.
#include "app/allocator.h"

#include <jemalloc/jemalloc.h>
#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cstddef>

extern "C" const char* malloc_conf;

// A freed block may be split for a request of at least a 64th of its size, which is jemalloc's default
// (lg_extent_max_active_fit). With a 16th, the memory of small images grew with every step: small blocks that were
// freed next to each other became one block, which was then too large for any of them.
const char* malloc_conf =
    "thp:always,"            // one page fault for 2 MiB
    "oversize_threshold:0,"  // large blocks are in the same arena as others
    "narenas:1,"             // memory freed by one thread serves the others
    "dirty_decay_ms:45000,"  // memory unused for 45 seconds is returned, so all of it within a minute
    "muzzy_decay_ms:0,"
    "background_thread:true";  // also while no request runs

namespace easel {
namespace {

constexpr ssize_t kLongerWhileComputing = 12;

/// Keeps large blocks for the next tensor. jemalloc 5.3.0 creates the arena before it reads oversize_threshold
/// (jemalloc.c, malloc_init_hard), and would otherwise return blocks of 8 MiB and more as soon as they are freed.
[[maybe_unused]] const int large_blocks_are_kept = [] {
  std::size_t never = std::size_t{1} << 62;
  return mallctl("arena.0.oversize_threshold", nullptr, nullptr, &never, sizeof(never));
}();

/// Milliseconds; -1: memory is never returned.
ssize_t decay_at_rest() {
  ssize_t milliseconds = -1;
  auto size = sizeof(milliseconds);
  mallctl("opt.dirty_decay_ms", &milliseconds, &size, nullptr, 0);
  return milliseconds;
}

}  // namespace

void keep_freed_memory(bool computing) {
  static const ssize_t at_rest = decay_at_rest();
  static std::atomic<bool> was_computing = false;
  if (was_computing.exchange(computing) != computing) {
    auto milliseconds = computing ? std::max<ssize_t>(at_rest * kLongerWhileComputing, -1) : at_rest;
    mallctl("arena.0.dirty_decay_ms", nullptr, nullptr, &milliseconds, sizeof(milliseconds));
  }
  // jemalloc's own thread may have gone to sleep until the later time.
  if (!computing) mallctl("arena.0.decay", nullptr, nullptr, nullptr, 0);
}

}  // namespace easel
