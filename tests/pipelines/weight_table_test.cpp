// docs/measurements/weights.md: what the published models need in each form of their weights, computed from their
// configs. Run weight_table_test with EASEL_UPDATE_DOCS=1 to write the page anew.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"
#include "tensor/component_offloader.h"

namespace easel {
namespace {

constexpr double kGiB = 1 << 30;
constexpr int kCards[] = {24, 16, 12, 8};  // GiB
constexpr double kReserve = 1.0;           // GiB of a card for the driver and for workspaces of libraries

/// How a model's weights are kept.
struct Form {
  const char* name;
  CheckpointOptions how;
};

std::vector<Form> forms() {
  return {{"bfloat16", {}},
          {"fp8", {.quantization = WeightQuantization::kFloat8}},
          {"Q8_0", {.quantization = WeightQuantization::kQ8_0}},
          {"Q4_K", {.variant = "q4_k"}},
          {"Q4_K, text encoders Q8_0", {.variant = "q4_k", .quantization = WeightQuantization::kQ8_0}}};
}

enum class Offload { kNone, kComponents, kBlocks };

ModelDescription describe(const std::string& family, const CheckpointOptions& how, Offload offload) {
  PipelineOptions options;
  options.placement = {.device = at::kCUDA, .dtype = at::kBFloat16};
  if (offload != Offload::kNone) {
    options.placement.offloader = std::make_shared<ComponentOffloader>(
        [](const at::Tensor& host) { return host; }, [=](std::int64_t) { return offload == Offload::kBlocks; });
  }
  return open_model("m", testing::reference(family), options, how).description;
}

std::string gib(std::int64_t bytes) {
  std::ostringstream text;
  text.precision(1);
  text << std::fixed << static_cast<double>(bytes) / kGiB;
  return text.str();
}

std::int64_t weights_of(const ModelDescription& d, const std::string& prefix) {
  std::int64_t bytes = 0;
  for (const auto& component : d.components) {
    if (!component.name.starts_with(prefix)) continue;
    for (const auto& [form, count] : component.memory_bytes) bytes += count;
  }
  return bytes;
}

/// What a card of this size needs.
std::string on_card(int card, std::int64_t whole, std::int64_t components, std::int64_t blocks) {
  const auto fits = [&](std::int64_t bytes) { return static_cast<double>(bytes) / kGiB <= card - kReserve; };
  if (fits(whole)) return "whole";
  if (fits(components)) return "components";
  return fits(blocks) ? "blocks" : "no";
}

std::string table() {
  std::ifstream list(testing::reference("families.json"));
  std::ostringstream text;
  text << "| model | weights | denoiser | text encoders | autoencoder | whole | components | blocks |";
  for (const int card : kCards) text << ' ' << card << " GiB |";
  text << "\n|---|---|---|---|---|---|---|---|" << "---|---|---|---|\n";
  for (const std::string family : nlohmann::json::parse(list)) {
    for (const auto& [name, how] : forms()) {
      const auto d = describe(family, how, Offload::kNone);
      const auto whole = d.memory_bytes, components = describe(family, how, Offload::kComponents).memory_bytes,
                 blocks = describe(family, how, Offload::kBlocks).memory_bytes;
      text << "| " << family << " | " << name << " | " << gib(weights_of(d, "transformer")) << " | "
           << gib(weights_of(d, "text_encoder")) << " | " << gib(weights_of(d, "vae")) << " | " << gib(whole) << " | "
           << gib(components) << " | " << gib(blocks) << " |";
      for (const int card : kCards) text << ' ' << on_card(card, whole, components, blocks) << " |";
      text << '\n';
    }
  }
  return text.str();
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(WeightTable, PageHasWhatTheConfigsGive) {
  const std::string page = std::string(EASEL_DOCS_DIR) + "/measurements/weights.md", begin = "<!-- table -->\n";
  const auto written = read(page);
  const auto at = written.find(begin);
  ASSERT_NE(at, std::string::npos);
  const auto made = written.substr(0, at + begin.size()) + table();
  if (std::getenv("EASEL_UPDATE_DOCS") != nullptr) std::ofstream(page) << made;
  EXPECT_EQ(read(page), made) << "run weight_table_test with EASEL_UPDATE_DOCS=1 to write it anew";
}

TEST(WeightTable, SmallerFormsNeedLess) {
  const auto bytes = [](const Form& form, Offload offload) {
    return describe("z-image-turbo", form.how, offload).memory_bytes;
  };
  const auto all = forms();
  for (const auto offload : {Offload::kNone, Offload::kComponents}) {
    EXPECT_LT(bytes(all[1], offload), bytes(all[0], offload));
    EXPECT_LT(bytes(all[4], offload), bytes(all[2], offload));
  }
  for (const auto& form : all) {
    EXPECT_LT(bytes(form, Offload::kComponents), bytes(form, Offload::kNone)) << form.name;
    EXPECT_LE(bytes(form, Offload::kBlocks), bytes(form, Offload::kComponents)) << form.name;
  }
}

}  // namespace
}  // namespace easel
