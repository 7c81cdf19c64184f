// Hashes of whole files, and what image files say of them.
#include "provenance/file_hashes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "provenance/hashes.h"
#include "provenance/image_record.h"
#include "support/image_files.h"
#include "support/temporary_folder.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// FIPS 180-4's example.
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

std::string known_after_a_while(const FileHashes& hashes, const std::string& path) {
  for (int i = 0; i < 2000 && hashes.known(path).empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return hashes.known(path);
}

TEST(FileHashes, AreComputedInTheBackground) {
  const TemporaryFolder folder;
  FileHashes hashes(folder.path("state/hashes"));
  const auto path = folder.write("model.safetensors", "abc");
  EXPECT_EQ(hashes.known(path), "");
  hashes.compute_later(folder.path("missing"));
  hashes.compute_later(folder.path());
  hashes.compute_later(path);
  EXPECT_EQ(known_after_a_while(hashes, path), kAbc);
  EXPECT_EQ(hashes.known(folder.path()), "") << "a folder has none";
  EXPECT_EQ(hashes.compute(folder.path("missing")), "");
}

TEST(FileHashes, AreKeptWithTheSizeAndTheTimeOfTheFile) {
  const TemporaryFolder folder;
  const auto path = folder.write("model.safetensors", "abc");
  const auto time = fs::last_write_time(path);
  EXPECT_EQ(FileHashes(folder.path("hashes")).compute(path), kAbc);
  // Other contents of the same size and time: only a hash that was kept can be the old one.
  folder.write("model.safetensors", "abd");
  fs::last_write_time(path, time);
  fs::create_symlink(path, folder.path("link"));
  EXPECT_EQ(FileHashes(folder.path("hashes")).compute(path), kAbc);
  EXPECT_EQ(FileHashes(folder.path("hashes")).compute(folder.path("link")), kAbc) << "another path to the same file";
  EXPECT_NE(FileHashes({}).compute(path), kAbc) << "kept nowhere";
  FileHashes hashes(folder.path("hashes"));
  EXPECT_EQ(hashes.compute(path), kAbc);
  fs::last_write_time(path, time + std::chrono::seconds(1));
  const auto changed = hashes.compute(path);
  EXPECT_NE(changed, kAbc);
  EXPECT_EQ(hashes.known(path), changed);
  fs::remove(path);
  EXPECT_EQ(hashes.compute(path), "");
  EXPECT_EQ(hashes.known(path), "");
}

TEST(FileHashes, AFolderThatCannotBeWrittenKeepsNone) {
  const TemporaryFolder folder;
  const auto path = folder.write("model.safetensors", "abc");
  FileHashes hashes(folder.write("file", "") + "/hashes");
  EXPECT_EQ(hashes.compute(path), kAbc);
}

class ShownHash : public ::testing::Test {
 protected:
  ImageMetadata metadata(const std::string& model_path, const ModelDescription* upscaler = nullptr) {
    ModelDescription model;
    model.id = "abc";
    model.folder = model_path;
    return metadata_of_request(GenerationRequest(), model, options_,
                               upscaler)({.image = testing::gradient(8, 8), .seed = 1});
  }

  TemporaryFolder folder_;
  std::shared_ptr<FileHashes> hashes_ = std::make_shared<FileHashes>(fs::path());
  MetadataOptions options_{.embed = true, .version = "1.2.3", .file_hashes = hashes_};
};

TEST_F(ShownHash, IsThatOfModelSitesOnceItIsKnown) {
  const auto path = folder_.write("abc.safetensors", "abc");
  const auto first = metadata(path);  // it may be known by now, or not
  ASSERT_EQ(known_after_a_while(*hashes_, path), kAbc) << "the first image asks for it";
  const auto later = metadata(path);
  EXPECT_EQ(json::parse(later.record)["model_hash"], "ba7816bf8f");
  EXPECT_NE(later.parameters.find("Model hash: ba7816bf8f, Model: abc"), std::string::npos) << later.parameters;
  const auto settings = parse_parameters(later.parameters).settings;
  EXPECT_NE(
      std::find(settings.begin(), settings.end(), std::pair<std::string, std::string>("Model hash", "ba7816bf8f")),
      settings.end());
}

TEST_F(ShownHash, FoldersKeepEaselsOwn) {
  folder_.write("model/unet/model.safetensors", "abc");
  const auto made = metadata(folder_.path("model"));
  EXPECT_EQ(json::parse(made.record)["model_hash"], model_hash(folder_.path("model")));
  EXPECT_EQ(made.parameters.find("Model hash"), std::string::npos);
}

TEST_F(ShownHash, RecordsAreComparedByTheHashThatTheyHave) {
  ModelDescription model;
  model.folder = folder_.write("abc.safetensors", "abc");
  const auto own = read_image_record(metadata(model.folder).record);
  hashes_->compute(model.folder);
  const auto shown = read_image_record(metadata(model.folder).record);
  auto record = shown;
  EXPECT_EQ(record.model_hash, "ba7816bf8f");
  const auto about_the_model = [&](const ImageRecord& of) {
    for (const auto& text : differences(of, of.request, model, options_)) {
      if (text.find("the model's hash") != std::string::npos) return text;
    }
    return std::string();
  };
  EXPECT_EQ(about_the_model(record), "");
  EXPECT_EQ(about_the_model(own), "") << "of an image that was made before the hash was known";
  record.model_hash = "0123456789";
  EXPECT_EQ(about_the_model(record), "the model's hash was \"0123456789\" and is now \"ba7816bf8f\"");
}

TEST_F(ShownHash, TheModelThatUpscalesHasItsOwn) {
  ModelDescription upscaler;
  upscaler.id = "x2";
  folder_.write("x2/unet/model.safetensors", "abd");
  upscaler.folder = folder_.path("x2");
  const auto record = read_image_record(metadata(folder_.write("abc.safetensors", "abc"), &upscaler).record);
  EXPECT_EQ(record.upscaler_hash, model_hash(upscaler.folder));
  folder_.write("x2/unet/model.safetensors", "abe");
  const auto found = differences(record, record.request, upscaler, options_, &upscaler);
  EXPECT_TRUE(std::any_of(found.begin(), found.end(), [](const std::string& text) {
    return text.starts_with("the hash of the model that upscales was ");
  }));
}

}  // namespace
}  // namespace easel
