#include "nn/kernels/instruction_set.h"

#include <ATen/Version.h>

#include "tensor/placement.h"

namespace easel {

InstructionSet instructions_for(c10::ScalarType dtype) {
#if defined(__x86_64__)
  const auto allowed = at::get_cpu_capability();
  if (dtype == c10::kFloat && allowed == "AVX512") return InstructionSet::kAvx512;
  if (dtype == c10::kFloat && allowed == "AVX2") return InstructionSet::kAvx2;
  const bool has_bfloat16 = allowed == "AVX512" && cpu_has("avx512_bf16") && !cpu_has("amx_bf16");
  if (dtype == c10::kBFloat16 && has_bfloat16) return InstructionSet::kAvx512BFloat16;
#endif
  return InstructionSet::kNone;
}

}  // namespace easel
