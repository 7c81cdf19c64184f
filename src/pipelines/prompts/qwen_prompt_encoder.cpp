#include "pipelines/prompts/qwen_prompt_encoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "tensor/free_memory.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::size_t kCachedStates = 1 << 14;  // of tokens

}  // namespace

QwenPromptEncoder::QwenPromptEncoder(std::unique_ptr<TextTokenizer> tokenizer, Qwen3TextModel model,
                                     std::function<Qwen3TextModel()> reload, QwenPromptOptions options,
                                     c10::Device device)
    : tokenizer_(std::move(tokenizer)),
      reload_(std::move(reload)),
      options_(std::move(options)),
      device_(device),
      cache_(kCachedStates) {
  if (!reload_) model_.emplace(std::move(model));
}

EncodedPrompt QwenPromptEncoder::encode(const std::string& text, const char* param, const RunContext& context) {
  EncodedText encoded;
  try {
    encoded = tokenizer_->encode(apply_qwen_template(text, options_.chat_template), options_.max_length);
  } catch (const Error& e) {
    throw Error(ErrorCode::kInvalidArgument, concat("`", param, "`: ", e.what()), param);
  }
  if (options_.padding == PromptPadding::kNone) encoded.input_ids.resize(encoded.token_count);
  // Padding can also be typed into a prompt, which then sees it.
  std::string key(reinterpret_cast<const char*>(encoded.input_ids.data()),
                  encoded.input_ids.size() * sizeof(encoded.input_ids[0]));
  key += concat(' ', encoded.token_count);
  EncodedPrompt prompt;
  if (const auto* known = cache_.find(key)) {
    prompt = *known;
  } else {
    prompt.embeds = run(encoded.input_ids, static_cast<std::int64_t>(encoded.token_count), context);
    cache_.insert(key, prompt, encoded.input_ids.size() * options_.states.size());
  }
  prompt.cut = encoded.truncated;
  prompt.tokens = static_cast<std::int64_t>(tokenizer_->token_ids(text).size());
  return prompt;
}

at::Tensor QwenPromptEncoder::run(const std::vector<std::int64_t>& ids, std::int64_t length,
                                  const RunContext& context) const {
  const auto input_ids = upload(at::tensor(ids, at::kLong).unsqueeze(0), device_, at::kLong);
  // Adapters of these families change the denoising model only.
  const RunContext without_adapters{.stop = context.stop};
  if (model_) return at::cat((*model_)(input_ids, options_.states, without_adapters, length), /*dim=*/-1);
  const auto states = reload_()(input_ids, options_.states, without_adapters, length);
  release_cached_host_memory();
  return at::cat(states, /*dim=*/-1);
}

}  // namespace easel
