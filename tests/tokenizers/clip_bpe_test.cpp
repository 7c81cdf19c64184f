// Compares the whole tokenizer with the CLIPTokenizer of transformers: same folders, same texts, every id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "easel/error.h"
#include "easel/tokenizer.h"

namespace easel {
namespace {

using testing::ElementsAre;

const std::string kReference = EASEL_REFERENCE_DIR;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> read_texts(const std::string& path) {
  const auto bytes = read_file(path);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < bytes.size();) {
    std::uint32_t length;
    std::memcpy(&length, bytes.data() + i, sizeof length);
    texts.push_back(bytes.substr(i + sizeof length, length));
    i += sizeof length + length;
  }
  return texts;
}

std::vector<std::vector<std::int64_t>> read_ids(const std::string& path, std::size_t length) {
  const auto bytes = read_file(path);
  std::vector<std::int32_t> flat(bytes.size() / sizeof(std::int32_t));
  std::memcpy(flat.data(), bytes.data(), bytes.size());
  std::vector<std::vector<std::int64_t>> rows;
  for (std::size_t i = 0; i + length <= flat.size(); i += length) {
    rows.emplace_back(flat.begin() + static_cast<std::ptrdiff_t>(i),
                      flat.begin() + static_cast<std::ptrdiff_t>(i + length));
  }
  return rows;
}

/// Every text must have the reference's ids; a few of the texts that differ are printed.
void expect_same_ids(const Tokenizer& tokenizer, const std::string& texts_name, const std::string& ids_name) {
  const auto texts = read_texts(kReference + "/" + texts_name + ".bin");
  const auto expected =
      read_ids(kReference + "/" + ids_name + ".ids", static_cast<std::size_t>(tokenizer.model_max_length()));
  const auto truncated = read_file(kReference + "/" + ids_name + ".truncated");
  ASSERT_GE(texts.size(), 12000u);
  ASSERT_EQ(expected.size(), texts.size());
  ASSERT_EQ(truncated.size(), texts.size());
  int wrong = 0;
  for (std::size_t i = 0; i < texts.size() && wrong < 5; ++i) {
    const auto found = tokenizer.encode(texts[i]);
    if (found.input_ids == expected[i] && found.truncated == (truncated[i] != 0)) continue;
    ++wrong;
    EXPECT_EQ(found.input_ids, expected[i]) << "text " << i << ": " << testing::PrintToString(texts[i].substr(0, 200));
    EXPECT_EQ(found.truncated, truncated[i] != 0) << "text " << i;
  }
}

class ClipBpeParity : public testing::TestWithParam<const char*> {};

TEST_P(ClipBpeParity, IdsMatchTransformers) {
  const std::string folder = GetParam();
  expect_same_ids(*load_clip_tokenizer(kReference + "/" + folder), "texts", folder);
}

INSTANTIATE_TEST_SUITE_P(Folders, ClipBpeParity,
                         testing::Values("sd15", "sd21", "bare", "saved", "inversion", "decoder", "split_special",
                                         "tiny", "tiny_json", "shipped"),
                         [](const auto& test) { return std::string(test.param); });

TEST(BuiltInClipTokenizer, IdsMatchTransformers) {
  expect_same_ids(*make_clip_tokenizer(ClipPadding::kEndOfText), "texts", "sd15");
  expect_same_ids(*make_clip_tokenizer(ClipPadding::kExclamation), "texts", "sd21");
}

TEST(ClipBpe, EveryCodePointMatchesTransformers) {
  expect_same_ids(*load_clip_tokenizer(kReference + "/sd15"), "code_points", "code_points");
}

// These ids are widely published, so that a mistake in the reference script would be noticed, too.
TEST(ClipBpe, KnownPrompt) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15/");
  const auto ids = tokenizer->encode("a photo of an astronaut riding a horse").input_ids;
  ASSERT_EQ(ids.size(), 77u);
  EXPECT_THAT(std::vector(ids.begin(), ids.begin() + 11),
              ElementsAre(49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407, 49407));
  EXPECT_EQ(ids.back(), 49407);
}

TEST(ClipBpe, TruncatedIsSetOnlyWhenTokensAreDropped) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  std::string text;
  for (int i = 0; i < 75; ++i) text += "cat ";
  const auto full = tokenizer->encode(text);
  const auto over = tokenizer->encode(text + "dog");
  EXPECT_FALSE(full.truncated);
  EXPECT_TRUE(over.truncated);
  EXPECT_EQ(full.input_ids, over.input_ids);
  EXPECT_EQ(full.input_ids.back(), 49407);
}

// Takes a second or less; a quadratic algorithm would need hours. The limit allows for sanitizers and a busy machine.
TEST(ClipBpe, MegabyteWordIsEncodedQuickly) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  std::mt19937 random(7);
  for (const std::string alphabet : {"a", "!", "etaoinshrdlucmfwypvbgkjqxz"}) {
    std::string word(1 << 20, ' ');
    for (auto& c : word) c = alphabet[random() % alphabet.size()];
    const auto start = std::chrono::steady_clock::now();
    const auto result = tokenizer->encode(word);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30)) << alphabet;
    EXPECT_TRUE(result.truncated);
  }
}

TEST(ClipBpe, EncodingIsThreadSafe) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/inversion");
  auto texts = read_texts(kReference + "/texts.bin");
  texts.resize(2000);
  std::vector<std::vector<std::int64_t>> alone;
  for (const auto& text : texts) alone.push_back(tokenizer->encode(text).input_ids);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (auto& count : wrong) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) count += tokenizer->encode(texts[i]).input_ids != alone[i];
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

// tests/pipelines/prompts_test.cpp compares added words with the reference; this tests what the reference lacks.
TEST(ClipBpe, PlaceholderTokensAreFoundInText) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  const auto extended =
      tokenizer->with_placeholder_tokens({"cat", "My-Style", "  ", "my-style", "<|ENDOFTEXT|>", "My-Style-2"});
  const auto word = tokenizer->first_placeholder_id();
  EXPECT_GT(word, 49407);
  EXPECT_EQ(extended->first_placeholder_id(), word);
  const auto cat = tokenizer->token_ids("cat").at(0);
  EXPECT_THAT(extended->token_ids("a MY-STYLE cat,my-style-2"),
              ElementsAre(320, word + 1, cat, tokenizer->token_ids(",").at(0), word + 5));
  EXPECT_EQ(extended->token_ids("<|endoftext|>"), tokenizer->token_ids("<|endoftext|>"));
  EXPECT_EQ(extended->token_ids("a b  c"), tokenizer->token_ids("a b  c"));
  EXPECT_EQ(tokenizer->token_ids("my-style").size(), 3u) << "the first tokenizer stays as it was";
}

TEST(ClipBpe, LooksUpTokenIdsBySpelling) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  EXPECT_EQ(tokenizer->token_to_id(",</w>"), tokenizer->token_ids(",").at(0));
  EXPECT_EQ(tokenizer->token_to_id("<|endoftext|>"), 49407);
  EXPECT_FALSE(tokenizer->token_to_id("no such token"));
}

TEST(ClipBpe, IdsBeyondTheEmbeddingTableAreRejected) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  EXPECT_NO_THROW(tokenizer->check_ids(49408));
  try {
    tokenizer->check_ids(49407);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorruptData);
    EXPECT_STREQ(e.what(),
                 "sd15: the id of \"<|endoftext|>\" is 49407, but the text encoder has embeddings for 49407 ids only");
  }
  const auto extended = load_clip_tokenizer(kReference + "/inversion");
  EXPECT_THROW(extended->check_ids(49408), Error) << "an added token has a higher id";
  EXPECT_NO_THROW(extended->check_ids(extended->first_placeholder_id()));
}

TEST(ClipBpe, ReportsWhereTheTextBegins) {
  const auto tokenizer = load_clip_tokenizer(kReference + "/sd15");
  EXPECT_EQ(tokenizer->encode("a cat").text_begin, 1);
  EXPECT_EQ(tokenizer->prepare_for_model(std::vector<std::int64_t>(80, 320)).text_begin, 1);
}

}  // namespace
}  // namespace easel
