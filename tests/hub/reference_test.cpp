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

TEST(ReferenceOfPage, IsWhatThePageShows) {
  const auto of = [](const std::string& path) {
    return reference_of_page("https://hub.test" + path, "https://hub.test");
  };
  EXPECT_EQ(of("/org/name"), "org/name");
  EXPECT_EQ(of("/org/name/?a=b#c"), "org/name");
  EXPECT_EQ(of("/org/name/tree/main"), "org/name@main");
  EXPECT_EQ(of("/org/name/tree/refs%2Fpr%2F1/some/folder/"), "org/name/some/folder@refs/pr/1");
  EXPECT_EQ(of("/org/name/blob/v1/some/a%20b.safetensors"), "org/name@v1:some/a b.safetensors");
  EXPECT_EQ(of("/org/name/resolve/main/a.safetensors?download=true"), "org/name@main:a.safetensors");
  for (const char* path : {"", "/", "/org", "/org/name/resolve/main", "/org/name/blob/main", "/a/b/c",
                           "/api/models/org/name/revision/main"}) {
    EXPECT_EQ(of(path), "") << path;
  }
  EXPECT_EQ(reference_of_page("https://hub.test.evil/org/name", "https://hub.test"), "");
  EXPECT_EQ(reference_of_page("org/name", "https://hub.test"), "");
}

TEST(Unescape, IsTheOppositeOfEscapePath) {
  for (const char* text : {"a b/c?d#e%f", "100%", "%zz", "%2"}) EXPECT_EQ(unescape(escape_path(text)), text);
  EXPECT_EQ(unescape("100% %zz %2 %41"), "100% %zz %2 A");
  EXPECT_EQ(unescape("%"), "%");
}

TEST(EscapePath, KeepsOnlyWhatAnAddressMayContain) {
  EXPECT_EQ(escape_path("a b/c?d#e%f"), "a%20b/c%3Fd%23e%25f");
  EXPECT_EQ(escape_part("refs/pr/1"), "refs%2Fpr%2F1");
}

TEST(WithoutSecrets, LeavesOutPasswordsAndTokens) {
  EXPECT_EQ(without_secrets("https://user:pw@hub.test/a@b.safetensors"), "https://hub.test/a@b.safetensors");
  EXPECT_EQ(without_secrets("https://hub.test/7?type=Model&token=abc&format=x#y"),
            "https://hub.test/7?type=Model&token=***&format=x#y");
  EXPECT_EQ(without_secrets("https://hub.test/7?X-Amz-Signature=abc"), "https://hub.test/7?X-Amz-Signature=***");
  EXPECT_EQ(without_secrets("https://u@hub.test?API_KEY=1&tokens"), "https://hub.test?API_KEY=***&tokens");
  for (const char* text : {"sd15", "org/name@main:a.safetensors", "https://hub.test", "https://hub.test/?a=b&c", ""}) {
    EXPECT_EQ(without_secrets(text), text);
  }
}

}  // namespace
}  // namespace easel::hub
