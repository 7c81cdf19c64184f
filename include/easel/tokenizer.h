// Text to token ids. This header does not need libtorch.
#pragma once

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

  /// The first id above those of the checkpoint's own tokens.
  virtual std::int64_t first_placeholder_id() const = 0;
};

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
