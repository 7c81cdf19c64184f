#include "weights/format/file_stamp.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"

namespace easel {
namespace {

namespace fs = std::filesystem;

TEST(FileStamp, IsStableUntilTheFileIsWritten) {
  TemporaryFolder folder;
  const auto path = folder.write("a", "one");
  const auto stamp = stamp_of(path);
  ASSERT_TRUE(stamp);
  EXPECT_EQ(stamp->size, 3u);
  EXPECT_EQ(stamp_of(path), stamp);
  fs::create_symlink(path, folder.path("link"));
  EXPECT_EQ(stamp_of(folder.path("link")), stamp);
  folder.write("a", "three");
  EXPECT_NE(stamp_of(path), stamp);
  EXPECT_FALSE(stamp_of(folder.path("b")));
}

TEST(FileStamp, DistinguishesFilesOfEqualNameSizeAndTime) {
  TemporaryFolder folder;
  const auto path = folder.write("a", "one"), other = folder.write("b", "two");
  const auto time = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& file : {path, other}) fs::last_write_time(file, time);
  const auto stamp = stamp_of(path);
  fs::rename(other, path);
  const auto replaced = stamp_of(path);
  EXPECT_EQ(replaced->mtime_ns, stamp->mtime_ns);
  EXPECT_NE(replaced, stamp);
}

}  // namespace
}  // namespace easel
