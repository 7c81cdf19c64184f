// What CLIP's tokenizer does with a text before merging: validates, normalises and splits it into words. Character
// classes, composition and lower case come from ICU, which no other part of easel uses.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// UTF-8 with every maximal subpart of an ill-formed sequence replaced by one U+FFFD.
/// @throws Error(kInvalidArgument)  the text has more bytes than ICU can handle
std::string to_valid_utf8(std::string_view text);

/// NFC by the data of Unicode 9.0, which the `tokenizers` library still uses.
/// @param text  valid UTF-8
std::string compose_nfc(std::string_view text);

/// Applies NFC, replaces each run of white space with one space, then lower-cases every code point by itself, so that a
/// final sigma becomes an ordinary one.
/// @param text  valid UTF-8
std::string normalize_prompt(std::string_view text);

/// A text in lower case and without white space at its ends, as Python's text.lower().strip() gives it: with the
/// special cases of single characters and of the final sigma, and with U+001C to U+001F as white space. Without
/// normalisation.
/// @throws Error(kInvalidArgument)  as to_valid_utf8, by which invalid UTF-8 is replaced
std::string lower_case_and_strip(std::string_view text);

/// The words of a normalised text, without white space. They point into `text`.
///
/// A word is a run of letters, a single number character, a run of other characters, or one of 's 't 're 've 'm 'll 'd.
/// @param text  as returned by normalize_prompt
std::vector<std::string_view> split_words(std::string_view text);

/// Number of bytes of white space at the beginning and at the end of valid UTF-8.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);

/// Whether the first or last code point is a word character, i.e. \w of UTS #18. False for an empty text.
bool starts_with_word_character(std::string_view text);
bool ends_with_word_character(std::string_view text);

/// The same for \w of Python's re: letters, numbers of any kind and "_", but not marks such as an emoji's variation
/// selector.
bool starts_with_alphanumeric(std::string_view text);
bool ends_with_alphanumeric(std::string_view text);

}  // namespace easel
