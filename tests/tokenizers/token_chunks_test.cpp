#include "tokenizers/token_chunks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "easel/error.h"

namespace easel {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr std::int64_t kBos = 1, kEos = 2, kPad = 3, kWord = 1000;

/// Every character except the space is a token whose id is the character's code. Capitals are placeholder words, from A
/// on.
class Letters : public Tokenizer {
 public:
  enum class Side { kRight, kLeft };
  explicit Letters(std::int64_t length = 77, Side side = Side::kRight) : length_(length), side_(side) {}

  std::vector<std::int64_t> token_ids(std::string_view text) const override {
    std::vector<std::int64_t> ids;
    for (const char c : text) {
      if (c != ' ') ids.push_back(c >= 'A' && c <= 'Z' ? kWord + c - 'A' : c);
    }
    return ids;
  }
  TokenizedText prepare_for_model(std::vector<std::int64_t> ids) const override {
    TokenizedText framed;
    const auto room = static_cast<std::size_t>(length_ - 2);
    if (ids.size() > room) {
      framed.truncated = true;
      if (side_ == Side::kLeft) {
        framed.text_begin = 1 - static_cast<std::int64_t>(ids.size() - room);
        ids.erase(ids.begin(), ids.end() - (length_ - 2));
      }
      ids.resize(room);
    }
    ids.insert(ids.begin(), kBos);
    ids.push_back(kEos);
    const auto padding = static_cast<std::size_t>(length_) - ids.size();
    ids.insert(side_ == Side::kLeft ? ids.begin() : ids.end(), padding, kPad);
    if (side_ == Side::kLeft) framed.text_begin += static_cast<std::int64_t>(padding);
    framed.input_ids = std::move(ids);
    return framed;
  }
  std::int64_t model_max_length() const override { return length_; }
  std::optional<std::int64_t> token_to_id(const std::string& token) const override {
    return token == ",</w>" ? std::optional<std::int64_t>(',') : std::nullopt;
  }
  std::unique_ptr<Tokenizer> with_placeholder_tokens(const std::vector<std::string>&) const override { return nullptr; }
  void check_ids(std::int64_t) const override {}
  std::int64_t first_placeholder_id() const override { return kWord; }

 private:
  std::int64_t length_;
  Side side_;
};

std::size_t three(std::size_t) {
  return 3;
}

/// The texts of the chunks; '?' for a vector of a word.
std::vector<std::string> texts_of(const ChunkedPrompt& prompt) {
  std::vector<std::string> texts;
  for (const auto& chunk : prompt.chunks) {
    std::string text;
    for (std::size_t i = 0; i < chunk.input_ids.size(); ++i) {
      const auto is_here = [&](const PlaceholderVector& vector) { return vector.position == i; };
      const bool learned = std::any_of(chunk.learned.begin(), chunk.learned.end(), is_here);
      if (learned) {
        text += '?';
      } else if (chunk.input_ids[i] > kPad) {
        text += static_cast<char>(chunk.input_ids[i]);
      }
    }
    texts.push_back(text);
  }
  return texts;
}

std::string letters(std::size_t count, char letter = 'a') {
  return std::string(count, letter);
}

TEST(TokenChunks, PlainTextIsOneTruncatedChunk) {
  const Letters tokenizer(6);
  const auto fits = tokenize_plain_prompt(tokenizer, "a(b)", three);
  ASSERT_EQ(fits.chunks.size(), 1u);
  EXPECT_FALSE(fits.cut);
  EXPECT_THAT(fits.chunks[0].input_ids, ElementsAre(kBos, 'a', '(', 'b', ')', kEos));
  EXPECT_THAT(fits.chunks[0].weights, Each(1.0F));
  EXPECT_FALSE(fits.chunks[0].is_weighted());
  const auto over = tokenize_plain_prompt(tokenizer, "abcde", three);
  EXPECT_TRUE(over.cut);
  EXPECT_THAT(texts_of(over), ElementsAre("abcd"));
}

TEST(TokenChunks, PlaceholderTakesOneTokenPerVector) {
  const auto prompt = tokenize_plain_prompt(Letters(9), "xBA", three);
  EXPECT_THAT(prompt.chunks[0].learned,
              ElementsAre(PlaceholderVector{2, 1, 0}, PlaceholderVector{3, 1, 1}, PlaceholderVector{4, 1, 2},
                          PlaceholderVector{5, 0, 0}, PlaceholderVector{6, 0, 1}, PlaceholderVector{7, 0, 2}));
  const auto& ids = prompt.chunks[0].input_ids;
  EXPECT_LT(ids[2], ids[3]);
  EXPECT_LT(ids[3], ids[4]);
  EXPECT_LT(ids[7], ids[2]) << "the vectors of the first word come before those of the second";
  EXPECT_GE(ids[5], kWord);
}

TEST(TokenChunks, PlaceholderIsTruncatedWithPlainText) {
  const auto prompt = tokenize_plain_prompt(Letters(6), "abcA", three);
  EXPECT_TRUE(prompt.cut);
  EXPECT_THAT(prompt.chunks[0].learned, ElementsAre(PlaceholderVector{4, 0, 0}));
  const auto left = tokenize_plain_prompt(Letters(6, Letters::Side::kLeft), "aAbcd", three);
  EXPECT_TRUE(left.cut);
  EXPECT_THAT(left.chunks[0].learned, ElementsAre(PlaceholderVector{1, 0, 2}));
  EXPECT_THAT(texts_of(left), ElementsAre("?bcd"));
}

TEST(TokenChunks, WeightsAlignWithTheirTokens) {
  for (const auto side : {Letters::Side::kRight, Letters::Side::kLeft}) {
    const auto prompt = tokenize_weighted_prompt(Letters(10, side), "a(bc:1.5)[d]", three);
    ASSERT_EQ(prompt.chunks.size(), 1u);
    const auto& chunk = prompt.chunks[0];
    EXPECT_TRUE(chunk.is_weighted());
    for (std::size_t i = 0; i < chunk.input_ids.size(); ++i) {
      const auto id = chunk.input_ids[i];
      const float weight = id == 'b' || id == 'c' ? 1.5F : id == 'd' ? static_cast<float>(1 / 1.1) : 1.0F;
      EXPECT_EQ(chunk.weights[i], weight) << i;
    }
  }
}

TEST(TokenChunks, LongTextContinuesInTheNextChunk) {
  const auto prompt = tokenize_weighted_prompt(Letters(), letters(75) + letters(76, 'b'), three);
  EXPECT_THAT(texts_of(prompt), ElementsAre(letters(75), letters(75, 'b'), "b"));
  EXPECT_FALSE(prompt.cut);
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), letters(75), three)), ElementsAre(letters(75)));
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), "", three)), ElementsAre(""));
}

TEST(TokenChunks, NewChunkBeginsAfterANearbyComma) {
  const auto with_comma_at = [](std::size_t index, std::size_t length) {
    return letters(index) + "," + letters(length - index - 1, 'b');
  };
  // The last 20 of 75 tokens begin at index 55.
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), with_comma_at(55, 76), three)),
              ElementsAre(letters(55) + ",", letters(20, 'b')));
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), with_comma_at(54, 76), three)),
              ElementsAre(letters(54) + "," + letters(20, 'b'), "b"));
  EXPECT_EQ(texts_of(tokenize_weighted_prompt(Letters(), with_comma_at(55, 75), three)).size(), 1u)
      << "nothing is too long";
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), letters(75) + ",b", three)), ElementsAre(letters(75), ",b"))
      << "a comma that does not fit breaks nothing";
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), with_comma_at(60, 75) + ",c", three)),
              ElementsAre(with_comma_at(60, 75), ",c"));
}

TEST(TokenChunks, WeightsMoveWithTheirTokens) {
  const auto prompt = tokenize_weighted_prompt(Letters(), letters(70) + ",(bbb:1.5)ccc", three);
  ASSERT_THAT(texts_of(prompt), ElementsAre(letters(70) + ",", "bbbccc"));
  EXPECT_FALSE(prompt.chunks[0].is_weighted());
  EXPECT_EQ(prompt.chunks[1].weights[3], 1.5F);
  EXPECT_EQ(prompt.chunks[1].weights[4], 1.0F);
}

TEST(TokenChunks, BreakEndsEvenAnEmptyChunk) {
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), "a BREAK b", three)), ElementsAre("a", "b"));
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), "BREAK b BREAK", three)), ElementsAre("", "b"));
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), letters(75) + " BREAK b", three)),
              ElementsAre(letters(75), "b"));
}

TEST(TokenChunks, PlaceholderVectorsStayInOneChunk) {
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), letters(73) + "A", three)), ElementsAre(letters(73), "???"));
  EXPECT_THAT(texts_of(tokenize_weighted_prompt(Letters(), letters(72) + "A", three)),
              ElementsAre(letters(72) + "???"));
  const auto moved = tokenize_weighted_prompt(Letters(), letters(70) + ",(A:1.2)bb", three);
  EXPECT_THAT(texts_of(moved), ElementsAre(letters(70) + ",", "???bb"));
  EXPECT_THAT(moved.chunks[1].learned,
              ElementsAre(PlaceholderVector{1, 0, 0}, PlaceholderVector{2, 0, 1}, PlaceholderVector{3, 0, 2}));
  EXPECT_EQ(moved.chunks[1].weights[3], 1.2F);
}

TEST(TokenChunks, RejectsPlaceholdersLargerThanAChunk) {
  const auto much = [](std::size_t) { return std::size_t{76}; };
  EXPECT_THROW(tokenize_weighted_prompt(Letters(), "A", much), Error);
  EXPECT_EQ(tokenize_weighted_prompt(Letters(), letters(7500), three).chunks.size(), 100u);
  EXPECT_THROW(tokenize_weighted_prompt(Letters(), letters(7501), three), Error);
}

TEST(TokenChunks, KeepsEveryTokenAndPadsEveryChunkToModelLength) {
  std::mt19937 random(9);
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (auto length = random() % 400; length > 0; --length) text += "abcdefg,,A"[random() % 10];
    const auto prompt = tokenize_weighted_prompt(Letters(), text, three);
    const auto texts = texts_of(prompt);
    std::string expected;
    for (const char c : text) expected += c == 'A' ? "???" : std::string(1, c);
    ASSERT_EQ(std::accumulate(texts.begin(), texts.end(), std::string()), expected);
    for (const auto& chunk : prompt.chunks) {
      ASSERT_EQ(chunk.input_ids.size(), 77u);
      ASSERT_EQ(chunk.weights.size(), 77u);
    }
    if (expected.size() > 75) continue;
    auto plain = tokenize_plain_prompt(Letters(), text, three);
    for (const auto& learned : plain.chunks[0].learned) plain.chunks[0].input_ids[learned.position] = 0;
    ASSERT_EQ(prompt.chunks.size(), 1u);
    ASSERT_EQ(prompt.chunks[0].input_ids, plain.chunks[0].input_ids);
    ASSERT_EQ(prompt.chunks[0].learned, plain.chunks[0].learned);
  }
}

}  // namespace
}  // namespace easel
