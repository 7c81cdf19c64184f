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
  const auto& tokenizer = current_tokenizer(context);
  const auto prompt = read(text, options, tokenizer, words);
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
  encoded.tokens = static_cast<std::int64_t>(tokenizer.token_ids(text).size());
  return encoded;
}

const Tokenizer& PromptEncoder::current_tokenizer(const RunContext& context) {
  const std::vector<std::shared_ptr<const BundledWord>> none;
  const auto& bundled = context.adapters == nullptr ? none : context.adapters->words();
  auto files = embeddings_.folder ? embeddings_.folder->files() : nullptr;
  if (!files && bundled.empty()) return *tokenizer_;
  if (extended_tokenizer_ && files == files_ && bundled == bundled_) return *extended_tokenizer_;
  std::map<std::string, WordSource> sources;  // by word
  if (files) {
    for (const auto& file : *files) sources[file.word] = {.file = file, .bundled = nullptr};
  }
  for (const auto& word : bundled) sources[word->word] = {.file = {}, .bundled = word};
  std::vector<std::string> words;
  sources_.clear();
  for (auto& [word, source] : sources) {
    if (tokenizer_->token_to_id(word)) {
      log::warning("an embedding is not used because its name is already a token of the model", {{"word", word}});
    }
    words.push_back(word);
    sources_.push_back(std::move(source));
  }
  extended_tokenizer_ = tokenizer_->with_placeholder_tokens(words);
  files_ = std::move(files);
  bundled_ = bundled;
  return *extended_tokenizer_;
}

PromptEncoder::Word PromptEncoder::load_embedding(std::size_t index) const {
  const auto& [file, bundled] = sources_.at(index);
  const auto width = text_encoder_.config().hidden_size;
  const auto check = [&](const std::string& name, const at::Tensor& vectors) {
    if (vectors.size(1) == width) return vectors;
    throw Error(ErrorCode::kUnsupported, concat(name, " holds vectors of ", vectors.size(1),
                                                " numbers, but this model's text encoder expects ", width));
  };
  if (bundled) {
    const LearnedEmbedding embedding(bundled->file, bundled->vectors);
    return {.vectors = check(bundled->file, embedding.vectors(embeddings_.target)), .version = bundled->version};
  }
  const auto loaded = embeddings_.folder->load(file);
  return {.vectors = check(loaded->embedding.file(), loaded->embedding.vectors(embeddings_.target)),
          .version = std::to_string(loaded->version)};
}

ChunkedPrompt PromptEncoder::read(const std::string& text, const PromptEncodeOptions& options,
                                  const Tokenizer& tokenizer, Words& words) const {
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
      append_bytes(key, std::vector<std::uint64_t>{vector.position, vector.row});
      key.append(words.at(vector.word).version).push_back('\0');
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
