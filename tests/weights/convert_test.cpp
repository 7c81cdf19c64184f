#include "weights/convert/convert.h"

#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support.h"
#include "tensor_support.h"
#include "weights/convert/quantize.h"
#include "weights/convert/safetensors_writer.h"
#include "weights/stores/component_files.h"
#include "weights/stores/component_store.h"

namespace easel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class OldCheckpoint : public TemporaryFolder {
 public:
  OldCheckpoint() {
    std::filesystem::copy(reference("old_checkpoint"), path(), std::filesystem::copy_options::recursive);
  }
};

TEST(Convert, WritesEveryComponentThatLacksSafetensors) {
  const OldCheckpoint folder;
  std::map<std::string, std::size_t> reported;
  const auto written =
      convert_checkpoint(folder.path(), [&](const std::string& source, std::size_t done, std::size_t total) {
        EXPECT_EQ(done, ++reported[source]);
        EXPECT_LE(done, total);
      });
  std::vector<std::string> targets;
  for (const auto& file : written) {
    targets.push_back(file.target.substr(folder.path().size() + 1));
    EXPECT_EQ(file.bytes, std::filesystem::file_size(file.target));
    EXPECT_TRUE(std::filesystem::exists(file.source));
    EXPECT_EQ(reported[file.source], file.tensors) << file.source;
  }
  EXPECT_THAT(targets,
              ElementsAre("text_encoder/model.safetensors", "unet/diffusion_pytorch_model-00001-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00002-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00003-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00004-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00005-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00006-of-00007.safetensors",
                          "unet/diffusion_pytorch_model-00007-of-00007.safetensors",
                          "unet/diffusion_pytorch_model.safetensors.index.json",
                          "vae/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(folder.path("safety_checker/model.safetensors")));
  EXPECT_TRUE(convert_checkpoint(folder.path()).empty()) << "a second run has nothing to do";
}

TEST(Convert, FilesAreByteIdenticalToTheReference) {
  const OldCheckpoint folder;
  convert_checkpoint(folder.path());
  for (const std::string name : {"vae/diffusion_pytorch_model.safetensors",
                                 "vae/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.safetensors"}) {
    EXPECT_TRUE(read_file(folder.path(name)) == read_file(reference("expected/" + name))) << name;
  }
}

TEST(Convert, SingleFileGetsSafetensorsNextToIt) {
  const OldCheckpoint folder;
  const auto source = folder.path("model.ckpt");
  std::filesystem::copy_file(folder.path("vae/diffusion_pytorch_model.bin"), source);
  const auto written = convert_checkpoint(source);
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].target, folder.path("model.safetensors"));
  EXPECT_TRUE(read_file(written[0].target) == read_file(reference("expected/vae/diffusion_pytorch_model.safetensors")));
  EXPECT_TRUE(convert_checkpoint(source).empty()) << "what is there stays";
  EXPECT_TRUE(convert_checkpoint(written[0].target).empty());
}

TEST(Convert, AutoencoderNextToACheckpointKeepsItsName) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(reference("leftovers.ckpt"), folder.path("model.vae.pt"));
  const auto written = convert_checkpoint(folder.path("model.vae.pt"));
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].target, folder.path("model.vae.safetensors"));
  EXPECT_EQ(SafetensorsFile(written[0].target).names().size(), 19u);
}

TEST(Convert, GlobalStepBecomesMetadata) {
  const TemporaryFolder folder;
  std::filesystem::copy_file(reference("lightning.ckpt"), folder.path("model.ckpt"));
  convert_checkpoint(folder.path("model.ckpt"));
  const SafetensorsFile file(folder.path("model.safetensors"));
  EXPECT_EQ(file.metadata().at("global_step"), "875000");
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(Convert, ConvertedComponentsOpen) {
  const OldCheckpoint folder;
  const std::string stem = "diffusion_pytorch_model";
  EXPECT_THAT(error_of([&] { open_component(folder.path("unet"), stem); }),
              HasSubstr("easel convert " + folder.path()));
  convert_checkpoint(folder.path());
  const auto expected = open_component(reference("expected/vae"), stem);
  expect_same_tensors(*open_component(folder.path("unet"), stem), *expected);
  expect_same_tensors(*open_component(folder.path("vae"), stem), *expected);
  EXPECT_NE(open_component(folder.path("text_encoder"), "model")->find("text_model.embeddings.position_ids"), nullptr);
}

TEST(Convert, AcceptsAComponentFolder) {
  const OldCheckpoint folder;
  EXPECT_EQ(convert_checkpoint(folder.path("vae")).size(), 2u);
}

TEST(Convert, FailuresNameTheFileAndLeaveNoPartialOutput) {
  const OldCheckpoint folder;
  std::filesystem::copy_file(reference("attack.bin"), folder.path("vae/diffusion_pytorch_model.bin"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(error_of([&] { convert_checkpoint(folder.path()); }),
            "unsupported: " + folder.path("vae/diffusion_pytorch_model.bin") +
                ": the pickle asks for `posix.system`, which no state dict needs; nothing of it was run");
  for (const auto& item : std::filesystem::directory_iterator(folder.path("vae"))) {
    EXPECT_THAT(item.path().filename().string(), testing::AnyOf(HasSubstr(".bin"), "config.json"));
  }
}

TEST(Convert, ShardsNotMatchingTheIndexAreRejected) {
  const std::string index_name = "unet/diffusion_pytorch_model.bin.index.json";
  const auto with_index = [&](const std::string& before, const std::string& after) {
    const OldCheckpoint folder;
    std::string index = read_file(folder.path(index_name));
    folder.write(index_name, index.replace(index.find(before), before.size(), after));
    const std::string message = error_of([&] { convert_checkpoint(folder.path()); });
    EXPECT_FALSE(std::filesystem::exists(folder.path("unet/diffusion_pytorch_model.safetensors.index.json")));
    return message;
  };
  const std::string shard = "diffusion_pytorch_model-00001-of-00007.bin";
  EXPECT_THAT(with_index("\"weight_map\": {", "\"weight_map\": {\"ghost\": \"" + shard + "\","),
              HasSubstr("tensor `ghost` is not in " + shard));
  EXPECT_THAT(with_index("\"decoder.conv_in.bias\"", "\"decoder.conv_in.other\""),
              HasSubstr("tensor `decoder.conv_in.bias` of "));
  EXPECT_THAT(with_index(shard, "../" + shard), HasSubstr("expected a .bin file in the same folder"));
}

TEST(Convert, MissingFolderIsAnError) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { convert_checkpoint(folder.path("x")); }),
            "not_found: folder " + folder.path("x") + " is missing");
  EXPECT_TRUE(convert_checkpoint(folder.path()).empty());
}

/// A checkpoint folder with a transformer of two matrices in blocks and one outside, and a text encoder.
class PlainCheckpoint : public TemporaryFolder {
 public:
  PlainCheckpoint() {
    const auto random = [](at::IntArrayRef shape) { return at::randn(shape, at::kBFloat16); };
    for (const char* name : {"transformer", "text_encoder", "vae"}) std::filesystem::create_directory(path(name));
    write_safetensors(path("transformer/diffusion_pytorch_model.safetensors"),
                      {{"layers.0.in.weight", random({8, 64})},
                       {"layers.1.out.weight", random({4, 32})},
                       {"layers.1.out.bias", random({4})},
                       {"proj.weight", random({4, 32})}});
    write_safetensors(path("text_encoder/model.safetensors"), {{"layers.0.fc.weight", random({4, 32})}});
    write_safetensors(path("vae/diffusion_pytorch_model.safetensors"), {{"mid.0.weight", random({4, 32})}});
  }
};

TEST(Quantize, WritesAVariantThatReadsAsQuantisingAtLoadDoes) {
  for (const auto quantization : {WeightQuantization::kFloat8, WeightQuantization::kQ8_0}) {
    const PlainCheckpoint folder;
    const std::string name = quantization_name(quantization);
    const auto written = quantize_checkpoint(folder.path(), quantization);
    ASSERT_EQ(written.size(), 2u);
    EXPECT_TRUE(quantize_checkpoint(folder.path(), quantization).empty()) << "they are there already";
    for (const auto& [component, stem] :
         {std::pair{"transformer", "diffusion_pytorch_model"}, {"text_encoder", "model"}}) {
      const auto plain = open_component(folder.path(component), stem);
      const auto variant = open_component(folder.path(component), stem, name);
      EXPECT_NE(variant->where(), plain->where());
      expect_same_tensors(*variant, *quantizing(plain, quantization));
      EXPECT_THAT(find_variants(folder.path(component), stem), ElementsAre("", name));
    }
    const auto variant = open_component(folder.path("transformer"), "diffusion_pytorch_model", name);
    EXPECT_NE(variant->find("layers.0.in.weight")->blocks, nullptr);
    EXPECT_EQ(variant->find("proj.weight")->stored_name(), "bfloat16");
  }
}

TEST(Quantize, WritesNextToASingleFile) {
  const PlainCheckpoint folder;
  std::filesystem::copy(folder.path("transformer/diffusion_pytorch_model.safetensors"), folder.path("m.safetensors"));
  const auto written = quantize_checkpoint(folder.path("m.safetensors"), WeightQuantization::kQ8_0);
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].target, folder.path("m.q8_0.gguf"));
  EXPECT_EQ(written[0].tensors, 4u);
  EXPECT_EQ(written[0].bytes, std::filesystem::file_size(written[0].target));
  EXPECT_THAT(error_of([&] { quantize_checkpoint(folder.path("m.q8_0.gguf"), WeightQuantization::kQ8_0); }),
              HasSubstr("is not a .safetensors file"));
  EXPECT_THAT(error_of([&] { quantize_checkpoint(folder.path("vae"), WeightQuantization::kQ8_0); }),
              HasSubstr("has no unet or transformer"));
}

}  // namespace
}  // namespace easel
