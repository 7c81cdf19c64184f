// Prompts to embeddings. The most recent results are cached.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/embedding_folder.h"
#include "core/lru_cache.h"
#include "easel/generation.h"
#include "easel/tokenizer.h"
#include "models/text_encoders/clip_text_model.h"
#include "nn/adapter_set.h"
#include "nn/run_context.h"
#include "tokenizers/token_chunks.h"

namespace easel {

/// A CLIPTextModel that may leave memory between prompts. Not thread-safe.
class TextEncoder {
 public:
  /// @param reload  builds the same model again, with the same layer table. If given, the model is built for each call
  ///                and released after it
  explicit TextEncoder(CLIPTextModel model, std::function<CLIPTextModel()> reload = {});

  const CLIPTextConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }
  bool in_memory() const { return model_.has_value(); }

  /// @throws Error  as CLIPTextModel does, and as loading does
  CLIPTextOutput operator()(const at::Tensor& input_ids, std::int64_t clip_skip, const RunContext& ctx,
                            const TokenEmbeddingOverrides& learned = {}) const;

 private:
  CLIPTextConfig config_;
  std::shared_ptr<LayerTable> layer_table_;
  std::optional<CLIPTextModel> model_;
  std::function<CLIPTextModel()> reload_;
};

struct EncodedPrompt {
  at::Tensor embeds;        ///< [1, T, D]; T is the encoder's length, or a multiple of it
  at::Tensor text_embeds;   ///< [1, P]: pooled from the first chunk and projected; undefined without a projection
  bool cut = false;         ///< the text encoder did not see all of the text
  std::int64_t tokens = 0;  ///< that the tokenizer makes of the text
};

/// Keeps the most recently used encoded prompts. Not thread-safe.
class PromptCache {
 public:
  /// @param capacity  chunks of tokens; most prompts are one chunk
  explicit PromptCache(std::size_t capacity) : prompts_(capacity) {}

  /// Null if the key is absent. The pointer is valid until the next insert.
  const EncodedPrompt* find(const std::string& key) {
    const auto* found = prompts_.find(key);
    if (found != nullptr) ++hits_;
    return found;
  }
  void insert(const std::string& key, EncodedPrompt prompt, std::size_t chunks) {
    prompts_.insert(key, std::move(prompt), chunks);
  }

  std::size_t hits() const { return hits_; }

 private:
  LruCache<EncodedPrompt> prompts_;
  std::size_t hits_ = 0;
};

/// Which of a text encoder's hidden states a family conditions on.
enum class PromptState {
  kLastNormed,   ///< the last layer's, after the final LayerNorm (SD 1.x and 2.x)
  kPenultimate,  ///< that of the layer before the last, without LayerNorm (SDXL)
  kLastPooled,   ///< the last layer's, without LayerNorm, and the pooled output without a projection (latent upscaler)
};

/// How a text is read and encoded.
struct PromptEncodeOptions {
  PromptSyntax syntax = PromptSyntax::kPlain;
  std::int64_t clip_skip = 0;    ///< layers skipped before the state that the family uses, 0 to max_clip_skip()
  const char* param = "prompt";  ///< the request field that holds the text, for errors
};

/// The textual inversions that an encoder's prompts may use.
struct LearnedEmbeddings {
  std::shared_ptr<EmbeddingFolder> folder;  ///< null: none
  EmbeddingTarget target = EmbeddingTarget::kOnly;
};

/// Encodes with one tokenizer and one CLIPTextModel. Words whose embeddings an adapter of the request brings along are
/// known as those of the folder are; of two with one name, the adapter's counts. Recent texts are cached, since most
/// requests have an empty negative prompt and many repeat a prompt with another seed. Not thread-safe.
class PromptEncoder {
 public:
  /// @param device    of the encoder's weights
  /// @param capacity  chunks of tokens that are cached; a chunk of SD 1.5 is 77 x 768 numbers
  PromptEncoder(std::unique_ptr<Tokenizer> tokenizer, TextEncoder text_encoder, PromptState state, c10::Device device,
                LearnedEmbeddings embeddings = {}, std::size_t capacity = 256);

  /// The most layers that encode can skip.
  std::int64_t max_clip_skip() const;

  /// Prompt weights multiply the hidden states of their tokens; then each chunk is scaled back to its previous mean, as
  /// in AUTOMATIC1111's web UI ("Original" emphasis). `embeds` holds the chunks one after another.
  /// @return  on the encoder's device and in its dtype
  /// @throws Error(kInvalidArgument)  clip_skip is out of range (param clip_skip); the text uses an embedding file that
  ///                                  cannot be used, which the message names, or needs too many chunks (options.param)
  EncodedPrompt encode(const std::string& text, const PromptEncodeOptions& options, const RunContext& context);

  /// How often encode found its text in the cache.
  std::size_t hits() const { return cache_.hits(); }
  const std::shared_ptr<LayerTable>& layer_table() const { return text_encoder_.layer_table(); }

 private:
  struct Word {
    at::Tensor vectors;  ///< [n, D]
    std::string version;
  };
  using Words = std::map<std::size_t, Word>;  // the embeddings that a prompt uses, by their index in sources_

  // Where the embeddings of a word are: in the folder, or with an adapter.
  struct WordSource {
    EmbeddingFolder::File file;
    std::shared_ptr<const BundledWord> bundled;  // null: in the folder
  };

  const Tokenizer& current_tokenizer(const RunContext& context);
  Word load_embedding(std::size_t index) const;
  ChunkedPrompt read(const std::string& text, const PromptEncodeOptions& options, const Tokenizer& tokenizer,
                     Words& words) const;
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
  // What extended_tokenizer_ was made for, and the words that it knows.
  std::shared_ptr<const EmbeddingFolder::Files> files_;
  std::vector<std::shared_ptr<const BundledWord>> bundled_;
  std::vector<WordSource> sources_;
  std::unique_ptr<Tokenizer> extended_tokenizer_;
  PromptCache cache_;
};

}  // namespace easel
