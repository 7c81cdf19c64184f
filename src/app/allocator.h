// How long the process keeps memory that nothing uses.
#pragma once

namespace easel {

/// Between two steps, the memory of the first one has to stay for the second one, also where a step takes a minute.
/// Memory that nothing uses is therefore returned to the system some 45 seconds after it was freed while no image is
/// generated, and after 9 minutes otherwise. MALLOC_CONF (`dirty_decay_ms`) sets the first time, and with it the second
/// one, which is 12 times as long. Thread-safe; to be called again and again while `computing` is false, which returns
/// what is due.
/// @param computing  whether images are being generated
void keep_freed_memory(bool computing);

}  // namespace easel
