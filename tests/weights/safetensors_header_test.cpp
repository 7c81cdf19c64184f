#include "weights/format/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../fuzz/mutate.h"
#include "samples.h"
#include "support.h"

namespace easel {
namespace {

using samples::safetensors;
using testing::HasSubstr;

SafetensorsHeader parse(const std::string& file) {
  return parse_safetensors_header(samples::as_bytes(file), "f.safetensors");
}

std::string header_fault(const std::string& file) {
  return error_of([&] { parse(file); });
}
std::string header_fault(const std::string& header, std::size_t data_bytes) {
  return header_fault(safetensors(header, data_bytes));
}

std::string entry(const std::string& fields) {
  return "{\"x\":{" + fields + "}}";
}

TEST(SafetensorsHeader, ListsNameTypeShapeAndOffsetsInByteOrder) {
  const auto header = parse(samples::valid_safetensors());
  ASSERT_EQ(header.tensors.size(), 4u);
  std::string summary;
  for (const auto& tensor : header.tensors) {
    summary += tensor.name + ":" + std::string(tensor.dtype->name) + ":";
    for (const auto dimension : tensor.shape) summary += std::to_string(dimension) + ",";
    summary += std::to_string(tensor.begin) + "-" + std::to_string(tensor.end) + " ";
  }
  EXPECT_EQ(summary, "a.weight:F32:2,3,0-24 empty:BF16:4,0,24-24 c:I64:1,2,24-40 b:F16:40-42 ");
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"format", "pt"}, {"note", "\u00e9"}}));
  EXPECT_EQ(header.data_begin, samples::valid_safetensors().size() - 42);
}

TEST(SafetensorsHeader, FileWithoutTensorsIsValid) {
  EXPECT_TRUE(parse(safetensors("{}", 0)).tensors.empty());
  EXPECT_TRUE(parse(safetensors("{\"__metadata__\":null}  ", 0)).metadata.empty());
}

TEST(SafetensorsHeader, PackedTypesAreSizedInBits) {
  EXPECT_EQ(parse(safetensors(entry(R"("dtype":"F4","shape":[3,2],"data_offsets":[0,3])"), 3)).tensors[0].end, 3u);
  EXPECT_EQ(parse(safetensors(entry(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])"), 3)).tensors[0].end, 3u);
  EXPECT_EQ(header_fault(entry(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), 2),
            "corrupt_data: f.safetensors: tensor `x`: [3] of F4 is not a size that memory can have");
}

TEST(SafetensorsHeader, LengthResemblingHtmlIsStillALength) {
  // '<' is 60, and a header may have as many bytes.
  const std::string sixty = entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])") + "      ";
  ASSERT_EQ(sixty.size(), 60u);
  EXPECT_EQ(parse(safetensors(sixty, 4)).tensors.size(), 1u);
}

TEST(SafetensorsHeader, WrongLengthIsRejected) {
  EXPECT_EQ(header_fault(""), "corrupt_data: f.safetensors has 0 bytes, fewer than a safetensors file can have");
  EXPECT_EQ(header_fault("1234567"), "corrupt_data: f.safetensors has 7 bytes, fewer than a safetensors file can have");
  EXPECT_EQ(header_fault(samples::little_endian(60, 8)),
            "corrupt_data: f.safetensors: the header is said to have 60 bytes, the file has only 0 left");
  EXPECT_EQ(header_fault(samples::little_endian(100'000'001, 8)),
            "corrupt_data: f.safetensors: the header is said to have 100000001 bytes, more than the 100000000 allowed");
  EXPECT_EQ(
      header_fault(samples::little_endian(UINT64_MAX, 8)),
      "corrupt_data: f.safetensors: the header is said to have 18446744073709551615 bytes, more than the 100000000 "
      "allowed");
}

TEST(SafetensorsHeader, OtherFileFormatsAreIdentified) {
  EXPECT_THAT(header_fault("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"),
              HasSubstr("pointer of Git LFS"));
  EXPECT_THAT(header_fault("<!DOCTYPE html>\n<html>"), HasSubstr("web page"));
  for (const std::string& pickle :
       {samples::zip("a/data.pkl", "x"), std::string("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9")}) {
    EXPECT_THAT(header_fault(pickle), HasSubstr("is a pickle"));
    EXPECT_THAT(header_fault(pickle), HasSubstr("let its name end in .ckpt"));
    const auto named = error_of([&] { parse_safetensors_header(samples::as_bytes(pickle), "vae.pt"); });
    EXPECT_THAT(named, HasSubstr("; make safetensors of it with `easel convert`"));
  }
}

TEST(SafetensorsHeader, HeaderMustBeAJsonObject) {
  const std::string no_brace = "corrupt_data: f.safetensors: the header does not begin with '{'";
  EXPECT_EQ(header_fault(samples::little_endian(0, 8)), no_brace);
  EXPECT_EQ(header_fault(" {}", 0), no_brace);
  EXPECT_EQ(header_fault("\xef\xbb\xbf{}", 0), no_brace);
  EXPECT_EQ(header_fault("[]", 0), no_brace);
  EXPECT_EQ(header_fault("{", 0), "corrupt_data: f.safetensors: the header is not valid JSON at byte 2");
  EXPECT_EQ(header_fault("{}x", 0), "corrupt_data: f.safetensors: the header is not valid JSON at byte 3");
  EXPECT_EQ(header_fault(std::string("{}\0junk", 7), 0), "corrupt_data: f.safetensors: the header holds a zero byte");
  EXPECT_EQ(header_fault("{\"\xff\":{}}", 0), "corrupt_data: f.safetensors: the header is not valid JSON at byte 3");
}

TEST(SafetensorsHeader, RepeatedNamesAreRejected) {
  const std::string one = R"("x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_EQ(header_fault("{" + one + "," + one + "}", 1), "corrupt_data: f.safetensors: `x` occurs twice");
  EXPECT_EQ(header_fault(entry(R"("dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1])"), 1),
            "corrupt_data: f.safetensors: tensor `x`: `dtype` occurs twice");
  EXPECT_EQ(header_fault(R"({"__metadata__":{"a":"1","a":"1"}})", 0),
            "corrupt_data: f.safetensors: `__metadata__` has `a` twice");
  EXPECT_EQ(header_fault(R"({"__metadata__":{},"__metadata__":{}})", 0),
            "corrupt_data: f.safetensors: `__metadata__` occurs twice");
}

TEST(SafetensorsHeader, MissingOrMistypedFieldsAreRejected) {
  const std::string x = "corrupt_data: f.safetensors: tensor `x`: ";
  EXPECT_EQ(header_fault(entry(R"("shape":[1],"data_offsets":[0,1])"), 1), x + "`dtype` is missing");
  EXPECT_EQ(header_fault(entry(R"("dtype":"U8","data_offsets":[0,1])"), 1), x + "`shape` is missing");
  EXPECT_EQ(header_fault(entry(R"("dtype":"U8","shape":[1])"), 1), x + "`data_offsets` is missing");
  EXPECT_EQ(header_fault(entry(R"("dtype":"F33","shape":[1],"data_offsets":[0,1])"), 1),
            x + "`dtype` is `F33`, which is not in the format");
  EXPECT_EQ(header_fault(entry(R"("dtype":7)"), 0), x + "`dtype` is a number, expected a string");
  EXPECT_EQ(header_fault(entry(R"("dtype":null)"), 0), x + "`dtype` is null, expected a string");
  EXPECT_EQ(header_fault(entry(R"("shape":4)"), 0), x + "`shape` is a number, expected an array");
  EXPECT_EQ(header_fault(entry(R"("shape":{})"), 0), x + "`shape` is an object, expected an array");
  EXPECT_EQ(header_fault(entry(R"("shape":[-1])"), 0), x + "`shape` holds a negative number, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("shape":[-0])"), 0), x + "`shape` holds a negative number, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("shape":[1.0])"), 0),
            x + "`shape` holds a number that is not a 64-bit integer, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("shape":[18446744073709551616])"), 0),
            x + "`shape` holds a number that is not a 64-bit integer, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("shape":[9223372036854775808])"), 0),
            x + "`shape` has a dimension that is too large");
  EXPECT_EQ(header_fault(entry(R"("shape":[[1]])"), 0), x + "`shape` holds an array, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("shape":["1"])"), 0), x + "`shape` holds a string, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("data_offsets":[true,1])"), 0),
            x + "`data_offsets` holds true or false, expected whole numbers");
  EXPECT_EQ(header_fault(entry(R"("data_offsets":[0,1,2])"), 0), x + "`data_offsets` has more than two numbers");
  EXPECT_EQ(header_fault(entry(R"("dtype":"U8","shape":[1],"data_offsets":[0])"), 1),
            x + "`data_offsets` has 1 numbers, expected two");
  EXPECT_EQ(header_fault(R"({"x":[1]})", 0), "corrupt_data: f.safetensors: `x` is an array, expected an object");
  EXPECT_EQ(header_fault(R"({"x":null})", 0), "corrupt_data: f.safetensors: `x` is null, expected an object");
  EXPECT_EQ(header_fault(R"({"__metadata__":{"a":1}})", 0),
            "corrupt_data: f.safetensors: `__metadata__` maps `a` to a number, expected a string");
  EXPECT_EQ(header_fault(R"({"__metadata__":{"a":{}}})", 0),
            "corrupt_data: f.safetensors: `__metadata__` maps `a` to an object, expected a string");
}

TEST(SafetensorsHeader, UnknownTensorFieldsAreIgnored) {
  const auto header = parse(safetensors(
      entry(
          R"("dtype":"U8","later":{"dtype":["F32",{"shape":7}]},"shape":[2],"also":[[1],2,"s",null],"data_offsets":[0,2])"),
      2));
  EXPECT_EQ(header.tensors.at(0).shape, std::vector<std::int64_t>{2});
  EXPECT_EQ(header.tensors.at(0).dtype->name, "U8");
}

TEST(SafetensorsHeader, SizeNotMatchingTheShapeIsRejected) {
  EXPECT_EQ(header_fault(entry(R"("dtype":"I32","shape":[2,2],"data_offsets":[0,4])"), 4),
            "corrupt_data: f.safetensors: tensor `x` has 4 bytes, but [2, 2] of I32 takes 16");
  EXPECT_EQ(
      header_fault(entry(R"("dtype":"I32","shape":[2,9223372036854775807],"data_offsets":[0,16])"), 16),
      "corrupt_data: f.safetensors: tensor `x`: [2, 9223372036854775807] of I32 is not a size that memory can have");
  EXPECT_EQ(
      header_fault(entry(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0),
      "corrupt_data: f.safetensors: tensor `x`: [4294967296, 4294967296] of U8 is not a size that memory can have");
  EXPECT_EQ(
      header_fault(entry(R"("dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0])"), 0),
      "corrupt_data: f.safetensors: tensor `x`: [0, 4294967296, 4294967296] of U8 is not a size that memory can have");
}

TEST(SafetensorsHeader, OverlapsGapsAndOutOfRangeOffsetsAreRejected) {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"x":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
           R"(},"y":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}";
  };
  EXPECT_EQ(header_fault(two("[0,2]", "[1,3]"), 3),
            "corrupt_data: f.safetensors: tensor `y` begins at byte 1, inside the tensor that ends at 2");
  EXPECT_EQ(header_fault(two("[0,2]", "[0,2]"), 2),
            "corrupt_data: f.safetensors: tensor `y` begins at byte 0, inside the tensor that ends at 2");
  EXPECT_EQ(header_fault(two("[0,2]", "[3,5]"), 5),
            "corrupt_data: f.safetensors: tensor `y` begins at byte 3, which leaves a gap after byte 2");
  EXPECT_EQ(header_fault(two("[1,3]", "[3,5]"), 5),
            "corrupt_data: f.safetensors: tensor `x` begins at byte 1, which leaves a gap after byte 0");
  EXPECT_EQ(header_fault(two("[0,2]", "[2,4]"), 3),
            "corrupt_data: f.safetensors: tensor `y` ends at byte 4, but the file has 3 bytes of data");
  EXPECT_EQ(header_fault(two("[0,2]", "[2,4]"), 9),
            "corrupt_data: f.safetensors: 5 bytes at the end of the file belong to no tensor");
  EXPECT_EQ(header_fault(two("[0,2]", "[4,2]"), 4),
            "corrupt_data: f.safetensors: tensor `y` ends at byte 2, before it begins at 4");
  EXPECT_EQ(header_fault("{}", 1), "corrupt_data: f.safetensors: 1 bytes at the end of the file belong to no tensor");
}

TEST(SafetensorsHeader, LongNamesAreTruncatedInMessages) {
  std::string name;
  for (int i = 0; i < 400; ++i) name += "\u00e9";  // two bytes each
  const auto message = header_fault("{\"" + name + "\":1}", 0);
  EXPECT_LT(message.size(), 300u);
  EXPECT_NE(message.find("` (800 bytes) is a number"), std::string::npos) << message;
}

TEST(SafetensorsHeader, ControlCharactersAreEscapedInMessages) {
  EXPECT_EQ(header_fault(R"({"a\u0000b\nc\u007f":1})", 0),
            "corrupt_data: f.safetensors: `a\\x00b\\x0ac\\x7f` is a number, expected an object");
}

// Nesting costs neither stack nor memory.
TEST(SafetensorsHeader, DeepNestingIsSafe) {
  const std::string deep(1'000'000, '[');
  EXPECT_EQ(header_fault("{\"x\":" + deep, 0), "corrupt_data: f.safetensors: `x` is an array, expected an object");
  EXPECT_THAT(header_fault("{\"x\":{\"later\":" + deep, 0), testing::HasSubstr("the header is not valid JSON"));
}

TEST(SafetensorsHeader, AnyCorruptionLoadsOrThrowsError) {
  constexpr int kMutations = 20'000;
  std::mt19937_64 random(7);
  const std::string valid = samples::valid_safetensors();
  const std::size_t header_end = valid.size() - 42;
  int loaded = 0;
  for (int i = 0; i < kMutations; ++i) {
    // The length stays right in half of the cases, so that damage reaches the JSON.
    std::string file = mutate(valid.substr(i % 2 * 8, header_end - i % 2 * 8), random);
    if (i % 2 == 1) file = samples::little_endian(file.size(), 8) + file;
    file += valid.substr(header_end);
    try {
      const auto header = parse(file);
      ++loaded;
      for (const auto& tensor : header.tensors) ASSERT_LE(header.data_begin + tensor.end, file.size());
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::kCorruptData);
    }
  }
  // Both outcomes occur: a name or a space may change without harm.
  EXPECT_GT(loaded, kMutations / 100);
  EXPECT_LT(loaded, kMutations / 2);
}

}  // namespace
}  // namespace easel
