// Damaged tokenizer folders: each kind of damage is an error that names the file and what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "easel/error.h"
#include "easel/tokenizer.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

const json kFolderVocabulary = {{"a", 0},
                                {"b", 1},
                                {"!", 2},
                                {"a</w>", 3},
                                {"b</w>", 4},
                                {"!</w>", 5},
                                {"ab</w>", 6},
                                {"<|startoftext|>", 7},
                                {"<|endoftext|>", 8}};

/// Each test has its own folder, which it fills file by file.
class TokenizerFolder : public testing::Test {
 protected:
  TokenizerFolder() {
    std::filesystem::create_directories(folder_);
    write("vocab.json", kFolderVocabulary.dump());
    write("merges.txt", "#version: 0.2\na b</w>\n");
    write("tokenizer_config.json", R"({"model_max_length": 8})");
  }
  ~TokenizerFolder() override { std::filesystem::remove_all(folder_.parent_path()); }

  void write(const std::string& file, const std::string& text) {
    std::ofstream(folder_ / file, std::ios::binary) << text;
  }
  void remove(const std::string& file) { std::filesystem::remove(folder_ / file); }
  void config(const json& fields) {
    json whole = {{"model_max_length", 8}};
    whole.update(fields);
    write("tokenizer_config.json", whole.dump());
  }
  json tokenizer_json() const {
    return {{"model", {{"type", "BPE"}, {"vocab", kFolderVocabulary}, {"merges", {"a b</w>"}}}}};
  }

  std::unique_ptr<Tokenizer> load() const { return load_clip_tokenizer(folder_.string()); }
  std::vector<std::int64_t> encode(const std::string& text) const { return load()->encode(text).input_ids; }

  void expect_error(ErrorCode code, const std::string& what) const {
    try {
      load();
      ADD_FAILURE() << "no error, expected: " << what;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr(what));
      EXPECT_EQ(to_string(e.code()), std::string(to_string(code)));
    }
  }
  void expect_corrupt(const std::string& what) const { expect_error(ErrorCode::kCorruptData, what); }
  void expect_unsupported(const std::string& what) const { expect_error(ErrorCode::kUnsupported, what); }

 private:
  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                        testing::UnitTest::GetInstance()->current_test_info()->name() / "tokenizer";
};

TEST_F(TokenizerFolder, Encodes) {
  EXPECT_THAT(encode("ab b!"), ElementsAre(7, 6, 4, 5, 8, 8, 8, 8));
  EXPECT_THAT(encode(""), ElementsAre(7, 8, 8, 8, 8, 8, 8, 8));
  EXPECT_EQ(load()->model_max_length(), 8);
}

TEST_F(TokenizerFolder, MissingFiles) {
  EXPECT_THROW(load_clip_tokenizer(testing::TempDir() + "nowhere"), Error);
  remove("merges.txt");
  expect_error(ErrorCode::kNotFound, "tokenizer/merges.txt is missing");
  remove("vocab.json");
  expect_error(ErrorCode::kNotFound, "tokenizer/vocab.json is missing");
}

TEST_F(TokenizerFolder, DamagedVocabulary) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"{", "tokenizer/vocab.json is not valid JSON"},
           {"[1]", "tokenizer/vocab.json is not a JSON object"},
           {R"({"a": "0"})", "tokenizer/vocab.json: the id of `a` is \"0\""},
           {R"({"a": 1.5})", "the id of `a` is 1.5"},
           {R"({"a": -1})", "the id of `a` is -1"},
           {R"({"a": 4294967296})", "the id of `a` is 4294967296"},
           {R"({"a": 1, "b": 1})", "tokenizer/vocab.json: `a` and `b` both have id 1"}}) {
    write("vocab.json", text);
    expect_corrupt(what);
  }
}

TEST_F(TokenizerFolder, DamagedMerges) {
  for (const auto& [text, what] : std::vector<std::pair<std::string, std::string>>{
           {"#version\na b</w>\nab\n", "tokenizer/merges.txt: line 3 is `ab`"},
           {"a b</w>\n\n", "line 2 is ``"},
           {"a b c\n", "line 1 is `a b c`"},
           {"a  b</w>\n", "line 1 is `a  b</w>`"},
           {"a b\n", "tokenizer/merges.txt: merge 1, `a b`, needs `ab`, which is not in the vocabulary"},
           {"a q\n", "needs `q`"}}) {
    write("merges.txt", text);
    expect_corrupt(what);
  }
}

TEST_F(TokenizerFolder, MergesFileMayUseCrlf) {
  write("merges.txt", "#version: 0.2\r\na b</w>\r\n");
  EXPECT_EQ(encode("ab")[1], 6);
  write("merges.txt", "a b</w>");
  EXPECT_EQ(encode("ab")[1], 6);
}

TEST_F(TokenizerFolder, ModelMaxLengthMustBeInRange) {
  remove("tokenizer_config.json");
  expect_unsupported("tokenizer/tokenizer_config.json: `model_max_length` is missing");
  config({{"model_max_length", nullptr}});
  expect_unsupported("`model_max_length` is missing");
  write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  expect_unsupported("`model_max_length` is 1e+30");
  for (const auto& length : {json(-1), json(0), json(1), json(1 << 20)}) {
    config({{"model_max_length", length}});
    expect_unsupported("`model_max_length` is " + length.dump());
  }
  for (const auto& length : {json("77"), json(true), json(7.5)}) {
    config({{"model_max_length", length}});
    expect_corrupt("`model_max_length` is " + length.dump());
  }
  config({{"model_max_length", 2}});
  EXPECT_THAT(encode("a"), ElementsAre(7, 8));
  write("tokenizer_config.json", R"({"max_len": 3})");
  EXPECT_THAT(encode("a b"), ElementsAre(7, 3, 8));
}

TEST_F(TokenizerFolder, PaddingAndTruncationSides) {
  config({{"padding_side", "left"}, {"truncation_side", "left"}, {"model_max_length", 5}});
  EXPECT_THAT(encode("a"), ElementsAre(8, 8, 7, 3, 8));
  EXPECT_THAT(encode("a b a a b"), ElementsAre(7, 3, 3, 4, 8));
  config({{"padding_side", "middle"}});
  expect_unsupported("tokenizer/tokenizer_config.json: `padding_side` is \"middle\"");
}

TEST_F(TokenizerFolder, PadTokenMayBeAnyToken) {
  config({{"pad_token", "!"}});
  EXPECT_THAT(encode("a!"), ElementsAre(7, 3, 2, 8, 2, 2, 2, 2));  // found as a special token, so not !</w>
  config({{"pad_token", {{"__type", "AddedToken"}, {"content", "b"}, {"normalized", true}}}});
  EXPECT_THAT(encode("aBa"), ElementsAre(7, 3, 1, 3, 8, 1, 1, 1));
  config({{"pad_token", "<pad>"}});  // not in the vocabulary
  EXPECT_THAT(encode(""), ElementsAre(7, 8, 9, 9, 9, 9, 9, 9));
}

TEST_F(TokenizerFolder, InvalidSpecialTokensAreRejected) {
  for (const char* key : {"bos_token", "eos_token", "pad_token"}) {
    config({{key, nullptr}});
    expect_corrupt(std::string("tokenizer: `") + key + "` is null or empty");
    config({{key, ""}});
    expect_corrupt(std::string("tokenizer: `") + key + "` is null or empty");
    config({{key, 3}});
    expect_corrupt(std::string("tokenizer/tokenizer_config.json: ") + key + " is 3");
    config({{key, {{"lstrip", true}}}});
    expect_corrupt("`content` is missing");
    config({{key, {{"content", "a"}, {"colour", "red"}}}});
    expect_unsupported("`colour`");
  }
}

TEST_F(TokenizerFolder, UnsupportedFieldsAreRejectedByName) {
  for (const char* key : {"fast_tokenizer_files", "init_inputs", "vocab", "merges", "gguf_file", "tokenizer_padding"}) {
    config({{key, {"x"}}});
    expect_unsupported(std::string("tokenizer/tokenizer_config.json: `") + key + "`");
  }
  config({{"image_token", "<image>"}});
  expect_unsupported("special token `image_token`");
  config({{"extra_special_tokens", {{"image_token", "<image>"}}}});
  expect_unsupported("extra_special_tokens");
  config({{"do_lower_case", false}, {"errors", "replace"}, {"add_bos_token", false}, {"who_knows", 1}});
  EXPECT_THAT(encode("A"), ElementsAre(7, 3, 8, 8, 8, 8, 8, 8));
}

TEST_F(TokenizerFolder, DamagedSpecialTokenFiles) {
  write("special_tokens_map.json", R"({"sep": 1})");
  expect_unsupported("tokenizer/special_tokens_map.json: easel does not know `sep`");
  write("special_tokens_map.json", "{}");
  write("added_tokens.json", R"({"<x>": "9"})");
  expect_corrupt("tokenizer/added_tokens.json: the id of `<x>` is \"9\"");
  write("added_tokens.json", R"({"<x>": 9, "<y>": 9})");
  expect_corrupt("tokenizer/added_tokens.json: `<x>` and `<y>` both have id 9");
  write("added_tokens.json", "{}");
  config({{"added_tokens_decoder", {{"nine", {{"content", "<x>"}}}}}});
  expect_corrupt("added_tokens_decoder has `nine`, expected an id");
  config({{"added_tokens_decoder", {{"9", "<x>"}}}});
  expect_corrupt("added_tokens_decoder.9 is not a JSON object");
  config({{"additional_special_tokens", "<x>"}});
  expect_corrupt("additional_special_tokens is string, expected a list");
}

TEST_F(TokenizerFolder, TokenizerJsonIsPreferred) {
  auto file = tokenizer_json();
  file["model"]["merges"] = json::array();
  write("tokenizer.json", file.dump());
  EXPECT_THAT(encode("ab"), ElementsAre(7, 0, 4, 8, 8, 8, 8, 8));
  remove("vocab.json");
  remove("merges.txt");
  EXPECT_THAT(encode("ab"), ElementsAre(7, 0, 4, 8, 8, 8, 8, 8));
}

TEST_F(TokenizerFolder, DamagedTokenizerJson) {
  const auto with = [&](const std::function<void(json&)>& change) {
    auto file = tokenizer_json();
    change(file);
    write("tokenizer.json", file.dump());
  };
  with([](json& file) { file.erase("model"); });
  expect_corrupt("tokenizer/tokenizer.json: `model` is missing");
  with([](json& file) { file["model"]["type"] = "WordPiece"; });
  expect_unsupported("tokenizer/tokenizer.json: `model.type` is \"WordPiece\"");
  with([](json& file) { file["model"].erase("merges"); });
  expect_corrupt("tokenizer/tokenizer.json: `model.merges` is missing");
  with([](json& file) { file["model"]["merges"] = {"a b</w>", "ab"}; });
  expect_corrupt("tokenizer/tokenizer.json: merge 2 is \"ab\"");
  with([](json& file) { file["model"]["merges"] = {{"a", "b", "c"}}; });
  expect_corrupt("tokenizer/tokenizer.json: merge 1 is");
  with([](json& file) { file["model"]["vocab"] = {"a", "b"}; });
  expect_corrupt("tokenizer/tokenizer.json: the vocabulary is array");
  with([](json& file) { file["added_tokens"] = {{{"content", "<x>"}}}; });
  expect_corrupt("tokenizer/tokenizer.json: added_tokens: `id` is missing");
  with([](json& file) { file["padding"]["direction"] = "Up"; });
  expect_corrupt("tokenizer/tokenizer.json: `padding.direction` is \"Up\"");
}

// transformers also loads such a folder and fails only when the byte occurs.
TEST_F(TokenizerFolder, ByteWithoutATokenRequiresUnkToken) {
  EXPECT_THAT(encode("aza"), ElementsAre(7, 0, 8, 3, 8, 8, 8, 8));
  config({{"unk_token", "<unk>"}});
  EXPECT_THAT(encode("aba"), ElementsAre(7, 0, 1, 3, 8, 8, 8, 8));
  EXPECT_THROW(encode("aza"), Error);
}

}  // namespace
}  // namespace easel
