// The tokenizers of T5 and Qwen against those of transformers: same folders, same texts, every id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <thread>

#include "core/text.h"
#include "easel/error.h"
#include "easel/tokenizer.h"
#include "tokenizers/unicode_segments.h"
#include "tokenizers/unicode_text.h"
#include "tokenizers/unigram/t5_tokenizer.h"

namespace easel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kReference = EASEL_REFERENCE_DIR;
constexpr std::int64_t kCut = 24;                // CUT of make_text_tokenizers.py
constexpr std::int64_t kAnyVocabSize = 1 << 20;  // no id is that large

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

std::vector<std::int64_t> read_numbers(const std::string& path) {
  const auto bytes = read_file(path);
  std::vector<std::int32_t> numbers(bytes.size() / sizeof(std::int32_t));
  std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(std::int32_t));
  return {numbers.begin(), numbers.end()};
}

std::vector<std::vector<std::int64_t>> read_rows(const std::string& folder) {
  const auto ids = read_numbers(folder + ".ids");
  std::vector<std::vector<std::int64_t>> rows;
  auto begin = ids.begin();
  for (const auto count : read_numbers(folder + ".counts")) {
    rows.emplace_back(begin, begin + count);
    begin += count;
  }
  EXPECT_TRUE(begin == ids.end());
  return rows;
}

bool is_there(const std::string& name) {
  return std::filesystem::exists(kReference + "/" + name);
}

/// Every text must have the reference's ids, whole and cut to a length. The first few that have not are printed.
void expect_same_ids(const TextTokenizer& tokenizer, const std::string& name, bool has_end_of_text) {
  const auto texts = read_texts(kReference + "/texts.bin");
  const auto expected = read_rows(kReference + "/" + name);
  const auto cut = read_numbers(kReference + "/" + name + ".cut");
  ASSERT_EQ(texts.size(), 15000u);
  ASSERT_EQ(expected.size(), texts.size());
  ASSERT_EQ(cut.size(), texts.size() * kCut);
  int wrong = 0;
  for (std::size_t i = 0; i < texts.size() && wrong < 5; ++i) {
    auto ids = tokenizer.token_ids(texts[i]);
    if (has_end_of_text) ids.push_back(1);
    const auto encoded = tokenizer.encode(texts[i], kCut);
    const auto row = cut.begin() + static_cast<std::ptrdiff_t>(i * kCut);
    const bool equal =
        ids == expected[i] && std::equal(encoded.input_ids.begin(), encoded.input_ids.end(), row, row + kCut);
    if (equal && encoded.truncated == (ids.size() > kCut)) continue;
    ++wrong;
    EXPECT_EQ(ids, expected[i]) << "text " << i << ": " << testing::PrintToString(texts[i].substr(0, 200));
    EXPECT_EQ(encoded.input_ids, std::vector(row, row + kCut)) << "text " << i;
    EXPECT_EQ(encoded.truncated, ids.size() > kCut) << "text " << i;
  }
}

class TextTokenizerParity : public testing::TestWithParam<const char*> {};

TEST_P(TextTokenizerParity, IdsMatchTransformers) {
  const std::string name = GetParam();
  if (!is_there(name)) GTEST_SKIP() << "the published vocabularies are not there; see published_vocabularies.py";
  const auto folder = kReference + "/" + name;
  if (name.starts_with("t5")) {
    expect_same_ids(*load_t5_tokenizer(folder, kAnyVocabSize), name, true);
  } else {
    expect_same_ids(*load_qwen_tokenizer(folder, kAnyVocabSize), name, false);
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, TextTokenizerParity,
                         testing::Values("t5_model", "t5_json", "t5_listed", "t5_published", "t5_published_json",
                                         "qwen_files", "qwen_older", "qwen_saved", "qwen_published"),
                         [](const auto& tested) { return std::string(tested.param); });

class T5Routes : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!is_there(GetParam()))
      GTEST_SKIP() << "the published vocabularies are not there; see published_vocabularies.py";
  }
  std::string folder() const { return kReference + "/" + GetParam(); }
};

// Words that the library may segment come out as they do in double precision, and both routes are in use.
TEST_P(T5Routes, LibraryAgreesOnEveryWordThatIsGivenToIt) {
  const T5Tokenizer tokenizer(folder(), kAnyVocabSize);
  T5Tokenizer::RouteCounts words;
  std::map<std::string, int> texts;
  for (const auto& text : read_texts(kReference + "/texts.bin")) {
    T5Tokenizer::RouteCounts counts;
    tokenizer.token_ids(text, counts);
    words.library += counts.library;
    words.exact += counts.exact;
    ++texts[counts.library == 0 ? counts.exact == 0 ? "none" : "exact" : counts.exact == 0 ? "library" : "both"];
    for (const auto& word : tokenizer.words(text)) {
      if (!tokenizer.encoder().routes_agree(word)) continue;
      std::vector<TokenId> exact;
      std::vector<TokenId> library;
      tokenizer.encoder().encode_exactly(word, exact);
      tokenizer.encoder().encode_with_library(word, library);
      ASSERT_EQ(library, exact) << word;
    }
  }
  const auto share = static_cast<double>(words.library) / static_cast<double>(words.library + words.exact);
  std::cout << GetParam() << ": " << words.library << " words by the library, " << words.exact
            << " exactly; texts: " << texts["library"] << " by the library only, " << texts["both"] << " by both, "
            << texts["exact"] << " exactly only, " << texts["none"] << " without a word\n";
  EXPECT_GT(share, 0.2);
  EXPECT_LT(share, 0.95);
}

bool contains_any(std::string_view text, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return text.find(part) != std::string_view::npos; });
}

/// Why libsentencepiece, used by itself, may encode a text differently; empty if there is no known reason.
std::string known_reason(const T5Tokenizer& tokenizer, const std::string& text) {
  const std::vector<std::string> kControl = {"<pad>", "</s>", "<unk>", "<extra_id_"};
  if (contains_any(text, kControl)) return "typed special token";
  if (contains_any(text, {"\u0085"})) return "U+0085";
  const auto words = tokenizer.words(text);
  if (contains_any(join(words), kControl)) return "special token after normalisation";
  bool has_cluster = false;
  for_each_grapheme_cluster(text, [&](std::string_view cluster) { has_cluster |= count_code_points(cluster) > 1; });
  if (has_cluster) return "grapheme cluster";
  const auto& encoder = tokenizer.encoder();
  for (const auto& word : words) {
    std::vector<TokenId> exact;
    std::vector<TokenId> library;
    encoder.encode_exactly(word, exact);
    encoder.encode_with_library(word, library);
    if (exact == library) continue;
    double difference = 0;
    for (const auto id : exact) difference += encoder.score(id);
    for (const auto id : library) difference -= encoder.score(id);
    // Rounding of sums of up to a few thousand scores to 24 bits.
    if (std::abs(difference) < 1e-2) return "tie";
  }
  return "";
}

TEST_P(T5Routes, LibraryAloneDiffersForKnownReasonsOnly) {
  const T5Tokenizer tokenizer(folder(), kAnyVocabSize);
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(folder() + "/spiece.model").ok());
  const auto expected = read_rows(folder());
  const auto texts = read_texts(kReference + "/texts.bin");
  std::map<std::string, int> reasons;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = to_valid_utf8(texts[i]);
    std::vector<int> found;
    ASSERT_TRUE(library.Encode(text, &found).ok());
    std::vector<std::int64_t> ids(found.begin(), found.end());
    ids.push_back(1);
    if (ids == expected[i]) continue;
    const auto reason = known_reason(tokenizer, text);
    EXPECT_NE(reason, "") << "text " << i << ": " << testing::PrintToString(text.substr(0, 200))
                          << testing::PrintToString(ids) << testing::PrintToString(expected[i]);
    ++reasons[reason];
  }
  for (const auto& [reason, count] : reasons) std::cout << GetParam() << ": " << count << " texts: " << reason << "\n";
  EXPECT_GT(reasons["typed special token"], 100);
}

INSTANTIATE_TEST_SUITE_P(Folders, T5Routes, testing::Values("t5_model", "t5_published"),
                         [](const auto& tested) { return std::string(tested.param); });

TEST(QwenTemplate, MatchesTransformers) {
  const auto texts = read_texts(kReference + "/templates.bin");
  ASSERT_EQ(texts.size(), 21u);
  for (std::size_t i = 0; i < texts.size(); i += 3) {
    EXPECT_EQ(apply_qwen_template(texts[i], QwenTemplate::kThinking), texts[i + 1]);
    EXPECT_EQ(apply_qwen_template(texts[i], QwenTemplate::kWithoutThinking), texts[i + 2]);
  }
}

TEST(T5Tokenizer, PadsAndCuts) {
  const auto tokenizer = load_t5_tokenizer(kReference + "/t5_model", kAnyVocabSize);
  EXPECT_THAT(tokenizer->encode("", 3).input_ids, ElementsAre(1, 0, 0));
  EXPECT_EQ(tokenizer->encode("", 3).token_count, 1u);
  EXPECT_THAT(tokenizer->encode("<pad><unk></s>", 3).input_ids, ElementsAre(0, 2, 1));
  EXPECT_TRUE(tokenizer->encode("<pad><unk></s>", 3).truncated);
  EXPECT_EQ(tokenizer->encode("<pad>", 4).token_count, 2u) << "a typed <pad> is a token, not padding";
  EXPECT_THAT(tokenizer->encode("<pad>", 1).input_ids, ElementsAre(1));
  EXPECT_THROW(tokenizer->encode("a", 0), Error);
  EXPECT_THROW(tokenizer->encode("a", 1 << 20), Error);
}

TEST(QwenTokenizer, PadsAndCuts) {
  const auto tokenizer = load_qwen_tokenizer(kReference + "/qwen_files", kAnyVocabSize);
  const auto end = tokenizer->token_ids("<|endoftext|>").at(0);
  EXPECT_THAT(tokenizer->encode("", 2).input_ids, ElementsAre(end, end));
  EXPECT_EQ(tokenizer->encode("", 2).token_count, 0u);
  EXPECT_THAT(tokenizer->encode("<think>x<think>", 3).input_ids, ElementsAre(end + 5, end + 3, end));
  EXPECT_FALSE(tokenizer->encode("<think>x<think>", 2).truncated);
  EXPECT_THAT(tokenizer->encode("<think>x<think>", 1).input_ids, ElementsAre(end + 5));
  EXPECT_TRUE(tokenizer->encode("<think>x<think>", 1).truncated);
}

TEST(TextTokenizers, ThreadsMayShareATokenizer) {
  const auto t5 = load_t5_tokenizer(kReference + "/t5_model", kAnyVocabSize);
  const auto qwen = load_qwen_tokenizer(kReference + "/qwen_files", kAnyVocabSize);
  auto texts = read_texts(kReference + "/texts.bin");
  texts.resize(2000);
  std::vector<std::vector<std::int64_t>> expected_ids;
  for (const auto& text : texts) {
    expected_ids.push_back(t5->token_ids(text));
    expected_ids.push_back(qwen->token_ids(text));
  }
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (auto& count : wrong) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < texts.size(); ++i) {
        count += t5->token_ids(texts[i]) != expected_ids[2 * i];
        count += qwen->token_ids(texts[i]) != expected_ids[2 * i + 1];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(wrong, ElementsAre(0, 0, 0, 0));
}

TEST(TextTokenizers, LongTextsTakeLinearTime) {
  const auto t5 = load_t5_tokenizer(kReference + "/t5_model", kAnyVocabSize);
  const auto qwen = load_qwen_tokenizer(kReference + "/qwen_files", kAnyVocabSize);
  for (const char* part : {"a", " ", "-", "\u732B", "e\u0301", "</s>", "\u2581", "\r"}) {
    std::string text;
    while (text.size() < 500'000) text += part;
    const auto begin = std::chrono::steady_clock::now();
    t5->token_ids(text);
    qwen->token_ids(text);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20)) << part;
  }
}

// An embedding table that is too small would otherwise be read beyond its end, or give another token's embedding.
TEST(TextTokenizers, IdsBeyondTheEmbeddingTableAreRejected) {
  const auto message = [](auto load) -> std::string {
    try {
      load();
      return "no error";
    } catch (const Error& e) {
      return e.what();
    }
  };
  const auto sentinel = load_t5_tokenizer(kReference + "/t5_model", kAnyVocabSize)->token_ids("<extra_id_0>").at(0);
  EXPECT_NO_THROW(load_t5_tokenizer(kReference + "/t5_model", sentinel + 1));
  EXPECT_THAT(message([&] { load_t5_tokenizer(kReference + "/t5_model", sentinel); }),
              HasSubstr(concat("the id of \"<extra_id_0>\" is ", sentinel)));
  const auto last = load_qwen_tokenizer(kReference + "/qwen_files", kAnyVocabSize)->token_ids("<think>x").at(0);
  EXPECT_NO_THROW(load_qwen_tokenizer(kReference + "/qwen_files", last + 1));
  EXPECT_THAT(
      message([&] { load_qwen_tokenizer(kReference + "/qwen_files", last); }),
      HasSubstr(concat("the id of \"<think>x\" is ", last, ", but the text encoder has embeddings for ", last)));
}

}  // namespace
}  // namespace easel
