// Prompts with weights in brackets, as people write them for AUTOMATIC1111's web UI.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// No weight is further from zero. Far outside what a text encoder's output can bear, and small enough for float16.
inline constexpr double kMaxPromptWeight = 1000;

/// A stretch of a prompt and how loudly it speaks.
struct WeightedText {
  std::string text;
  double weight = 1.0;  ///< finite, within kMaxPromptWeight of zero

  /// Whether this is no text, but the place where a new chunk of tokens begins.
  bool is_break() const;
  bool operator==(const WeightedText&) const = default;
};

/// Reads the brackets of a prompt:
///
///   (a)      weight of a times 1.1            [a]      divided by 1.1
///   (a:1.3)  times 1.3; white space may stand around the number, a sign before it
///   \( \) \[ \] \\   the character itself; any other backslash is dropped
///   BREAK    as a word of its own: the text goes on in a new chunk
///
/// Brackets nest, and the two kinds need not nest in each other. One that is never closed reaches to the end; one that
/// closes nothing is text, and so is a weight in square brackets, or one that is no number. Neighbours of equal weight
/// are one stretch. Weights agree to the bit with parse_prompt_attention of AUTOMATIC1111's web UI 1.10, oddities
/// included: a BREAK inside brackets takes their weight, and is then the word "break" and no break. Digits of other
/// scripts, which Python takes for a number too, are text here, and U+001C to U+001F are no white space.
///
/// @param prompt  UTF-8; what is invalid is read as U+FFFD. At most 2^28 bytes
/// @return        at least one stretch; one of weight 1 that is the prompt itself where it has no bracket, backslash or
///                BREAK
/// @throws Error(kInvalidArgument)  the prompt is longer than that; nothing else throws
std::vector<WeightedText> parse_weighted_prompt(std::string_view prompt);

}  // namespace easel
