// Segments of a text by Unicode's properties of characters, for the tokenizers of T5 and Qwen.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace easel {

/// Calls `visit` for every extended grapheme cluster (UAX #29) of a text, in order. What a person takes for one
/// character is one cluster, for example a letter and its accents. The clusters point into `text`.
/// @param text  valid UTF-8, at most 2^28 bytes
void for_each_grapheme_cluster(std::string_view text, const std::function<void(std::string_view cluster)>& visit);

/// The stretches between white space (Unicode's property White_Space), which point into `text`.
/// @param text  valid UTF-8
std::vector<std::string_view> split_at_white_space(std::string_view text);

/// The pieces into which Qwen2's tokenizer cuts a text before it encodes each by itself. Together they are the whole
/// text.
///
/// They are the matches of (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|
/// \s*[\r\n]+|\s+(?!\S)|\s+, as transformers 5.23.0 has it in models/qwen2/tokenization_qwen2.py.
/// @param text  valid UTF-8
std::vector<std::string_view> split_qwen_words(std::string_view text);

}  // namespace easel
