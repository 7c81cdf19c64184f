// Weights that are stored in fewer bits than the model was trained in, with the numbers that undo that.
#pragma once

#include <memory>

#include "weights/loading/tensor_store.h"
#include "weights/stores/safetensors.h"

namespace easel {

/// Whether a tensor of this name may change what the weights mean: a scale, a norm, a bias, or a marker of
/// quantisation. A file that holds such a tensor is not used without it.
bool changes_weights(const std::string& name);

/// Refuses files whose weights are stored in a way that easel cannot undo, as the names and dtypes of their
/// tensors show: bitsandbytes' int8, NF4 and FP4, NVFP4, SVDQuant, GPTQ and AWQ, and integers in general.
/// @throws Error(kUnsupported)  names the file, the format and a tensor
void refuse_unknown_quantization(const TensorStore& store);

/// The tensors of a file with scaled 8-bit weights, each weight multiplied by its scale in float32. The scale of
/// `LAYER.weight` is one number, or one for each row, in `LAYER.scale_weight` (older files) or `LAYER.weight_scale`.
/// Scales, the tensors `scaled_fp8` and `LAYER.comfy_quant`, and the scales of activations (`LAYER.scale_input`,
/// `LAYER.input_scale`), which only a multiplication in 8 bits needs, are not among the result's tensors. A file
/// without any of these is returned unchanged.
/// @throws Error(kCorruptData)  a scale has no weight, is not of floating point or has another shape, or a weight that
///                              is marked as scaled has no scale; names the tensor
/// @throws Error(kUnsupported)  `comfy_quant` or the metadata `_quantization_metadata` names another format than
///                              float8_e4m3fn and float8_e5m2
std::shared_ptr<const TensorStore> with_scales(std::shared_ptr<const SafetensorsFile> file);

}  // namespace easel
