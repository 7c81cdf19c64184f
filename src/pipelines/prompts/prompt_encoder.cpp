#include "pipelines/prompts/prompt_encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <utility>
#include <vector>

#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "nn/adapter_set.h"
#include "tensor/free_memory.h"
#include "tensor/upload.h"

namespace easel {
namespace {

/// Multiplies each token's state by its weight, then restores the mean over all numbers. [1, L, D] -> [1, L, D]
at::Tensor weigh(const at::Tensor& states, const std::vector<float>& weights) {
  const auto original = states.to(at::kFloat);
  const auto factors = upload(at::tensor(weights, at::kFloat), states.device(), at::kFloat).view({1, -1, 1});
  const auto weighted = original * factors;
  const auto ratio = original.mean() / weighted.mean();
  // Weights can make the mean zero.
  return (weighted * at::where(at::isfinite(ratio), ratio, at::ones_like(ratio))).to(states.scalar_type());
}

template <class T>
void append_bytes(std::string& key, const std::vector<T>& values) {
  key.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

}  // namespace

TextEncoder::TextEncoder(CLIPTextModel model, std::function<CLIPTextModel()> reload)
    : config_(model.config()), layer_table_(model.layer_table()), reload_(std::move(reload)) {
  if (!reload_) model_ = std::move(model);
}

CLIPTextOutput TextEncoder::operator()(const at::Tensor& input_ids, std::int64_t clip_skip, const RunContext& ctx,
                                       const TokenEmbeddingOverrides& learned) const {
  if (model_) return (*model_)(input_ids, clip_skip, ctx, learned);
  auto output = reload_()(input_ids, clip_skip, ctx, learned);
  release_cached_host_memory();
  return output;
}

PromptEncoder::PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, TextEncoder text_encoder, PromptState state,
                             c10::Device device, LearnedEmbeddings embeddings, std::size_t capacity)
    : tokenizer_(std::move(tokenizer)),
      text_encoder_(std::move(text_encoder)),
      state_(state),
      device_(device),
      embeddings_(std::move(embeddings)),
      cache_(capacity) {}

std::int64_t PromptEncoder::max_clip_skip() const {
  return text_encoder_.config().num_hidden_layers - (state_ == PromptState::kPenultimate ? 1 : 0);
}

EncodedPrompt PromptEncoder::encode(const std::string& text, const PromptEncodeOptions& options,
                                    const RunContext& context) {
  const auto clip_skip = options.clip_skip;
  if (clip_skip < 0 || clip_skip > max_clip_skip()) {
    throw Error(ErrorCode::kInvalidArgument, concat("`clip_skip` is ", clip_skip, ", expected 0 to ", max_clip_skip()),
                "clip_skip");
  }
  Words words;
  const auto prompt = read(text, options, words);
  auto key = key_of(prompt, clip_skip, words);
  if (context.adapters != nullptr) key += context.adapters->key_of(*text_encoder_.layer_table());
  EncodedPrompt encoded;
  if (const auto* known = cache_.find(key)) {
    encoded = *known;
  } else {
    encoded = run(prompt, clip_skip, words, context);
    cache_.insert(key, encoded, prompt.chunks.size());
  }
  encoded.cut = prompt.cut;  // texts with the same tokens can differ in this
  encoded.tokens = static_cast<std::int64_t>(current_tokenizer().token_ids(text).size());
  return encoded;
}

const Tokenizer& PromptEncoder::current_tokenizer() {
  if (!embeddings_.folder) return *tokenizer_;
  if (auto files = embeddings_.folder->files(); files != files_) {
    std::vector<std::string> words;
    for (const auto& file : *files) {
      words.push_back(file.word);
      if (tokenizer_->token_to_id(file.word)) {
        log::warning("an embedding is not used because its name is already a token of the model",
                     {{"word", file.word}});
      }
    }
    extended_tokenizer_ = tokenizer_->with_placeholder_tokens(words);
    files_ = std::move(files);
  }
  return *extended_tokenizer_;
}

PromptEncoder::Word PromptEncoder::load_embedding(std::size_t index) const {
  const auto loaded = embeddings_.folder->load(files_->at(index));
  const auto& vectors = loaded->embedding.vectors(embeddings_.target);
  const auto width = text_encoder_.config().hidden_size;
  if (vectors.size(1) != width) {
    throw Error(ErrorCode::kUnsupported, concat(loaded->embedding.file(), " holds vectors of ", vectors.size(1),
                                                " numbers, but this model's text encoder expects ", width));
  }
  return {.vectors = vectors, .version = loaded->version};
}

ChunkedPrompt PromptEncoder::read(const std::string& text, const PromptEncodeOptions& options, Words& words) {
  const auto& tokenizer = current_tokenizer();
  const auto length_of = [&](std::size_t word) {
    if (!words.contains(word)) words.emplace(word, load_embedding(word));
    return static_cast<std::size_t>(words.at(word).vectors.size(0));
  };
  try {
    auto prompt = options.syntax == PromptSyntax::kA1111 ? tokenize_weighted_prompt(tokenizer, text, length_of)
                                                         : tokenize_plain_prompt(tokenizer, text, length_of);
    if (prompt.cut) log::debug(concat("a prompt was truncated to ", tokenizer.model_max_length(), " tokens"));
    return prompt;
  } catch (const Error& e) {
    throw Error(ErrorCode::kInvalidArgument, concat("`", options.param, "`: ", e.what()), options.param);
  }
}

std::string PromptEncoder::key_of(const ChunkedPrompt& prompt, std::int64_t clip_skip, const Words& words) {
  std::string key;
  append_bytes(key, std::vector{clip_skip});
  for (const auto& chunk : prompt.chunks) {
    append_bytes(key, chunk.input_ids);
    append_bytes(key, chunk.weights);
    append_bytes(key, std::vector{chunk.learned.size()});
    for (const auto& vector : chunk.learned) {
      append_bytes(key, std::vector<std::uint64_t>{vector.position, words.at(vector.word).version, vector.row});
    }
  }
  return key;
}

EncodedPrompt PromptEncoder::run(const ChunkedPrompt& prompt, std::int64_t clip_skip, const Words& words,
                                 const RunContext& context) const {
  auto encoded = run(prompt.chunks[0], clip_skip, words, context);
  std::vector<at::Tensor> embeds = {encoded.embeds};
  for (std::size_t i = 1; i < prompt.chunks.size(); ++i) {
    embeds.push_back(run(prompt.chunks[i], clip_skip, words, context).embeds);
  }
  if (embeds.size() > 1) encoded.embeds = at::cat(embeds, /*dim=*/1);
  return encoded;
}

EncodedPrompt PromptEncoder::run(const TokenChunk& chunk, std::int64_t clip_skip, const Words& words,
                                 const RunContext& context) const {
  const auto input_ids = upload(at::tensor(chunk.input_ids, at::kLong).unsqueeze(0), device_, at::kLong);
  const auto learned = learned_vectors(chunk, words);
  EncodedPrompt encoded;
  if (state_ == PromptState::kLastNormed) {
    encoded.embeds = text_encoder_(input_ids, clip_skip, context, learned).prompt_embeds;
  } else if (state_ == PromptState::kLastPooled) {
    auto out = text_encoder_(input_ids, clip_skip, context, learned);
    encoded.embeds = std::move(out.hidden_state);
    encoded.text_embeds = std::move(out.pooled_output);
  } else {
    auto out = text_encoder_(input_ids, clip_skip + 1, context, learned);
    encoded.embeds = std::move(out.hidden_state);
    encoded.text_embeds = std::move(out.text_embeds);
  }
  if (chunk.is_weighted()) encoded.embeds = weigh(encoded.embeds, chunk.weights);
  return encoded;
}

TokenEmbeddingOverrides PromptEncoder::learned_vectors(const TokenChunk& chunk, const Words& words) const {
  if (chunk.learned.empty()) return {};
  std::vector<std::int64_t> positions;
  std::vector<at::Tensor> vectors;
  for (const auto& vector : chunk.learned) {
    positions.push_back(static_cast<std::int64_t>(vector.position));
    vectors.push_back(words.at(vector.word).vectors[static_cast<std::int64_t>(vector.row)]);
  }
  const auto rows = at::stack(vectors);
  return {.positions = upload(at::tensor(positions, at::kLong), device_, at::kLong),
          .vectors = upload(rows, device_, rows.scalar_type())};
}

}  // namespace easel
