// `easel convert --quantize`: smaller copies of the weights of a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "weights/convert/convert.h"
#include "weights/stores/quantizing_store.h"

namespace easel {

/// Writes the weights of a checkpoint with the matrices in 8 bits (see is_quantizable) and all other tensors as they
/// are, under the same names: for WeightQuantization::kFloat8 as safetensors with a scale for each matrix, for kQ8_0 as
/// GGUF.
///
/// For a file, NAME.safetensors, writes NAME.fp8.safetensors or NAME.q8_0.gguf next to it. For a folder, writes a
/// variant of that name into the folder of the denoiser and of each text encoder, which `--variant fp8` or
/// `--variant q8_0` loads. Each file appears complete or not at all; a file that exists is kept and not written again.
///
/// @param progress  may be empty
/// @return          the files that were written, in order
/// @throws Error(kNotFound)                      no such file or folder, or a folder without a denoiser
/// @throws Error(kUnsupported, kCorruptData)     a file that is not safetensors, or cannot be read; names it
/// @throws Error(kResourceExhausted, kInternal)  a file cannot be written
std::vector<ConvertedFile> quantize_checkpoint(const std::string& path, WeightQuantization quantization,
                                               const ConvertProgress& progress = {});

}  // namespace easel
