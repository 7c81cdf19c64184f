#include "nn/prompt_projections.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>

namespace easel {
namespace {

bool keep_timesteps(const RunContext& ctx) {
  return ctx.images != nullptr &&
         std::ranges::all_of(*ctx.images, [](const ImageRows& image) { return image.timesteps.defined(); });
}

at::Tensor joined(const std::vector<at::Tensor>& parts) {
  return parts.size() == 1 ? parts[0] : at::cat(parts);
}

}  // namespace

at::Tensor filled_up(const at::Tensor& tokens, std::int64_t length) {
  return tokens.size(1) == length ? tokens : at::constant_pad_nd(tokens, {0, 0, 0, length - tokens.size(1)});
}

const at::Tensor& PromptProjections::get(const LayerSlot& layer, Compute compute) {
  auto found = results_.find(&layer);
  if (found == results_.end()) found = results_.emplace(&layer, compute()).first;
  return found->second;
}

void PromptProjections::clear() {
  results_.clear();
  time_embeddings_.reset();
}

at::Tensor PromptPart::of(const at::Tensor& prompts) const {
  return prompts.narrow(0, first, count).narrow(1, 0, tokens).contiguous();
}

at::Tensor once_per_prompt(const LayerSlot& layer, const PromptPart& all, const RunContext& ctx,
                           c10::function_ref<at::Tensor(const PromptPart&)> compute) {
  if (ctx.images == nullptr) return compute(all);
  std::vector<at::Tensor> results;
  std::int64_t first = all.first, longest = 0;
  for (const auto& image : *ctx.images) {
    const PromptPart part{.first = first, .count = image.rows, .tokens = image.tokens};
    results.push_back(image.projections->get(layer, [&] { return compute(part); }));
    longest = std::max(longest, results.back().size(1));
    first += image.rows;
  }
  for (auto& result : results) result = filled_up(result, longest);
  return joined(results);
}

at::Tensor embed_timesteps_once(const at::Tensor& timesteps, const PromptPart& all, const RunContext& ctx,
                                c10::function_ref<at::Tensor(const at::Tensor&, const PromptPart&)> compute) {
  if (!keep_timesteps(ctx)) return compute(timesteps, all);
  std::vector<at::Tensor> results;
  std::int64_t first = all.first;
  for (const auto& [projections, rows, tokens, of_all_steps, step] : *ctx.images) {
    if (!projections->time_embeddings().defined()) {
      const auto steps = of_all_steps.size(0);
      const auto repeated = of_all_steps.unsqueeze(1).expand({steps, rows}).reshape({-1});
      const PromptPart part{.first = first, .count = rows, .tokens = tokens};
      projections->set_time_embeddings(compute(repeated, part).unflatten(0, {steps, rows}));
    }
    results.push_back(projections->time_embeddings().select(0, step));
    first += rows;
  }
  return joined(results);
}

at::Tensor once_for_all_timesteps(const LayerSlot& layer, const at::Tensor& embeddings, const RunContext& ctx,
                                  c10::function_ref<at::Tensor(const at::Tensor&)> compute) {
  if (!keep_timesteps(ctx)) return compute(embeddings);
  std::vector<at::Tensor> results;
  for (const auto& image : *ctx.images) {
    const auto& own = image.projections->time_embeddings();
    const auto& of_all_steps = image.projections->get(
        layer, [&] { return compute(own.flatten(0, 1)).unflatten(0, {own.size(0), own.size(1)}); });
    results.push_back(of_all_steps.select(0, image.step));
  }
  return joined(results);
}

void RecentPrompts::use(const std::vector<ImageRows>& images) {
  const auto is = [](const auto& wanted) {
    return [&](const std::weak_ptr<PromptProjections>& other) { return other.lock() == wanted; };
  };
  for (const auto& image : images) {
    std::erase_if(recent_, is(image.projections));
    recent_.insert(recent_.begin(), image.projections);
  }
  std::erase_if(recent_, [](const auto& entry) { return entry.expired(); });
  while (recent_.size() > limit_) {
    const auto oldest = recent_.back().lock();
    const bool in_use =
        std::ranges::any_of(images, [&](const ImageRows& image) { return image.projections == oldest; });
    if (in_use) break;  // all that follow are in use, too
    oldest->clear();
    recent_.pop_back();
  }
}

}  // namespace easel
