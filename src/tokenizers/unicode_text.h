// Text as CLIP sees it before any merge: well-formed, normalised, cut into words. What a letter is, how it is composed
// and what its lower case is, ICU knows; it is named nowhere else in easel.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace easel {

/// UTF-8 with every maximal subpart of an ill-formed sequence replaced by one U+FFFD.
/// @throws Error(kInvalidArgument)  more bytes than ICU can count
std::string to_valid_utf8(std::string_view text);

/// NFC by the data of Unicode 9.0, as the `tokenizers` library composes to this day.
/// @param text  valid UTF-8
std::string compose_nfc(std::string_view text);

/// NFC, each run of white space to one space, then every code point to lower case by itself: a final sigma is an
/// ordinary one here.
/// @param text  valid UTF-8
std::string normalize_prompt(std::string_view text);

/// The words of a normalised text, white space left out; they point into `text`.
///
/// A word is a run of letters, a single digit or other number, a run of anything else, or one of 's 't 're 've 'm 'll
/// 'd.
/// @param text  as normalize_prompt gives it
std::vector<std::string_view> split_words(std::string_view text);

/// Bytes of white space at the beginning and at the end of valid UTF-8.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);

/// Whether the first or last code point could be part of a word, as \w means it in UTS #18. An empty text has none.
bool starts_with_word_character(std::string_view text);
bool ends_with_word_character(std::string_view text);

/// The same for what Python's re means by \w: letters, numbers of any kind and "_", but no marks, such as the variation
/// selector of an emoji.
bool starts_with_alphanumeric(std::string_view text);
bool ends_with_alphanumeric(std::string_view text);

}  // namespace easel
