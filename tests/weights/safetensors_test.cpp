#include "weights/stores/safetensors.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "samples.h"
#include "support.h"
#include "tensor_support.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

using testing::HasSubstr;

TEST(SafetensorsFile, EveryDtypeAndShapeRoundTrips) {
  const SafetensorsFile file(reference("dtypes.safetensors"));
  const auto expected = nlohmann::json::parse(read_file(reference("dtypes.json")));
  ASSERT_EQ(file.names().size(), expected.size());
  ASSERT_EQ(expected.size(), 15u * 5u);
  for (const auto& [name, tensor] : expected.items()) {
    const auto* info = file.find(name);
    ASSERT_NE(info, nullptr) << name;
    EXPECT_EQ(info->file, "dtypes.safetensors");
    EXPECT_EQ(info->shape, tensor["shape"].get<std::vector<std::int64_t>>()) << name;
    const auto read = file.read(name);
    EXPECT_EQ(read.scalar_type(), info->dtype);
    EXPECT_EQ(read.sizes().vec(), info->shape) << name;
    const auto values = tensor["values"].get<std::vector<double>>();
    const auto doubles = read.to(c10::kDouble).flatten();
    ASSERT_EQ(doubles.numel(), static_cast<std::int64_t>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(doubles.const_data_ptr<double>()[i], values[i]) << name << " element " << i;
    }
  }
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.find("nothing"), nullptr);
  EXPECT_THAT(error_of([&] { file.read("nothing"); }),
              HasSubstr("not_found: " + file.where() + " has no tensor `nothing`"));
}

TEST(SafetensorsFile, TensorsAreViewsThatOutliveTheStore) {
  std::optional<SafetensorsFile> file(reference("dtypes.safetensors"));
  const auto first = file->read("odd.f32"), second = file->read("odd.f32");
  EXPECT_EQ(first.const_data_ptr(), second.const_data_ptr());
  const at::Tensor copy = first.clone();
  file->release("odd.f32");
  file.reset();
  EXPECT_TRUE(same(first, copy));
}

TEST(SafetensorsFile, UnalignedBytesAreCopied) {
  const TemporaryFolder folder;
  const std::string header = R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("x":{"dtype":"F32","shape":[2,1],"data_offsets":[1,9]}})";
  const SafetensorsFile file(folder.write("x.safetensors", samples::little_endian(header.size(), 8) + header + "!" +
                                                               std::string("\0\0\x80\x3f\0\0\0\x40", 8)));
  const auto x = file.read("x");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.const_data_ptr()) % 4, 0u);
  EXPECT_EQ(x.sizes().vec(), (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(x.const_data_ptr<float>()[0], 1.0f);
  EXPECT_EQ(x.const_data_ptr<float>()[1], 2.0f);
}

TEST(SafetensorsFile, DtypesUnknownToTorchAreListedButNotReadable) {
  const TemporaryFolder folder;
  const SafetensorsFile file(folder.write(
      "x.safetensors", samples::safetensors(R"({"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2)));
  EXPECT_EQ(file.find("x")->shape, std::vector<std::int64_t>{4});
  EXPECT_EQ(error_of([&] { file.read("x"); }),
            "unsupported: " + file.where() + ": tensor `x` is stored as F4, which easel cannot read");
}

TEST(SafetensorsFile, ShrunkFileIsAnErrorNotACrash) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.safetensors", samples::valid_safetensors());
  const SafetensorsFile file(path);
  std::filesystem::resize_file(path, 20);
  EXPECT_THAT(error_of([&] { file.read("a.weight"); }), HasSubstr("corrupt_data: " + path + " shrank from "));
}

TEST(SafetensorsFile, ErrorsNameTheFilePath) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { SafetensorsFile(folder.path("none")); }),
            "not_found: " + folder.path("none") + " is missing");
  EXPECT_THAT(error_of([&] { SafetensorsFile(folder.write("x", "short")); }),
              HasSubstr("corrupt_data: " + folder.path("x") + " has 5 bytes"));
}

// The verdict of the reference reader on some thousands of damaged headers.
TEST(SafetensorsFile, AcceptsExactlyWhatTheReferenceAccepts) {
  const SafetensorsFile cases(reference("verdicts.safetensors"));
  int reads = 0, refuses = 0;
  for (const auto& name : cases.names()) {
    const at::Tensor bytes = cases.read(name);
    const std::span file(static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes());
    const std::string message = error_of([&] { parse_safetensors_header(file, "f"); });
    const bool expected = name.ends_with(".reads");
    (expected ? reads : refuses)++;
    EXPECT_EQ(message == "no error", expected)
        << name << ": " << message << "\n"
        << std::string(reinterpret_cast<const char*>(file.data()) + 8, file.size() - 8);
  }
  EXPECT_GT(reads, 300);
  EXPECT_GT(refuses, 3000);
}

TEST(WriteSafetensors, OutputIsByteIdenticalToTheReference) {
  const TemporaryFolder folder;
  for (const std::string name : {"dtypes.safetensors", "tricky.safetensors"}) {
    const SafetensorsFile original(reference(name));
    write_safetensors(folder.path(name), original, original.metadata());
    EXPECT_TRUE(read_file(folder.path(name)) == read_file(reference(name))) << name;
  }
  const SafetensorsFile names(reference("names.safetensors"));
  write_safetensors(folder.path("names"), names, {});
  EXPECT_TRUE(read_file(folder.path("names")) == read_file(reference("names.safetensors")));
}

TEST(WriteSafetensors, WritesStridedTensorsAndEmptyMaps) {
  const TemporaryFolder folder;
  const at::Tensor strided = at::arange(12, c10::kFloat).view({3, 4}).t();
  write_safetensors(folder.path("x"), {{"strided", strided}});
  const SafetensorsFile file(folder.path("x"));
  EXPECT_TRUE(same(file.read("strided"), strided));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  write_safetensors(folder.path("none"), std::map<std::string, at::Tensor>{});
  EXPECT_TRUE(SafetensorsFile(folder.path("none")).names().empty());
}

TEST(WriteSafetensors, TensorWithTheNameOfTheMetadataIsRefused) {
  const TemporaryFolder folder;
  EXPECT_THAT(error_of([&] { write_safetensors(folder.path("x"), {{"__metadata__", at::ones({1})}}); }),
              testing::HasSubstr("unsupported: " + folder.path("x") + ": a tensor is called `__metadata__`"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("x")));
}

TEST(WriteSafetensors, FailedWriteLeavesNoFile) {
  const TemporaryFolder folder;
  folder.write("x", "before");
  const at::Tensor complex = at::zeros({1}, at::TensorOptions().dtype(c10::kComplexDouble));
  EXPECT_EQ(error_of([&] { write_safetensors(folder.path("x"), {{"c", complex}}); }),
            "unsupported: " + folder.path("x") + ": tensor `c` is of ComplexDouble, which safetensors does not have");
  EXPECT_EQ(read_file(folder.path("x")), "before");
  EXPECT_THAT(error_of([&] { write_safetensors(folder.path("no/folder"), {{"a", at::ones({1})}}); }),
              HasSubstr("cannot be written: No such file or directory"));
  // If a folder has the target's name, the rename fails after everything was written.
  std::filesystem::create_directories(folder.path("taken/inside"));
  EXPECT_THAT(error_of([&] { write_safetensors(folder.path("taken"), {{"a", at::ones({1})}}); }),
              HasSubstr("internal: " + folder.path("taken") + " cannot be written"));
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& item : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 2u);
}

}  // namespace
}  // namespace easel
