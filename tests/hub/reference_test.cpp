#include "hub/reference.h"

#include <gtest/gtest.h>

#include "easel/error.h"

namespace easel::hub {
namespace {

TEST(Reference, HasFolderRevisionAndFile) {
  const auto reference = parse_reference("org/name/some/folder@v1:file.safetensors");
  EXPECT_EQ(reference.repository, "org/name");
  EXPECT_EQ(reference.folder, "some/folder");
  EXPECT_EQ(reference.revision, "v1");
  EXPECT_EQ(reference.file, "file.safetensors");
  EXPECT_EQ(reference.name(), "folder");
  EXPECT_EQ(parse_reference("org/name").revision, "main");
  EXPECT_EQ(parse_reference("org/name").name(), "name");
}

TEST(Reference, RefusesWhatIsNotOne) {
  for (const char* text : {"", "name", "/name", "org/", "org/..", "org/name/", "org/name/../x", "org/name@",
                           "org/name:", "org/name:../x", "o g/name", "org/name@a\nb", "org/name:.hidden"}) {
    EXPECT_THROW(parse_reference(text), Error) << text;
  }
}

TEST(SafePath, StaysInItsFolder) {
  for (const char* path : {"a", "a/b.json", "a b/c"}) EXPECT_TRUE(is_safe_path(path)) << path;
  for (const char* path : {"", "/a", "a/", "a//b", "..", "a/../b", ".a", "a/.b", "a\\b", "a:b", "a\x7f"}) {
    EXPECT_FALSE(is_safe_path(path)) << path;
  }
  EXPECT_FALSE(is_safe_path(std::string("a\0b", 3)));
  EXPECT_FALSE(is_safe_path(std::string(2000, 'a')));
}

TEST(EscapePath, KeepsOnlyWhatAnAddressMayContain) {
  EXPECT_EQ(escape_path("a b/c?d#e%f"), "a%20b/c%3Fd%23e%25f");
}

}  // namespace
}  // namespace easel::hub
