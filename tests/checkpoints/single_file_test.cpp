// What is read from single files before any model is built: formats, left-over tensors, prediction types, families.
// Whole models are compared with diffusers in tests/pipelines/single_file_test.cpp.

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoints/checkpoint.h"
#include "checkpoints/unused_tensors.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"
#include "weights/convert/safetensors_writer.h"

namespace easel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kUNet = "model.diffusion_model.", kText = "cond_stage_model.transformer.text_model.";

/// A file with a few tensors of each part of SD 1.x, in a folder of its own.
class SingleFileChecks : public ::testing::Test {
 protected:
  SingleFileChecks() {
    tensors_ = {{kUNet + "input_blocks.0.0.weight", at::zeros({32, 4, 3, 3})},
                {kUNet + "input_blocks.1.0.in_layers.2.weight", at::zeros({32, 32, 3, 3})},
                {kUNet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", at::zeros({32, 768})},
                {kUNet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight", at::zeros({32, 768})},
                {kUNet + "out.2.weight", at::zeros({4, 32, 3, 3})},
                {"first_stage_model.encoder.down.0.block.0.conv1.weight", at::zeros({32, 32, 3, 3})},
                {kText + "encoder.layers.0.mlp.fc1.weight", at::zeros({4, 4})}};
  }
  std::string path() const { return folder_.path("m.safetensors"); }
  Checkpoint open(const SafetensorsMetadata& metadata = {}, const CheckpointOptions& options = {}) {
    write_safetensors(path(), tensors_, metadata);
    return Checkpoint::open(path(), options);
  }
  std::string fault(Component component, const CheckpointOptions& options = {}) {
    return message_of([&] { open({}, options).source->weights(component); });
  }
  nlohmann::json scheduler(const SafetensorsMetadata& metadata = {}) {
    return open(metadata).source->config(Component::kScheduler).object();
  }

  TemporaryFolder folder_;
  std::map<std::string, at::Tensor> tensors_;
};

TEST_F(SingleFileChecks, TensorThatAComponentDoesNotUseIsAnErrorWithTheFlag) {
  tensors_[kUNet + "input_blocks.1.1.gate.weight"] = at::ones({1});
  const auto message = fault(Component::kUnet);
  EXPECT_THAT(message, HasSubstr("m.safetensors: 1 tensor is not used by the model: "
                                 "`model.diffusion_model.input_blocks.1.1.gate.weight`"));
  EXPECT_THAT(message, HasSubstr("--ignore-tensors PATTERN"));
  EXPECT_NO_THROW(open().source->weights(Component::kVae)) << "another component";
  EXPECT_NO_THROW(open({}, {.ignored_tensors = {"*.gate.*"}}).source->weights(Component::kUnet));
  EXPECT_THAT(fault(Component::kUnet, {.ignored_tensors = {"*.gates.*"}}), HasSubstr("gate.weight"));
}

TEST_F(SingleFileChecks, EveryPartIsChecked) {
  tensors_["first_stage_model.encoder.extra"] = at::ones({1});
  tensors_["cond_stage_model.extra"] = at::ones({1});
  EXPECT_THAT(fault(Component::kVae), HasSubstr("`first_stage_model.encoder.extra`"));
  EXPECT_THAT(fault(Component::kTextEncoder), HasSubstr("`cond_stage_model.extra`"));
}

TEST_F(SingleFileChecks, FirstTwentyLeftOversAreListedAndCounted) {
  for (int i = 100; i < 125; ++i) tensors_[kUNet + "extra." + std::to_string(i)] = at::ones({1});
  const auto message = fault(Component::kUnet);
  EXPECT_THAT(message, HasSubstr("25 tensors are not used"));
  EXPECT_THAT(message, HasSubstr("extra.119`, ...; --ignore-tensors"));
  EXPECT_THAT(message, Not(HasSubstr("extra.120`")));
}

TEST_F(SingleFileChecks, ScalesNormsBiasesAndMarkersCannotBeIgnored) {
  for (const std::string name : {"x.weight_scale_inv", "x.norm.weight", "x.bias", "x.quant_map"}) {
    auto copy = tensors_;
    tensors_[kUNet + name] = at::ones({1});
    EXPECT_THAT(fault(Component::kUnet, {.ignored_tensors = {"*"}}), HasSubstr("but not scales, norms, biases"))
        << name;
    tensors_ = copy;
  }
}

TEST_F(SingleFileChecks, WhatTrainingLeavesIsHarmless) {
  for (const std::string name :
       {"cond_stage_model.transformer.text_model.embeddings.position_ids", "cond_stage_model.logit_scale",
        "cond_stage_model.model.attn_mask", "cond_stage_model.model.visual.proj", "first_stage_model.loss.logvar",
        "cond_stage_model.transformer.text_projection.weight", "model_ema.decay", "betas"}) {
    tensors_[name] = at::ones({1});
  }
  const auto checkpoint = open();
  for (const auto part : {Component::kUnet, Component::kVae, Component::kTextEncoder}) {
    EXPECT_NO_THROW(checkpoint.source->weights(part));
  }
  EXPECT_STREQ(harmless_because(FilePart::Kind::kVae, "loss.logvar"), "it is used only in training");
  EXPECT_EQ(harmless_because(FilePart::Kind::kUnet, "loss.logvar"), nullptr);
}

TEST_F(SingleFileChecks, ScaledWeightsAreScaledUnderDiffusersNames) {
  const auto layer = kUNet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k";
  tensors_[layer + ".weight"] = at::full({32, 768}, 1.5F).to(at::ScalarType::Float8_e4m3fn);
  tensors_[layer + ".scale_weight"] = at::full({1}, 0.1F);
  tensors_[kUNet + "scaled_fp8"] = at::zeros({2}).to(at::ScalarType::Float8_e4m3fn);
  const auto store = open().source->weights(Component::kUnet);
  const auto read = store->read("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight");
  EXPECT_EQ(read.scalar_type(), at::kFloat);
  EXPECT_EQ(read[3][5].item<float>(), 1.5F * 0.1F);
}

TEST_F(SingleFileChecks, QuantisedFilesAreRefusedInOneLine) {
  tensors_[kUNet + "out.2.weight.quant_state.bitsandbytes__nf4"] = at::zeros({4}, at::kByte);
  const auto message = message_of([&] { open(); });
  EXPECT_THAT(message, HasSubstr("m.safetensors is quantised to NF4"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

TEST_F(SingleFileChecks, PredictionTypeOfAConfigNextToTheFile) {
  EXPECT_EQ(scheduler()["prediction_type"], "epsilon");
  EXPECT_EQ(open().prediction_source, "its family");
  folder_.write("m.yaml",
                "model:\n  params:\n    parameterization: \"v\"  # for 768 x 768\n    linear_start: 0.00085\n");
  EXPECT_EQ(scheduler()["prediction_type"], "v_prediction");
  EXPECT_EQ(open().prediction_source, "m.yaml");
  EXPECT_EQ(scheduler({{"prediction_type", "epsilon"}})["prediction_type"], "v_prediction") << "the config comes first";
  folder_.write("m.yaml",
                "      scaling_config:\n        target: sgm.modules.diffusionmodules.denoiser_scaling.VScaling\n");
  EXPECT_EQ(scheduler()["prediction_type"], "v_prediction");
  for (const char* yaml : {"model: {params: {parameterization: v, linear_end: 0.012}}\n",
                           "\tparameterization : 'v'\r\n", "\xef\xbb\xbf\"parameterization\": v",
                           "d: {target: a.DiscreteDenoiser, s: {target: \"x.denoiser_scaling.VScaling\"}}"}) {
    folder_.write("m.yaml", yaml);
    EXPECT_EQ(scheduler()["prediction_type"], "v_prediction") << yaml;
  }
  for (const char* yaml :
       {"# parameterization: v\n", "  params: {}  # parameterization: v\n", "", "my_parameterization: v\n"}) {
    folder_.write("m.yaml", yaml);
    EXPECT_EQ(open().prediction_source, "its family") << yaml;
  }
  folder_.write("m.yaml", "        target: sgm.modules.diffusionmodules.denoiser_scaling.EDMScaling\n");
  EXPECT_THAT(message_of([&] { open(); }), HasSubstr("EDMScaling"));
  folder_.write("m.yaml", "    parameterization: x0\n");
  EXPECT_THAT(message_of([&] { open(); }), HasSubstr("m.yaml: `parameterization` is `x0`"));
  folder_.write("m.yaml", "model:\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n");
  EXPECT_EQ(open().prediction_source, "its family");
}

TEST_F(SingleFileChecks, PredictionTypeOfMetadataAndMarkers) {
  for (const char* value : {"v", "v_prediction", "v-prediction", "V_PRED", "vpred"}) {
    EXPECT_EQ(scheduler({{"prediction_type", value}})["prediction_type"], "v_prediction") << value;
    EXPECT_EQ(scheduler({{"modelspec.prediction_type", value}})["prediction_type"], "v_prediction") << value;
  }
  EXPECT_EQ(open({{"prediction_type", "v"}}).prediction_source, "the metadata `prediction_type`");
  EXPECT_THAT(message_of([&] { open({{"prediction_type", "sample"}}); }), HasSubstr("`prediction_type` is `sample`"));
  tensors_["v_pred"] = at::zeros({0});
  EXPECT_EQ(scheduler()["prediction_type"], "v_prediction");
  EXPECT_FALSE(scheduler().contains("rescale_betas_zero_snr"));
  EXPECT_EQ(open().prediction_source, "its tensor `v_pred`");
  tensors_["ztsnr"] = at::zeros({0});
  EXPECT_EQ(scheduler()["rescale_betas_zero_snr"], true);
  folder_.write("m.easel.json", R"({"prediction_type": "epsilon"})");
  EXPECT_EQ(scheduler()["prediction_type"], "epsilon");
  EXPECT_EQ(open().prediction_source, "its manifest");
  tensors_["edm_vpred.sigma_min"] = at::zeros({1});
  EXPECT_THAT(message_of([&] { open(); }), HasSubstr("EDM's v-prediction"));
}

TEST_F(SingleFileChecks, ConfigTellsWhichLayersWereRemoved) {
  const auto block = [](int i, int depth) {
    return kUNet + "output_blocks." + std::to_string(i) + ".1.transformer_blocks." + std::to_string(depth) + ".x";
  };
  for (const auto& name : {block(0, 2), block(1, 0)}) tensors_[name] = at::zeros({1});
  std::erase_if(tensors_, [](const auto& tensor) { return tensor.first.starts_with(kUNet + "middle_block."); });
  auto config = open().source->config(Component::kUnet).object();
  EXPECT_TRUE(config["mid_block_type"].is_null());
  EXPECT_EQ(config["transformer_layers_per_block"], nlohmann::json::parse("[[1]]"));
  EXPECT_EQ(config["reverse_transformer_layers_per_block"], nlohmann::json::parse("[[3, 1]]"));
  tensors_[kUNet + "middle_block.0.in_layers.0.weight"] = at::zeros({32});
  config = open().source->config(Component::kUnet).object();
  EXPECT_EQ(config["mid_block_type"], "UNetMidBlock2D");
}

TEST_F(SingleFileChecks, AutoencoderNextToTheFileReplacesItsOwn) {
  const std::string own = "first_stage_model.encoder.down.0.block.0.conv1.weight", other = own.substr(18);
  open();
  write_safetensors(folder_.path("m.vae.safetensors"), {{other, at::full({32, 32, 3, 3}, 2.0F)}});
  write_safetensors(folder_.path("n.safetensors"), {{other, at::full({32, 32, 3, 3}, 3.0F)}});
  const auto value = [&](const CheckpointOptions& options = {}) {
    const auto store = Checkpoint::open(path(), options).source->weights(Component::kVae);
    return store->read("encoder.down_blocks.0.resnets.0.conv1.weight")[0][0][0][0].item<float>();
  };
  EXPECT_EQ(value(), 2);
  EXPECT_EQ(value({.vae = folder_.path("n.safetensors")}), 3) << "--vae comes first";
  folder_.write("m.easel.json", R"({"vae": "n.safetensors"})");
  EXPECT_EQ(value(), 3) << "the manifest comes first";
}

TEST_F(SingleFileChecks, AutoencoderNextToTheFileAsAPickleNamesTheCommand) {
  open();
  folder_.write("m.vae.pt", "PK");
  EXPECT_THAT(message_of([&] { Checkpoint::open(path()); }),
              HasSubstr("m.vae.safetensors of it with `easel convert " + folder_.path("m.vae.pt") + "`"));
  EXPECT_NO_THROW(Checkpoint::open(path(), {.vae = path()}));
  write_safetensors(folder_.path("m.vae.safetensors"), tensors_);
  EXPECT_NO_THROW(Checkpoint::open(path()));
}

TEST_F(SingleFileChecks, ExtensionsOfTheSameFormatAreRead) {
  open();
  for (const std::string name : {"m.SAFETENSORS", "m.sft", "m.SafeTensors"}) {
    std::filesystem::copy_file(path(), folder_.path(name));
    EXPECT_EQ(Checkpoint::open(folder_.path(name)).class_name, "StableDiffusionPipeline");
  }
  EXPECT_THAT(message_of([&] { Checkpoint::open(folder_.write("m.CKPT", "PK")); }), HasSubstr("`easel convert"));
}

TEST_F(SingleFileChecks, SavedPageIsCalledThat) {
  const auto page = folder_.write("p.safetensors", "<!DOCTYPE html><html>Log in</html>");
  EXPECT_THAT(message_of([&] { Checkpoint::open(page); }), HasSubstr("p.safetensors is a saved web page"));
}

TEST_F(SingleFileChecks, OtherFamiliesAreRefusedByName) {
  const std::map<std::string, std::string> families = {{"transformer_blocks.0.img_mod.1.weight", "Qwen-Image"},
                                                       {"model.diffusion_model.txt_in.text_norm.weight", "Qwen-Image"},
                                                       {"head.modulation", "Wan"},
                                                       {"vace_blocks.0.after_proj.bias", "Wan"},
                                                       {"double_stream_blocks.0.block.x", "HiDream"},
                                                       {"net.x_embedder.proj.1.weight", "Cosmos"},
                                                       {"blocks.0.attn.qkv_x.weight", "Mochi"},
                                                       {"model.diffusion_model.txtfusion.projector.weight", "Krea 2"}};
  for (const auto& [name, family] : families) {
    tensors_ = {{name, at::zeros({1})}};
    EXPECT_THAT(message_of([&] { open(); }), HasSubstr("m.safetensors is of " + family)) << name;
  }
}

}  // namespace
}  // namespace easel
