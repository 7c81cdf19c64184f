#include "weights/format/mapped_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include "support.h"

namespace easel {
namespace {

TEST(MappedFile, HoldsTheBytes) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", "hello"));
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), "hello");
  EXPECT_TRUE(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST(MappedFile, UnreadableFilesAreNamedInErrors) {
  const TemporaryFolder folder;
  EXPECT_EQ(error_of([&] { MappedFile(folder.path("none")); }), "not_found: " + folder.path("none") + " is missing");
  EXPECT_EQ(error_of([&] { MappedFile{folder.path()}; }),
            "corrupt_data: " + folder.path() + " is a folder, expected a file");
  const std::string below = folder.write("file", "x") + "/below";
  EXPECT_EQ(error_of([&] { MappedFile{below}; }), "not_found: " + below + " cannot be opened: Not a directory");
  ASSERT_EQ(mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { MappedFile(folder.path("pipe")); }),
            "corrupt_data: " + folder.path("pipe") + " is not a file, expected a file");
}

TEST(MappedFile, DanglingLinkDiffersFromMissingFile) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("gone", folder.path("dangling"));
  EXPECT_EQ(error_of([&] { MappedFile(folder.path("dangling")); }),
            "not_found: " + folder.path("dangling") + " is a link to a file that is missing");
  std::filesystem::create_symlink("loop", folder.path("loop"));
  EXPECT_EQ(error_of([&] { MappedFile(folder.path("loop")); }),
            "not_found: " + folder.path("loop") + " cannot be opened: Too many levels of symbolic links");
}

TEST(MappedFile, ShrinkingIsDetected) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", std::string(10'000, 'x')));
  EXPECT_NO_THROW(file.check_unchanged());
  std::filesystem::resize_file(folder.path("a"), 4000);
  EXPECT_EQ(
      error_of([&] { file.check_unchanged(); }),
      "corrupt_data: " + folder.path("a") + " shrank from 10000 to 4000 bytes while in use; load the model again");
}

// Only the program installs what is process-wide.
TEST(MappedFile, MappingInstallsNoSignalHandler) {
  struct sigaction before, after;
  sigaction(SIGBUS, nullptr, &before);
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", std::string(10'000, 'x')));
  sigaction(SIGBUS, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
  EXPECT_EQ(before.sa_flags, after.sa_flags);
}

TEST(MappedFileDeathTest, ReadingTruncatedPagesEndsAnUnguardedProcess) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", std::string(100'000, 'x')));
  std::filesystem::resize_file(folder.path("a"), 0);
  const auto read_last = [&] {
    signal(SIGBUS, SIG_DFL);
    std::exit(static_cast<int>(file.bytes().back()));
  };
  EXPECT_EXIT(read_last(), ::testing::KilledBySignal(SIGBUS), "");
}

TEST(MappedFile, ReadingTruncatedPagesDoesNotCrash) {
  install_truncation_guard();
  const TemporaryFolder folder;
  const std::string contents(100'000, 'x');
  const MappedFile file(folder.write("a", contents)), other(folder.write("b", contents));
  std::filesystem::resize_file(folder.path("a"), 0);
  const auto last = [](const MappedFile& mapped) { return static_cast<char>(mapped.bytes().back()); };
  EXPECT_EQ(last(file), '\0');
  folder.write("a", contents);  // the same bytes again, but the zeros that were read meanwhile were not in it
  EXPECT_EQ(error_of([&] { file.check_unchanged(); }),
            "corrupt_data: " + folder.path("a") + " was written to while in use; load the model again");
  EXPECT_EQ(last(other), 'x');
  EXPECT_NO_THROW(other.check_unchanged());
}

TEST(MappedFile, ReplacingThePathKeepsTheOldMapping) {
  const TemporaryFolder folder;
  const MappedFile file(folder.write("a", "before"));
  std::filesystem::rename(folder.write("b", "after!"), folder.path("a"));
  EXPECT_NO_THROW(file.check_unchanged());
  EXPECT_EQ(static_cast<char>(file.bytes().front()), 'b');
}

TEST(MappedFile, ReleasedPagesAreReloaded) {
  const TemporaryFolder folder;
  std::string contents;
  for (int i = 0; i < 100'000; ++i) contents += static_cast<char>(i % 251);
  const MappedFile file(folder.write("a", contents));
  file.release(5, contents.size() - 5);
  file.release(contents.size(), 0);
  file.release(contents.size() + 1, 1);
  file.release(1, SIZE_MAX);
  EXPECT_TRUE(std::equal(contents.begin(), contents.end(), reinterpret_cast<const char*>(file.bytes().data())));
}

}  // namespace
}  // namespace easel
