// open_component on the layouts that diffusers and transformers write, and on damaged ones.
#include "weights/stores/component_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"
#include "tensor_support.h"

namespace easel {
namespace {

using testing::HasSubstr;

constexpr char kStem[] = "diffusion_pytorch_model";
const std::string kIndex = "diffusion_pytorch_model.safetensors.index.json";

SafetensorsFile full() {
  return SafetensorsFile(reference("single/diffusion_pytorch_model.safetensors"));
}
SafetensorsFile half() {
  return SafetensorsFile(reference("half/diffusion_pytorch_model.fp16.safetensors"));
}

/// A copy of a reference folder that a test may damage.
class Copy : public TemporaryFolder {
 public:
  explicit Copy(const std::string& name) {
    std::filesystem::copy(reference(name), path(), std::filesystem::copy_options::recursive);
  }
  std::string fault(const std::string& stem = kStem) const {
    return error_of([&] { open_component(path(), stem); });
  }
};

/// The index of the sharded copy with one text replaced by another.
void edit_index(const Copy& copy, const std::string& before, const std::string& after) {
  std::string index = read_file(copy.path(kIndex));
  ASSERT_NE(index.find(before), std::string::npos) << before;
  copy.write(kIndex, index.replace(index.find(before), before.size(), after));
}

TEST(OpenComponent, EveryLayoutHoldsTheSameTensors) {
  expect_same_tensors(*open_component(reference("single"), kStem), full());
  expect_same_tensors(*open_component(reference("sharded"), kStem), full());
  expect_same_tensors(*open_component(reference("half"), kStem), half());
  expect_same_tensors(*open_component(reference("sharded_half"), kStem), half());
  expect_same_tensors(*open_component(reference("text_encoder_sharded"), "model"),
                      *open_component(reference("text_encoder"), "model"));
}

TEST(OpenComponent, PreferredVariantWinsWhenBothExist) {
  expect_same_tensors(*open_component(reference("both"), kStem), full());
  expect_same_tensors(*open_component(reference("both"), kStem, "fp16"), half());
  expect_same_tensors(*open_component(reference("single"), kStem, "fp16"), full());
}

TEST(OpenComponent, HalfPrecisionIsReadWhereThereIsNothingElse) {
  const TemporaryFolder folder;
  const std::string stem(kStem);
  std::filesystem::copy_file(reference("half/" + stem + ".fp16.safetensors"), folder.path(stem + ".bf16.safetensors"));
  expect_same_tensors(*open_component(folder.path(), kStem), half());
  folder.write(stem + ".fp16.safetensors", "not read as bf16");
  EXPECT_THAT(error_of([&] { open_component(folder.path(), kStem); }), HasSubstr(stem + ".fp16.safetensors"));
}

TEST(OpenComponent, VariantsAreWordsInTheNamesOfFiles) {
  const Copy folder("both");
  std::filesystem::copy_file(folder.path("diffusion_pytorch_model.fp16.safetensors"),
                             folder.path("diffusion_pytorch_model.non_ema.safetensors"));
  folder.write("diffusion_pytorch_model-00001-of-00002.safetensors", "");
  folder.write("diffusion_pytorch_model.bf16-00001-of-00002.safetensors", "");
  folder.write("diffusion_pytorch_model.safetensors.index.bf16.json", "{}");
  EXPECT_THAT(find_variants(folder.path(), kStem), testing::ElementsAre("", "bf16", "fp16", "non_ema"));
  expect_same_tensors(*open_component(folder.path(), kStem, "non_ema"), half());
  expect_same_tensors(*open_component(folder.path(), kStem, "ema_only"), full());
  EXPECT_TRUE(find_variants(folder.path("nowhere"), kStem).empty());
}

TEST(OpenComponent, ShardedTensorsNameTheirFile) {
  const auto store = open_component(reference("sharded"), kStem);
  EXPECT_EQ(store->where(), reference("sharded/" + kIndex));
  EXPECT_EQ(store->find("nothing"), nullptr);
  EXPECT_THAT(store->find(store->names().back())->file,
              HasSubstr("diffusion_pytorch_model-00007-of-00007.safetensors"));
  EXPECT_THAT(error_of([&] { store->read("nothing"); }), HasSubstr("has no tensor `nothing`"));
  const auto before = store->read("decoder.conv_in.weight").clone();
  store->release("decoder.conv_in.weight");
  EXPECT_TRUE(same(store->read("decoder.conv_in.weight"), before));
}

TEST(OpenComponent, MissingWeightsAreReported) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { open_component(folder.path("vae"), kStem); }),
            "not_found: folder " + folder.path("vae") + " is missing");
  EXPECT_EQ(error_of([&] { open_component(folder.path(), kStem); }),
            "not_found: " + folder.path() +
                " has no diffusion_pytorch_model.safetensors, nor its variants fp16 and bf16, nor an index of shards");
}

TEST(OpenComponent, PickleErrorsSuggestConvertCommand) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& component, const std::string& file, const std::string& stem) {
    folder.write(component + "/" + file, "");
    return error_of([&] { open_component(folder.path(component), stem); });
  };
  const std::string advice =
      ", which can run code when it is loaded; make safetensors of it with `easel convert " + folder.path() + "`";
  EXPECT_EQ(message("unet", "diffusion_pytorch_model.bin", kStem),
            "not_found: " + folder.path("unet") +
                " has no diffusion_pytorch_model.safetensors, only diffusion_pytorch_model.bin" + advice);
  EXPECT_THAT(message("vae/", "diffusion_pytorch_model.fp16.bin", kStem),
              HasSubstr("only diffusion_pytorch_model.fp16.bin" + advice));
  EXPECT_THAT(message("sharded", "diffusion_pytorch_model.bin.index.json", kStem),
              HasSubstr("only diffusion_pytorch_model.bin.index.json" + advice));
  EXPECT_THAT(message("text_encoder", "pytorch_model.bin", "model"),
              HasSubstr("has no model.safetensors, only pytorch_model.bin" + advice));
}

TEST(OpenComponent, InconsistentIndexIsRejected) {
  const auto with_index = [](const std::string& index) {
    const Copy copy("sharded");
    copy.write(kIndex, index);
    return copy.fault();
  };
  EXPECT_THAT(with_index("{"), HasSubstr(kIndex + " is not a JSON object"));
  EXPECT_THAT(with_index("[]"), HasSubstr(kIndex + " is not a JSON object"));
  for (const std::string index : {"{}", R"({"weight_map":[]})", R"({"weight_map":{}})"}) {
    EXPECT_THAT(with_index(index), HasSubstr(kIndex + ": `weight_map` is missing, empty or not an object"));
  }
  EXPECT_THAT(with_index(R"({"weight_map":{"a":1}})"),
              HasSubstr("tensor `a` is mapped to something that is not a file name"));
  EXPECT_THAT(with_index(R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})"), HasSubstr("`a` occurs twice"));
  for (const std::string shard : {"../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", "x.bin", "",
                                  ".safetensors", "a\\\\x.safetensors", "a\\u0000.safetensors"}) {
    const auto message = with_index(R"({"weight_map":{"a":")" + shard + R"("}})");
    EXPECT_THAT(message, HasSubstr("corrupt_data: ")) << shard;
    EXPECT_THAT(message, HasSubstr("expected a .safetensors file in the same folder")) << shard;
  }
}

TEST(OpenComponent, MismatchedIndexAndShardsAreRejected) {
  const std::string shard = "diffusion_pytorch_model-00003-of-00007.safetensors";
  {
    const Copy copy("sharded");
    std::filesystem::remove(copy.path(shard));
    EXPECT_EQ(copy.fault(), "corrupt_data: " + copy.path(kIndex) +
                                " names a shard that cannot be opened: " + copy.path(shard) + " is missing");
  }
  {
    const Copy copy("sharded");
    std::filesystem::resize_file(copy.path(shard), std::filesystem::file_size(copy.path(shard)) - 1);
    EXPECT_THAT(copy.fault(), HasSubstr("corrupt_data: " + copy.path(shard) + ": tensor `"));
  }
  const auto store = open_component(reference("sharded"), kStem);
  const std::string file = store->find("encoder.conv_in.weight")->file;
  const std::string entry = "\"encoder.conv_in.weight\": \"" + file + "\"";
  {
    const Copy copy("sharded");
    edit_index(copy, entry, entry + ", \"ghost\": \"" + file + "\"");
    EXPECT_EQ(copy.fault(),
              "corrupt_data: " + copy.path(kIndex) + ": tensor `ghost` is not in " + file + " as it says");
  }
  {
    const Copy copy("sharded");
    edit_index(copy, entry + ",", "");
    EXPECT_EQ(copy.fault(), "corrupt_data: " + copy.path(kIndex) + ": tensor `encoder.conv_in.weight` of " + file +
                                " is not in the index");
  }
}

// Both shards have the tensor, but the index can name only one.
TEST(OpenComponent, TensorInTwoShardsIsRejected) {
  const Copy copy("sharded");
  const std::string again = "diffusion_pytorch_model-00001-of-00007.safetensors";
  std::filesystem::copy_file(copy.path(again), copy.path("copy.safetensors"));
  edit_index(copy, "\"weight_map\": {", "\"weight_map\": {\"only.here\": \"copy.safetensors\",");
  EXPECT_THAT(copy.fault(), HasSubstr("tensor `only.here` is not in copy.safetensors as it says"));
  const std::string first = SafetensorsFile(copy.path(again)).names().front();
  const Copy moved("sharded");
  std::filesystem::copy_file(moved.path(again), moved.path("copy.safetensors"));
  edit_index(moved, "\"" + first + "\": \"" + again + "\"", "\"" + first + "\": \"copy.safetensors\"");
  EXPECT_THAT(moved.fault(), HasSubstr("is not in the index as one of that file"));
}

}  // namespace
}  // namespace easel
