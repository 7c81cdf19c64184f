// The dtype that `--dtype auto` stands for.
#pragma once

#include "core/component.h"
#include "tensor/placement.h"
#include "weights/loading/tensor_store.h"

namespace easel {

/// What a model computes in if nobody named a dtype. On a GPU float16, and bfloat16 for transformers, which are
/// published in it and of which some overflow in float16. On a CPU float32, or bfloat16 if the CPU multiplies bfloat16
/// matrices (AVX512-BF16, AMX) and the denoiser loses nothing by it: its weights are stored in 16 or fewer bits, or are
/// float32 numbers that bfloat16 represents exactly, judged by the first tensor of each block.
/// @param model     the component that denoises: a UNet or a transformer
/// @param denoiser  its weights
/// @throws Error(kCorruptData)  a tensor cannot be read
c10::ScalarType automatic_dtype(const c10::Device& device, Component model, const TensorStore& denoiser);

/// The rule for the weights: whether a CPU with instructions for bfloat16 uses it for them.
bool is_suited_to_bfloat16(const TensorStore& denoiser);

}  // namespace easel
