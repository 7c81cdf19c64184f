// Against transformers: see make_transformers.py.
#include "models/text_encoders/qwen3_text_model.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.h"
#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

Qwen3TextModel make_qwen(const json& config_json, std::shared_ptr<const TensorStore> store, std::int64_t layers,
                         c10::ScalarType dtype = at::kFloat) {
  Config config(config_json, "text_encoder/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  Qwen3TextModel model(Qwen3TextConfig::from(config), layers, weights.root());
  weights.finish();
  return model;
}

TEST(Qwen3TextModel, StatesBetweenLayersAgreeWithTransformers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  const auto model = make_qwen(vectors.notes().at("config"), vectors.weights(), 3);
  const std::vector<std::int64_t> wanted{0, 1, 2, 3};
  const auto found = model(vectors.tensor("input_ids"), wanted, {});
  ASSERT_EQ(found.size(), wanted.size());
  for (const auto i : wanted) {
    const auto name = concat("hidden_state.", i);
    EXPECT_TRUE(
        all_near(found[static_cast<std::size_t>(i)], vectors.tensor(name), vectors.notes().at("tolerances").at(name)))
        << name;
  }
}

TEST(Qwen3TextModel, TokensDoNotSeeThoseAfterThem) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  const auto model = make_qwen(vectors.notes().at("config"), vectors.weights(), 3);
  const std::vector<std::int64_t> wanted{3};
  const auto ids = vectors.tensor("input_ids");
  const auto all = model(ids, wanted, {})[0], first = model(ids.narrow(1, 0, 4), wanted, {})[0];
  EXPECT_TRUE(all_near(first, all.narrow(1, 0, 4), vectors.notes().at("tolerances").at("hidden_state.3")));
}

TEST(Qwen3TextModel, ReadsTheNamesOfCausalModelsAndTheThetaOfOlderConfigs) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : vectors.weights()->names()) tensors["model." + name] = vectors.weights()->read(name);
  tensors["lm_head.weight"] = at::zeros({60, 24});
  auto config = vectors.notes().at("config");
  config["architectures"] = {"Qwen3ForCausalLM"};
  config["rope_theta"] = config.at("rope_parameters").at("rope_theta");
  config.erase("rope_parameters");
  const auto old = make_qwen(config, std::make_shared<MemoryStore>(tensors), 2);
  const auto now = make_qwen(vectors.notes().at("config"), vectors.weights(), 2);
  const std::vector<std::int64_t> wanted{2};
  const auto ids = vectors.tensor("input_ids");
  EXPECT_TRUE(old(ids, wanted, {})[0].equal(now(ids, wanted, {})[0]));
}

TEST(Qwen3TextModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  const auto expected = vectors.tensor("hidden_state.3");
  const std::vector<std::int64_t> wanted{3};
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.05}, std::pair{at::kHalf, 0.005}}) {
    const auto model = make_qwen(vectors.notes().at("config"), vectors.weights(), 3, dtype);
    const auto out = model(vectors.tensor("input_ids"), wanted, {})[0];
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(Qwen3TextModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  const std::pair<const char*, json> changes[] = {{"hidden_act", "gelu"},
                                                  {"attention_bias", true},
                                                  {"use_sliding_window", true},
                                                  {"rope_scaling", {{"type", "yarn"}}},
                                                  {"layer_types", {"sliding_attention"}},
                                                  {"num_key_value_heads", 5},
                                                  {"head_dim", 7},
                                                  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { Qwen3TextConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(Qwen3TextModel, CanBeCancelledBetweenLayers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "qwen3");
  const auto model = make_qwen(vectors.notes().at("config"), vectors.weights(), 3);
  const std::vector<std::int64_t> wanted{3};
  int polls = 0;
  const StopPredicate later = [&] { return ++polls == 3; };
  EXPECT_THROW(model(vectors.tensor("input_ids"), wanted, {.stop = &later}), Error);
}

}  // namespace
}  // namespace easel
