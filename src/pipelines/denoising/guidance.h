// Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace easel {

/// Where the difference of the two rows is added, and above which scale the unconditional row is needed.
enum class GuidanceRule {
  kFromUnconditional,  ///< uncond + scale * (text - uncond), above 1
  kFromText,           ///< text + scale * (text - uncond), above 0 (Z-Image)
  /// As kFromUnconditional, with GenerationRequest::true_cfg_scale, and only with a negative prompt. The guidance scale
  /// is an input of the model, if it takes one (FLUX.1).
  kTrueCfg,
};

/// Whether guidance of this scale changes the prediction.
bool needs_unconditional_row(GuidanceRule rule, double guidance_scale);

/// text + scale * (text - uncond), in diffusers' order of operations.
/// @param model_output  [2, C, h, w]: unconditional, then text
/// @return              [1, C, h, w]
at::Tensor apply_guidance_from_text(const at::Tensor& model_output, double guidance_scale);

/// uncond + scale * (text - uncond), in diffusers' order of operations.
/// @param model_output      [2, C, h, w]: unconditional, then text
/// @param guidance_rescale  0 to 1: share of the result that is rescaled to the text row's standard deviation (Lin et
///                          al. 2023, arXiv:2305.08891, section 3.4)
/// @return                  [1, C, h, w]
at::Tensor apply_guidance(const at::Tensor& model_output, double guidance_scale, double guidance_rescale);

/// Guidance by a prompt and by an image (Brooks et al. 2022, arXiv:2211.09800, eq. 3):
/// uncond + scale * (text - image) + image_scale * (image - uncond), in diffusers' order of operations.
/// @param model_output  [3, C, h, w]: conditioned on both, only on the image, on neither
/// @return              [1, C, h, w]
at::Tensor apply_image_guidance(const at::Tensor& model_output, double guidance_scale, double image_guidance_scale);

/// The guidance scale as a sinusoidal embedding, for UNets distilled to take it as an input (`time_cond_proj_dim`,
/// Meng et al. 2022, arXiv:2210.03142). @return float32 [1, embedding_dim]
at::Tensor guidance_scale_embedding(double guidance_scale, std::int64_t embedding_dim);

}  // namespace easel
