// The contents that textual inversion files may have. tests/pipelines/prompts_test.cpp reads files in the formats that
// people share.
#include "adapters/learned_embedding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "weights/samples.h"
#include "weights/support.h"

namespace easel {
namespace {

using testing::HasSubstr;

std::string tensor_entry(const std::string& name, const std::string& dtype, const std::string& shape, int begin,
                         int end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":[" +
         std::to_string(begin) + "," + std::to_string(end) + "]}";
}

class LearnedEmbeddingFixture : public testing::Test {
 protected:
  std::string write(const std::string& entries, std::size_t bytes) const {
    return folder_.write("word.safetensors", samples::safetensors("{" + entries + "}", bytes));
  }
  std::string fault(const std::string& entries, std::size_t bytes) const {
    const auto path = write(entries, bytes);
    return error_of([&] { LearnedEmbedding embedding(path); });
  }
  TemporaryFolder folder_;
};

TEST_F(LearnedEmbeddingFixture, SingleTensorOfAnyNameServesAnyEncoder) {
  const LearnedEmbedding one(write(tensor_entry("any name", "F32", "[3]", 0, 12), 12));
  EXPECT_EQ(one.file(), "word.safetensors");
  for (const auto part : {EmbeddingTarget::kOnly, EmbeddingTarget::kClipL, EmbeddingTarget::kClipG}) {
    EXPECT_EQ(one.vectors(part).sizes(), (std::vector<std::int64_t>{1, 3}));
    EXPECT_EQ(one.vectors(part).scalar_type(), at::kFloat);
  }
  const LearnedEmbedding half(write(tensor_entry("emb_params", "F16", "[2,3]", 0, 12), 12));
  EXPECT_EQ(half.vectors(EmbeddingTarget::kOnly).sizes(), (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(half.vectors(EmbeddingTarget::kOnly).scalar_type(), at::kFloat);
}

TEST_F(LearnedEmbeddingFixture, EachEncoderOfSdxlGetsItsOwn) {
  const LearnedEmbedding both(
      write(tensor_entry("clip_l", "F32", "[1,2]", 0, 8) + "," + tensor_entry("clip_g", "F32", "[1,3]", 8, 20), 20));
  EXPECT_EQ(both.vectors(EmbeddingTarget::kClipL).size(1), 2);
  EXPECT_EQ(both.vectors(EmbeddingTarget::kClipG).size(1), 3);
  EXPECT_THAT(error_of([&] { both.vectors(EmbeddingTarget::kOnly); }),
              HasSubstr("word.safetensors was made for a model"));
}

TEST_F(LearnedEmbeddingFixture, VectorsOutliveTheFile) {
  const auto path = write(tensor_entry("x", "F32", "[4]", 0, 16), 16);
  const LearnedEmbedding embedding(path);
  const auto before = embedding.vectors(EmbeddingTarget::kOnly).clone();
  std::filesystem::resize_file(path, 8);
  EXPECT_TRUE(embedding.vectors(EmbeddingTarget::kOnly).equal(before));
}

TEST_F(LearnedEmbeddingFixture, OtherContentsAreRejectedNamingTheFile) {
  const auto two = tensor_entry("a", "F32", "[1]", 0, 4) + "," + tensor_entry("b", "F32", "[1]", 4, 8);
  EXPECT_EQ(fault(two, 8),
            "unsupported: word.safetensors holds 2 tensors; a textual inversion has one, or clip_l and clip_g");
  EXPECT_EQ(fault("", 0), "unsupported: word.safetensors does not hold any tensors");
  EXPECT_THAT(fault(tensor_entry("x", "F32", "[1,1,2]", 0, 8), 8),
              HasSubstr("shape [1, 1, 2] must be one embedding vector"));
  EXPECT_THAT(fault(tensor_entry("x", "F32", "[]", 0, 4), 4), HasSubstr("must be one embedding vector"));
  EXPECT_THAT(fault(tensor_entry("x", "F32", "[0,2]", 0, 0), 0), HasSubstr("must be one embedding vector"));
  EXPECT_THAT(fault(tensor_entry("x", "F32", "[1025,1]", 0, 4100), 4100), HasSubstr("must be one embedding vector"));
  EXPECT_THAT(fault(tensor_entry("x", "I32", "[2]", 0, 8), 8), HasSubstr("must be one embedding vector"));
  // The bytes include 0x7C..0x7F and 0x80: as float16 some are infinite or NaN.
  EXPECT_THAT(fault(tensor_entry("x", "F16", "[128]", 0, 256), 256), HasSubstr("not finite"));
  EXPECT_THAT(error_of([&] { LearnedEmbedding(folder_.path("nowhere.pt")); }), HasSubstr("not_found: "));
  EXPECT_THAT(error_of([&] { LearnedEmbedding(folder_.write("word.pt", "no pickle")); }), HasSubstr("corrupt_data: "));
}

}  // namespace
}  // namespace easel
