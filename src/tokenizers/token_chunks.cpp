#include "tokenizers/token_chunks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/prompt_weights.h"

namespace easel {
namespace {

constexpr std::size_t kMaxChunks = 100;
// The default of the web UI's setting comma_padding_backtrack.
constexpr std::size_t kCommaBacktrack = 20;
// Ids of a word's vectors are consecutive; those of the next word begin this much later.
constexpr std::int64_t kMaxVectorsPerPlaceholder = 1 << 20;

/// A token of a text, or a vector of a placeholder word.
struct WeightedToken {
  std::int64_t id;
  float weight;
  std::optional<std::pair<std::size_t, std::size_t>> learned;  ///< word, row
};

TokenChunk to_chunk(const Tokenizer& tokenizer, const std::vector<WeightedToken>& tokens, bool& cut) {
  std::vector<std::int64_t> ids;
  for (const auto& token : tokens) ids.push_back(token.id);
  auto framed = tokenizer.prepare_for_model(std::move(ids));
  const auto length = static_cast<std::int64_t>(framed.input_ids.size());
  TokenChunk chunk{.input_ids = std::move(framed.input_ids),
                   .weights = std::vector<float>(static_cast<std::size_t>(length), 1.0F),
                   .learned = {}};
  cut = cut || framed.truncated;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const auto position = framed.text_begin + static_cast<std::int64_t>(i);
    if (position < 1 || position > length - 2) continue;  // cut off; the ends are bos and eos
    const auto index = static_cast<std::size_t>(position);
    chunk.weights[index] = tokens[i].weight;
    if (tokens[i].learned) chunk.learned.push_back({index, tokens[i].learned->first, tokens[i].learned->second});
  }
  return chunk;
}

/// Fills chunks one after the other.
class ChunkBuilder {
 public:
  explicit ChunkBuilder(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer),
        capacity_(static_cast<std::size_t>(tokenizer.model_max_length()) - 2),
        comma_(tokenizer.token_to_id(",</w>")) {}

  void add(std::int64_t id, float weight) {
    if (comma_ && id == *comma_) {
      comma_end_ = tokens_.size() + 1;
    } else {
      break_after_comma();
    }
    if (tokens_.size() == capacity_) close();
    tokens_.push_back({.id = id, .weight = weight, .learned = {}});
  }

  void add_placeholder(std::size_t word, std::size_t length, float weight) {
    if (length > capacity_) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("a word in the prompt has ", length, " vectors; at most ", capacity_, " fit into a chunk"));
    }
    break_after_comma();
    if (tokens_.size() + length > capacity_) close();
    // The web UI uses token 0 here, which no encoder takes for the end of the text.
    for (std::size_t row = 0; row < length; ++row) tokens_.push_back({0, weight, std::pair(word, row)});
  }

  void close() {
    if (result_.chunks.size() == kMaxChunks) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("the prompt needs more than ", kMaxChunks, " chunks of ", capacity_, " tokens"));
    }
    result_.chunks.push_back(to_chunk(tokenizer_, tokens_, result_.cut));
    tokens_.clear();
    comma_end_.reset();
  }

  ChunkedPrompt finish() {
    if (!tokens_.empty() || result_.chunks.empty()) close();
    return std::move(result_);
  }

 private:
  /// If the chunk is full and a comma is near its end, moves the tokens after the comma to the next chunk.
  void break_after_comma() {
    // The comma itself counts among the last tokens.
    if (tokens_.size() < capacity_ || !comma_end_ || tokens_.size() + 1 - *comma_end_ > kCommaBacktrack) return;
    const auto begin = tokens_.begin() + static_cast<std::ptrdiff_t>(*comma_end_);
    std::vector<WeightedToken> moved(begin, tokens_.end());
    tokens_.erase(begin, tokens_.end());
    close();
    tokens_ = std::move(moved);
  }

  const Tokenizer& tokenizer_;
  std::size_t capacity_;
  std::optional<std::int64_t> comma_;
  std::vector<WeightedToken> tokens_;     // of the current chunk
  std::optional<std::size_t> comma_end_;  // number of tokens up to and including the last comma
  ChunkedPrompt result_;
};

}  // namespace

bool TokenChunk::is_weighted() const {
  return std::any_of(weights.begin(), weights.end(), [](float weight) { return weight != 1.0F; });
}

ChunkedPrompt tokenize_plain_prompt(const Tokenizer& tokenizer, std::string_view text,
                                    const VectorCount& vector_count) {
  const auto first_placeholder = tokenizer.first_placeholder_id();
  std::vector<WeightedToken> tokens;
  for (const auto id : tokenizer.token_ids(text)) {
    if (id < first_placeholder) {
      tokens.push_back({.id = id, .weight = 1.0F, .learned = {}});
      continue;
    }
    const auto word = static_cast<std::size_t>(id - first_placeholder);
    const auto first_row = first_placeholder + (id - first_placeholder) * kMaxVectorsPerPlaceholder;
    const auto length = vector_count(word);
    for (std::size_t row = 0; row < length; ++row) {
      tokens.push_back({first_row + static_cast<std::int64_t>(row), 1.0F, std::pair(word, row)});
    }
  }
  ChunkedPrompt result;
  result.chunks.push_back(to_chunk(tokenizer, tokens, result.cut));
  return result;
}

ChunkedPrompt tokenize_weighted_prompt(const Tokenizer& tokenizer, std::string_view text,
                                       const VectorCount& vector_count) {
  const auto first_placeholder = tokenizer.first_placeholder_id();
  ChunkBuilder writer(tokenizer);
  for (const auto& piece : parse_weighted_prompt(text)) {
    if (piece.is_break()) {
      writer.close();
      continue;
    }
    const auto weight = static_cast<float>(piece.weight);
    for (const auto id : tokenizer.token_ids(piece.text)) {
      if (id < first_placeholder) {
        writer.add(id, weight);
      } else {
        const auto word = static_cast<std::size_t>(id - first_placeholder);
        writer.add_placeholder(word, vector_count(word), weight);
      }
    }
  }
  return writer.finish();
}

}  // namespace easel
