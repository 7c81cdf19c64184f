#include "pipelines/guidance.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log.h>
#include <ATen/ops/sin.h>

namespace easel {

at::Tensor apply_guidance(const at::Tensor& model_output, double guidance_scale) {
  const auto noise_pred_uncond = model_output.narrow(0, 0, 1);
  const auto noise_pred_text = model_output.narrow(0, 1, 1);
  return noise_pred_uncond + (noise_pred_text - noise_pred_uncond) * guidance_scale;
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
