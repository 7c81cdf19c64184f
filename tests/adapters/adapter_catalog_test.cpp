#include "adapters/adapter_catalog.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace easel {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class AdapterCatalogTest : public ::testing::Test {
 protected:
  AdapterCatalogTest() {
    std::string pattern = (fs::temp_directory_path() / "easel-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~AdapterCatalogTest() override { fs::remove_all(path_); }

  /// A file with one tensor of zeros, as wide as the text that a cross-attention takes.
  void write(const std::string& name, const json& metadata, std::int64_t width = 768,
             const std::string& tensor = "lora_unet_attn2_to_k.lora_down.weight") {
    const auto bytes = static_cast<std::size_t>(2 * width);
    json header = {{tensor, {{"dtype", "F16"}, {"shape", {1, width}}, {"data_offsets", {0, bytes}}}}};
    if (!metadata.empty()) header["__metadata__"] = metadata;
    const auto text = header.dump();
    const std::uint64_t length = text.size();
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);  // little-endian, as the machines that this runs on are
    file += text + std::string(bytes, '\0');
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / (name + ".safetensors"), std::ios::binary) << file;
  }

  fs::path path_;
};

TEST_F(AdapterCatalogTest, ReadsTheHeadersOfFiles) {
  write("ink", {{"ss_output_name", "Ink style"},
                {"ss_base_model_version", "sd_v1"},
                {"ss_tag_frequency", R"({"10_ink": {"ink": 9, "drawing": 4, "a": 4}, "2_more": {"pen": 12}})"}});
  write("xl/oil", {{"modelspec.architecture", "stable-diffusion-xl-v1-base/lora"},
                   {"modelspec.trigger_phrase", "oil , by hand,,"},
                   {"ss_tag_frequency", "not JSON"}});
  AdapterCatalog catalog(path_.string());
  const auto list = catalog.list();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].name, "ink");
  EXPECT_EQ(list[0].alias, "Ink style");
  EXPECT_EQ(list[0].family, "stable-diffusion");
  EXPECT_EQ(list[0].trigger_words, (std::vector<std::string>{"pen", "ink", "a", "drawing"}));
  EXPECT_EQ(list[0].bytes, static_cast<std::int64_t>(fs::file_size(path_ / "ink.safetensors")));
  EXPECT_EQ(list[1].name, "xl/oil");
  EXPECT_EQ(list[1].alias, "");
  EXPECT_EQ(list[1].family, "stable-diffusion-xl");
  EXPECT_EQ(list[1].trigger_words, (std::vector<std::string>{"oil", "by hand"}));
}

TEST_F(AdapterCatalogTest, TellsTheFamilyByTheTextWidth) {
  write("a", {}, 768);
  write("b", {}, 2048, "unet.attn2.to_k.lora_A.weight");
  write("c", {}, 999);
  const auto list = AdapterCatalog(path_.string()).list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].family, "stable-diffusion");
  EXPECT_EQ(list[1].family, "stable-diffusion-xl");
  EXPECT_EQ(list[2].family, "");
}

TEST_F(AdapterCatalogTest, FollowsChangesOfTheFolder) {
  AdapterCatalog catalog(path_.string());
  EXPECT_TRUE(catalog.list().empty());
  write("ink", {{"ss_output_name", "old"}});
  EXPECT_EQ(catalog.list().at(0).alias, "old");
  write("ink", {{"ss_output_name", "newer"}});
  EXPECT_EQ(catalog.list().at(0).alias, "newer");
  std::ofstream(path_ / "ink.safetensors") << "damaged";
  EXPECT_EQ(catalog.list().at(0).alias, "");
  EXPECT_EQ(catalog.list().at(0).bytes, 7);
  fs::remove(path_ / "ink.safetensors");
  EXPECT_TRUE(catalog.list().empty());
}

}  // namespace
}  // namespace easel
