// Checks of what a denoising model is called with, which several models have in common.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/text.h"
#include "easel/error.h"

namespace easel {

/// Rejects what a denoising model is called with. @param what  the message, as concat joins it
/// @throws Error(kInvalidArgument)
template <class... What>
[[noreturn]] void reject_input(const What&... what) {
  throw Error(ErrorCode::kInvalidArgument, concat("denoising model: ", what...));
}

/// Checks the size of a sample [B, C, h, w], which is cut into patches of `patch` x `patch`.
/// @throws Error(kInvalidArgument)  it has not `channels` channels, or not whole patches
inline void check_patches(const at::Tensor& sample, std::int64_t channels, std::int64_t patch) {
  if (sample.size(1) != channels || sample.size(2) % patch != 0 || sample.size(3) % patch != 0) {
    reject_input("`sample` is ", sample.sizes(), ", expected ", channels, " channels and whole patches");
  }
}

}  // namespace easel
