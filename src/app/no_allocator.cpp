// In place of allocator.cpp where the process has the allocator of a sanitizer.
#include "app/allocator.h"

namespace easel {

void keep_freed_memory(bool) {}

}  // namespace easel
