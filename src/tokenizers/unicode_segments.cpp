#include "tokenizers/unicode_segments.h"

#include <unicode/brkiter.h>
#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/utext.h>
#include <unicode/utf8.h>

#include <array>
#include <cstdint>
#include <memory>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

enum class Kind { kNewline, kSpace, kLetter, kNumber, kOther };

Kind kind_of(UChar32 c) {
  if (c == '\r' || c == '\n') return Kind::kNewline;
  if (u_isUWhiteSpace(c)) return Kind::kSpace;
  const auto category = U_GET_GC_MASK(c);
  if (category & U_GC_L_MASK) return Kind::kLetter;
  return category & U_GC_N_MASK ? Kind::kNumber : Kind::kOther;
}

/// The kind of the code point at `i`, and moves `i` behind it.
Kind next_kind(std::string_view text, std::size_t& i) {
  UChar32 c;
  // NOLINTNEXTLINE(bugprone-inc-dec-in-conditions): a macro of ICU
  U8_NEXT_OR_FFFD(text.data(), i, text.size(), c);
  return kind_of(c);
}

/// The end of the longest run from `begin` of characters for which `belongs` is true.
template <class Predicate>
std::size_t end_of_matching_run(std::string_view text, std::size_t begin, Predicate belongs) {
  std::size_t end = begin;
  for (std::size_t i = begin; i < text.size(); end = i) {
    if (!belongs(next_kind(text, i))) break;
  }
  return end;
}

bool is_letter(Kind kind) {
  return kind == Kind::kLetter;
}
bool is_newline(Kind kind) {
  return kind == Kind::kNewline;
}
bool is_white_space(Kind kind) {
  return kind == Kind::kSpace || kind == Kind::kNewline;
}
bool is_other(Kind kind) {
  return kind == Kind::kOther;
}

/// The length of 's, 't, 're, 've, 'm, 'll or 'd in letters of either case at the beginning of `rest`; 0 without one.
std::size_t qwen_contraction_length(std::string_view rest) {
  constexpr std::string_view kLongS = "\u017F";  // equals an s when case is ignored
  constexpr std::array<std::string_view, 7> kEndings = {"s", "t", "re", "ve", "m", "ll", "d"};
  if (!rest.starts_with('\'')) return 0;
  rest.remove_prefix(1);
  if (rest.starts_with(kLongS)) return 1 + kLongS.size();
  for (const auto ending : kEndings) {
    bool same = rest.size() >= ending.size();
    for (std::size_t i = 0; same && i < ending.size(); ++i) same = (rest[i] | 0x20) == ending[i];
    if (same) return 1 + ending.size();
  }
  return 0;
}

/// The end of a piece that begins with white space, which no letter or punctuation has taken.
std::size_t end_of_white_space(std::string_view text, std::size_t begin) {
  const auto end = end_of_matching_run(text, begin, is_white_space);
  const auto newline = text.substr(begin, end - begin).find_last_of("\r\n");
  if (newline != std::string_view::npos) return begin + newline + 1;
  if (end == text.size()) return end;
  // The last one belongs to what follows, unless it is the only one.
  std::size_t last = end - 1;
  while (is_utf8_continuation(text[last])) --last;
  return last > begin ? last : end;
}

/// The end of the piece that begins at `begin`: the alternatives of the pattern, in its order.
std::size_t end_of_qwen_word(std::string_view text, std::size_t begin) {
  if (const auto length = qwen_contraction_length(text.substr(begin))) return begin + length;
  std::size_t second = begin;
  const Kind first = next_kind(text, second);
  if (first == Kind::kLetter) return end_of_matching_run(text, begin, is_letter);
  if (first == Kind::kNumber) return second;
  if (first != Kind::kNewline) {
    const auto end = end_of_matching_run(text, second, is_letter);
    if (end > second) return end;
  }
  const bool after_space = text[begin] == ' ';
  const auto other = end_of_matching_run(text, after_space ? second : begin, is_other);
  if (other > (after_space ? second : begin)) return end_of_matching_run(text, other, is_newline);
  return end_of_white_space(text, begin);
}

/// ICU's iterator over clusters, for this call only: it keeps the position in the text.
std::unique_ptr<icu::BreakIterator> cluster_iterator() {
  static const std::unique_ptr<const icu::BreakIterator> prototype = [] {
    UErrorCode status = U_ZERO_ERROR;
    std::unique_ptr<const icu::BreakIterator> made(
        icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status));
    if (U_FAILURE(status)) {
      throw Error(ErrorCode::kInternal, concat("ICU has no rules for grapheme clusters: ", u_errorName(status)));
    }
    return made;
  }();
  return std::unique_ptr<icu::BreakIterator>(prototype->clone());
}

}  // namespace

void for_each_grapheme_cluster(std::string_view text, const std::function<void(std::string_view)>& visit) {
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UText, decltype(&utext_close)> units(
      utext_openUTF8(nullptr, text.data(), static_cast<std::int64_t>(text.size()), &status), &utext_close);
  const auto iterator = cluster_iterator();
  iterator->setText(units.get(), status);
  if (U_FAILURE(status)) {
    throw Error(ErrorCode::kInternal, concat("ICU cannot find grapheme clusters: ", u_errorName(status)));
  }
  auto begin = static_cast<std::size_t>(iterator->first());
  for (auto end = iterator->next(); end != icu::BreakIterator::DONE; end = iterator->next()) {
    visit(text.substr(begin, static_cast<std::size_t>(end) - begin));
    begin = static_cast<std::size_t>(end);
  }
}

std::vector<std::string_view> split_at_white_space(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    begin = end_of_matching_run(text, begin, is_white_space);
    const auto end = end_of_matching_run(text, begin, [](Kind kind) { return !is_white_space(kind); });
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

std::vector<std::string_view> split_qwen_words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = end_of_qwen_word(text, begin);
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

}  // namespace easel
