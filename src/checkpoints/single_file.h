// Checkpoints in one safetensors file with the original layout of Stable Diffusion, as model sites share them.
#pragma once

#include <string>
#include <vector>

#include "checkpoints/checkpoint.h"

namespace easel {

/// Whether a safetensors file in a models folder counts as a checkpoint. All files do, except files that hold only an
/// autoencoder or only a text encoder, which other checkpoints may name. open_single_file reports what is wrong with
/// files that are not checkpoints.
bool is_single_file_checkpoint(const std::string& path);

/// Opens SD 1.x, SD 2.x, SDXL, its refiner, their inpainting variants, InstructPix2Pix and the upscaler on pixels.
///
/// The family is detected from tensor names and shapes, as in diffusers 0.42.1 (infer_diffusers_model_type), and the
/// configs follow from them and the family. The tokenizers are CLIP's own. `manifest.single_file` may name components
/// that the file lacks, and configs that take precedence. Tensors outside its components, such as moving averages, are
/// ignored; a tensor of a component that the component does not use is an error when the component is opened.
/// @param ignored_tensors  patterns of tensors for which it is not; see is_ignored
/// @throws Error(kCorruptData)  a tensor that identifies the family is missing or has a wrong shape
/// @throws Error(kUnsupported)  the file is of another family, a LoRA or the like, which the message names, or needs a
///                              kind of prediction that no scheduler supports
Checkpoint open_single_file(const std::string& path, const Manifest& manifest,
                            const std::vector<std::string>& ignored_tensors = {});

}  // namespace easel
