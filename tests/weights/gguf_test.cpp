#include "weights/format/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "samples.h"
#include "support.h"

namespace easel {
namespace {

using namespace samples;
using testing::HasSubstr;

GgufHeader parse_gguf(const std::string& file) {
  return parse_gguf_header(as_bytes(file), "f.gguf");
}

std::string gguf_fault(const std::string& file) {
  return error_of([&] { parse_gguf(file); });
}
/// Of a file with one tensor.
std::string tensor_fault(const std::string& tensor, std::size_t data_bytes = 64) {
  return gguf_fault(gguf({}, {tensor}, data_bytes));
}

TEST(Gguf, ListsNameTypeShapeAndBytes) {
  const auto header = parse_gguf(valid_gguf());
  ASSERT_EQ(header.tensors.size(), 3u);
  const auto data = valid_gguf().size() - 194;
  const auto &a = header.tensors[0], &b = header.tensors[1], &c = header.tensors[2];
  EXPECT_EQ(a.name, "a.weight");
  EXPECT_EQ(a.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(a.dtype->name, "F32");
  EXPECT_EQ(a.blocks, nullptr);
  EXPECT_EQ(a.begin, data);
  EXPECT_EQ(a.end, data + 24);
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 64}));
  EXPECT_EQ(b.dtype, nullptr);
  EXPECT_EQ(b.blocks->name, "Q8_0");
  EXPECT_EQ(b.begin, data + 32);
  EXPECT_EQ(b.end, data + 32 + 136);
  EXPECT_TRUE(c.shape.empty());
  EXPECT_EQ(c.end, data + 194);
  EXPECT_EQ(header.strings.at("general.architecture"), "flux");
  EXPECT_EQ(header.integers.at("some.shape"), (std::vector<std::int64_t>{2, 3}));
}

TEST(Gguf, OtherFilesAreNamed) {
  EXPECT_THAT(gguf_fault(""), HasSubstr("f.gguf is not a GGUF file"));
  EXPECT_THAT(gguf_fault(valid_safetensors()), HasSubstr("f.gguf is not a GGUF file"));
  EXPECT_THAT(gguf_fault(gguf({}, {}, 0, 1)),
              HasSubstr("unsupported: f.gguf is a GGUF file of version 1; easel reads"));
  EXPECT_THAT(gguf_fault(gguf({}, {}, 0, 3U << 24)), HasSubstr("in big-endian order"));
}

TEST(Gguf, CountsThatTheFileCannotHoldAreRefused) {
  auto file = gguf({}, {}, 0);
  file.replace(8, 8, little_endian(UINT64_MAX, 8));
  EXPECT_THAT(gguf_fault(file), HasSubstr("18446744073709551615 tensors, more than fit"));
  file = gguf({}, {}, 0);
  file.replace(16, 8, little_endian(UINT64_MAX / 2, 8));
  EXPECT_THAT(gguf_fault(file), HasSubstr("metadata, more than fit"));
  // An array of as many strings or numbers.
  for (const int type : {8, 4, 10}) {
    const auto array = gguf_string("k") + little_endian(9, 4) + little_endian(static_cast<std::uint64_t>(type), 4) +
                       little_endian(UINT64_MAX, 8);
    EXPECT_THAT(gguf_fault(gguf({array}, {}, 64)), HasSubstr("`k` has 18446744073709551615 entries, more than fit"))
        << type;
  }
}

TEST(Gguf, EndlessStringsAreRefused) {
  const auto endless = little_endian(UINT64_MAX, 8) + "name";
  EXPECT_THAT(gguf_fault(gguf({endless + std::string(20, 'x')}, {}, 64)),
              HasSubstr("key of a metadata is said to have"));
  EXPECT_THAT(tensor_fault(endless + std::string(20, 'x')), HasSubstr("name of a tensor is said to have"));
  const auto value = gguf_string("k") + little_endian(8, 4) + little_endian(1 << 20, 8);
  EXPECT_THAT(gguf_fault(gguf({value}, {}, 64)), HasSubstr("f.gguf is cut off"));
}

TEST(Gguf, MetadataMustBeOfTheFormat) {
  EXPECT_THAT(gguf_fault(gguf({gguf_text("k", "v"), gguf_text("k", "w")}, {}, 0)), HasSubstr("`k` occurs twice"));
  EXPECT_THAT(gguf_fault(gguf({gguf_string("k") + little_endian(13, 4) + little_endian(0, 8)}, {}, 0)),
              HasSubstr("`k` is of type 13, which the format does not have"));
  const auto nested = gguf_string("k") + little_endian(9, 4) + little_endian(9, 4) + little_endian(1, 8);
  EXPECT_THAT(gguf_fault(gguf({nested}, {}, 64)), HasSubstr("`k` is an array of arrays"));
  for (const std::uint32_t alignment : {0U, 3U, 1U << 20}) {
    EXPECT_THAT(gguf_fault(gguf({gguf_number("general.alignment", alignment)}, {}, 0)),
                HasSubstr("expected a power of two"));
  }
}

TEST(Gguf, TensorsMustFitTheirTypes) {
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {1, 1, 1, 1, 1}, 0, 0)), HasSubstr("tensor `x`: it is said to have 5"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {33}, 8, 0)),
              HasSubstr("tensor `x`: its rows have 33 values, which are not whole blocks of 32 in Q8_0"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {256}, 23, 0)),
              HasSubstr("unsupported: f.gguf: tensor `x` is stored as IQ4_XS, which easel cannot read"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {256}, 99, 0)), HasSubstr("stored as type 99"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {UINT64_MAX}, 0, 0)), HasSubstr("a dimension is too large"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {1ULL << 40, 1ULL << 40}, 0, 0)),
              HasSubstr("not a size that memory can have"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {1ULL << 62, 0}, 0, 0)), HasSubstr("not a size that memory can have"));
}

TEST(Gguf, TensorsMustFollowEachOther) {
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {4}, 0, 8)), HasSubstr("its offset 8 is not a multiple of 32"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {4}, 0, 32)), HasSubstr("it begins at byte 32 of the data, expected 0"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {32}, 0, 0)),
              HasSubstr("it ends at byte 128 of the data, but the file has 64"));
  EXPECT_THAT(tensor_fault(gguf_tensor("x", {4}, 0, 0)),
              HasSubstr("32 bytes at the end of the file belong to no tensor"));
  const auto both = [](std::uint64_t second) {
    return gguf_fault(gguf({}, {gguf_tensor("x", {16}, 0, 0), gguf_tensor("y", {8}, 0, second)}, 96));
  };
  EXPECT_EQ(both(64), "no error");
  EXPECT_THAT(both(32), HasSubstr("tensor `y`: it begins at byte 32 of the data, expected 64"));
  EXPECT_THAT(both(0), HasSubstr("begins at byte 0 of the data, expected 64"));
  EXPECT_THAT(gguf_fault(gguf({}, {gguf_tensor("x", {8}, 0, 0), gguf_tensor("x", {8}, 0, 32)}, 64)),
              HasSubstr("tensor `x` occurs twice"));
}

TEST(Gguf, ChangedRowsGetTheirShapeBack) {
  const auto of = [](const std::vector<std::uint32_t>& shape) {
    return gguf({gguf_array("comfy.gguf.orig_shape.x", shape)}, {gguf_tensor("x", {64}, 8, 0)}, 68);
  };
  EXPECT_EQ(parse_gguf(of({4, 4, 2, 2})).tensors[0].shape, (std::vector<std::int64_t>{4, 4, 2, 2}));
  EXPECT_THAT(gguf_fault(of({4, 4, 2, 3})), HasSubstr("has another size than [64]"));
}

TEST(Gguf, CutOffFilesAreErrors) {
  const auto file = valid_gguf();
  for (std::size_t size = 0; size < file.size(); ++size) {
    EXPECT_NE(gguf_fault(file.substr(0, size)), "no error") << size;
  }
  EXPECT_EQ(gguf_fault(file), "no error");
}

TEST(BlockFormat, HalfPrecisionRoundsToNearestEven) {
  EXPECT_EQ(half_to_float(0x3C00), 1.0F);
  EXPECT_EQ(half_to_float(0xC000), -2.0F);
  EXPECT_EQ(half_to_float(0x0001), 0x1p-24F);
  EXPECT_EQ(half_to_float(0x7BFF), 65504.0F);
  for (std::uint32_t bits = 0; bits < 0x7C00; ++bits) {
    const float value = half_to_float(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(float_to_half(value), bits);
    ASSERT_EQ(float_to_half(-value), bits | 0x8000);
    // Half the way to the next one goes to the one that is even.
    const float middle = (value + half_to_float(static_cast<std::uint16_t>(bits + 1))) / 2;
    if (bits + 1 < 0x7C00) {
      ASSERT_EQ(float_to_half(middle), bits + bits % 2);
    }
  }
  EXPECT_EQ(float_to_half(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_half(65519.0F), 0x7BFF);
}

TEST(BlockFormat, EveryFormatIsFoundByItsName) {
  for (const auto& format : block_formats()) {
    EXPECT_EQ(find_block_format(format.name), &format);
    EXPECT_LE(format.values, kMaxBlockValues);
  }
  EXPECT_EQ(find_block_format("Q9_9"), nullptr);
}

}  // namespace
}  // namespace easel
