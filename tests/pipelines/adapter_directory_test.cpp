#include "pipelines/adapter_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "easel/error.h"

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
    fs::create_directory(path_ / "inside");
    fs::create_directory(path_ / "folder.safetensors");
    for (const char* name :
         {"b.safetensors", "a style v1.5.safetensors", ".hidden.safetensors", "notes.txt", "inside/c.safetensors"}) {
      std::ofstream(path_ / name) << "x";
    }
  }
  ~AdapterDirectoryTest() override { fs::remove_all(path_); }

  std::string refusal(const std::string& name) const {
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
  EXPECT_THAT(AdapterDirectory(path_.string()).names(), ElementsAre("a style v1.5", "b"));
  EXPECT_THAT(AdapterDirectory((path_ / "nowhere").string()).names(), ElementsAre());
  EXPECT_EQ(AdapterDirectory(path_.string()).file("a style v1.5"), (path_ / "a style v1.5.safetensors").string());
}

TEST_F(AdapterDirectoryTest, NoNameLeadsElsewhere) {
  const auto outside = path_.parent_path() / (path_.filename().string() + "-outside.safetensors");
  std::ofstream(outside) << "x";
  for (const std::string& name :
       {std::string("../") + outside.stem().string(), (outside.parent_path() / outside.stem()).string(),
        std::string("inside/c"), std::string("inside\\c"), std::string(".hidden"), std::string("folder"),
        std::string("b\0", 2), std::string(5000, 'b'), std::string()}) {
    EXPECT_THAT(refusal(name), HasSubstr("there are: a style v1.5, b")) << name;
  }
  fs::remove(outside);
}

TEST_F(AdapterDirectoryTest, WithoutAFolderNothingIsFound) {
  EXPECT_THROW(AdapterDirectory("").file("b"), Error);
  EXPECT_THAT(AdapterDirectory("").names(), ElementsAre());
}

}  // namespace
}  // namespace easel
