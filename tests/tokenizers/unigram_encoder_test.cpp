// The most probable segmentation of a word, on vocabularies that are small enough to check by hand or by trying all
// ways.
#include "tokenizers/unigram/unigram_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "easel/error.h"

namespace easel {
namespace {

using ::testing::ElementsAre;

constexpr TokenId kUnknown = 0;

UnigramVocabulary vocabulary(std::vector<std::pair<std::string, double>> pieces) {
  UnigramVocabulary made{.pieces = {{.text = "<unk>"}}, .charsmap = "", .where = "the model"};
  for (auto& [text, score] : pieces) made.pieces.push_back({.text = text, .score = score});
  return made;
}

std::vector<TokenId> exact(const UnigramEncoder& encoder, std::string_view word) {
  std::vector<TokenId> ids;
  encoder.encode_exactly(word, ids);
  return ids;
}

TEST(UnigramEncoder, TakesTheMostProbableWay) {
  const UnigramEncoder encoder(vocabulary({{"a", -1}, {"b", -1}, {"c", -1}, {"ab", -3}, {"bc", -1.5}, {"abc", -2.6}}),
                               kUnknown);
  EXPECT_THAT(exact(encoder, ""), ElementsAre());
  EXPECT_THAT(exact(encoder, "ab"), ElementsAre(1, 2));
  EXPECT_THAT(exact(encoder, "abc"), ElementsAre(1, 5));
  EXPECT_THAT(exact(encoder, "cab"), ElementsAre(3, 1, 2));
}

// The way that is found first stays: candidates for one end come in the order of their beginning.
TEST(UnigramEncoder, FirstOfEqualWaysStays) {
  const UnigramEncoder encoder(vocabulary({{"-", -1.5}, {"--", -2}, {"---", -3.5}}), kUnknown);
  EXPECT_THAT(exact(encoder, "---"), ElementsAre(3)) << "not (1, 2) or (2, 1), which have the same score";
  EXPECT_THAT(exact(encoder, "-----"), ElementsAre(2, 3)) << "not (3, 2)";
}

TEST(UnigramEncoder, NeighbouringUnknownCharactersShareAnId) {
  const UnigramEncoder encoder(vocabulary({{"a", -1}, {"\u732B", -2}}), kUnknown);
  EXPECT_THAT(exact(encoder, "xya\u72ACz\u732B"), ElementsAre(0, 1, 0, 2));
  EXPECT_THAT(exact(encoder, "x<unk>y"), ElementsAre(0)) << "the unknown piece as text joins them";
  std::vector<TokenId> ids;
  EXPECT_EQ(encoder.encode("xya\u72ACz\u732B", ids), UnigramEncoder::Route::kLibrary);
  EXPECT_THAT(ids, ElementsAre(0, 1, 0, 2));
}

TEST(UnigramEncoder, CertainWordsGoToTheLibrary) {
  const UnigramEncoder encoder(vocabulary({{"c", -3}, {"a", -3}, {"t", -3}, {",", -3}, {"cat", -4}, {"ca", -6}}),
                               kUnknown);
  EXPECT_TRUE(encoder.routes_agree("cat"));
  EXPECT_TRUE(encoder.routes_agree("cat,,a")) << "no piece contains `t,` or `,a`";
  EXPECT_FALSE(encoder.routes_agree("ca")) << "as probable as two pieces";
  EXPECT_TRUE(encoder.routes_agree("tac")) << "no piece contains `ta` or `ac`, so each character is by itself";
  EXPECT_FALSE(encoder.routes_agree("at")) << "`cat` contains `at`, which is not a piece";
}

TEST(UnigramEncoder, LongWordsAndZeroBytesAreSegmentedExactly) {
  const UnigramEncoder encoder(vocabulary({{"a", -1}}), kUnknown);
  EXPECT_TRUE(encoder.routes_agree(std::string(32, 'a')));
  EXPECT_FALSE(encoder.routes_agree(std::string(33, 'a')));
  EXPECT_FALSE(encoder.routes_agree(std::string("a\0", 2)));
  EXPECT_FALSE(encoder.routes_agree(""));
}

TEST(UnigramEncoder, UnknownPieceMustExist) {
  EXPECT_THROW(UnigramEncoder(vocabulary({}), 1), Error);
  EXPECT_THROW(UnigramEncoder(vocabulary({}), -1), Error);
}

// The score of the best of all ways to write `text` from byte `begin` on, by trying them all.
double best_score(const UnigramEncoder& encoder, std::string_view text, double unknown_score) {
  if (text.empty()) return 0;
  double best = unknown_score + best_score(encoder, text.substr(1), unknown_score);
  if (encoder.find(text.substr(0, 1))) best = -1e9;
  for (std::size_t length = 1; length <= text.size(); ++length) {
    const auto id = encoder.find(text.substr(0, length));
    if (id) best = std::max(best, encoder.score(*id) + best_score(encoder, text.substr(length), unknown_score));
  }
  return best;
}

TEST(UnigramEncoder, AgreesWithTryingAllWays) {
  std::mt19937 random(7);
  const auto word = [&](std::size_t longest) {
    std::string text(1 + random() % longest, 'a');
    for (auto& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, double> pieces;
    for (int i = 0; i < 12; ++i) pieces[word(4)] = -1 - static_cast<double>(random() % 64) / 8;
    const UnigramEncoder encoder(vocabulary({pieces.begin(), pieces.end()}), kUnknown);
    double lowest = 0;
    for (const auto& [text, score] : pieces) lowest = std::min(lowest, score);
    for (int i = 0; i < 20; ++i) {
      const auto text = word(9);
      double score = 0;
      bool has_unknown = false;
      for (const auto id : exact(encoder, text)) {
        has_unknown = has_unknown || id == kUnknown;
        score += encoder.score(id);
      }
      if (!has_unknown) {
        EXPECT_DOUBLE_EQ(score, best_score(encoder, text, lowest - 10)) << text;
      }
      if (!encoder.routes_agree(text)) continue;
      std::vector<TokenId> ids;
      encoder.encode_with_library(text, ids);
      EXPECT_EQ(ids, exact(encoder, text)) << text;
    }
  }
}

}  // namespace
}  // namespace easel
