#include "pipelines/prompts/t5_prompt_encoder.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>

#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "tensor/free_memory.h"
#include "tensor/upload.h"

namespace easel {
namespace {

constexpr std::size_t kCachedT5Prompts = 16;  // of 512 x 4096 numbers each in FLUX.1

}  // namespace

T5PromptEncoder::T5PromptEncoder(std::unique_ptr<TextTokenizer> tokenizer, T5EncoderModel model,
                                 std::function<T5EncoderModel()> reload, T5PromptOptions options, c10::Device device)
    : tokenizer_(std::move(tokenizer)),
      reload_(std::move(reload)),
      options_(options),
      device_(device),
      cache_(kCachedT5Prompts) {
  if (!reload_) model_.emplace(std::move(model));
}

T5PromptEncoder::Result T5PromptEncoder::encode(const std::string& text, const char* param, const RunContext& context) {
  EncodedText encoded;
  try {
    encoded = tokenizer_->encode(text, options_.max_length);
  } catch (const Error& e) {
    throw Error(ErrorCode::kInvalidArgument, concat("`", param, "`: ", e.what()), param);
  }
  const std::string key(reinterpret_cast<const char*>(encoded.input_ids.data()),
                        encoded.token_count * sizeof(encoded.input_ids[0]));
  Result result{.prompt = {.embeds = {}, .text_embeds = {}}, .length = static_cast<std::int64_t>(encoded.token_count)};
  if (const auto* known = cache_.find(key)) {
    result.prompt.embeds = *known;
  } else {
    result.prompt.embeds = run(encoded, context);
    cache_.insert(key, result.prompt.embeds, 1);
  }
  result.prompt.cut = encoded.truncated;
  result.prompt.tokens = static_cast<std::int64_t>(tokenizer_->token_ids(text).size());
  return result;
}

at::Tensor T5PromptEncoder::run(const EncodedText& text, const RunContext& context) const {
  const auto input_ids = upload(at::tensor(text.input_ids, at::kLong).unsqueeze(0), device_, at::kLong);
  at::Tensor mask;
  if (options_.padding == T5Padding::kMasked) {
    const auto length = static_cast<std::int64_t>(text.token_count);
    mask = at::arange(input_ids.size(1), input_ids.options()).lt(length).unsqueeze(0);
  }
  // Adapters of these families change the denoising model and the encoders of CLIP only.
  const RunContext without_adapters{.stop = context.stop};
  if (model_) return (*model_)(input_ids, mask, without_adapters);
  auto states = reload_()(input_ids, mask, without_adapters);
  release_cached_host_memory();
  return states;
}

}  // namespace easel
