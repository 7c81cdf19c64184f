#include "adapters/embedding_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../weights/samples.h"
#include "weights/support.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// A textual inversion of one vector of this width.
std::string file_of(int width) {
  const auto bytes = std::to_string(4 * width);
  return samples::safetensors(
      R"({"x":{"dtype":"F32","shape":[)" + std::to_string(width) + R"(],"data_offsets":[0,)" + bytes + "]}}",
      static_cast<std::size_t>(4 * width));
}

std::vector<std::string> names_of(const EmbeddingFolder::Files& files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(fs::path(file.path).filename().string());
  return names;
}

TEST(EmbeddingFolder, FileNameIsTheTriggerWord) {
  TemporaryFolder folder;
  for (const char* name : {"b.pt", "a b.bin", "B.safetensors", "notes.txt", "no extension", "b.bin", "c.bin",
                           "c.safetensors", "\xff.pt", "inner/d.pt"}) {
    folder.write(name, "");
  }
  EmbeddingFolder embeddings(folder.path());
  const auto files = embeddings.files();
  EXPECT_THAT(names_of(*files), ElementsAre("B.safetensors", "a b.bin", "b.pt", "c.safetensors"));
  EXPECT_EQ(files->at(1).word, "a b");
  EXPECT_THAT(error_of([&] { EmbeddingFolder(folder.path("nowhere")); }), HasSubstr("not_found: "));
}

TEST(EmbeddingFolder, SeesAddedAndRemovedFiles) {
  TemporaryFolder folder;
  EmbeddingFolder embeddings(folder.path());
  EXPECT_THAT(*embeddings.files(), IsEmpty());
  folder.write("a.pt", "");
  const auto one = embeddings.files();
  EXPECT_THAT(names_of(*one), ElementsAre("a.pt"));
  EXPECT_EQ(embeddings.files(), one) << "nothing has changed";
  fs::remove(folder.path("a.pt"));
  EXPECT_THAT(*embeddings.files(), IsEmpty());
  fs::remove_all(folder.path());
  EXPECT_THAT(*embeddings.files(), IsEmpty());
}

TEST(EmbeddingFolder, IsNotRescannedWhileItsMtimeIsUnchanged) {
  TemporaryFolder folder;
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(folder.path(), long_ago);
  EmbeddingFolder embeddings(folder.path());
  EXPECT_THAT(*embeddings.files(), IsEmpty());
  folder.write("a.pt", "");
  fs::last_write_time(folder.path(), long_ago);
  EXPECT_THAT(*embeddings.files(), IsEmpty()) << "the folder was read though its time says that nothing came";
  fs::last_write_time(folder.path(), long_ago + std::chrono::minutes(1));
  EXPECT_THAT(names_of(*embeddings.files()), ElementsAre("a.pt"));
}

TEST(EmbeddingFolder, VectorsAreCachedUntilTheFileChanges) {
  TemporaryFolder folder;
  folder.write("a.safetensors", file_of(3));
  EmbeddingFolder embeddings(folder.path());
  const auto file = embeddings.files()->at(0);
  const auto first = embeddings.load(file);
  EXPECT_EQ(first->embedding.vectors(EmbeddingTarget::kOnly).size(1), 3);
  EXPECT_EQ(embeddings.load(file), first);
  folder.write("a.safetensors", file_of(5));
  const auto second = embeddings.load(file);
  EXPECT_EQ(second->embedding.vectors(EmbeddingTarget::kOnly).size(1), 5);
  EXPECT_NE(second->version, first->version);
  folder.write("a.safetensors", "no such file format");
  EXPECT_THAT(error_of([&] { embeddings.load(file); }),
              AllOf(HasSubstr("corrupt_data: a.safetensors"), Not(HasSubstr(folder.path()))));
  fs::remove(file.path);
  EXPECT_THAT(error_of([&] { embeddings.load(file); }), HasSubstr("not_found: "));
}

// Unpacked archives, `mv` and `cp -p` give files such times.
TEST(EmbeddingFolder, ReplacedFileOfSameSizeAndMtimeIsReloaded) {
  TemporaryFolder folder;
  const auto path = folder.write("a.safetensors", file_of(3)), other = folder.write("b", file_of(3));
  EmbeddingFolder embeddings(folder.path());
  const auto file = embeddings.files()->at(0);
  const auto first = embeddings.load(file);
  fs::last_write_time(other, fs::last_write_time(path));
  fs::rename(other, path);
  EXPECT_NE(embeddings.load(file)->version, first->version);
}

}  // namespace
}  // namespace easel
