// What the folders of T5's and Qwen's tokenizers may hold: every way in which they can be damaged is an error that
// names the file and what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "easel/error.h"
#include "easel/tokenizer.h"
#include "sentencepiece_samples.h"

namespace easel {
namespace {

using easel::testing::charsmap;
using easel::testing::charsmap_units;
using easel::testing::model;
using easel::testing::model_pieces;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A folder for each test, filled file by file.
class TokenizerFiles : public ::testing::Test {
 protected:
  TokenizerFiles() { std::filesystem::create_directories(folder_); }
  ~TokenizerFiles() override { std::filesystem::remove_all(folder_.parent_path()); }

  void write(const std::string& file, const std::string& text) {
    std::ofstream(folder_ / file, std::ios::binary) << text;
  }
  void remove(const std::string& file) { std::filesystem::remove(folder_ / file); }
  std::string folder() const { return folder_.string(); }

  template <class Load>
  static void expect_error(ErrorCode code, const std::string& what, Load load) {
    try {
      load();
      ADD_FAILURE() << "no error, expected: " << what;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(what));
      EXPECT_EQ(to_string(e.code()), std::string(to_string(code)));
    }
  }

 private:
  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) /
      (std::string("files_") + ::testing::UnitTest::GetInstance()->current_test_info()->name()) / "tokenizer";
};

class T5Files : public TokenizerFiles {
 protected:
  T5Files() { write("spiece.model", model(model_pieces(), charsmap(charsmap_units()))); }

  std::unique_ptr<TextTokenizer> load() const { return load_t5_tokenizer(folder(), 1000); }
  std::vector<std::int64_t> ids(const std::string& text) const { return load()->token_ids(text); }
  void expect_corrupt(const std::string& what) const {
    expect_error(ErrorCode::kCorruptData, what, [&] { load(); });
  }
  void expect_unsupported(const std::string& what) const {
    expect_error(ErrorCode::kUnsupported, what, [&] { load(); });
  }
  static json tokenizer_json() {
    json vocab = json::array();
    for (const auto& piece : model_pieces()) vocab.push_back({piece.text, piece.score});
    for (int i = 99; i >= 0; --i) vocab.push_back({"<extra_id_" + std::to_string(i) + ">", 0.0});
    return {{"model", {{"type", "Unigram"}, {"vocab", vocab}}}};
  }
};

TEST_F(T5Files, Encodes) {
  EXPECT_THAT(ids("AB ab</s>\u00B5"), ElementsAre(7, 2, 8, 1, 3, 11));
  EXPECT_THAT(ids("<extra_id_0>a<extra_id_99>"), ElementsAre(111, 7, 12));
}

TEST_F(T5Files, FurtherControlPiecesAreFoundInText) {
  auto pieces = model_pieces();
  pieces.push_back({"<x>", 0, 3});
  write("spiece.model", model(pieces, ""));
  EXPECT_THAT(ids("ab<x>"), ElementsAre(8, 12));
}

TEST_F(T5Files, ModelWithoutCharsmapChangesNoText) {
  write("spiece.model", model(model_pieces(), ""));
  EXPECT_THAT(ids("A"), ElementsAre(3, 2));
}

TEST_F(T5Files, TokenizerJsonIsReadWithoutSpieceModel) {
  remove("spiece.model");
  expect_error(ErrorCode::kNotFound, "tokenizer has neither spiece.model nor tokenizer.json", [&] { load(); });
  auto file = tokenizer_json();
  write("tokenizer.json", file.dump());
  EXPECT_THAT(ids("ab A<extra_id_0>"), ElementsAre(8, 3, 2, 111));
  file["normalizer"] = {{"type", "Precompiled"}, {"precompiled_charsmap", "AAAA"}};
  write("tokenizer.json", file.dump());
  expect_corrupt("tokenizer/tokenizer.json: precompiled_charsmap has 3 bytes");
  file["normalizer"]["precompiled_charsmap"] = "AAA";
  write("tokenizer.json", file.dump());
  expect_corrupt("tokenizer/tokenizer.json: `precompiled_charsmap` has 3 characters");
  file["normalizer"] = {{"type", "Sequence"}, {"normalizers", 3}};
  write("tokenizer.json", file.dump());
  expect_corrupt("tokenizer/tokenizer.json: `normalizer.normalizers` is not a list");
}

TEST_F(T5Files, DamagedTokenizerJson) {
  remove("spiece.model");
  const auto with = [&](const char* key, const json& value) {
    auto file = tokenizer_json();
    file["model"][key] = value;
    write("tokenizer.json", file.dump());
  };
  with("type", "BPE");
  expect_unsupported("tokenizer/tokenizer.json: `model.type` is \"BPE\"");
  with("vocab", json::object());
  expect_corrupt("tokenizer/tokenizer.json: `model.vocab` is object");
  with("vocab", json::parse(R"([["a", -1.0], ["b"]])"));
  expect_corrupt("piece 1 of `model.vocab` is [\"b\"]");
  with("vocab", json::parse(R"([["a", -1.0], ["a", -2.0]])"));
  expect_corrupt("piece 1, `a`, is there twice");
  with("vocab", json::parse(R"([["a", 1.0]])"));
  expect_corrupt("the score of piece 0, `a`, is 1");
  with("vocab", json::parse(R"([["", -1.0]])"));
  expect_corrupt("the text of piece 0 is 0 bytes");
  with("vocab", json::parse(R"([["a", -1.0]])"));
  expect_unsupported("piece 0 is not `<pad>`");
  write("tokenizer.json", "{}");
  expect_corrupt("tokenizer/tokenizer.json: `model` is");
}

TEST_F(T5Files, EveryPrefixOfAModelIsRejectedOrLoads) {
  const auto whole = model(model_pieces(), charsmap(charsmap_units()));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write("spiece.model", whole.substr(0, size));
    try {
      load();
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("tokenizer/spiece.model"));
    }
  }
}

TEST_F(T5Files, DamagedModels) {
  const auto whole = model(model_pieces(), "");
  write("spiece.model", whole.substr(0, 12));
  expect_corrupt("tokenizer/spiece.model is cut off");
  write("spiece.model", whole + "\x0B");
  expect_corrupt("tokenizer/spiece.model: field 1 at byte");
  write("spiece.model", whole + std::string(11, '\xFF'));
  expect_corrupt("has over 64 bits");
  write("spiece.model", whole + std::string("\x08\x01", 2));
  expect_corrupt("tokenizer/spiece.model: field 1 is a number, expected a message");
  write("spiece.model", whole + std::string("\x0A\x02\x0A\x05", 4));
  expect_corrupt("tokenizer/spiece.model: piece 12 is cut off");
  write("spiece.model", "");
  expect_corrupt("tokenizer/spiece.model is not a sentencepiece model");
  write("spiece.model", model(model_pieces(), "abc"));
  expect_corrupt("tokenizer/spiece.model");
  write("spiece.model", model(model_pieces(), "", 2));
  expect_unsupported("tokenizer/spiece.model: trainer_spec.model_type is 2");
}

TEST_F(T5Files, DamagedPieces) {
  const auto with = [&](const easel::testing::ModelPiece& piece) {
    auto pieces = model_pieces();
    pieces.push_back(piece);
    write("spiece.model", model(pieces, ""));
  };
  with({"a", -1});
  expect_corrupt("tokenizer/spiece.model is not a sentencepiece model");
  with({"", -1});
  expect_corrupt("tokenizer/spiece.model is not a sentencepiece model");
  with({"x", 1});
  expect_corrupt("tokenizer/spiece.model: the score of piece 12, `x`, is 1");
  with({"x", std::numeric_limits<float>::quiet_NaN()});
  expect_corrupt("the score of piece 12");
  with({"x", -std::numeric_limits<float>::infinity()});
  expect_corrupt("the score of piece 12");
  with({"\xFF", -1});
  expect_corrupt("tokenizer/spiece.model: the text of piece 12");
  with({std::string("x\0y", 3), -1});
  expect_corrupt("tokenizer/spiece.model");
  with({"x", 0, 4});
  expect_unsupported("tokenizer/spiece.model: piece 12 is a user-defined symbol");
  with({"y", 0, 2});
  expect_corrupt("tokenizer/spiece.model is not a sentencepiece model");
}

TEST_F(T5Files, Settings) {
  write("tokenizer_config.json", R"({"extra_ids": 2})");
  EXPECT_THAT(ids("<extra_id_0><extra_id_2>").front(), 13);
  write("tokenizer_config.json", R"({"extra_ids": -1})");
  expect_unsupported("tokenizer/tokenizer_config.json: `extra_ids` is -1");
  write("tokenizer_config.json", R"({"eos_token": "<eos>"})");
  expect_unsupported("tokenizer: `eos_token` is \"<eos>\"");
  write("tokenizer_config.json", R"({"pad_token": 3})");
  expect_corrupt("tokenizer/tokenizer_config.json: `pad_token` is 3");
  for (const char* key : {"padding_side", "truncation_side"}) {
    write("tokenizer_config.json", json{{key, "left"}}.dump());
    expect_unsupported(std::string("tokenizer/tokenizer_config.json: `") + key + "` is \"left\"");
  }
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"7": {"content": "<x>", "special": true}}})");
  expect_unsupported("tokenizer: the id of the added token `<x>` is 7, expected 112");
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"112": {"content": "AX", "special": false}}})");
  EXPECT_THAT(ids("aaXAX"), ElementsAre(7, 112, 112)) << "a token that is normalised, in normalised text";
  EXPECT_THROW(load_t5_tokenizer(folder() + "/nowhere", 1000), Error);
}

class QwenFiles : public TokenizerFiles {
 protected:
  QwenFiles() {
    write("vocab.json", vocabulary().dump());
    write("merges.txt", "#version: 0.2\na b\n");
    config(json::object());
  }

  /// Tokens for all bytes, and `ab`: 257 of them.
  static json vocabulary() {
    json vocabulary = {{"ab", 256}};
    const auto add = [&](int code) {
      std::string utf8(1, static_cast<char>(code));
      if (code >= 0x80) utf8 = {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
      vocabulary[utf8] = vocabulary.size() - 1;
    };
    const auto is_printable = [](int code) {
      return (code > 0x20 && code < 0x7F) || (code > 0xA0 && code <= 0xFF && code != 0xAD);
    };
    for (int byte = 0, stand_in = 256; byte < 256; ++byte) add(is_printable(byte) ? byte : stand_in++);
    return vocabulary;
  }
  void config(const json& fields) {
    json whole = {{"added_tokens_decoder",
                   {{"257", {{"content", "<|endoftext|>"}, {"special", true}}},
                    {"258", {{"content", "<|im_start|>"}, {"special", true}}},
                    {"259", {{"content", "<|im_end|>"}, {"special", true}}}}}};
    whole.update(fields);
    write("tokenizer_config.json", whole.dump());
  }
  std::unique_ptr<TextTokenizer> load() const { return load_qwen_tokenizer(folder(), 1000); }
  void expect_corrupt(const std::string& what) const {
    expect_error(ErrorCode::kCorruptData, what, [&] { load(); });
  }
  void expect_unsupported(const std::string& what) const {
    expect_error(ErrorCode::kUnsupported, what, [&] { load(); });
  }
};

TEST_F(QwenFiles, Encodes) {
  EXPECT_THAT(load()->token_ids("ab<|im_end|>aba"), ElementsAre(256, 259, 256, vocabulary()["a"].get<int>()));
}

TEST_F(QwenFiles, Settings) {
  for (const char* key : {"add_prefix_space", "add_bos_token", "add_eos_token", "split_special_tokens"}) {
    config({{key, true}});
    expect_unsupported(std::string("tokenizer/tokenizer_config.json: `") + key + "`");
  }
  config({{"chat_template", "{{ messages }}"}});
  expect_unsupported("tokenizer: the chat template is not Qwen's");
  config({{"chat_template", "<|im_start|>user<|im_end|>"}});
  EXPECT_NO_THROW(load());
  write("chat_template.jinja", "[INST]");
  expect_unsupported("tokenizer: the chat template is not Qwen's");
}

TEST_F(QwenFiles, TokensOfTheTemplateMustExist) {
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"257": {"content": "<|endoftext|>", "special": true}}})");
  expect_unsupported("tokenizer: the chat template's `<|im_start|>` is not a token");
}

TEST_F(QwenFiles, DamagedAddedTokens) {
  config({{"added_tokens_decoder", json::array()}});
  expect_corrupt("tokenizer/tokenizer_config.json: added_tokens_decoder is array");
  config({{"added_tokens_decoder", {{"x", {{"content", "<x>"}}}}}});
  expect_corrupt("added_tokens_decoder has `x`, expected an id");
  config({{"added_tokens_decoder", {{"257", {{"content", ""}}}}}});
  expect_corrupt("the added token 257 is empty");
  config({{"added_tokens_decoder", {{"257", {{"content", "<x>"}}}, {"258", {{"content", "<x>"}}}}}});
  expect_corrupt("tokenizer: `<x>` is added twice");
  config({{"added_tokens_decoder", {{"300", {{"content", "<x>"}}}}}});
  expect_unsupported("tokenizer: the id of the added token `<x>` is 300, expected 257");
  config({{"added_tokens_decoder", nullptr}});
  write("added_tokens.json", R"({"<x>": "1"})");
  expect_corrupt("tokenizer/added_tokens.json: the id of `<x>` is \"1\"");
}

}  // namespace
}  // namespace easel
