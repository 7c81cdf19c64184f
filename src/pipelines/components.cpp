#include "pipelines/components.h"

#include <utility>

#include "weights/weights.h"

namespace easel {
namespace {

/// Builds a model from its config and tensors, all of them and no others.
template <class Model, class ModelConfig>
Model load_model(std::shared_ptr<const TensorStore> store, const ModelConfig& config, const Placement& placement) {
  Weights weights(std::move(store), placement);
  Model model(config, weights.root());
  weights.finish();
  return model;
}

}  // namespace

UNet2DConditionModel load_unet(const CheckpointFolder& folder, const Placement& placement) {
  auto config = folder.source->config("unet");
  return load_model<UNet2DConditionModel>(folder.source->weights("unet"), UNet2DConditionConfig::from(config),
                                          placement);
}

Placement vae_placement(const CheckpointFolder& folder, VaeFields fields, const Placement& placement) {
  auto config = folder.source->config("vae");
  auto own = placement;
  if (fields == VaeFields::kAll && placement.dtype == at::kHalf && AutoencoderKLConfig::from(config).force_upcast) {
    own.dtype = at::kFloat;
  }
  return own;
}

PictureCodec load_codec(const CheckpointFolder& folder, VaeFields fields, const Placement& placement) {
  const auto load = [source = folder.source](const Placement& where) {
    auto config = source->config("vae");
    return load_model<AutoencoderKL>(source->weights("vae"), AutoencoderKLConfig::from(config), where);
  };
  const auto own = vae_placement(folder, fields, placement);
  const Placement wide{.device = own.device, .dtype = at::kFloat};
  return PictureCodec(load(own), fields, own, [=] { return load(wide); });
}

std::shared_ptr<PromptEncoder> load_prompt_encoder(const CheckpointFolder& folder, const std::string& suffix,
                                                   PromptState state, const Placement& placement) {
  const auto name = "text_encoder" + suffix;
  auto json = folder.source->config(name);
  auto config = CLIPTextConfig::from(json);
  // The reference builds the class that model_index.json names, whatever `architectures` says.
  config.with_projection = folder.components.at(name) == "CLIPTextModelWithProjection";
  return std::make_shared<PromptEncoder>(folder.source->tokenizer("tokenizer" + suffix),
                                         load_model<CLIPTextModel>(folder.source->weights(name), config, placement),
                                         state, placement.device);
}

}  // namespace easel
