#include "adapters/adapter_directory.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "easel/error.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AdapterDirectoryTest : public ::testing::Test {
 protected:
  AdapterDirectoryTest() {
    std::string pattern = (fs::temp_directory_path() / "easel-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
    for (const char* folder : {"inside", "inside/again", "other", ".git", "folder.safetensors"}) {
      fs::create_directory(path_ / folder);
    }
    for (const char* name :
         {"b.safetensors", "a style v1.5.safetensors", ".hidden.safetensors", "notes.txt", "inside/c.safetensors",
          "inside/b.safetensors", "inside/again/d.safetensors", "other/d.safetensors", ".git/e.safetensors"}) {
      std::ofstream(path_ / name) << "x";
    }
  }
  ~AdapterDirectoryTest() override { fs::remove_all(path_); }

  std::string rejection(const std::string& name) const {
    try {
      return "found " + AdapterDirectory(path_.string()).file(name);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(e.param(), "loras");
      return e.what();
    }
  }

  fs::path path_;
};

TEST_F(AdapterDirectoryTest, ListsItsSafetensorsFiles) {
  for (const std::string& path : {path_.string(), path_.string() + "/", path_.string() + "/inside/.."}) {
    EXPECT_THAT(AdapterDirectory(path).names(),
                ElementsAre("a style v1.5", "b", "inside/again/d", "inside/b", "inside/c", "other/d"));
  }
  EXPECT_THAT(AdapterDirectory((path_ / "nowhere").string()).names(), ElementsAre());
  EXPECT_EQ(AdapterDirectory(path_.string()).file("a style v1.5"), (path_ / "a style v1.5.safetensors").string());
}

TEST_F(AdapterDirectoryTest, UniquePathSuffixIsEnough) {
  const AdapterDirectory adapters(path_.string());
  EXPECT_EQ(adapters.file("c"), (path_ / "inside/c.safetensors").string());
  EXPECT_EQ(adapters.file("inside/c.safetensors"), adapters.file("c"));
  EXPECT_EQ(adapters.file("again/d"), (path_ / "inside/again/d.safetensors").string());
  EXPECT_EQ(adapters.file("b"), (path_ / "b.safetensors").string()) << "the whole path of one, the end of another";
  EXPECT_THAT(rejection("d"), HasSubstr("`d` is in several folders; name one of them: inside/again/d, other/d"));
  EXPECT_THAT(rejection("side/c"), HasSubstr("there is no adapter"));
}

TEST_F(AdapterDirectoryTest, FollowsLinksButNotCycles) {
  const auto elsewhere = fs::path(path_.string() + "-linked");
  fs::create_directory(elsewhere);
  std::ofstream(elsewhere / "f.safetensors") << "x";
  fs::create_directory_symlink(elsewhere, path_ / "linked");
  fs::create_directory_symlink(path_, path_ / "inside/back");
  fs::create_directory_symlink(path_ / "nowhere", path_ / "broken");
  EXPECT_THAT(AdapterDirectory(path_.string()).names(),
              ElementsAre("a style v1.5", "b", "inside/again/d", "inside/b", "inside/c", "linked/f", "other/d"));
  fs::remove_all(elsewhere);
}

TEST_F(AdapterDirectoryTest, AdapterMayBeCalledByTheNameInItsMetadata) {
  const auto write = [&](const char* name, const char* own) {
    write_safetensors((path_ / name).string(), {{"w", at::ones({1})}}, {{"ss_output_name", own}});
  };
  write("other/e-000010.safetensors", "My Style");
  const AdapterDirectory adapters(path_.string());
  EXPECT_EQ(adapters.file("My Style"), (path_ / "other/e-000010.safetensors").string());
  write("f.safetensors", "c");
  EXPECT_EQ(adapters.file("c"), (path_ / "inside/c.safetensors").string()) << "names of files come first";
  write("g.SFT", "My Style");
  EXPECT_THAT(rejection("My Style"), HasSubstr("several files call themselves; name one of them: g, other/e-000010"));
  EXPECT_EQ(adapters.file("g"), (path_ / "g.SFT").string()) << "added since";
  fs::remove(path_ / "g.SFT");
  EXPECT_EQ(adapters.file("My Style"), (path_ / "other/e-000010.safetensors").string());
}

// A flood of unknown names must not walk through the folder each time.
TEST_F(AdapterDirectoryTest, FoldersAreReadAgainOnlyWhenTheyHaveChanged) {
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const char* folder : {"inside/again", "inside", "other", ".git", "folder.safetensors", "."}) {
    fs::last_write_time(path_ / folder, long_ago);
  }
  const AdapterDirectory adapters(path_.string());
  for (int i = 0; i < 100; ++i) EXPECT_THROW(adapters.file("nobody" + std::to_string(i)), Error);
  EXPECT_EQ(adapters.scans(), 1u);
  std::ofstream(path_ / "inside/new.safetensors") << "x";
  EXPECT_EQ(adapters.file("new"), (path_ / "inside/new.safetensors").string());
  EXPECT_EQ(adapters.scans(), 2u);
}

TEST_F(AdapterDirectoryTest, NamesCannotEscapeTheFolder) {
  const auto outside = path_.parent_path() / (path_.filename().string() + "-outside.safetensors");
  std::ofstream(outside) << "x";
  for (const std::string& name :
       {std::string("../") + outside.stem().string(), (outside.parent_path() / outside.stem()).string(),
        std::string("inside/../b"), std::string("inside//c"), std::string("/inside/c"), std::string("inside\\c"),
        std::string(".hidden"), std::string(".git/e"), std::string("folder"), std::string("inside/"),
        std::string("b\0", 2), std::string(5000, 'b'), std::string()}) {
    EXPECT_THAT(rejection(name), HasSubstr("there are: a style v1.5, b, inside")) << name;
  }
  fs::remove(outside);
}

TEST_F(AdapterDirectoryTest, WithoutAFolderThereAreNoAdapters) {
  EXPECT_THROW(AdapterDirectory("").file("b"), Error);
  EXPECT_THAT(AdapterDirectory("").names(), ElementsAre());
}

}  // namespace
}  // namespace easel
