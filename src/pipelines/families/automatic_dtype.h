// The dtype that `--dtype auto` stands for.
#pragma once

#include "tensor/placement.h"
#include "weights/loading/tensor_store.h"

namespace easel {

/// What a model computes in if nobody named a dtype: float16 on a GPU. On a CPU float32, or bfloat16 if the CPU
/// multiplies bfloat16 matrices (AVX512-BF16, AMX) and the denoiser loses nothing by it: its weights are stored in 16
/// or fewer bits, or are float32 numbers that bfloat16 represents exactly, judged by the first tensor of each block.
/// @param denoiser  the weights of the model that is called at every step
/// @throws Error(kCorruptData)  a tensor cannot be read
c10::ScalarType automatic_dtype(const c10::Device& device, const TensorStore& denoiser);

/// The rule for the weights: whether a CPU with instructions for bfloat16 uses it for them.
bool is_suited_to_bfloat16(const TensorStore& denoiser);

}  // namespace easel
