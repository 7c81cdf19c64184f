// Checkpoints that are one safetensors file in the layout of Stable Diffusion's own code, as model sites share them.
#pragma once

#include <string>

#include "checkpoints/checkpoint.h"

namespace easel {

/// Whether a safetensors file among models is meant as one: all are but parts that checkpoints may name, an autoencoder
/// or a text encoder alone. open_single_file says what is wrong with the others.
bool is_single_file_checkpoint(const std::string& path);

/// Opens one: SD 1.x, SD 2.x, SDXL, its refiner, their inpainting variants, InstructPix2Pix.
///
/// The family is found from names and shapes, as diffusers 0.42.1 does (infer_diffusers_model_type), and the configs
/// follow from them and from the family. The tokenizers are CLIP's own. `manifest.single_file` may name what the file
/// lacks, and configs that come first. Tensors that belong to nothing, such as averages of training, are left alone.
/// @throws Error(kCorruptData)  no such checkpoint; a tensor that tells of the family is missing or misshapen
/// @throws Error(kUnsupported)  another family, a LoRA and the like, all by name; a kind of prediction that no
///                              scheduler here has
Checkpoint open_single_file(const std::string& path, const Manifest& manifest);

}  // namespace easel
