// Which checkpoints are found in a folder, and what is passed over.
#include "checkpoints/model_search.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/checkpoint.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ModelSearchTest : public ::testing::Test {
 protected:
  void write_file(const std::string& name, const std::string& tensor) {
    folder_.write(name, "");  // makes its folders
    write_safetensors(folder_.path(name), {{tensor, at::ones({1})}});
  }
  void write_checkpoint(const std::string& name) { write_file(name, "model.diffusion_model.input_blocks.0.0.weight"); }
  std::vector<std::string> names(const std::string& below = "") const {
    std::vector<std::string> names;
    for (const auto& found : search_models(folder_.path(below)).found) names.push_back(found.name);
    return names;
  }
  TemporaryFolder folder_;
};

TEST_F(ModelSearchTest, NamesArePathsFromTheFolder) {
  write_checkpoint("dream.safetensors");
  write_checkpoint("xl/photo v1.5.safetensors");
  write_checkpoint("xl/deep/er/ink.SFT");
  folder_.write("sd/folder/model_index.json", "{}");
  write_checkpoint("sd/folder/inside.safetensors");
  write_checkpoint(".hidden/a.safetensors");
  EXPECT_THAT(names(), ElementsAre("dream", "sd/folder", "xl/deep/er/ink", "xl/photo v1.5"));
  EXPECT_THAT(names("xl"), ElementsAre("deep/er/ink", "photo v1.5"));
  EXPECT_THAT(message_of([&] { search_models(folder_.path("nowhere")); }), HasSubstr("does not exist"));
}

TEST_F(ModelSearchTest, LinksAreFollowedButNoFolderTwice) {
  const TemporaryFolder elsewhere;
  write_checkpoint("a/one.safetensors");
  elsewhere.write("b/model_index.json", "{}");
  fs::create_directory_symlink(elsewhere.path(), folder_.path("linked"));
  fs::create_directory_symlink(folder_.path(), folder_.path("a/back"));
  fs::create_directory_symlink(folder_.path("a"), folder_.path("a/self"));
  EXPECT_THAT(names(), ElementsAre("a/one", "linked/b"));
  std::string deep = "d";
  for (int i = 0; i < 12; ++i) deep += "/d";
  write_checkpoint(deep + "/too.safetensors");
  EXPECT_THAT(names(), ElementsAre("a/one", "linked/b"));
}

TEST_F(ModelSearchTest, CacheOfTheHubIsCalledByItsRepository) {
  const std::string hub = "hub/models--org--some-name/";
  folder_.write(hub + "blobs/1", "{}");
  for (const std::string revision : {"aaa", "bbb"}) {
    fs::create_directories(folder_.path(hub + "snapshots/" + revision));
    fs::create_symlink("../../blobs/1", folder_.path(hub + "snapshots/" + revision + "/model_index.json"));
  }
  folder_.write(hub + "refs/main", "aaa");
  folder_.write("hub/models--org--unfinished/blobs/2.incomplete", "");
  EXPECT_THAT(names(), ElementsAre("org/some-name"));
  EXPECT_EQ(search_models(folder_.path()).found[0].path, folder_.path(hub + "snapshots/aaa"));
  EXPECT_EQ(hub_snapshot(folder_.path("hub/models--org--some-name")), folder_.path(hub + "snapshots/aaa"));
  EXPECT_EQ(hub_name(folder_.path(hub + "snapshots/bbb")), "org/some-name");
  EXPECT_EQ(hub_name(folder_.path(hub)), "org/some-name");
  EXPECT_EQ(hub_name(folder_.path("hub")), "");
  folder_.write(hub + "blobs/1", R"({"_class_name": "StableDiffusionPipeline"})");
  EXPECT_EQ(Checkpoint::open(folder_.path(hub)).path, folder_.path(hub + "snapshots/aaa")) << "as --model may name it";
  const auto passed_over = search_models(folder_.path()).passed_over;
  ASSERT_EQ(passed_over.size(), 1u);
  EXPECT_THAT(passed_over[0].path, HasSubstr("models--org--unfinished"));
  fs::remove(folder_.path(hub + "refs/main"));
  fs::last_write_time(folder_.path(hub + "snapshots/aaa"), fs::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_EQ(search_models(folder_.path()).found[0].path, folder_.path(hub + "snapshots/bbb")) << "the latest";
}

TEST_F(ModelSearchTest, WhatIsPassedOverHasAReason) {
  write_file("vae.safetensors", "first_stage_model.encoder.down.0.block.0.conv1.weight");
  write_file("clip.safetensors", "text_model.encoder.layers.0.mlp.fc1.weight");
  folder_.write("old.ckpt", "PK");
  folder_.write("converted.ckpt", "PK");
  write_checkpoint("converted.safetensors");
  folder_.write("notes.txt", "");
  const auto search = search_models(folder_.path());
  ASSERT_EQ(search.passed_over.size(), 3u);
  EXPECT_THAT(search.passed_over[0].reason, HasSubstr("holds a text encoder"));
  EXPECT_THAT(search.passed_over[1].reason, HasSubstr("`easel convert " + folder_.path("old.ckpt") + "`"));
  EXPECT_THAT(search.passed_over[2].reason, HasSubstr("holds an autoencoder"));
  EXPECT_THAT(names(), ElementsAre("converted"));
}

}  // namespace
}  // namespace easel
