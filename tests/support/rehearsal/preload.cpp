// With LD_PRELOAD of this library, the program easel knows the devices rehearsal:0 and rehearsal:1. With
// EASEL_REHEARSAL_LOSE_AFTER, device 0 is lost after so many kernels.
#include <cstdlib>

#include "support/rehearsal/rehearsal_device.h"

namespace {

bool install() {
  easel::testing::install_rehearsal_device();
  const char* const kernels = std::getenv("EASEL_REHEARSAL_LOSE_AFTER");
  if (kernels != nullptr)
    (new easel::testing::RehearsalDevice(0))->lose_after(std::strtoll(kernels, nullptr, 10));  // never destroyed
  return true;
}

[[maybe_unused]] const bool installed = install();

}  // namespace
