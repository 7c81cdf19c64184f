// What a denoising model computes from prompts or timesteps only, and keeps from an image's first step to its last.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "nn/layer_table.h"
#include "nn/run_context.h"

namespace easel {

/// [B, T, D] -> [B, length, D], with zeros after the last token. @param length  at least T
at::Tensor filled_up(const at::Tensor& tokens, std::int64_t length);

/// Results of layers that have the prompt as their only input: keys and values of cross-attention, above all. On
/// accelerators, also the results of layers that have the timestep as their only input, for all steps at once. Belongs
/// to one prompt with its negative prompt, one list of timesteps, one model and one set of adapters; images that have
/// all of these in common share it. Not thread-safe.
class PromptProjections {
 public:
  using Compute = c10::function_ref<at::Tensor()>;

  /// The result of a layer, which the first call computes. Must not be modified.
  const at::Tensor& get(const LayerSlot& layer, Compute compute);
  /// Everything is computed again when it is needed.
  void clear();
  bool empty() const { return results_.empty(); }

  /// The embeddings of all timesteps, from which the results for timesteps follow: [S, rows, D]. Undefined where they
  /// are not kept.
  const at::Tensor& time_embeddings() const { return time_embeddings_; }
  void set_time_embeddings(at::Tensor embeddings) { time_embeddings_ = std::move(embeddings); }

 private:
  std::unordered_map<const LayerSlot*, at::Tensor> results_;
  at::Tensor time_embeddings_;
};

/// Consecutive rows of a model call that belong to one image.
struct ImageRows {
  std::shared_ptr<PromptProjections> projections;
  std::int64_t rows;
  std::int64_t tokens;  ///< of the image's prompts; rows of a call are filled up to the longest
  /// Of all steps: float32 [S] on the device. Undefined: results for timesteps are not kept. A product of more rows
  /// adds up in another order on CPUs, so there they are not, and an image stays equal to the bit.
  at::Tensor timesteps = {};
  std::int64_t step = 0;  ///< of this call, as an index of timesteps
};

/// A part of a tensor with a row for each prompt of a call: rows first to first + count - 1, and their first tokens.
struct PromptPart {
  std::int64_t first;
  std::int64_t count;
  std::int64_t tokens;

  /// [B, T, ...] -> [count, tokens, ...]
  at::Tensor of(const at::Tensor& prompts) const;
};

/// What `compute` makes of all prompts of a call. Each image of RunContext::images computes it for its own prompts at
/// the first call and keeps it. Where images have prompts of different lengths, zeros follow the results of the shorter
/// ones.
/// @param layer    identifies the result within the model
/// @param all      all rows of the call, and the tokens of the longest prompt
/// @param compute  [count, tokens', ...] of a part
at::Tensor once_per_prompt(const LayerSlot& layer, const PromptPart& all, const RunContext& ctx,
                           c10::function_ref<at::Tensor(const PromptPart&)> compute);

/// Embeds the timesteps of a call: [B, D]. With ImageRows::timesteps, those of all steps of an image at the first call.
/// @param all      all rows of the call
/// @param compute  [S * count, D] for the timesteps [S * count], of which each is repeated for the rows of `part`
at::Tensor embed_timesteps_once(const at::Tensor& timesteps, const PromptPart& all, const RunContext& ctx,
                                c10::function_ref<at::Tensor(const at::Tensor&, const PromptPart&)> compute);

/// What `compute` makes of the embeddings of a call's timesteps: [B, D] -> [B, D']. Where images keep the embeddings of
/// all of their steps, all are computed at the first call. @param layer  identifies the result within the model
at::Tensor once_for_all_timesteps(const LayerSlot& layer, const at::Tensor& embeddings, const RunContext& ctx,
                                  c10::function_ref<at::Tensor(const at::Tensor&)> compute);

/// Bounds the memory of PromptProjections to those of the prompts that were used last. Not thread-safe.
class RecentPrompts {
 public:
  /// @param limit  how many keep their results
  explicit RecentPrompts(std::size_t limit) : limit_(limit) {}

  /// To be called before each step. @param images  its rows, which may belong to more prompts than the limit
  void use(const std::vector<ImageRows>& images);

 private:
  std::size_t limit_;
  std::vector<std::weak_ptr<PromptProjections>> recent_;  // the last one used comes first
};

}  // namespace easel
