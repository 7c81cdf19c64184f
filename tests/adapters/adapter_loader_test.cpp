// Adapter files that are damaged, incomplete, or made for another model.
#include "adapters/adapter_loader.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "easel/error.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

constexpr const char* kLinear = "lora_unet_mid_block_attentions_0_proj_in";
constexpr const char* kConvolution = "lora_unet_conv_in";

class AdapterLoaderTest : public ::testing::Test {
 protected:
  AdapterLoaderTest() {
    std::string pattern = (fs::temp_directory_path() / "easel-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    unet_->component = Component::kUnet;
    unet_->add("mid_block.attentions.0.proj_in", {6, 8});
    unet_->add("conv_in", {6, 8, 3, 3});
  }
  ~AdapterLoaderTest() override { fs::remove_all(folder_); }

  std::string path() const { return (folder_ / "a.safetensors").string(); }
  std::shared_ptr<const BoundAdapter> load() const { return load_adapter(path(), "0", LayerNames({unet_}), {}); }
  std::shared_ptr<const BoundAdapter> load(const Tensors& tensors, const SafetensorsMetadata& metadata = {}) const {
    write_safetensors(path(), tensors, metadata);
    return load();
  }
  double scale(const Tensors& tensors, const SafetensorsMetadata& metadata = {}) const {
    return load(tensors, metadata)->layers.at(0).adapter->scale;
  }
  void expect_rejected(const Tensors& tensors, ErrorCode code, const std::string& says,
                       const SafetensorsMetadata& metadata = {}) const {
    try {
      load(tensors, metadata);
      ADD_FAILURE() << "was accepted, expected: " << says;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_THAT(e.what(), HasSubstr("a.safetensors"));
      EXPECT_THAT(e.what(), HasSubstr(says));
    }
  }

  fs::path folder_;
  std::shared_ptr<LayerTable> unet_ = std::make_shared<LayerTable>();
};

Tensors low_rank(const std::string& layer = kLinear, at::IntArrayRef down = {2, 8}, at::IntArrayRef up = {6, 2}) {
  return {{layer + ".lora_down.weight", at::ones(down)}, {layer + ".lora_up.weight", at::ones(up)}};
}

Tensors with(Tensors tensors, const std::string& key, const at::Tensor& tensor) {
  tensors[key] = tensor;
  return tensors;
}

TEST_F(AdapterLoaderTest, ScaleIsAlphaOverRank) {
  const std::string alpha = std::string(kLinear) + ".alpha";
  EXPECT_EQ(scale(low_rank()), 1.0);
  EXPECT_EQ(scale(with(low_rank(), alpha, at::full({}, 3.0))), 1.5);
  EXPECT_EQ(scale(with(low_rank(), alpha, at::full({1}, 3, at::kLong))), 1.5);
  EXPECT_EQ(scale(with(low_rank(), alpha, at::full({}, 0.0))), 1.0) << "as trainers write that it is the rank";
}

TEST_F(AdapterLoaderTest, ScaleComesFromDiffusersMetadata) {
  const auto scale_with_metadata = [&](const std::string& settings) {
    return scale(low_rank(), {{"lora_adapter_metadata", settings}});
  };
  EXPECT_EQ(scale_with_metadata(R"({"unet.lora_alpha": 4, "unet.r": 2})"), 2.0);
  EXPECT_EQ(scale_with_metadata(R"({"text_encoder.lora_alpha": 4})"), 1.0);
  EXPECT_EQ(scale_with_metadata(R"({"unet.lora_alpha": 4, "unet.alpha_pattern": {"attentions.0.proj_in": 6}})"), 3.0);
  EXPECT_EQ(
      scale_with_metadata(R"({"unet.lora_alpha": 4, "unet.alpha_pattern": {"^mid_block.attentions.0.proj_in": 6}})"),
      3.0);
  EXPECT_EQ(scale_with_metadata(R"({"unet.lora_alpha": 4, "unet.alpha_pattern": {"^proj_in": 6, "j_in": 8}})"), 2.0);
  EXPECT_DOUBLE_EQ(scale_with_metadata(R"({"unet.lora_alpha": 4, "unet.use_rslora": true})"), 4 / std::sqrt(2.0));
  for (const char* bad : {"[]", "{", R"({"unet.lora_alpha": "4"})", R"({"unet.alpha_pattern": 1})",
                          R"({"unet.alpha_pattern": {"x": null}})", R"({"unet.use_rslora": 1})"}) {
    expect_rejected(low_rank(), ErrorCode::kCorruptData, "", {{"lora_adapter_metadata", bad}});
  }
  expect_rejected(low_rank(), ErrorCode::kUnsupported, "`.*proj_in`",
                  {{"lora_adapter_metadata", R"({"unet.alpha_pattern": {".*proj_in": 1}})"}});
}

// Older versions of transformers gave the text encoder's layers other names than the adapted model has.
TEST_F(AdapterLoaderTest, PatternsMayNameTheInnerTextModel) {
  for (const char* own : {"encoder.layers.0.mlp.fc1", "text_model.encoder.layers.0.mlp.fc1"}) {
    const auto encoder = std::make_shared<LayerTable>();
    encoder->component = Component::kTextEncoder;
    encoder->add(own, {6, 8});
    for (const char* pattern : {"^text_model.encoder.layers.0.mlp.fc1", "^encoder.layers.0.mlp.fc1", "mlp.fc1"}) {
      const auto settings =
          R"({"text_encoder.lora_alpha": 4, "text_encoder.alpha_pattern": {")" + std::string(pattern) + R"(": 6}})";
      write_safetensors(path(), low_rank("lora_te_text_model_encoder_layers_0_mlp_fc1"),
                        {{"lora_adapter_metadata", settings}});
      const auto bound = load_adapter(path(), "0", LayerNames({encoder}), {});
      EXPECT_EQ(bound->layers.at(0).adapter->scale, 3.0) << own << ", " << pattern;
    }
  }
}

TEST_F(AdapterLoaderTest, TrailingOnesOfAShapeAreIgnored) {
  const auto bound = load(low_rank(kLinear, {2, 8, 1, 1}, {6, 2, 1, 1}));
  EXPECT_EQ(std::get<LowRank>(bound->layers.at(0).adapter->change).down.sizes(), at::IntArrayRef({2, 8}));
  EXPECT_EQ(bound->bytes, 4u * (16 + 12));
}

TEST_F(AdapterLoaderTest, NamesWithPeftsWrappingAreUnderstood) {
  const std::string layer = "mid_block.attentions.0.proj_in";
  for (const auto& wrapped :
       {"base_model.model." + layer, "base_model.model.unet." + layer, "unet.base_model.model." + layer, layer}) {
    for (const std::string infix : {"", ".default", ".weight_2"}) {
      const Tensors tensors = {{wrapped + ".lora_A" + infix + ".weight", at::ones({2, 8})},
                               {wrapped + ".lora_B" + infix + ".weight", at::ones({6, 2})},
                               {wrapped + ".lora_magnitude_vector" + infix + ".weight", at::ones({6})}};
      EXPECT_EQ(load(tensors)->layers.at(0).slot->name, layer) << wrapped << infix;
    }
  }
  EXPECT_EQ(load({{layer + ".lora_A.weight", at::ones({2, 8})},
                  {layer + ".lora_B.weight", at::ones({6, 2})},
                  {layer + ".lora_magnitude_vector.default", at::ones({6})}})
                ->layers.size(),
            1u);
  expect_rejected({{"base_model.model.conv_out.lora_A.default.weight", at::ones({2, 8})}}, ErrorCode::kInvalidArgument,
                  "`base_model.model.conv_out.lora_A.default.weight` does not belong to any layer");
}

TEST_F(AdapterLoaderTest, WhatOneTrainerAddsIsUnderstood) {
  auto tensors = with(low_rank(), "global_step", at::ones({1}, at::kLong));
  tensors["bundle_emb.word.clip_l"] = at::full({2, 8}, 3, at::kHalf);
  tensors["bundle_emb.word.clip_g"] = at::ones({2, 12});
  tensors["bundle_emb.o.ne.string_to_param.*"] = at::ones({8});
  const auto bound = load(tensors);
  EXPECT_EQ(bound->layers.size(), 1u);
  ASSERT_EQ(bound->words.size(), 2u);
  EXPECT_EQ(bound->words[0]->word, "o.ne");
  EXPECT_EQ(bound->words[0]->vectors.begin()->second.sizes(), at::IntArrayRef({1, 8}));
  EXPECT_EQ(bound->words[1]->word, "word");
  EXPECT_EQ(bound->words[1]->vectors.at("clip_l").sum().item<double>(), 48);
  EXPECT_EQ(bound->words[1]->vectors.at("clip_g").size(1), 12);
  EXPECT_EQ(bound->words[1]->file, "a.safetensors");
  AdapterSet set;
  set.add(*bound, {.unet = 0, .text_encoders = 0});
  EXPECT_TRUE(set.words().empty()) << "an adapter of weight 0 is left out";
  set.add(*bound, {});
  EXPECT_EQ(set.words(), bound->words);
  for (const char* key : {"bundle_emb.word.t5", "bundle_emb.word", "bundle_emb..clip_l"}) {
    expect_rejected(with(low_rank(), key, at::ones({2, 8})), ErrorCode::kUnsupported, key);
  }
  expect_rejected({{"bundle_emb.word.clip_l", at::ones({2, 8})}}, ErrorCode::kCorruptData,
                  "holds embeddings of words, but no tensors of an adapter");
  expect_rejected({{"global_step", at::ones({1})}}, ErrorCode::kCorruptData, "holds no tensors of an adapter");
  expect_rejected(with(low_rank(), "bundle_emb.word.clip_l", at::full({2, 8}, NAN)), ErrorCode::kCorruptData,
                  "`bundle_emb.word.clip_l` holds numbers that are not finite");
}

TEST_F(AdapterLoaderTest, EightBitFloatsAreReadAsTheirValues) {
  for (const auto type : {at::ScalarType::Float8_e4m3fn, at::ScalarType::Float8_e5m2}) {
    auto tensors = low_rank();
    for (auto& [name, tensor] : tensors) tensor = (tensor * 1.5).to(type);
    tensors[std::string(kLinear) + ".alpha"] = at::full({}, 3.0).to(type);
    const auto adapter = load(tensors)->layers.at(0).adapter;
    EXPECT_EQ(adapter->scale, 1.5);
    EXPECT_EQ(std::get<LowRank>(adapter->change).down[1][7].item<float>(), 1.5F);
    tensors[std::string(kLinear) + ".lora_up.weight"] = at::full({6, 2}, NAN).to(type);
    expect_rejected(tensors, ErrorCode::kCorruptData, "lora_up.weight` holds numbers that are not finite");
  }
}

TEST_F(AdapterLoaderTest, MismatchedTensorsAreNamed) {
  const std::string linear = kLinear;
  expect_rejected(low_rank(kLinear, {2, 9}), ErrorCode::kInvalidArgument,
                  "`" + linear + ".lora_down.weight` is [2, 9], expected [2, 8] for mid_block.attentions.0.proj_in");
  expect_rejected(low_rank(kLinear, {2, 8}, {6, 3}), ErrorCode::kInvalidArgument, "lora_up.weight` is [6, 3]");
  expect_rejected(low_rank(kConvolution, {2, 8, 1, 1}, {6, 2, 1, 1}), ErrorCode::kInvalidArgument,
                  "expected [2, 8, 3, 3]");
  expect_rejected(low_rank(kLinear, {0, 8}, {6, 0}), ErrorCode::kInvalidArgument, "lora_down.weight` is [0, 8]");
  expect_rejected(with(low_rank(), linear + ".lora_down.weight", at::ones({})), ErrorCode::kInvalidArgument, "is []");
  expect_rejected(with(low_rank(), linear + ".lora_up.weight", at::ones({6, 2}, at::kInt)), ErrorCode::kCorruptData,
                  "lora_up.weight` does not have a floating-point dtype");
  expect_rejected(with(low_rank(), linear + ".alpha", at::ones({2})), ErrorCode::kInvalidArgument, "alpha` is [2]");
  expect_rejected(with(low_rank(), linear + ".alpha", at::full({}, NAN)), ErrorCode::kCorruptData,
                  "alpha` is not finite");
  expect_rejected(with(low_rank(), linear + ".lora_up.weight", at::full({6, 2}, INFINITY)), ErrorCode::kCorruptData,
                  "lora_up.weight` holds numbers that are not finite");
  expect_rejected(with(low_rank(), linear + ".dora_scale", at::ones({5, 1})), ErrorCode::kInvalidArgument,
                  "dora_scale` is [5, 1]");
  expect_rejected(with(low_rank(), linear + ".lora_mid.weight", at::ones({2, 2, 3, 3})), ErrorCode::kCorruptData,
                  "lora_mid.weight` is for convolutions only");
  expect_rejected({{linear + ".lokr_w1", at::ones({4, 2})}, {linear + ".lokr_w2", at::ones({2, 4})}},
                  ErrorCode::kCorruptData, "makes a factor of 4 x 2");
  expect_rejected({{linear + ".lokr_w1", at::ones({2, 2})}, {linear + ".lokr_w2", at::ones({3, 5})}},
                  ErrorCode::kInvalidArgument, "lokr_w2` is [3, 5], expected [3, 4]");
}

TEST_F(AdapterLoaderTest, MissingOrExtraTensorsAreNamed) {
  const std::string linear = kLinear;
  for (const char* part :
       {".lora_down.weight", ".lora_up.weight", ".alpha", ".dora_scale", ".hada_w1_a", ".lokr_w1_b"}) {
    expect_rejected({{linear + part, at::ones({1, 8})}}, ErrorCode::kCorruptData, linear + part);
  }
  expect_rejected(with(low_rank(), linear + ".hada_t1", at::ones({2, 2, 3, 3})), ErrorCode::kCorruptData,
                  "hada_t1` does not fit");
  expect_rejected(with(low_rank(), linear + ".lora.down.weight", at::ones({2, 8})), ErrorCode::kCorruptData,
                  "are the same part");
  auto twice = low_rank();
  twice.merge(low_rank("lora_unet_middle_block_1_proj_in"));
  expect_rejected(twice, ErrorCode::kCorruptData, "and another tensor are both for");
  expect_rejected({}, ErrorCode::kCorruptData, "holds no tensors");
}

TEST_F(AdapterLoaderTest, UnsupportedKindsAndOtherModelsAreRejected) {
  const std::string linear = kLinear;
  expect_rejected(with(low_rank(), linear + ".oft_blocks", at::ones({1})), ErrorCode::kUnsupported, ".oft_blocks`");
  expect_rejected(with(low_rank(), "unet.mid_block.attentions.0.proj_in.lora_magnitude_vector", at::ones({6})),
                  ErrorCode::kCorruptData, "lora_magnitude_vector");
  expect_rejected(
      low_rank("lora_te_text_model_encoder_layers_0_mlp_fc1"), ErrorCode::kInvalidArgument,
      "`lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight` does not belong to any layer of this model");
}

// The error for a file of another model says which model the file was made for.
TEST_F(AdapterLoaderTest, ErrorNamesTheModelTheFileWasTrainedFor) {
  const auto rejected = [&](const Tensors& tensors, const std::string& says, const SafetensorsMetadata& metadata = {}) {
    expect_rejected(tensors, ErrorCode::kInvalidArgument, says, metadata);
  };
  unet_->add("mid_block.attentions.0.transformer_blocks.0.attn2.to_k", {6, 32});
  const std::string kohya = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k";
  const std::string peft = "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
  rejected(low_rank(kohya, {2, 768}), "[6, 32]; the file is for SD 1.x");
  rejected(low_rank(peft, {2, 2048}), "; the file is for SDXL");
  rejected(low_rank(peft, {2, 2048}), "; the file is for `sd_v2`", {{"ss_base_model_version", "sd_v2"}});
  rejected(low_rank("lora_unet_double_blocks_0_img_attn_proj"), "of this model; the file is for `flux-1-dev/lora`",
           {{"modelspec.architecture", "flux-1-dev/lora"}});
}

TEST_F(AdapterLoaderTest, BiasMayChangeWithOrWithoutTheWeight) {
  const std::string difference = "lora_unet_conv_in.diff", bias = "lora_unet_conv_in.diff_b";
  const auto weight = at::ones({6, 8, 3, 3}), of_bias = at::full({6}, 2.0);
  const auto load_one = [&](const Tensors& tensors) { return load(tensors)->layers.at(0).adapter; };
  const auto both = load_one({{difference, weight}, {bias, of_bias}}), alone = load_one({{bias, of_bias}});
  EXPECT_EQ(std::get<Difference>(both->change).weight.sizes(), weight.sizes());
  EXPECT_FALSE(std::get<Difference>(alone->change).weight.defined());
  const auto beside = load_one(with(low_rank(), std::string(kLinear) + ".diff_b", of_bias));
  for (const auto& adapter : {both, alone, beside}) {
    EXPECT_EQ(adapter->bias.sum().item<double>(), 12);
  }
  expect_rejected({{difference, at::ones({6, 8, 1, 1})}}, ErrorCode::kInvalidArgument, "`" + difference + "` is [6, 8");
  expect_rejected({{bias, at::ones({7})}}, ErrorCode::kInvalidArgument, "`" + bias + "` is [7]");
  expect_rejected({{difference, weight}, {"lora_unet_conv_in.dora_scale", at::ones({6, 1, 1, 1})}},
                  ErrorCode::kCorruptData, "dora_scale` does not fit");
}

TEST_F(AdapterLoaderTest, NormsTakeLycorisTensorsAndDifferences) {
  unet_->add("mid_block.resnets.0.norm1", {8});
  for (const std::string name : {"lora_unet_mid_block_resnets_0_norm1", "lora_unet_middle_block_0_in_layers_0"}) {
    for (const auto& [weight, bias] : {std::pair{".w_norm", ".b_norm"}, {".diff", ".diff_b"}}) {
      const auto both = load({{name + weight, at::full({8}, 2.0)}, {name + bias, at::full({8}, 3.0)}});
      ASSERT_EQ(both->layers.size(), 1u);
      EXPECT_EQ(both->layers[0].slot->name, "mid_block.resnets.0.norm1");
      EXPECT_EQ(std::get<Difference>(both->layers[0].adapter->change).weight.sum().item<double>(), 16);
      EXPECT_EQ(both->layers[0].adapter->bias.sum().item<double>(), 24);
      EXPECT_FALSE(load({{name + weight, at::ones({8})}})->layers[0].adapter->bias.defined());
      EXPECT_FALSE(
          std::get<Difference>(load({{name + bias, at::ones({8})}})->layers[0].adapter->change).weight.defined());
      expect_rejected({{name + weight, at::ones({7})}}, ErrorCode::kInvalidArgument, "expected [8]");
    }
    expect_rejected(low_rank(name), ErrorCode::kCorruptData, "does not fit the layer's other tensors");
    expect_rejected({{name + ".w_norm", at::ones({8})}, {name + ".diff", at::ones({8})}}, ErrorCode::kCorruptData,
                    "does not fit");
  }
  expect_rejected(with(low_rank(), std::string(kLinear) + ".w_norm", at::ones({6})), ErrorCode::kCorruptData,
                  "w_norm` does not fit");
  expect_rejected({{std::string(kLinear) + ".w_norm", at::ones({6})}}, ErrorCode::kCorruptData, "has no counterpart");
  expect_rejected({{"conv_norm_out.w_norm", at::ones({8})}}, ErrorCode::kInvalidArgument,
                  "`conv_norm_out.w_norm` does not belong to any layer of this model");
}

/// The layers of a FLUX.1 that the tests below use.
LayerNames flux_names() {
  auto transformer = std::make_shared<LayerTable>();
  transformer->component = Component::kTransformer;
  transformer->add("norm_out.linear", {4, 8});
  transformer->add("time_text_embed.text_embedder.linear_1", {8, 8});
  for (const char* layer : {"attn.to_q", "attn.to_k", "attn.to_v"}) {
    transformer->add(std::string("single_transformer_blocks.0.") + layer, {2, 8});
  }
  transformer->add("single_transformer_blocks.0.proj_mlp", {8, 8});
  return LayerNames({transformer});
}

TEST_F(AdapterLoaderTest, RowsOfFluxsLastNormAreExchanged) {
  const auto up = at::arange(8, at::kFloat).view({4, 2});
  write_safetensors(path(), {{"lora_unet_final_layer_adaLN_modulation_1.lora_down.weight", at::ones({2, 8})},
                             {"lora_unet_final_layer_adaLN_modulation_1.lora_up.weight", up}});
  const auto bound = load_adapter(path(), "0", flux_names(), {});
  const auto& change = std::get<LowRank>(bound->layers.at(0).adapter->change);
  EXPECT_TRUE(change.up.equal(at::cat({up.narrow(0, 2, 2), up.narrow(0, 0, 2)})));
  write_safetensors(path(), {{"transformer.norm_out.linear.lora_A.weight", at::ones({2, 8})},
                             {"transformer.norm_out.linear.lora_B.weight", up}});
  const auto own = load_adapter(path(), "0", flux_names(), {});
  EXPECT_TRUE(std::get<LowRank>(own->layers.at(0).adapter->change).up.equal(up));
}

TEST_F(AdapterLoaderTest, FluxsFirstLayerOfASingleBlockIsFourLayers) {
  const auto up = at::arange(28, at::kFloat).view({14, 2});
  for (const char* name : {"lora_unet_single_blocks_0_linear1", "diffusion_model.single_blocks.0.linear1"}) {
    write_safetensors(path(), {{std::string(name) + ".lora_down.weight", at::ones({2, 8})},
                               {std::string(name) + ".lora_up.weight", up}});
    const auto bound = load_adapter(path(), "0", flux_names(), {});
    ASSERT_EQ(bound->layers.size(), 4u) << name;
    EXPECT_EQ(bound->layers[3].slot->name, "single_transformer_blocks.0.proj_mlp");
    EXPECT_TRUE(std::get<LowRank>(bound->layers[3].adapter->change).up.equal(up.narrow(0, 6, 8)));
  }
}

TEST_F(AdapterLoaderTest, LayersOfT5AreLeftOut) {
  const auto pair = [](const std::string& name) {
    return Tensors{{name + ".lora_down.weight", at::ones({2, 8})}, {name + ".lora_up.weight", at::ones({2, 2})}};
  };
  auto tensors = pair("lora_te2_encoder_block_0_layer_0_SelfAttention_q");
  write_safetensors(path(), tensors);
  EXPECT_THROW(load_adapter(path(), "0", flux_names(), {}), Error) << "nothing is left";
  tensors.merge(pair("diffusion_model.single_blocks.0.linear1.to_q"));
  write_safetensors(path(), tensors);
  EXPECT_EQ(load_adapter(path(), "0", flux_names(), {})->layers.size(), 1u);
}

TEST_F(AdapterLoaderTest, DamagedFilesAreErrors) {
  write_safetensors(path(), low_rank());
  std::ifstream in(path(), std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  for (std::size_t length = 0; length < whole.size(); length += 7) {
    std::ofstream(path(), std::ios::binary) << whole.substr(0, length);
    EXPECT_THROW(load(), Error) << length;
  }
}

}  // namespace
}  // namespace easel
