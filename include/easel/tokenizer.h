// Text to token ids. This header does not need libtorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// The ids of one text, padded to the model's length.
struct TokenizedText {
  std::vector<std::int64_t> input_ids;  ///< exactly model_max_length ids: bos, text, eos, padding
  bool truncated = false;               ///< the text had more tokens than fit, and some were cut off
  /// Index in input_ids of the text's first token; 0 or less when the beginning was cut off.
  std::int64_t text_begin = 1;
};

/// Immutable, and so thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// All tokens of a text, without bos, eos and padding. Their number is not limited.
  /// @param text  UTF-8, at most 2^28 bytes; each maximal subpart of an invalid sequence is read as U+FFFD
  /// @throws Error(kInvalidArgument)  the text is longer
  /// @throws Error(kCorruptData)      the vocabulary has neither a token for some byte nor an unknown token
  virtual std::vector<std::int64_t> token_ids(std::string_view text) const = 0;

  /// bos, `ids`, eos, and padding up to model_max_length(). When there are more than model_max_length() - 2 ids, those
  /// at the end are cut off, or those at the beginning if the checkpoint says so.
  virtual TokenizedText prepare_for_model(std::vector<std::int64_t> ids) const = 0;

  /// prepare_for_model(token_ids(text)). @throws as token_ids
  TokenizedText encode(std::string_view text) const { return prepare_for_model(token_ids(text)); }

  virtual std::int64_t model_max_length() const = 0;

  /// The id of a token in the spelling of the vocabulary, e.g. ",</w>".
  virtual std::optional<std::int64_t> token_to_id(const std::string& token) const = 0;

  /// A tokenizer with further words, added as transformers' add_tokens does: they are found anywhere in a text, in
  /// upper or lower case, before the rest of the text is split; where several match, the leftmost longest one is taken.
  /// words[i] has the id first_placeholder_id() + i. A word is never found if it is blank, is a token already, or
  /// equals an earlier word but for case.
  /// @param words  valid UTF-8
  virtual std::unique_ptr<Tokenizer> with_placeholder_tokens(const std::vector<std::string>& words) const = 0;

  /// Checks that a text encoder's embedding table has a row for every id of the checkpoint's own tokens.
  /// @param vocab_size  rows of the table
  /// @throws Error(kCorruptData)  names a token whose id has no row
  virtual void check_ids(std::int64_t vocab_size) const = 0;

  /// The first id above those of the checkpoint's own tokens.
  virtual std::int64_t first_placeholder_id() const = 0;
};

/// The ids of one text for an encoder that takes any length.
struct EncodedText {
  std::vector<std::int64_t> input_ids;  ///< exactly as many as were asked for: text, eos if the model has one, padding
  std::size_t token_count = 0;          ///< ids before the padding: an attention mask is 1 for these
  bool truncated = false;               ///< the text had more tokens than fit; the rest is not in input_ids
};

/// The tokenizer of T5 or Qwen, which know nothing of learned words and of a fixed length. Thread-safe once made.
class TextTokenizer {
 public:
  virtual ~TextTokenizer() = default;

  /// All tokens of a text, without eos and padding.
  /// @param text  UTF-8, at most 2^28 bytes; each maximal subpart of an invalid sequence is read as U+FFFD
  /// @throws Error(kInvalidArgument)  longer than that
  virtual std::vector<std::int64_t> token_ids(std::string_view text) const = 0;

  /// The tokens of a text as transformers gives them for padding="max_length" and truncation=True: what does not fit is
  /// cut off on the right, and the padding is on the right.
  /// @param max_length  1 to 65,536
  /// @throws Error(kInvalidArgument)  another max_length; as token_ids
  virtual EncodedText encode(std::string_view text, std::int64_t max_length) const = 0;
};

/// T5's unigram model (Kudo and Richardson 2018, arXiv:1808.06226) from a checkpoint's tokenizer folder: spiece.model,
/// or tokenizer.json where there is none; with tokenizer_config.json, added_tokens.json and special_tokens_map.json
/// where present.
///
/// Ids equal those of T5Tokenizer.from_pretrained(folder) in transformers 5.23.0.
/// @param vocab_size  rows of the encoder's embedding table
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it, or the token that
/// the
///         table has no row for
std::unique_ptr<TextTokenizer> load_t5_tokenizer(const std::string& folder, std::int64_t vocab_size);

/// The byte-level BPE of Qwen2 and Qwen3 from a checkpoint's tokenizer folder: tokenizer.json, or vocab.json and
/// merges.txt; with the same further files as T5's.
///
/// Ids equal those of Qwen2Tokenizer.from_pretrained(folder) in transformers 5.23.0.
/// @param vocab_size  rows of the encoder's embedding table
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it, or the token that
/// the
///         table has no row for
std::unique_ptr<TextTokenizer> load_qwen_tokenizer(const std::string& folder, std::int64_t vocab_size);

/// What Qwen3's chat template makes of one user message, up to where the assistant's reply begins.
enum class QwenTemplate {
  kThinking,         ///< Z-Image: enable_thinking is true
  kWithoutThinking,  ///< FLUX.2 klein: enable_thinking is false, so that an empty thought follows
};

/// The text that Qwen's tokenizer encodes for a prompt. Special tokens in the prompt stay as they are.
std::string apply_qwen_template(std::string_view prompt, QwenTemplate kind);

/// Reads CLIP's byte-level BPE (Radford et al. 2021) from a checkpoint's tokenizer folder: tokenizer.json, or
/// vocab.json and merges.txt; and tokenizer_config.json, special_tokens_map.json and added_tokens.json where they
/// exist.
///
/// Ids equal those of CLIPTokenizer.from_pretrained(folder) in transformers 5.23.0, called as diffusers does: padded
/// and truncated to model_max_length. Code points that are newer than the Unicode data of the system's ICU may differ.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  the message names the file and what is wrong with it
std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::string& folder);

/// The token that pads a prompt to the length of CLIP's text encoders.
enum class ClipPadding {
  kEndOfText,    ///< SD 1.x, and SDXL's first encoder
  kExclamation,  ///< "!", whose id is 0: OpenCLIP's encoders, i.e. that of SD 2.x and SDXL's second
};

/// The tokenizer of Stable Diffusion's published checkpoints, from a vocabulary that is built into the library.
///
/// Ids equal those of load_clip_tokenizer() with the tokenizer folder of such a checkpoint.
std::unique_ptr<Tokenizer> make_clip_tokenizer(ClipPadding padding);

}  // namespace easel
