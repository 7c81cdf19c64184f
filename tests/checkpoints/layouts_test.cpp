// Names of denoisers in single files against diffusers' own converters, tensor by tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoints/component_file.h"
#include "core/text.h"
#include "weights/stores/memory_store.h"
#include "weights/stores/safetensors.h"

namespace easel {
namespace {

struct LayoutCase {
  const char* file;
  const char* class_name;
};
constexpr LayoutCase kCases[] = {{"flux_dev", "FluxTransformer2DModel"}, {"flux_schnell", "FluxTransformer2DModel"},
                                 {"flux2", "Flux2Transformer2DModel"},   {"sd3", "SD3Transformer2DModel"},
                                 {"sd35", "SD3Transformer2DModel"},      {"z_image", "ZImageTransformer2DModel"}};

std::string reference_file(const std::string& name) {
  return concat(EASEL_REFERENCE_DIR, "/", name, ".safetensors");
}

/// Under the prefix that model sites put before the names of a denoiser.
std::shared_ptr<const TensorStore> with_prefix(const TensorStore& store, const std::string& prefix) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : store.names()) tensors[prefix + name] = store.read(name);
  return std::make_shared<MemoryStore>(tensors);
}

void expect_equal(const TensorStore& actual, const TensorStore& expected) {
  auto names = actual.names(), expected_names = expected.names();
  std::ranges::sort(names);
  std::ranges::sort(expected_names);
  ASSERT_EQ(names, expected_names);
  for (const auto& name : names) {
    EXPECT_TRUE(actual.read(name).equal(expected.read(name))) << name;
    EXPECT_TRUE(actual.read(name).sizes().equals(actual.find(name)->shape)) << name;
  }
}

TEST(Layouts, OriginalNamesAreConvertedAsDiffusersDoes) {
  for (const auto& [file, class_name] : kCases) {
    SCOPED_TRACE(file);
    const SafetensorsFile original(reference_file(file)), expected(reference_file(std::string(file) + ".diffusers"));
    for (const std::string prefix : {"", "model.diffusion_model."}) {
      const auto store = with_prefix(original, prefix);
      ASSERT_EQ(find_in_file(NameSet(*store), class_name), prefix);
      expect_equal(*ComponentFile(store, prefix, class_name, {}, {}).weights(), expected);
    }
  }
}

TEST(Layouts, EachFileIsOfOneClass) {
  for (const auto& [file, class_name] : kCases) {
    const NameSet names(SafetensorsFile{reference_file(file)});
    for (const auto& other : kCases) {
      EXPECT_EQ(find_in_file(names, other.class_name).has_value(), std::string(other.class_name) == class_name)
          << file << ' ' << other.class_name;
    }
  }
}

}  // namespace
}  // namespace easel
