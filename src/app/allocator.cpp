// How the process asks the kernel for memory: through jemalloc, which reads this text before main. A text in the
// environment's MALLOC_CONF wins over it.
//
// A step allocates and frees hundreds of tensors of 10 to 100 MB. The C library maps and unmaps each of them, and the
// kernel clears them page by page every time, which is a tenth of a step's time on a CPU.
extern "C" const char* malloc_conf;

const char* malloc_conf =
    "thp:always,"                  // one page fault for 2 MiB
    "oversize_threshold:0,"        // large blocks are kept for the next tensor as well
    "lg_extent_max_active_fit:2,"  // and not cut up for much smaller ones
    "narenas:1,"                   // what one thread freed serves the others
    "dirty_decay_ms:300000,"       // what was not used for five minutes goes back
    "muzzy_decay_ms:0,"
    "background_thread:true";  // also while nothing is drawn
