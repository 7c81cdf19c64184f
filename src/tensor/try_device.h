// Whether a device computes.
#pragma once

#include <c10/core/Device.h>

namespace easel {

/// Multiplies two small matrices and convolves a small image on the device and waits for the results, so that a build
/// of libtorch without kernels for this GPU, or a broken driver, is found when the program starts. Does nothing for a
/// CPU.
/// @throws Error(kUnavailable)        the device does not compute; names it and says what to look at
/// @throws Error(kResourceExhausted)  its memory is used up
void try_device(c10::Device device);

}  // namespace easel
