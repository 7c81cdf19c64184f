// Prompts with weights in brackets, in the syntax of AUTOMATIC1111's web UI.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// The largest absolute weight. Far beyond any useful weight, and small enough for float16.
inline constexpr double kMaxPromptWeight = 1000;

/// A part of a prompt with its weight.
struct WeightedText {
  std::string text;
  double weight = 1.0;  ///< finite, -kMaxPromptWeight to kMaxPromptWeight

  /// Whether this is not text, but the place where a new chunk of tokens begins.
  bool is_break() const;
  bool operator==(const WeightedText&) const = default;
};

/// Reads the brackets of a prompt:
///
///   (a)      multiplies the weight of a by 1.1     [a]      divides it by 1.1
///   (a:1.3)  multiplies it by 1.3; the number may have a sign, and white space around it
///   \( \) \[ \] \\   the character itself; any other backslash is dropped
///   BREAK    as a separate word: the text continues in a new chunk
///
/// Brackets nest, and the two kinds may overlap. An opening bracket without its closing one reaches to the end; a
/// closing bracket without its opening one is text, and so is a weight that is in square brackets or is not a number.
/// Adjacent parts of equal weight are joined. Weights equal those of parse_prompt_attention in AUTOMATIC1111's web
/// UI 1.10 to the bit, peculiarities included: a BREAK inside brackets takes their weight and is then the word "break".
/// Unlike in Python, digits of other scripts are text, and U+001C to U+001F are not white space.
///
/// @param prompt  UTF-8, at most 2^28 bytes; invalid sequences are read as U+FFFD
/// @return        at least one part; the whole prompt with weight 1 when it has no bracket, backslash or BREAK
/// @throws Error(kInvalidArgument)  the prompt is too long; nothing else throws
std::vector<WeightedText> parse_weighted_prompt(std::string_view prompt);

}  // namespace easel
