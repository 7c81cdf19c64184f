#include "hub/staging.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "easel/error.h"

namespace easel::hub {
namespace {

namespace fs = std::filesystem;

class StagingTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  Staging stage(const std::string& name = "model") { return Staging(folder_.string(), name); }

  static void write(const fs::path& path, const std::string& text = "x") {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  /// Relative paths of the files in a folder, without those of the staging itself.
  static std::set<std::string> files(const fs::path& folder) {
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      const auto name = entry.path().lexically_relative(folder).string();
      if (!entry.is_directory() && !name.ends_with(".version") && !name.ends_with(".lock")) found.insert(name);
    }
    return found;
  }

  fs::path folder_;
};

TEST_F(StagingTest, KeepsFilesOfTheSameVersionAndDiscardsOthers) {
  const auto staged = folder_ / ".easel/model";
  {
    auto staging = stage();
    staging.keep_only({{"a", "1"}, {"b/c", "2"}, {"b/d", "3"}, {"e/f", "4"}});
    for (const char* name : {"a", "b/c.partial", "b/d", "e/f"}) write(staging.file(name));
  }
  write(staged / "unknown");
  fs::create_symlink("/nowhere", staged / "link");
  stage().keep_only({{"a", "1"}, {"b/c", "2"}, {"b/d", "changed"}, {"g", "5"}});
  EXPECT_EQ(files(staged), (std::set<std::string>{"a", "b/c.partial"}));
  EXPECT_FALSE(fs::exists(staged / "e")) << "empty folders would be a part of the model";
}

TEST_F(StagingTest, DiscardsFilesWhoseVersionsAreNotKnown) {
  const auto staged = folder_ / ".easel/model";
  write(staged / "a");
  write(staged / ".version", "not what easel writes");
  stage().keep_only({{"a", "1"}});
  EXPECT_EQ(files(staged), std::set<std::string>{});
}

TEST_F(StagingTest, RemovesTheTargetAndWhatAKilledRemovalLeft) {
  write(folder_ / "model/unet/config.json");
  write(folder_ / ".easel/.model.removed/half");
  stage().remove_target();
  EXPECT_EQ(files(folder_), std::set<std::string>{});
  EXPECT_FALSE(fs::exists(folder_ / ".easel"));
  write(folder_ / ".easel/.model.removed/half");
  stage();
  EXPECT_FALSE(fs::exists(folder_ / ".easel")) << "the next pull removes it, too";
}

TEST_F(StagingTest, WaitingForAnotherPullCanBeStopped) {
  const auto first = stage();
  std::atomic<int> asked = 0;
  try {
    const Staging second(folder_.string(), "model", [&] { return ++asked == 2; });
    FAIL() << "two have it";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCancelled);
  }
  EXPECT_EQ(asked, 2);
}

TEST_F(StagingTest, ModelsWhoseNamesEndLikeFilesOfEaselDoNotCollide) {
  const auto model = stage(), lock = stage("model.lock"), removed = stage("model.removed");
  for (const auto* staging : {&model, &lock, &removed}) write(staging->file("a"));
  EXPECT_EQ(files(folder_ / ".easel").size(), 3u);
}

}  // namespace
}  // namespace easel::hub
