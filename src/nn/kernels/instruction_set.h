// The instructions for which this program has kernels of its own.
#pragma once

#include <c10/core/ScalarType.h>

namespace easel {

enum class InstructionSet { kNone, kAvx2, kAvx512, kAvx512BFloat16 };

/// The widest instructions of this machine that our kernels for a dtype use: AVX-512 or AVX2 for float32, AVX512-BF16
/// for bfloat16. With AMX, libtorch's and oneDNN's kernels for bfloat16 use it and are left in place. The environment
/// variable ATEN_CPU_CAPABILITY limits the instructions, as in libtorch.
InstructionSet instructions_for(c10::ScalarType dtype);

}  // namespace easel
