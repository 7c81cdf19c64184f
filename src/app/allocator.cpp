// How the process asks the kernel for memory: through jemalloc, which reads this text before main. A text in the
// environment's MALLOC_CONF wins over it.
//
// A step allocates and frees hundreds of tensors of 10 to 100 MB. The C library maps and unmaps each of them, and the
// kernel clears them page by page every time, which is a tenth of a step's time on a CPU.
#include <jemalloc/jemalloc.h>

#include <cstddef>

extern "C" const char* malloc_conf;

const char* malloc_conf =
    "thp:always,"                  // one page fault for 2 MiB
    "oversize_threshold:0,"        // large blocks are in the same arena as others,
    "lg_extent_max_active_fit:4,"  // and not cut up for much smaller ones
    "narenas:1,"                   // what one thread freed serves the others
    "dirty_decay_ms:300000,"       // what was not used for five minutes goes back
    "muzzy_decay_ms:0,"
    "background_thread:true";  // also while nothing is drawn

namespace {

/// Where large blocks are kept for the next tensor. The one arena there is was made before oversize_threshold was read
/// (5.3.0, jemalloc.c, malloc_init_hard) and would give back what has 8 MiB and more as soon as it is freed.
[[maybe_unused]] const int large_blocks_are_kept = [] {
  std::size_t never = std::size_t{1} << 62;
  return mallctl("arena.0.oversize_threshold", nullptr, nullptr, &never, sizeof(never));
}();

}  // namespace
