#include "pipelines/prompt_encoder.h"

#include <ATen/ops/from_blob.h>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"

namespace easel {

PromptEncoder::PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, CLIPTextModel text_encoder, PromptState state,
                             c10::Device device, std::size_t capacity)
    : tokenizer_(std::move(tokenizer)),
      text_encoder_(std::move(text_encoder)),
      state_(state),
      device_(device),
      capacity_(capacity) {}

std::int64_t PromptEncoder::max_clip_skip() const {
  return text_encoder_.config().num_hidden_layers - (state_ == PromptState::kPenultimate ? 1 : 0);
}

EncodedPrompt PromptEncoder::encode(const std::string& text, std::int64_t clip_skip, const RunContext& context) {
  if (clip_skip < 0 || clip_skip > max_clip_skip()) {
    throw Error(ErrorCode::kInvalidArgument, concat("`clip_skip` is ", clip_skip, ", expected 0 to ", max_clip_skip()),
                "clip_skip");
  }
  const std::string key = concat(clip_skip, ':', text);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    ++hits_;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->second;
  }
  auto encoded = run(text, clip_skip, context);
  recent_.emplace_front(key, encoded);
  by_key_[key] = recent_.begin();
  if (recent_.size() > capacity_) {
    by_key_.erase(recent_.back().first);
    recent_.pop_back();
  }
  return encoded;
}

EncodedPrompt PromptEncoder::run(const std::string& text, std::int64_t clip_skip, const RunContext& context) const {
  auto tokens = tokenizer_->encode(text);
  if (tokens.truncated) {
    log::info(concat("a prompt was cut at ", tokenizer_->model_max_length(), " tokens, as diffusers does"));
  }
  const auto length = static_cast<std::int64_t>(tokens.input_ids.size());
  const auto input_ids = at::from_blob(tokens.input_ids.data(), {1, length}, at::kLong).clone().to(device_);
  if (state_ == PromptState::kLastNormed) {
    return {.embeds = text_encoder_(input_ids, clip_skip, context).prompt_embeds, .text_embeds = {}};
  }
  if (state_ == PromptState::kLastPooled) {
    auto out = text_encoder_(input_ids, clip_skip, context);
    return {.embeds = std::move(out.hidden_state), .text_embeds = std::move(out.pooled_output)};
  }
  auto out = text_encoder_(input_ids, clip_skip + 1, context);
  return {.embeds = std::move(out.hidden_state), .text_embeds = std::move(out.text_embeds)};
}

}  // namespace easel
