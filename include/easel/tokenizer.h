// Text to token ids. No torch here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// The ids of one text, padded to the model's length.
struct TokenizedText {
  std::vector<std::int64_t> input_ids;  ///< exactly model_max_length of them: bos, text, eos, padding
  bool truncated = false;               ///< the text had more tokens than fit; the rest is not in input_ids
};

/// Thread-safe once made.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// @param text  UTF-8, at most 2^28 bytes; each maximal subpart of an invalid sequence is read as U+FFFD
  /// @throws Error(kInvalidArgument)  longer than that
  /// @throws Error(kCorruptData)      a byte that the vocabulary has no token for, nor an unknown token instead
  virtual TokenizedText encode(std::string_view text) const = 0;
  virtual std::int64_t model_max_length() const = 0;
};

/// CLIP's byte-level BPE (Radford et al. 2021) from a checkpoint's tokenizer folder: tokenizer.json, or vocab.json and
/// merges.txt; with tokenizer_config.json, special_tokens_map.json and added_tokens.json where present.
///
/// Ids equal those of CLIPTokenizer.from_pretrained(folder) in transformers 5.23.0, called as diffusers does: padded
/// and truncated to model_max_length. Code points that are newer than the Unicode data of the system's ICU may differ.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
std::unique_ptr<Tokenizer> load_clip_tokenizer(const std::string& folder);

/// What fills a prompt up to the length of CLIP's text encoders.
enum class ClipPadding {
  kEndOfText,    ///< SD 1.x, and SDXL's first encoder
  kExclamation,  ///< "!", whose id is 0: OpenCLIP's encoders, in SD 2.x and as SDXL's second
};

/// The tokenizer of Stable Diffusion's published checkpoints, from the vocabulary that the program carries.
///
/// Ids equal those of load_clip_tokenizer on such a checkpoint's folder.
std::unique_ptr<Tokenizer> make_clip_tokenizer(ClipPadding padding);

}  // namespace easel
