// The full-size published architectures, by the names and shapes of their tensors; nothing is allocated.
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <fstream>

#include "models/autoencoders/autoencoder_kl.h"
#include "models/text_encoders/clip_text_model.h"
#include "models/text_encoders/qwen3_text_model.h"
#include "models/text_encoders/t5_encoder_model.h"
#include "models/transformers/flux2_transformer_2d.h"
#include "models/transformers/flux_transformer_2d.h"
#include "models/transformers/pixart_transformer_2d.h"
#include "models/transformers/sd3_transformer_2d.h"
#include "models/transformers/z_image_transformer_2d.h"
#include "models/unet/unet_2d_condition.h"
#include "weights/loading/weights.h"
#include "weights/stores/tensor_table.h"

namespace easel {
namespace {

using nlohmann::json;

json read_json(const std::string& path) {
  std::ifstream file(path);
  return json::parse(file);
}

/// Knows names and shapes; its tensors have no memory.
class ShapeStore : public TensorStore {
 public:
  explicit ShapeStore(const json& shapes) {
    for (const auto& [name, shape] : shapes.items()) {
      tensors_.add(name, {.file = "shapes.json", .dtype = at::kFloat, .shape = shape.get<std::vector<std::int64_t>>()});
    }
  }
  std::vector<std::string> names() const override { return tensors_.names(); }
  const TensorInfo* find(const std::string& name) const override { return tensors_.find(name); }
  at::Tensor read(const std::string& name) const override {
    return at::empty(tensors_.find(name)->shape, at::TensorOptions().dtype(at::kFloat).device(at::kMeta));
  }
  std::string where() const override { return "shapes.json"; }

 private:
  TensorTable tensors_;
};

template <class Model, class ModelConfig>
void expect_same_tensors(const std::string& name) {
  const auto shapes = read_json(std::string(EASEL_REFERENCE_DIR) + "/shapes.json").at(name);
  Config config = Config::read_file(std::string(EASEL_CONFIGS_DIR) + "/" + name + ".json", name + ".json");
  Weights weights(std::make_shared<ShapeStore>(shapes), {.device = at::kMeta, .dtype = at::kFloat});
  const Model model(ModelConfig::from(config), weights.root());
  EXPECT_NO_THROW(weights.finish());
}

TEST(PublishedShapes, UNets) {
  for (const char* name : {"sd15", "sd15-inpainting", "sd21", "sdxl-base", "sdxl-refiner", "x4-upscaler",
                           "x2-latent-upscaler", "instruct-pix2pix"}) {
    SCOPED_TRACE(name);
    expect_same_tensors<UNet2DConditionModel, UNet2DConditionConfig>(std::string(name) + "/unet");
  }
}

TEST(PublishedShapes, Autoencoders) {
  for (const char* name : {"sd15", "sd21", "sdxl-base", "x4-upscaler", "x2-latent-upscaler", "instruct-pix2pix",
                           "z-image-turbo", "flux1-dev", "flux2-klein-4b", "sd35-medium", "pixart-sigma"}) {
    SCOPED_TRACE(name);
    expect_same_tensors<AutoencoderKL, AutoencoderKLConfig>(std::string(name) + "/vae");
  }
}

TEST(PublishedShapes, TextEncoders) {
  for (const char* name : {"sd15/text_encoder", "sd21/text_encoder", "sdxl-base/text_encoder",
                           "sdxl-base/text_encoder_2", "sdxl-refiner/text_encoder_2", "x4-upscaler/text_encoder",
                           "x2-latent-upscaler/text_encoder", "instruct-pix2pix/text_encoder", "flux1-dev/text_encoder",
                           "sd35-medium/text_encoder", "sd35-medium/text_encoder_2"}) {
    SCOPED_TRACE(name);
    expect_same_tensors<CLIPTextModel, CLIPTextConfig>(name);
  }
}

TEST(PublishedShapes, Transformers) {
  expect_same_tensors<ZImageTransformer2DModel, ZImageTransformer2DConfig>("z-image-turbo/transformer");
  expect_same_tensors<Flux2Transformer2DModel, Flux2Transformer2DConfig>("flux2-klein-4b/transformer");
  for (const char* name : {"flux1-dev/transformer", "flux1-schnell/transformer"}) {
    SCOPED_TRACE(name);
    expect_same_tensors<FluxTransformer2DModel, FluxTransformer2DConfig>(name);
  }
  expect_same_tensors<SD3Transformer2DModel, SD3Transformer2DConfig>("sd35-medium/transformer");
  expect_same_tensors<SD3Transformer2DModel, SD3Transformer2DConfig>("sd35-large/transformer");
  expect_same_tensors<PixArtTransformer2DModel, PixArtTransformer2DConfig>("pixart-sigma/transformer");
}

TEST(PublishedShapes, T5) {
  expect_same_tensors<T5EncoderModel, T5EncoderConfig>("flux1-dev/text_encoder_2");
  expect_same_tensors<T5EncoderModel, T5EncoderConfig>("sd35-medium/text_encoder_3");
  expect_same_tensors<T5EncoderModel, T5EncoderConfig>("pixart-sigma/text_encoder");
}

// Of the layers that Z-Image does not run, every tensor is known, too.
TEST(PublishedShapes, Qwen3) {
  const std::string name = "z-image-turbo/text_encoder";
  const auto shapes = read_json(std::string(EASEL_REFERENCE_DIR) + "/shapes.json").at(name);
  Config config = Config::read_file(std::string(EASEL_CONFIGS_DIR) + "/" + name + ".json", name + ".json");
  Weights weights(std::make_shared<ShapeStore>(shapes), {.device = at::kMeta, .dtype = at::kFloat});
  const Qwen3TextModel model(Qwen3TextConfig::from(config), 35, weights.root());
  EXPECT_NO_THROW(weights.finish());
}

// Whatever sizes a config gives, missing tensors are reported without being allocated.
TEST(PublishedShapes, HugeConfigWithoutWeightsFailsWithoutAllocating) {
  Config config({{"block_out_channels", {65536, 65536}},
                 {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}},
                 {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}}},
                "unet.json");
  Weights weights(std::make_shared<ShapeStore>(json::object()), {.device = at::kCPU, .dtype = at::kFloat});
  const UNet2DConditionModel unet(UNet2DConditionConfig::from(config), weights.root());
  EXPECT_THROW(weights.finish(), Error);
}

}  // namespace
}  // namespace easel
