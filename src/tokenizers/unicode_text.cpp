// Follows the normalizer and pre-tokenizer of CLIPTokenizer in transformers 5.23.0, models/clip/tokenization_clip.py.
#include "tokenizers/unicode_text.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <array>
#include <cstdint>
#include <memory>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

// Its UTF-16 fits into ICU's 32-bit lengths even after NFC, which at most triples the number of code units.
constexpr std::size_t kMaxTextBytes = std::size_t{1} << 28;

icu::StringPiece to_string_piece(std::string_view text) {
  return {text.data(), static_cast<std::int32_t>(text.size())};
}

// The library `tokenizers` composes with the data of Unicode 9.0: it leaves newer code points unchanged, and they keep
// their neighbours from being composed. Its data on letters, numbers and lower case are recent.
class Composer {
 public:
  Composer() {
    UErrorCode status = U_ZERO_ERROR;
    old_.applyPattern("[:age=9.0:]", status).freeze();
    const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
    check(status);
    old_nfc_ = std::make_unique<icu::FilteredNormalizer2>(*nfc, old_);
  }

  icu::UnicodeString compose(std::string_view text) const {
    UErrorCode status = U_ZERO_ERROR;
    auto composed = old_nfc_->normalize(icu::UnicodeString::fromUTF8(to_string_piece(text)), status);
    check(status);
    return composed;
  }

 private:
  static void check(UErrorCode status) {
    if (U_FAILURE(status)) throw Error(ErrorCode::kInternal, concat("ICU cannot compose text: ", u_errorName(status)));
  }

  icu::UnicodeSet old_;
  std::unique_ptr<const icu::Normalizer2> old_nfc_;  // refers to old_
};

const Composer& composer() {
  static const Composer composer;
  return composer;
}

// In a string of one code point only the unconditional mappings apply (U+0130 becomes two code points).
void append_lower_case(icu::UnicodeString& out, UChar32 c) {
  if (!u_hasBinaryProperty(c, UCHAR_CHANGES_WHEN_LOWERCASED)) {
    out.append(c);
  } else {
    out.append(icu::UnicodeString(c).toLower(icu::Locale::getRoot()));
  }
}

/// Returns the code point at `i` and moves `i` past it.
UChar32 next_code_point(std::string_view text, std::size_t& i) {
  UChar32 c;
  // NOLINTNEXTLINE(bugprone-inc-dec-in-conditions): a macro of ICU
  U8_NEXT_OR_FFFD(text.data(), i, text.size(), c);
  return c;
}

UChar32 last_code_point(std::string_view text, std::size_t& i) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
  auto at = static_cast<std::int32_t>(i);
  UChar32 c;
  U8_PREV_OR_FFFD(bytes, 0, at, c);
  i = static_cast<std::size_t>(at);
  return c;
}

enum class CharacterClass { kSpace, kLetter, kNumber, kOther };

CharacterClass character_class(UChar32 c) {
  if (u_isUWhiteSpace(c)) return CharacterClass::kSpace;
  const auto category = U_GET_GC_MASK(c);
  if (category & U_GC_L_MASK) return CharacterClass::kLetter;
  return category & U_GC_N_MASK ? CharacterClass::kNumber : CharacterClass::kOther;
}

bool is_word_character(UChar32 c) {
  return u_isUAlphabetic(c) || u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(c) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool is_alphanumeric(UChar32 c) {
  const auto kind = character_class(c);
  return kind == CharacterClass::kLetter || kind == CharacterClass::kNumber || c == '_';
}

template <class Predicate>
bool starts_with(std::string_view text, Predicate predicate) {
  std::size_t i = 0;
  return !text.empty() && predicate(next_code_point(text, i));
}

template <class Predicate>
bool ends_with(std::string_view text, Predicate predicate) {
  std::size_t i = text.size();
  return !text.empty() && predicate(last_code_point(text, i));
}

std::size_t end_of_run(std::string_view text, std::size_t begin, CharacterClass kind) {
  std::size_t end = begin;
  for (std::size_t i = begin; i < text.size(); end = i) {
    if (character_class(next_code_point(text, i)) != kind) break;
  }
  return end;
}

std::size_t contraction_length(std::string_view rest) {
  constexpr std::array<std::string_view, 7> kContractions = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  for (const auto contraction : kContractions) {
    if (rest.starts_with(contraction)) return contraction.size();
  }
  return 0;
}

// The reference matches these markers as a whole and then splits them like other text. They only get here when they are
// not special tokens of the vocabulary, or are in upper case.
std::size_t marker_length(std::string_view rest) {
  constexpr std::array<std::string_view, 2> kMarkers = {"<|startoftext|>", "<|endoftext|>"};
  for (const auto marker : kMarkers) {
    if (rest.starts_with(marker)) return marker.size();
  }
  return 0;
}

}  // namespace

std::string to_valid_utf8(std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("a text has ", text.size(), " bytes; at most ", kMaxTextBytes, " are allowed"));
  }
  std::string valid;
  icu::UnicodeString::fromUTF8(to_string_piece(text)).toUTF8String(valid);
  return valid;
}

std::string compose_nfc(std::string_view text) {
  std::string composed;
  composer().compose(text).toUTF8String(composed);
  return composed;
}

std::string normalize_prompt(std::string_view text) {
  const icu::UnicodeString composed = composer().compose(text);
  icu::UnicodeString result;
  bool after_space = false;
  for (std::int32_t i = 0; i < composed.length(); i = composed.moveIndex32(i, 1)) {
    const UChar32 c = composed.char32At(i);
    const bool space = u_isUWhiteSpace(c);
    if (!space) {
      append_lower_case(result, c);
    } else if (!after_space) {
      result.append(static_cast<UChar32>(' '));
    }
    after_space = space;
  }
  std::string normalized;
  result.toUTF8String(normalized);
  return normalized;
}

std::string lower_case_and_strip(std::string_view text) {
  auto lower = icu::UnicodeString::fromUTF8(to_valid_utf8(text));
  lower.toLower(icu::Locale::getRoot());
  const auto is_space = [](UChar32 c) { return u_isUWhiteSpace(c) || (c >= 0x1C && c <= 0x1F); };
  std::int32_t begin = 0, end = lower.length();  // no white space needs two code units
  while (begin < end && is_space(lower.char32At(begin))) ++begin;
  while (end > begin && is_space(lower.char32At(end - 1))) --end;
  std::string stripped;
  lower.tempSubStringBetween(begin, end).toUTF8String(stripped);
  return stripped;
}

std::vector<std::string_view> split_words(std::string_view text) {
  std::vector<std::string_view> words;
  const auto take = [&](std::size_t& begin, std::size_t length) {
    words.push_back(text.substr(begin, length));
    begin += length;
  };
  for (std::size_t i = 0; i < text.size();) {
    const auto rest = text.substr(i);
    if (const auto marker = marker_length(rest)) {
      take(i, 2);           // <|
      take(i, marker - 4);  // startoftext
      take(i, 2);           // |>
      continue;
    }
    if (const auto contraction = contraction_length(rest)) {
      take(i, contraction);
      continue;
    }
    std::size_t after = i;
    const CharacterClass kind = character_class(next_code_point(text, after));
    const std::size_t end = kind == CharacterClass::kNumber ? after : end_of_run(text, i, kind);
    if (kind == CharacterClass::kSpace) {
      i = end;
    } else {
      take(i, end - i);
    }
  }
  return words;
}

std::size_t leading_space(std::string_view text) {
  return end_of_run(text, 0, CharacterClass::kSpace);
}

std::size_t trailing_space(std::string_view text) {
  std::size_t begin = text.size();
  for (std::size_t i = begin; i > 0; begin = i) {
    if (character_class(last_code_point(text, i)) != CharacterClass::kSpace) break;
  }
  return text.size() - begin;
}

bool starts_with_word_character(std::string_view text) {
  return starts_with(text, is_word_character);
}

bool ends_with_word_character(std::string_view text) {
  return ends_with(text, is_word_character);
}

bool starts_with_alphanumeric(std::string_view text) {
  return starts_with(text, is_alphanumeric);
}

bool ends_with_alphanumeric(std::string_view text) {
  return ends_with(text, is_alphanumeric);
}

}  // namespace easel
