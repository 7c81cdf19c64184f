// Prompts to embeddings, each text once.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "adapters/embedding_folder.h"
#include "easel/generation.h"
#include "easel/tokenizer.h"
#include "nn/run_context.h"
#include "pipelines/prompts/prompt_cache.h"
#include "pipelines/prompts/text_encoder.h"
#include "tokenizers/token_chunks.h"

namespace easel {

/// Which of a text encoder's states a family conditions on.
enum class PromptState {
  kLastNormed,   ///< the last layer's, after the final LayerNorm (SD 1.x and 2.x)
  kPenultimate,  ///< that of the layer before the last, as it is (SDXL)
  kLastPooled,   ///< the last layer's, as it is, and the pooled text without a projection (the latent upscaler)
};

/// How a text is to be read and encoded.
struct PromptEncodeOptions {
  PromptSyntax syntax = PromptSyntax::kPlain;
  std::int64_t clip_skip = 0;    ///< layers left out before the state that the family takes, 0 to max_clip_skip()
  const char* param = "prompt";  ///< the request's field that the text is, for errors
};

/// Words of textual inversion that an encoder's prompts may hold.
struct LearnedEmbeddings {
  std::shared_ptr<EmbeddingFolder> folder;  ///< null for none
  EmbeddingTarget target = EmbeddingTarget::kOnly;
};

/// Encodes with one tokenizer and one CLIPTextModel, and remembers the last texts it saw: the empty negative prompt of
/// nearly every request, and the prompt of a person who tries seeds. Not thread-safe.
class PromptEncoder {
 public:
  /// @param device    where the encoder's weights are
  /// @param capacity  chunks of tokens remembered; SD 1.5's are 77 x 768 numbers each
  PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, TextEncoder text_encoder, PromptState state, c10::Device device,
                LearnedEmbeddings embeddings = {}, std::size_t capacity = 256);

  /// Layers that encode can be told to leave out.
  std::int64_t max_clip_skip() const;

  /// Weights multiply the states of their tokens, after which each chunk gets its old mean back, as in AUTOMATIC1111's
  /// web UI ("Original" emphasis). Chunks follow each other in `embeds`.
  /// @return  on the encoder's device and in its dtype
  /// @throws Error(kInvalidArgument)  clip_skip is more than there are layers (param clip_skip); a word of the text
  ///                                  has a file that cannot be used, which the message names, or the text takes too
  ///                                  many chunks (reading.param)
  EncodedPrompt encode(const std::string& text, const PromptEncodeOptions& options, const RunContext& context);

  /// How often a text was remembered.
  std::size_t hits() const { return cache_.hits(); }
  const std::shared_ptr<LayerTable>& layer_table() const { return text_encoder_.layer_table(); }

 private:
  struct Word {
    at::Tensor vectors;  ///< [n, D]
    std::uint64_t version;
  };
  using Words = std::map<std::size_t, Word>;  // those that a prompt uses, by their number

  const Tokenizer& current_tokenizer();
  Word load_embedding(std::size_t index) const;
  ChunkedPrompt read(const std::string& text, const PromptEncodeOptions& options, Words& words);
  static std::string key_of(const ChunkedPrompt& prompt, std::int64_t clip_skip, const Words& words);
  EncodedPrompt run(const ChunkedPrompt& prompt, std::int64_t clip_skip, const Words& words,
                    const RunContext& context) const;
  EncodedPrompt run(const TokenChunk& chunk, std::int64_t clip_skip, const Words& words,
                    const RunContext& context) const;
  TokenEmbeddingOverrides learned_vectors(const TokenChunk& chunk, const Words& words) const;

  std::unique_ptr<Tokenizer> tokenizer_;
  TextEncoder text_encoder_;
  PromptState state_;
  c10::Device device_;
  LearnedEmbeddings embeddings_;
  std::shared_ptr<const EmbeddingFolder::Files> files_;  // that extended_tokenizer_ knows
  std::unique_ptr<Tokenizer> extended_tokenizer_;
  PromptCache cache_;
};

}  // namespace easel
