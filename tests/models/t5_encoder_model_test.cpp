// Against transformers: see make_flux_models.py.
#include "models/text_encoders/t5_encoder_model.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"
#include "support/reference_vectors.h"
#include "weights/loading/weights.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::all_near;
using testing::ReferenceVectors;

T5EncoderModel make_t5(const json& config_json, std::shared_ptr<const TensorStore> store,
                       c10::ScalarType dtype = at::kFloat) {
  Config config(config_json, "text_encoder_2/config.json");
  Weights weights(std::move(store), {.device = at::kCPU, .dtype = dtype});
  T5EncoderModel model(T5EncoderConfig::from(config), weights.root());
  weights.finish();
  return model;
}

T5EncoderModel make_t5(const ReferenceVectors& vectors, c10::ScalarType dtype = at::kFloat) {
  return make_t5(vectors.notes().at("config"), vectors.weights(), dtype);
}

std::map<std::string, at::Tensor> tensors_of(const ReferenceVectors& vectors) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& name : vectors.weights()->names()) tensors[name] = vectors.weights()->read(name);
  return tensors;
}

TEST(T5EncoderModel, StatesAgreeWithTransformers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  const auto state = make_t5(vectors)(vectors.tensor("input_ids"), {}, {});
  EXPECT_TRUE(all_near(state, vectors.tensor("state"), vectors.notes().at("tolerances").at("state")));
}

TEST(T5EncoderModel, MaskedTokensAreHiddenFromAllOthers) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  const auto mask = vectors.tensor("attention_mask").to(at::kBool);
  const auto state = make_t5(vectors)(vectors.tensor("input_ids"), mask, {});
  EXPECT_TRUE(all_near(state, vectors.tensor("masked"), vectors.notes().at("tolerances").at("masked")));
}

TEST(T5EncoderModel, EmbeddingMayHaveTheNameOfTheEncoder) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  auto tensors = tensors_of(vectors);
  const auto expected = make_t5(vectors)(vectors.tensor("input_ids"), {}, {});
  tensors["encoder.embed_tokens.weight"] = tensors.at("shared.weight");
  const auto with_both = make_t5(vectors.notes().at("config"), std::make_shared<MemoryStore>(tensors));
  EXPECT_TRUE(with_both(vectors.tensor("input_ids"), {}, {}).equal(expected));
  tensors.erase("shared.weight");
  const auto with_one = make_t5(vectors.notes().at("config"), std::make_shared<MemoryStore>(tensors));
  EXPECT_TRUE(with_one(vectors.tensor("input_ids"), {}, {}).equal(expected));
}

TEST(T5EncoderModel, HalfPrecisionStaysNearTheReferencesOwn) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  for (const auto& [dtype, name] : {std::pair{at::kBFloat16, "bfloat16"}, std::pair{at::kHalf, "float16"}}) {
    const auto expected = vectors.tensor(name);
    const auto out = make_t5(vectors, dtype)(vectors.tensor("input_ids"), {}, {});
    EXPECT_EQ(out.scalar_type(), dtype);
    // No further from it than it is from float32.
    EXPECT_TRUE(all_near(out, expected, testing::largest_difference(expected, vectors.tensor("state")))) << name;
  }
}

TEST(T5EncoderModel, StatesBeyondTheRangeOfFloat16AreComputedInFloat32) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  auto tensors = tensors_of(vectors);
  const std::string mlp = "encoder.block.0.layer.1.DenseReluDense.";
  for (const char* layer : {"wi_1", "wo"})
    tensors.at(mlp + layer + ".weight") = tensors.at(mlp + layer + ".weight") * 500;
  const auto store = std::make_shared<MemoryStore>(tensors);
  const auto wide = make_t5(vectors.notes().at("config"), store);
  const auto half = make_t5(vectors.notes().at("config"), store, at::kHalf);
  const auto expected = wide(vectors.tensor("input_ids"), {}, {}), out = half(vectors.tensor("input_ids"), {}, {});
  EXPECT_TRUE(at::isfinite(out).all().item<bool>());
  EXPECT_TRUE(all_near(out, expected, 0.01 * expected.abs().max().item<double>()));
}

TEST(T5EncoderModel, UnsupportedFieldsAreNamed) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  const std::pair<const char*, json> changes[] = {{"feed_forward_proj", "relu"},
                                                  {"feed_forward_proj", nullptr},
                                                  {"model_type", "umt5"},
                                                  {"relative_attention_num_buckets", 30},
                                                  {"relative_attention_max_distance", 8},
                                                  {"num_heads", 0},
                                                  {"unheard_of", 1}};
  for (const auto& [key, value] : changes) {
    auto fields = vectors.notes().at("config");
    fields[key] = value;
    Config config(fields, "config.json");
    EXPECT_THAT(message_of([&] { T5EncoderConfig::from(config); }), ::testing::HasSubstr(key));
  }
}

TEST(T5EncoderModel, CanBeCancelledBetweenBlocks) {
  const ReferenceVectors vectors(EASEL_REFERENCE_DIR, "t5");
  int polls = 0;
  const StopPredicate last = [&] { return ++polls == 3; };
  EXPECT_THROW(make_t5(vectors)(vectors.tensor("input_ids"), {}, {.stop = &last}), Error);
}

}  // namespace
}  // namespace easel
