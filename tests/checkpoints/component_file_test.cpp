// Components in files of their own: names, configs, roles, and what is refused. Whole models are compared in
// tests/pipelines/quantized_test.cpp.
#include "checkpoints/component_file.h"

#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/assembled.h"
#include "checkpoints/layouts/component_layout.h"
#include "checkpoints/layouts/denoiser_file.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "weights/convert/gguf_writer.h"
#include "weights/stores/memory_store.h"

namespace easel {
namespace {

using ::testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

ComponentFile component_of(const Tensors& tensors, const std::string& class_name, const std::string& prefix = "") {
  return {std::make_shared<MemoryStore>(tensors, "f"), prefix, class_name, {}, {}};
}

/// A block of Z-Image with one head of 128 channels, in its own names.
Tensors z_image(const std::string& prefix = "") {
  Tensors tensors;
  const auto add = [&](const std::string& name, at::IntArrayRef shape) { tensors[prefix + name] = at::randn(shape); };
  for (const std::string block : {"layers.0.", "layers.1.", "noise_refiner.0.", "context_refiner.0."}) {
    add(block + "attention.qkv.weight", {384, 128});
    add(block + "attention.out.weight", {128, 128});
    add(block + "attention.q_norm.weight", {128});
    add(block + "attention.k_norm.weight", {128});
    add(block + "adaLN_modulation.0.weight", {512, 128});
  }
  add("x_embedder.weight", {128, 64});
  add("final_layer.linear.weight", {64, 128});
  add("cap_embedder.1.weight", {128, 2560});
  add("norm_final.weight", {128});
  return tensors;
}

TEST(ComponentFile, ZImagesOwnNamesBecomeThoseOfTheModel) {
  for (const std::string prefix : {"", "model.diffusion_model."}) {
    const auto tensors = z_image(prefix);
    EXPECT_EQ(find_in_file(NameSet(MemoryStore(tensors)), "ZImageTransformer2DModel"), prefix);
    const auto file = component_of(tensors, "ZImageTransformer2DModel", prefix);
    const auto store = file.weights();
    const auto& fused = tensors.at(prefix + "layers.1.attention.qkv.weight");
    EXPECT_TRUE(store->read("layers.1.attention.to_q.weight").equal(fused.narrow(0, 0, 128)));
    EXPECT_TRUE(store->read("layers.1.attention.to_k.weight").equal(fused.narrow(0, 128, 128)));
    EXPECT_TRUE(store->read("layers.1.attention.to_v.weight").equal(fused.narrow(0, 256, 128)));
    for (const char* name :
         {"layers.0.attention.to_out.0.weight", "layers.0.attention.norm_q.weight", "layers.0.attention.norm_k.weight",
          "all_x_embedder.2-1.weight", "all_final_layer.2-1.linear.weight", "layers.0.adaLN_modulation.0.weight"}) {
      EXPECT_NE(store->find(name), nullptr) << name;
    }
    EXPECT_EQ(store->find("norm_final.weight"), nullptr);
    const auto config = file.config();
    EXPECT_EQ(config.at("dim"), 128);
    EXPECT_EQ(config.at("n_heads"), 1);
    EXPECT_EQ(config.at("n_layers"), 2);
    EXPECT_EQ(config.at("n_refiner_layers"), 1);
    EXPECT_EQ(config.at("in_channels"), 16);
    EXPECT_EQ(config.at("cap_feat_dim"), 2560);
  }
}

TEST(ComponentFile, FilesOfOtherClassesAreRefused) {
  EXPECT_THAT(message_of([] { component_of(z_image(), "Qwen3Model"); }),
              HasSubstr("f does not hold a Qwen3Model, as its tensors' names show"));
  EXPECT_FALSE(find_in_file(NameSet(MemoryStore(z_image())), "T5EncoderModel"));
}

TEST(ComponentFile, TwoNamesOfOneTensorAreAnError) {
  auto tensors = z_image();
  tensors["all_x_embedder.2-1.weight"] = at::zeros({128, 64});
  EXPECT_THAT(message_of([&] { component_of(tensors, "ZImageTransformer2DModel").weights(); }),
              HasSubstr("are the same tensor under two names"));
}

TEST(ComponentFile, HeadsThatDoNotFollowFromShapesNeedConfigs) {
  auto tensors = z_image();
  tensors["layers.0.attention.q_norm.weight"] = at::zeros({64});
  EXPECT_THAT(message_of([&] { component_of(tensors, "ZImageTransformer2DModel").config(); }),
              HasSubstr("name a folder with its configs as `configs`"));
}

TEST(ComponentFile, TextEncodersHaveTheNamesOfTransformersOrLlama) {
  const Tensors qwen{{"token_embd.weight", at::randn({50, 24})},
                     {"blk.0.attn_q.weight", at::randn({48, 24})},
                     {"blk.0.attn_k.weight", at::randn({16, 24})},
                     {"blk.0.attn_q_norm.weight", at::randn({8})},
                     {"blk.0.attn_output.weight", at::randn({24, 48})},
                     {"blk.0.ffn_gate.weight", at::randn({40, 24})},
                     {"blk.0.attn_norm.weight", at::randn({24})},
                     {"blk.0.ffn_norm.weight", at::randn({24})},
                     {"output_norm.weight", at::randn({24})}};
  const auto file = component_of(qwen, "Qwen3ForCausalLM");
  for (const char* name :
       {"embed_tokens.weight", "layers.0.self_attn.q_proj.weight", "layers.0.self_attn.o_proj.weight",
        "layers.0.input_layernorm.weight", "layers.0.post_attention_layernorm.weight", "layers.0.mlp.gate_proj.weight",
        "norm.weight"}) {
    EXPECT_NE(file.weights()->find(name), nullptr) << name;
  }
  const auto config = file.config();
  EXPECT_EQ(config.at("num_attention_heads"), 6);
  EXPECT_EQ(config.at("num_key_value_heads"), 2);
  EXPECT_EQ(config.at("num_hidden_layers"), 1);
  EXPECT_EQ(config.at("vocab_size"), 50);
  EXPECT_EQ(config.at("intermediate_size"), 40);

  const Tensors t5{
      {"token_embd.weight", at::randn({60, 32})},         {"enc.blk.0.attn_rel_b.weight", at::randn({32, 4})},
      {"enc.blk.0.attn_q.weight", at::randn({64, 32})},   {"enc.blk.1.ffn_gate.weight", at::randn({80, 32})},
      {"enc.blk.0.ffn_gate.weight", at::randn({80, 32})}, {"enc.output_norm.weight", at::randn({32})}};
  const auto t5_file = component_of(t5, "T5EncoderModel");
  for (const char* name : {"shared.weight", "encoder.block.0.layer.0.SelfAttention.q.weight",
                           "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                           "encoder.block.1.layer.1.DenseReluDense.wi_0.weight", "encoder.final_layer_norm.weight"}) {
    EXPECT_NE(t5_file.weights()->find(name), nullptr) << name;
  }
  EXPECT_EQ(t5_file.config().at("d_kv"), 16);
  EXPECT_EQ(t5_file.config().at("num_layers"), 2);
  EXPECT_EQ(t5_file.config().at("d_ff"), 80);
}

TEST(ComponentFile, BlocksOfFusedLayersAreCutByRows) {
  TemporaryFolder folder;
  const MemoryStore plain(z_image());
  const auto quantized = quantizing(std::make_shared<MemoryStore>(z_image()), WeightQuantization::kQ8_0);
  write_gguf(folder.path("m.gguf"), *quantized, {});
  const auto file = open_tensor_file(folder.path("m.gguf"));
  const auto store = ComponentFile(file, "", "ZImageTransformer2DModel", {}, {}).weights();
  const auto whole = file->read("layers.0.attention.qkv.weight");
  const auto key = store->read_blocks("layers.0.attention.to_k.weight");
  ASSERT_TRUE(key);
  EXPECT_TRUE(key->decode(at::kFloat).equal(whole.narrow(0, 128, 128)));
  EXPECT_TRUE(store->read("layers.0.attention.to_k.weight").equal(whole.narrow(0, 128, 128)));
}

TEST(OriginalForms, RowsAndSwappedHalvesHoldForBlocksToo) {
  using Form = OriginalTensor::Form;
  const auto plain = std::make_shared<MemoryStore>(Tensors{{"0.a.weight", at::randn({6, 32})}});
  for (const auto& store : {std::shared_ptr<const TensorStore>(plain), quantizing(plain, WeightQuantization::kQ8_0)}) {
    const auto named =
        with_diffusers_names(store, {{"rows", {.name = "0.a.weight", .form = Form::kRows, .first_row = 1, .rows = 2}},
                                     {"swapped", {.name = "0.a.weight", .form = Form::kSwapped}}});
    const auto whole = store->read("0.a.weight");
    EXPECT_TRUE(named->read("rows").equal(whole.narrow(0, 1, 2)));
    EXPECT_TRUE(named->read("swapped").narrow(0, 0, 3).equal(whole.narrow(0, 3, 3)));
    EXPECT_TRUE(named->read("swapped").narrow(0, 3, 3).equal(whole.narrow(0, 0, 3)));
    for (const char* name : {"rows", "swapped"}) {
      const auto blocks = named->read_blocks(name);
      EXPECT_EQ(blocks.has_value(), store != plain);
      if (blocks) {
        EXPECT_TRUE(blocks->decode(at::kFloat).equal(named->read(name))) << name;
      }
    }
  }
  EXPECT_THAT(message_of([&] {
                with_diffusers_names(plain,
                                     {{"x", {.name = "0.a.weight", .form = Form::kRows, .first_row = 5, .rows = 2}}});
              }),
              HasSubstr("expected 7 rows"));
}

TEST(Roles, NameTheComponentOfTheirKind) {
  const std::map<Component, std::string> flux{
      {Component::kTextEncoder, "CLIPTextModel"},  {Component::kTextEncoder2, "T5EncoderModel"},
      {Component::kTokenizer2, "T5TokenizerFast"}, {Component::kTransformer, "FluxTransformer2DModel"},
      {Component::kVae, "AutoencoderKL"},          {Component::kScheduler, "FlowMatchEulerDiscreteScheduler"}};
  EXPECT_EQ(component_of_role("clip_l", flux), Component::kTextEncoder);
  EXPECT_EQ(component_of_role("t5", flux), Component::kTextEncoder2);
  EXPECT_EQ(component_of_role("text_encoder_2", flux), Component::kTextEncoder2);
  EXPECT_EQ(component_of_role("vae", flux), Component::kVae);
  EXPECT_EQ(component_of_role("tokenizer_2", flux), Component::kTokenizer2);
  EXPECT_THAT(
      message_of([&] { component_of_role("clip_g", flux); }),
      HasSubstr("the model has no component `clip_g`; it has configs, clip_l, t5, tokenizer_2, transformer, vae"));
}

TEST(DenoiserFiles, EveryRowHasALayout) {
  for (const auto& file : denoiser_files()) {
    EXPECT_NE(find_layout(file.denoiser_class), nullptr) << file.name;
    for (const auto& text : file.text_encoders) EXPECT_TRUE(is_read_from_files(text.class_name)) << text.class_name;
    EXPECT_NE(file.scheduler, nullptr);
  }
}

TEST(DenoiserFiles, FluxIsDevWithAGuidanceInputAndElseSchnell) {
  std::map<std::string, at::Tensor> tensors{{"transformer_blocks.0.attn.norm_q.weight", at::zeros({128})},
                                            {"transformer_blocks.0.attn.to_q.weight", at::zeros({256, 256})},
                                            {"single_transformer_blocks.0.norm.linear.weight", at::zeros({1, 1})},
                                            {"single_transformer_blocks.1.norm.linear.weight", at::zeros({1, 1})},
                                            {"x_embedder.weight", at::zeros({256, 64})},
                                            {"proj_out.weight", at::zeros({64, 256})},
                                            {"context_embedder.weight", at::zeros({256, 40})},
                                            {"time_text_embed.text_embedder.linear_1.weight", at::zeros({256, 48})}};
  const auto* layout = find_layout("FluxTransformer2DModel");
  ASSERT_NE(layout, nullptr);
  const auto schnell = layout->config(MemoryStore(tensors));
  EXPECT_EQ(schnell.at("num_attention_heads"), 2);
  EXPECT_EQ(schnell.at("num_layers"), 1);
  EXPECT_EQ(schnell.at("num_single_layers"), 2);
  EXPECT_EQ(schnell.at("in_channels"), 64);
  EXPECT_EQ(schnell.at("joint_attention_dim"), 40);
  EXPECT_EQ(schnell.at("pooled_projection_dim"), 48);
  EXPECT_EQ(schnell.at("guidance_embeds"), false);
  EXPECT_EQ(flux_file().scheduler(MemoryStore(tensors)).at("shift"), 1.0);
  EXPECT_EQ(flux_file().scheduler(MemoryStore(tensors)).at("use_dynamic_shifting"), false);
  tensors["time_text_embed.guidance_embedder.linear_1.weight"] = at::zeros({256, 256});
  EXPECT_EQ(layout->config(MemoryStore(tensors)).at("guidance_embeds"), true);
  EXPECT_EQ(flux_file().scheduler(MemoryStore(tensors)).at("shift"), 3.0);
  EXPECT_EQ(flux_file().scheduler(MemoryStore(tensors)).at("use_dynamic_shifting"), true);
}

TEST(DenoiserFiles, OtherGgufFilesAreRefusedByName) {
  TemporaryFolder folder;
  write_gguf(folder.path("m.gguf"), MemoryStore({{"blk.0.attn_q_norm.weight", at::zeros({8})}}), {});
  EXPECT_THAT(message_of([&] { Checkpoint::open(folder.path("m.gguf")); }),
              HasSubstr("m.gguf does not hold a denoising model that easel reads from such a file"));
  EXPECT_THAT(message_of([&] { Checkpoint::open(folder.path("m.gguf"), {.components = {{"vae", "x"}}}); }),
              HasSubstr("does not hold a denoising model"));
}

}  // namespace
}  // namespace easel
