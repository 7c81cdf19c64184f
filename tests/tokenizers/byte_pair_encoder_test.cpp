#include "tokenizers/byte_pair_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "easel/error.h"

namespace easel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Vocabulary vocabulary_of(const std::vector<std::string>& tokens) {
  Vocabulary vocabulary;
  for (const auto& token : tokens) vocabulary.emplace(token, static_cast<TokenId>(vocabulary.size()));
  return vocabulary;
}

std::vector<TokenId> encode(const BytePairEncoder& pairs, std::string_view word) {
  std::vector<TokenId> ids;
  pairs.encode(word, ids);
  return ids;
}

const std::vector<std::string> kTokens = {"a", "b", "a</w>", "b</w>", "ab", "ab</w>", "aab", "aa", "<unk>"};

TEST(BytePairEncoder, EarlierMergesGoFirstAndTheLeftmostOfEquals) {
  const auto vocabulary = vocabulary_of(kTokens);
  const BytePairEncoder ab_first(vocabulary, {{"a", "b"}, {"a", "a"}, {"a", "ab"}}, std::nullopt, "merges.txt");
  EXPECT_THAT(encode(ab_first, "aabb"), ElementsAre(6, 3));  // a ab b</w>, aab b</w>
  const BytePairEncoder aa_first(vocabulary, {{"a", "a"}, {"a", "b"}}, std::nullopt, "merges.txt");
  EXPECT_THAT(encode(aa_first, "aabb"), ElementsAre(7, 1, 3));
  EXPECT_THAT(encode(aa_first, "aaaa"), ElementsAre(7, 0, 2));
  EXPECT_THAT(encode(aa_first, ""), ElementsAre());
}

TEST(BytePairEncoder, LastByteHasTheEndOfWordSuffix) {
  const BytePairEncoder pairs(vocabulary_of(kTokens), {{"a", "b</w>"}}, std::nullopt, "merges.txt");
  EXPECT_THAT(encode(pairs, "ab"), ElementsAre(5));
  EXPECT_THAT(encode(pairs, "abab"), ElementsAre(0, 1, 5));
  EXPECT_THAT(encode(pairs, "b"), ElementsAre(3));
}

TEST(BytePairEncoder, OfEqualPairsTheLastRankCounts) {
  const BytePairEncoder pairs(vocabulary_of(kTokens), {{"a", "b"}, {"a", "a"}, {"a", "b"}}, std::nullopt, "merges.txt");
  EXPECT_THAT(encode(pairs, "aabb"), ElementsAre(7, 1, 3));
}

TEST(BytePairEncoder, EachMissingByteBecomesTheUnknownToken) {
  const auto vocabulary = vocabulary_of(kTokens);
  const BytePairEncoder pairs(vocabulary, {}, vocabulary.at("<unk>"), "merges.txt");
  EXPECT_THAT(encode(pairs, "xayy"), ElementsAre(8, 0, 8, 8));
  EXPECT_THAT(encode(pairs, "é"), ElementsAre(8, 8));
  const BytePairEncoder without(vocabulary, {}, std::nullopt, "merges.txt");
  EXPECT_THROW(encode(without, "ax"), Error);
  EXPECT_THAT(encode(without, "ab"), ElementsAre(0, 3));
}

TEST(BytePairEncoder, MergeMissingFromTheVocabularyIsAnError) {
  for (const Merge& merge : {Merge{"a", "q"}, Merge{"q", "b"}, Merge{"b", "b"}}) {
    try {
      BytePairEncoder(vocabulary_of(kTokens), {{"a", "b"}, merge}, std::nullopt, "tokenizer/merges.txt");
      ADD_FAILURE() << merge.first;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorruptData);
      EXPECT_THAT(e.what(), HasSubstr("tokenizer/merges.txt: merge 2"));
      EXPECT_THAT(e.what(), HasSubstr(merge.first == "b" ? "`bb`" : "`q`"));
    }
  }
}

/// The naive algorithm, which scans for the best pair after each merge.
std::vector<std::string> merge_slowly(std::vector<std::string> word, const std::vector<Merge>& merges) {
  for (;;) {
    std::size_t best_rank = merges.size();
    std::size_t best = 0;
    for (std::size_t i = 0; i + 1 < word.size(); ++i) {
      for (std::size_t rank = 0; rank < best_rank; ++rank) {
        if (merges[rank].first == word[i] && merges[rank].second == word[i + 1]) {
          best_rank = rank;
          best = i;
        }
      }
    }
    if (best_rank == merges.size()) return word;
    word[best] += word[best + 1];
    word.erase(word.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(BytePairEncoder, MatchesNaiveImplementation) {
  std::mt19937 random(11);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random()) % n; };
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> inner = {"a", "b", "c"};
    std::vector<std::string> tokens = {"a", "b", "c", "a</w>", "b</w>", "c</w>"};
    std::vector<Merge> merges;
    for (int i = 0; i < 12; ++i) {
      const auto& left = inner[below(inner.size())];
      const auto& right = tokens[below(tokens.size())];
      const Merge merge(left, right);
      // One way only to make a token: the library drops a queued pair when it would by now make another one.
      if (std::find(tokens.begin(), tokens.end(), left + right) != tokens.end()) continue;
      merges.push_back(merge);
      tokens.push_back(left + right);
      if (!tokens.back().ends_with("</w>")) inner.push_back(tokens.back());
    }
    const auto vocabulary = vocabulary_of(tokens);
    const BytePairEncoder pairs(vocabulary, merges, std::nullopt, "merges.txt");
    std::string word(1 + below(40), ' ');
    std::vector<std::string> symbols;
    for (auto& c : word) symbols.emplace_back(1, c = "abc"[below(3)]);
    symbols.back() += "</w>";
    std::vector<TokenId> expected;
    for (const auto& token : merge_slowly(symbols, merges)) expected.push_back(vocabulary.at(token));
    EXPECT_EQ(encode(pairs, word), expected) << word;
  }
}

}  // namespace
}  // namespace easel
