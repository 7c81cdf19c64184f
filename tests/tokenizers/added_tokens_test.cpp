#include "tokenizers/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel {

void PrintTo(const AddedTokens::Piece& piece, std::ostream* out) {
  *out << '"' << piece.text << '"' << (piece.id ? ":" + std::to_string(*piece.id) : "");
}
bool operator==(const AddedTokens::Piece& a, const AddedTokens::Piece& b) {
  return a.text == b.text && a.id == b.id;
}

namespace {

using testing::ElementsAre;
using Piece = AddedTokens::Piece;

const Vocabulary kVocabulary = {{"a", 0}, {"dog", 1}, {"b", 7}};

Piece text(std::string_view text) {
  return {text, std::nullopt};
}

TEST(AddedTokens, NewTokenIdsStartAtTheVocabularySize) {
  const AddedTokens tokens({{"<x>"}, {"dog"}, {"<y>"}, {"<x>"}, {""}}, kVocabulary, false, "tokenizer");
  EXPECT_EQ(tokens.token_to_id("<x>"), 3);
  EXPECT_EQ(tokens.token_to_id("dog"), 1);
  EXPECT_EQ(tokens.token_to_id("<y>"), 4);
  EXPECT_EQ(tokens.token_to_id("a"), std::nullopt);
  EXPECT_EQ(tokens.token_to_id(""), std::nullopt);
}

TEST(AddedTokens, NewTokenMayReuseAnIdInAVocabularyWithGaps) {
  const AddedTokens tokens({{"b"}, {"<x>"}}, {{"a", 0}, {"b", 2}}, false, "tokenizer");
  EXPECT_EQ(tokens.token_to_id("b"), 2);
  EXPECT_THAT(tokens.split_raw("b<x>"), ElementsAre(text("b"), Piece{"<x>", 2}));
}

TEST(AddedTokens, LeftmostThenLongest) {
  const AddedTokens tokens({{"ab"}, {"abc"}, {"bcd"}}, kVocabulary, false, "tokenizer");
  EXPECT_THAT(tokens.split_raw("xabcdab"), ElementsAre(text("x"), Piece{"abc", 4}, text("d"), Piece{"ab", 3}));
  EXPECT_THAT(tokens.split_raw(""), ElementsAre());
  EXPECT_THAT(tokens.split_normalized("abc"), ElementsAre(text("abc")));
}

TEST(AddedTokens, NormalizedTokensMatchTheNormalizedText) {
  const AddedTokens tokens({{.content = "E\u0301  X", .normalized = true}}, kVocabulary, false, "tokenizer");
  EXPECT_THAT(tokens.split_normalized("an é xylophone"), ElementsAre(text("an "), Piece{"é x", 3}, text("ylophone")));
  EXPECT_THAT(tokens.split_raw("E\u0301  X"), ElementsAre(text("E\u0301  X")));
}

TEST(AddedTokens, LaterDuplicateOverridesFlags) {
  const AddedTokens tokens({{.content = "X", .normalized = true}, {.content = "X"}}, kVocabulary, false, "tokenizer");
  EXPECT_THAT(tokens.split_raw("xX"), ElementsAre(text("x"), Piece{"X", 3}));
  EXPECT_THAT(tokens.split_normalized("x"), ElementsAre(text("x")));
}

TEST(AddedTokens, StripConsumesWhiteSpaceOnItsSide) {
  const AddedTokens tokens({{.content = "<l>", .lstrip = true}, {.content = "<r>", .rstrip = true}}, kVocabulary, false,
                           "tokenizer");
  EXPECT_THAT(tokens.split_raw("a \u3000<l> b"), ElementsAre(text("a"), Piece{" \u3000<l>", 3}, text(" b")));
  EXPECT_THAT(tokens.split_raw("a <r> \tb"), ElementsAre(text("a "), Piece{"<r> \t", 4}, text("b")));
  EXPECT_THAT(tokens.split_raw("<r>  <l>"), ElementsAre(Piece{"<r>  ", 4}, Piece{"<l>", 3}));
}

TEST(AddedTokens, SingleWordTokensMatchOnlyAtWordBoundaries) {
  const AddedTokens tokens({{.content = "cat", .single_word = true}}, kVocabulary, false, "tokenizer");
  EXPECT_THAT(tokens.split_raw("cats bobcat"), ElementsAre(text("cats bobcat")));
  EXPECT_THAT(tokens.split_raw("a (cat)"), ElementsAre(text("a ("), Piece{"cat", 3}, text(")")));
}

TEST(AddedTokens, SplitSpecialTokensDoesNotMatchThem) {
  const AddedTokens tokens({{.content = "<s>"}, {.content = "<x>", .special = false}}, kVocabulary, true, "tokenizer");
  EXPECT_THAT(tokens.split_raw("<s><x>"), ElementsAre(text("<s>"), Piece{"<x>", 4}));
  EXPECT_EQ(tokens.token_to_id("<s>"), 3);
}

TEST(AddedTokens, TokensWithEqualPatternsAreRejected) {
  EXPECT_THROW(AddedTokens({{.content = "Cat", .normalized = true}, {.content = "cat", .normalized = true}},
                           kVocabulary, false, "tokenizer"),
               Error);
  EXPECT_NO_THROW(AddedTokens({{.content = "Cat"}, {.content = "cat"}}, kVocabulary, false, "tokenizer"));
}

}  // namespace
}  // namespace easel
