#include "pipelines/denoising/guidance.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/std.h>

namespace easel {
namespace {

/// Standard deviation over a row: [1, C, h, w] -> [1, 1, 1, 1].
at::Tensor deviation(const at::Tensor& row) {
  return at::std(row, at::IntArrayRef({1, 2, 3}), /*unbiased=*/true, /*keepdim=*/true);
}

}  // namespace

bool needs_unconditional_row(GuidanceRule rule, double guidance_scale) {
  return guidance_scale > (rule == GuidanceRule::kFromText ? 0.0 : 1.0);
}

at::Tensor apply_guidance_from_text(const at::Tensor& model_output, double guidance_scale) {
  const auto uncond = model_output.narrow(0, 0, 1), text = model_output.narrow(0, 1, 1);
  return text + (text - uncond) * guidance_scale;
}

at::Tensor apply_guidance(const at::Tensor& model_output, double guidance_scale, double guidance_rescale) {
  const auto noise_pred_uncond = model_output.narrow(0, 0, 1);
  const auto noise_pred_text = model_output.narrow(0, 1, 1);
  auto noise_cfg = noise_pred_uncond + (noise_pred_text - noise_pred_uncond) * guidance_scale;
  if (guidance_rescale <= 0) return noise_cfg;
  const auto rescaled = noise_cfg * (deviation(noise_pred_text) / deviation(noise_cfg));
  return rescaled * guidance_rescale + noise_cfg * (1 - guidance_rescale);
}

at::Tensor apply_image_guidance(const at::Tensor& model_output, double guidance_scale, double image_guidance_scale) {
  const auto noise_pred_text = model_output.narrow(0, 0, 1);
  const auto noise_pred_image = model_output.narrow(0, 1, 1);
  const auto noise_pred_uncond = model_output.narrow(0, 2, 1);
  return noise_pred_uncond + (noise_pred_text - noise_pred_image) * guidance_scale +
         (noise_pred_image - noise_pred_uncond) * image_guidance_scale;
}

at::Tensor guidance_scale_embedding(double guidance_scale, std::int64_t embedding_dim) {
  const auto w = at::full({1}, guidance_scale - 1.0, at::kFloat) * 1000.0;
  const std::int64_t half = embedding_dim / 2;
  const auto rate = at::log(at::full({}, 10000.0, at::kFloat)) / (half - 1);
  const auto frequencies = at::exp(at::arange(half, at::kFloat) * -rate);
  const auto angles = w.unsqueeze(1) * frequencies.unsqueeze(0);
  auto embedding = at::cat(at::TensorList({at::sin(angles), at::cos(angles)}), 1);
  return embedding_dim % 2 == 1 ? at::constant_pad_nd(embedding, {0, 1}) : embedding;
}

}  // namespace easel
