#include "tokenizers/token_chunks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "tokenizers/prompt_weights.h"

namespace easel {
namespace {

constexpr std::size_t kMostChunks = 100;
// What the web UI calls comma_padding_backtrack, and its default.
constexpr std::size_t kCommaBacktrack = 20;
// Ids of a word's vectors follow each other; those of the next word come after all of them.
constexpr std::int64_t kMostVectors = 1 << 20;

/// One token of a text, or one vector of a word.
struct Slot {
  std::int64_t id;
  float weight;
  std::optional<std::pair<std::size_t, std::size_t>> learned;  ///< word, row
};

TokenChunk to_chunk(const Tokenizer& tokenizer, const std::vector<Slot>& slots, bool& cut) {
  std::vector<std::int64_t> ids;
  for (const auto& slot : slots) ids.push_back(slot.id);
  auto framed = tokenizer.frame(std::move(ids));
  const auto length = static_cast<std::int64_t>(framed.input_ids.size());
  TokenChunk chunk{.input_ids = std::move(framed.input_ids),
                   .weights = std::vector<float>(static_cast<std::size_t>(length), 1.0F),
                   .learned = {}};
  cut = cut || framed.truncated;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto position = framed.text_begin + static_cast<std::int64_t>(i);
    if (position < 1 || position > length - 2) continue;  // cut off: bos and eos have the ends
    const auto place = static_cast<std::size_t>(position);
    chunk.weights[place] = slots[i].weight;
    if (slots[i].learned) chunk.learned.push_back({place, slots[i].learned->first, slots[i].learned->second});
  }
  return chunk;
}

/// Fills one chunk after the other.
class ChunkWriter {
 public:
  explicit ChunkWriter(const Tokenizer& tokenizer)
      : tokenizer_(tokenizer),
        room_(static_cast<std::size_t>(tokenizer.model_max_length()) - 2),
        comma_(tokenizer.id_of(",</w>")) {}

  void add(std::int64_t id, float weight) {
    if (comma_ && id == *comma_) {
      comma_end_ = slots_.size() + 1;
    } else {
      break_behind_comma();
    }
    if (slots_.size() == room_) close();
    slots_.push_back({.id = id, .weight = weight, .learned = {}});
  }

  void add_word(std::size_t word, std::size_t length, float weight) {
    if (length > room_) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("a word in the prompt stands for ", length, " vectors; at most ", room_, " fit"));
    }
    break_behind_comma();
    if (slots_.size() + length > room_) close();
    // The web UI has token 0 there; no encoder takes it for the end of the text.
    for (std::size_t row = 0; row < length; ++row) slots_.push_back({0, weight, std::pair(word, row)});
  }

  void close() {
    if (result_.chunks.size() == kMostChunks) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("the prompt takes more than ", kMostChunks, " chunks of ", room_, " tokens"));
    }
    result_.chunks.push_back(to_chunk(tokenizer_, slots_, result_.cut));
    slots_.clear();
    comma_end_.reset();
  }

  ChunkedPrompt finish() {
    if (!slots_.empty() || result_.chunks.empty()) close();
    return std::move(result_);
  }

 private:
  /// Takes what follows a near comma into the next chunk, if this one is full.
  void break_behind_comma() {
    // The comma itself counts among the last tokens.
    if (slots_.size() < room_ || !comma_end_ || slots_.size() + 1 - *comma_end_ > kCommaBacktrack) return;
    const auto begin = slots_.begin() + static_cast<std::ptrdiff_t>(*comma_end_);
    std::vector<Slot> moved(begin, slots_.end());
    slots_.erase(begin, slots_.end());
    close();
    slots_ = std::move(moved);
  }

  const Tokenizer& tokenizer_;
  std::size_t room_;
  std::optional<std::int64_t> comma_;
  std::vector<Slot> slots_;               // of the chunk that is being filled
  std::optional<std::size_t> comma_end_;  // how many slots there are up to and with its last comma
  ChunkedPrompt result_;
};

}  // namespace

bool TokenChunk::is_weighted() const {
  return std::any_of(weights.begin(), weights.end(), [](float weight) { return weight != 1.0F; });
}

ChunkedPrompt read_plain_prompt(const Tokenizer& tokenizer, std::string_view text, const WordLength& word_length) {
  const auto first_word = tokenizer.first_word_id();
  std::vector<Slot> slots;
  for (const auto id : tokenizer.ids_of(text)) {
    if (id < first_word) {
      slots.push_back({.id = id, .weight = 1.0F, .learned = {}});
      continue;
    }
    const auto word = static_cast<std::size_t>(id - first_word);
    const auto first_row = first_word + (id - first_word) * kMostVectors;
    const auto length = word_length(word);
    for (std::size_t row = 0; row < length; ++row) {
      slots.push_back({first_row + static_cast<std::int64_t>(row), 1.0F, std::pair(word, row)});
    }
  }
  ChunkedPrompt result;
  result.chunks.push_back(to_chunk(tokenizer, slots, result.cut));
  return result;
}

ChunkedPrompt read_weighted_prompt(const Tokenizer& tokenizer, std::string_view text, const WordLength& word_length) {
  const auto first_word = tokenizer.first_word_id();
  ChunkWriter writer(tokenizer);
  for (const auto& piece : parse_weighted_prompt(text)) {
    if (piece.is_break()) {
      writer.close();
      continue;
    }
    const auto weight = static_cast<float>(piece.weight);
    for (const auto id : tokenizer.ids_of(piece.text)) {
      if (id < first_word) {
        writer.add(id, weight);
      } else {
        const auto word = static_cast<std::size_t>(id - first_word);
        writer.add_word(word, word_length(word), weight);
      }
    }
  }
  return writer.finish();
}

}  // namespace easel
