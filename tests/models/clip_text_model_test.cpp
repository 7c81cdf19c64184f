// Against transformers: see make_models.py.
#include "models/text_encoders/clip_text_model.h"

#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/text.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

CLIPTextModel make_clip(const json& config_json, std::shared_ptr<const TensorStore> store,
                        c10::ScalarType dtype = at::kFloat) {
  Config config(config_json, "text_encoder/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  CLIPTextModel clip(CLIPTextConfig::from(config), weights.root());
  weights.finish();
  return clip;
}

class CLIPParity : public ::testing::TestWithParam<const char*> {};

TEST_P(CLIPParity, EveryClipSkipAgreesWithTransformers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  const auto& tolerances = vectors.notes().at("tolerances");
  const auto clip = make_clip(vectors.notes().at("config"), vectors.weights());
  for (std::int64_t clip_skip = 0; clip_skip <= clip.config().num_hidden_layers; ++clip_skip) {
    const auto out = clip(vectors.tensor("input_ids"), clip_skip, {});
    const auto expect_near = [&](const at::Tensor& actual, const std::string& name) {
      EXPECT_TRUE(all_near(actual, vectors.tensor(name), tolerances.at(name))) << name;
    };
    expect_near(out.last_hidden_state, "last_hidden_state");
    expect_near(out.hidden_state, concat("hidden_state.", clip_skip));
    expect_near(out.prompt_embeds, concat("prompt_embeds.", clip_skip));
    if (clip.config().with_projection) {
      expect_near(out.text_embeds, "text_embeds");
    } else {
      expect_near(out.pooled_output, "pooled_output");
      EXPECT_FALSE(out.text_embeds.defined());
    }
  }
}

// The reference script has made sure that each of these fields changes the pooled output.
TEST_P(CLIPParity, EveryOverriddenFieldAgreesWithTransformers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, GetParam());
  for (const auto& override : vectors.notes().at("overrides")) {
    const auto key = override.at("key").get<std::string>();
    auto config = vectors.notes().at("config");
    config[key] = override.at("value");
    const auto out = make_clip(config, vectors.weights())(vectors.tensor("input_ids"), 0, {});
    EXPECT_TRUE(all_near(out.pooled_output, vectors.tensor("override." + key), override.at("tolerance"))) << key;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CLIPParity, ::testing::Values("clip", "clip_legacy_eos", "clip_projection"),
                         [](const auto& test) { return std::string(test.param); });

// Checkpoints of transformers 4 prefix every name, store position_ids, and may hold a projection that nothing reads.
TEST(CLIPTextModel, ReadsTheNamesOfOlderCheckpoints) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : vectors.weights()->names()) tensors["text_model." + name] = vectors.weights()->read(name);
  tensors["text_model.embeddings.position_ids"] = vectors.tensor("input_ids");
  tensors["text_projection.weight"] = vectors.tensor("last_hidden_state");
  const auto old = make_clip(vectors.notes().at("config"), std::make_shared<MemoryStore>(tensors));
  const auto now = make_clip(vectors.notes().at("config"), vectors.weights());
  const auto ids = vectors.tensor("input_ids");
  EXPECT_TRUE(old(ids, 0, {}).last_hidden_state.equal(now(ids, 0, {}).last_hidden_state));
}

TEST(CLIPTextModel, WithProjectionNeedsItsWeight) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  auto config = vectors.notes().at("config");
  config["architectures"] = {"CLIPTextModelWithProjection"};
  EXPECT_THROW(make_clip(config, vectors.weights()), Error);
}

TEST(CLIPTextModel, ShortPromptMatchesPrefixOfLongOne) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  const auto clip = make_clip(vectors.notes().at("config"), vectors.weights());
  const auto ids = vectors.tensor("input_ids");
  const auto all = clip(ids, 0, {}).last_hidden_state;
  const auto first = clip(ids.narrow(1, 0, 3), 0, {}).last_hidden_state;
  EXPECT_TRUE(all_near(first, all.narrow(1, 0, 3), vectors.notes().at("tolerances").at("last_hidden_state")));
}

TEST(CLIPTextModel, HalfPrecisionStaysNearFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  const auto expected = vectors.tensor("last_hidden_state");
  for (const auto& [dtype, relative] : {std::pair{at::kBFloat16, 0.05}, std::pair{at::kHalf, 0.005}}) {
    const auto clip = make_clip(vectors.notes().at("config"), vectors.weights(), dtype);
    const auto out = clip(vectors.tensor("input_ids"), 0, {}).last_hidden_state;
    EXPECT_EQ(out.scalar_type(), dtype);
    EXPECT_TRUE(all_near(out, expected, relative * expected.abs().max().item<double>())) << toString(dtype);
  }
}

TEST(CLIPTextModel, EmbeddingOverridesReplaceTokens) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  const auto clip = make_clip(vectors.notes().at("config"), vectors.weights());
  const auto ids = vectors.tensor("input_ids").clone();
  const auto table = vectors.weights()->read("embeddings.token_embedding.weight");
  const std::int64_t length = ids.size(1);
  ids[0][2] = 5;
  ids[1][1] = 9;
  const auto expected = clip(ids, 0, {}).last_hidden_state;
  ids[0][2] = clip.config().vocab_size + 1000;  // the id at a learned position does not matter
  ids[1][1] = 0;
  const std::vector<std::int64_t> positions = {length + 1, 2};
  const TokenEmbeddingOverrides learned{.positions = at::tensor(positions), .vectors = at::stack({table[9], table[5]})};
  EXPECT_TRUE(clip(ids, 0, {}, learned).last_hidden_state.equal(expected));
}

TEST(CLIPTextModel, RejectsLengthsAndClipSkipOutOfRange) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "clip");
  const auto clip = make_clip(vectors.notes().at("config"), vectors.weights());
  const auto ids = vectors.tensor("input_ids");
  for (const auto clip_skip : {-1, 4}) {
    try {
      clip(ids, clip_skip, {});
      FAIL() << "clip_skip " << clip_skip << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(error.param(), "clip_skip");
    }
  }
  EXPECT_THROW(clip(ids.repeat({1, 3}), 0, {}), Error);  // 24 tokens, 16 positions
  EXPECT_THROW(clip(ids.narrow(1, 0, 0), 0, {}), Error);
  const StopPredicate at_once = [] { return true; };
  EXPECT_THROW(clip(ids, 0, {.stop = &at_once}), Error);
}

}  // namespace
}  // namespace easel
