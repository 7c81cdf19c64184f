// Weights that are quantised while they are read.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "weights/loading/tensor_store.h"

namespace easel {

/// How weights are made smaller. Public spellings: "fp8", "q8_0".
enum class WeightQuantization {
  kFloat8,  ///< float8_e4m3fn with one scale for each matrix
  kQ8_0,    ///< 8-bit integers with a float16 scale for each 32
};

/// @throws Error(kInvalidArgument)  another spelling than those above
WeightQuantization parse_quantization(const std::string& name);
const char* quantization_name(WeightQuantization quantization);

/// Whether a tensor is the matrix of a layer in one of a model's blocks, which hold almost all of its weights: its name
/// has a number and ends in `.weight`. Embeddings and the layers before and after the blocks stay as they are, as do
/// matrices with less than 16 bits and, for kQ8_0, matrices whose rows are not whole blocks.
bool is_quantizable(const std::string& name, const TensorInfo& info, WeightQuantization quantization);

/// The store with these matrices in the given format. Reading one takes the time to quantise it; it is not kept.
std::shared_ptr<const TensorStore> quantizing(std::shared_ptr<const TensorStore> store,
                                              WeightQuantization quantization);

}  // namespace easel
