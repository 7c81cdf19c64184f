#include "pipelines/prompt_encoder.h"

#include <ATen/ops/from_blob.h>

#include "core/log.h"
#include "core/text.h"

namespace easel {

PromptEncoder::PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, CLIPTextModel text_encoder, c10::Device device,
                             std::size_t capacity)
    : tokenizer_(std::move(tokenizer)), text_encoder_(std::move(text_encoder)), device_(device), capacity_(capacity) {}

at::Tensor PromptEncoder::encode(const std::string& text, std::int64_t clip_skip, const RunContext& context) {
  const std::string key = concat(clip_skip, ':', text);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    ++hits_;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }
  auto embeds = run(text, clip_skip, context);
  recent_.emplace_front(key, embeds);
  by_key_[key] = recent_.begin();
  if (recent_.size() > capacity_) {
    by_key_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return embeds;
}

at::Tensor PromptEncoder::run(const std::string& text, std::int64_t clip_skip, const RunContext& context) const {
  auto tokens = tokenizer_->encode(text);
  if (tokens.truncated) {
    log::info(concat("a prompt was cut at ", tokenizer_->model_max_length(), " tokens, as diffusers does"));
  }
  const auto length = static_cast<std::int64_t>(tokens.input_ids.size());
  const auto input_ids = at::from_blob(tokens.input_ids.data(), {1, length}, at::kLong).clone();
  return text_encoder_(input_ids.to(device_), clip_skip, context).prompt_embeds;
}

}  // namespace easel
