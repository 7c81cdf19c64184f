// The allocator of the process: jemalloc, which reads these settings before main. The environment variable MALLOC_CONF
// overrides them.
//
// A step allocates and frees hundreds of tensors of 10 to 100 MB. The C library would map and unmap each of them, and
// the kernel would clear every page each time, which takes a tenth of a step's time on a CPU.
#include <jemalloc/jemalloc.h>

#include <cstddef>

extern "C" const char* malloc_conf;

const char* malloc_conf =
    "thp:always,"                  // one page fault for 2 MiB
    "oversize_threshold:0,"        // large blocks are in the same arena as others
    "lg_extent_max_active_fit:4,"  // and are not split for much smaller ones
    "narenas:1,"                   // memory freed by one thread serves the others
    "dirty_decay_ms:45000,"        // memory unused for 45 seconds is returned, so all of it within a minute
    "muzzy_decay_ms:0,"
    "background_thread:true";  // also while no request runs

namespace {

/// Keeps large blocks for the next tensor. jemalloc 5.3.0 creates the arena before it reads oversize_threshold
/// (jemalloc.c, malloc_init_hard), and would otherwise return blocks of 8 MiB and more as soon as they are freed.
[[maybe_unused]] const int large_blocks_are_kept = [] {
  std::size_t never = std::size_t{1} << 62;
  return mallctl("arena.0.oversize_threshold", nullptr, nullptr, &never, sizeof(never));
}();

}  // namespace
