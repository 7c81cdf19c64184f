// T5's tokenizer, with a count of the words that each of its two ways has segmented.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "easel/tokenizer.h"
#include "tokenizers/text_splitter.h"
#include "tokenizers/unigram/precompiled_charsmap.h"
#include "tokenizers/unigram/unigram_encoder.h"

namespace easel {

/// See load_t5_tokenizer. Immutable, so safe to share between threads.
class T5Tokenizer : public TextTokenizer {
 public:
  struct RouteCounts {
    std::size_t library = 0;  ///< words that libsentencepiece has segmented
    std::size_t exact = 0;    ///< words that UnigramEncoder has segmented in double precision
  };

  /// As load_t5_tokenizer.
  T5Tokenizer(const std::string& folder, std::int64_t vocab_size);

  std::vector<TokenId> token_ids(std::string_view text) const override;
  std::vector<TokenId> token_ids(std::string_view text, RouteCounts& counts) const;
  EncodedText encode(std::string_view text, std::int64_t max_length) const override;

  const UnigramEncoder& encoder() const { return *encoder_; }

  /// The words of a text as `encoder()` takes them: normalised and beginning with U+2581. Added tokens are left out.
  std::vector<std::string> words(std::string_view text) const;

 private:
  std::unique_ptr<UnigramEncoder> encoder_;
  std::unique_ptr<TextSplitter> splitter_;
};

}  // namespace easel
