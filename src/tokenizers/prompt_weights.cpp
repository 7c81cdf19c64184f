#include "tokenizers/prompt_weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>

#include "tokenizers/unicode_text.h"

namespace easel {
namespace {

constexpr double kRoundFactor = 1.1;
constexpr double kSquareFactor = 1 / 1.1;
constexpr std::string_view kBreak = "BREAK";
constexpr double kBreakWeight = -1;
// Bounds intermediate products, so that zero times infinity cannot occur.
constexpr double kMaxFactor = 1e30;

constexpr std::string_view kSpecial = "\\()[]:";
constexpr std::string_view kEscapable = "\\()[]";

/// A weight and its closing bracket, e.g. ":1.3)".
struct ClosingWeight {
  double factor;
  std::size_t length;  ///< bytes including the bracket
};

std::optional<ClosingWeight> closing_weight(std::string_view text) {
  if (!text.starts_with(':')) return std::nullopt;
  std::size_t begin = 1 + leading_space(text.substr(1));
  const bool positive = text.substr(begin).starts_with('+');
  if (positive) ++begin;
  std::size_t end = begin;
  if (!positive && text.substr(end).starts_with('-')) ++end;
  while (end < text.size() && (text[end] == '.' || (text[end] >= '0' && text[end] <= '9'))) ++end;
  const std::size_t bracket = end + leading_space(text.substr(end));
  if (bracket >= text.size() || text[bracket] != ')') return std::nullopt;
  double factor = 0;
  const auto [stopped, error] = std::from_chars(text.data() + begin, text.data() + end, factor);
  if (error != std::errc() || stopped != text.data() + end || std::abs(factor) > kMaxFactor) return std::nullopt;
  return ClosingWeight{factor, bracket + 1};
}

class Parser {
 public:
  std::vector<WeightedText> parse(std::string_view prompt);

 private:
  std::size_t parse_next(std::string_view rest);
  void parse_text(std::string_view text);
  void close(std::vector<std::size_t>& opened, double factor);
  void multiply(std::size_t begin, double factor);
  std::vector<WeightedText> merged() const;

  std::vector<WeightedText> pieces_;
  std::vector<std::size_t> round_, square_;  // open brackets; each is the number of pieces before it
};

std::vector<WeightedText> Parser::parse(std::string_view prompt) {
  while (!prompt.empty()) prompt.remove_prefix(parse_next(prompt));
  for (const auto begin : round_) multiply(begin, kRoundFactor);
  for (const auto begin : square_) multiply(begin, kSquareFactor);
  return merged();
}

/// Parses the next item of `rest`. @return its length in bytes
std::size_t Parser::parse_next(std::string_view rest) {
  switch (rest[0]) {
    case '\\': {
      const bool escapes = rest.size() > 1 && kEscapable.find(rest[1]) != std::string_view::npos;
      pieces_.push_back({.text = std::string(rest.substr(1, escapes ? 1 : 0))});
      return escapes ? 2 : 1;
    }
    case '(':
      round_.push_back(pieces_.size());
      return 1;
    case '[':
      square_.push_back(pieces_.size());
      return 1;
    case ')':
      if (round_.empty()) break;
      close(round_, kRoundFactor);
      return 1;
    case ']':
      if (square_.empty()) break;
      close(square_, kSquareFactor);
      return 1;
    case ':':
      if (const auto weight = closing_weight(rest); weight && !round_.empty()) {
        close(round_, weight->factor);
        return weight->length;
      }
      break;
    default: {
      const auto run = rest.substr(0, rest.find_first_of(kSpecial));
      parse_text(run);
      return run.size();
    }
  }
  pieces_.push_back({.text = std::string(1, rest[0])});
  return 1;
}

/// Adds text without special characters, split at each BREAK, whose surrounding white space is dropped.
void Parser::parse_text(std::string_view text) {
  std::size_t begin = 0;
  for (std::size_t at = text.find(kBreak); at != std::string_view::npos; at = text.find(kBreak, at + 1)) {
    const auto before = text.substr(0, at), after = text.substr(at + kBreak.size());
    if (ends_with_alphanumeric(before) || starts_with_alphanumeric(after)) continue;
    const auto piece = text.substr(begin, at - begin);
    pieces_.push_back({.text = std::string(piece.substr(0, piece.size() - trailing_space(piece)))});
    pieces_.push_back({.text = std::string(kBreak), .weight = kBreakWeight});
    begin = at + kBreak.size() + leading_space(after);
  }
  pieces_.push_back({.text = std::string(text.substr(begin))});
}

void Parser::close(std::vector<std::size_t>& opened, double factor) {
  multiply(opened.back(), factor);
  opened.pop_back();
}

void Parser::multiply(std::size_t begin, double factor) {
  for (std::size_t i = begin; i < pieces_.size(); ++i) {
    pieces_[i].weight = std::clamp(pieces_[i].weight * factor, -kMaxFactor, kMaxFactor);
  }
}

std::vector<WeightedText> Parser::merged() const {
  std::vector<WeightedText> result;
  for (const auto& piece : pieces_) {
    if (!result.empty() && result.back().weight == piece.weight) {
      result.back().text += piece.text;
    } else {
      result.push_back(piece);
    }
  }
  if (result.empty()) result.emplace_back();
  for (auto& piece : result) piece.weight = std::clamp(piece.weight, -kMaxPromptWeight, kMaxPromptWeight);
  return result;
}

}  // namespace

bool WeightedText::is_break() const {
  return weight == kBreakWeight && text == kBreak;
}

std::vector<WeightedText> parse_weighted_prompt(std::string_view prompt) {
  return Parser().parse(to_valid_utf8(prompt));
}

}  // namespace easel
