#include "weights/format/zip_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../fuzz/mutate.h"
#include "samples.h"
#include "support.h"

namespace easel {
namespace {

using testing::HasSubstr;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string zip_fault(const std::string& file) {
  return error_of([&] { read_zip_archive(samples::as_bytes(file), "f.bin"); });
}

/// `file` with the bytes at `offset` from its end replaced.
std::string patched(std::string file, std::size_t from_end, const std::string& bytes) {
  return file.replace(file.size() - from_end, bytes.size(), bytes);
}

TEST(ZipArchive, EntriesAreViews) {
  const std::string file = samples::zip("a/b", "contents");
  const auto entries = read_zip_archive(samples::as_bytes(file), "f.bin");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(text_of(entries.at("a/b")), "contents");
  EXPECT_EQ(reinterpret_cast<const char*>(entries.at("a/b").data()), file.data() + 33);
}

TEST(ZipArchive, TrailingCommentIsAllowed) {
  std::string file = samples::zip("a", "x");
  file = patched(file, 2, samples::little_endian(9, 2)) + "a comment";
  EXPECT_EQ(read_zip_archive(samples::as_bytes(file), "f.bin").size(), 1u);
}

TEST(ZipArchive, NonZipFilesAreRejected) {
  const std::string no_end = "corrupt_data: f.bin: it ends without a zip directory; was it cut off?";
  EXPECT_EQ(zip_fault(""), no_end);
  EXPECT_EQ(zip_fault(std::string(200'000, 'P')), no_end);
  const std::string whole = samples::zip("a", "x");
  for (std::size_t size = 0; size < whole.size(); ++size) EXPECT_EQ(zip_fault(whole.substr(0, size)), no_end);
}

TEST(ZipArchive, CompressedEntriesAreRejected) {
  EXPECT_EQ(zip_fault(samples::zip("a", "x", /*method=*/8)),
            "unsupported: f.bin: entry `a` is compressed or encrypted, which torch.save never does");
}

TEST(ZipArchive, InconsistentDirectoriesAreRejected) {
  const std::string file = samples::zip("a", "xyz");  // central record 47 bytes, end record 22
  EXPECT_THAT(zip_fault(patched(file, 6, samples::little_endian(9999, 4))),
              HasSubstr("its directory points at 47 bytes from 9999"));
  EXPECT_THAT(zip_fault(patched(file, 14, samples::little_endian(2, 2) + samples::little_endian(2, 2))),
              HasSubstr("is cut off"));
  EXPECT_THAT(zip_fault(patched(file, 18, samples::little_endian(1, 2))),
              HasSubstr("one part of a divided zip archive"));
  EXPECT_THAT(zip_fault(patched(file, 22 + 47, "XX")), HasSubstr("its zip directory is damaged"));
  EXPECT_THAT(zip_fault(patched(file, 22 + 47 - 42, samples::little_endian(1, 4))),
              HasSubstr("entry `a` is not where the directory says"));
  EXPECT_THAT(zip_fault(patched(file, 22 + 47 - 24, samples::little_endian(4, 4))),
              HasSubstr("entry `a` has two sizes"));
  const std::string large = samples::little_endian(1 << 20, 4);
  EXPECT_THAT(zip_fault(patched(file, 22 + 47 - 20, large + large)), HasSubstr("is cut off"));
}

TEST(ZipArchive, AnyCorruptionLoadsOrThrowsError) {
  std::mt19937_64 random(3);
  const std::string valid = samples::zip("archive/data.pkl", samples::valid_pickle());
  int loaded = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string file = mutate(valid, random);
    try {
      for (const auto& [name, bytes] : read_zip_archive(samples::as_bytes(file), "f.bin")) {
        ASSERT_GE(reinterpret_cast<const char*>(bytes.data()), file.data());
        ASSERT_LE(reinterpret_cast<const char*>(bytes.data()) + bytes.size(), file.data() + file.size());
      }
      ++loaded;
    } catch (const Error&) {
      // The other right outcome: the file is refused.
    }
  }
  EXPECT_GT(loaded, 200);
  EXPECT_LT(loaded, 19'000);
}

}  // namespace
}  // namespace easel
