// Family::load of Stable Diffusion XL.
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "pipelines/families/pipeline_builder.h"
#include "pipelines/prompts/sdxl_conditioner.h"

namespace easel {
namespace {

/// @param encoders  all of the checkpoint's; a refiner that follows a base gets the base's last one
void add_denoiser(PipelineBuilder& builder, const Checkpoint& folder,
                  std::vector<std::shared_ptr<PromptEncoder>> encoders) {
  builder.add_unet(
      folder, std::make_unique<SdxlConditioner>(std::move(encoders), read_sdxl_settings(folder), builder.placement()),
      {.text_and_time = true});
}

}  // namespace

std::unique_ptr<Pipeline> load_stable_diffusion_xl(PipelineBuilder& builder) {
  add_denoiser(builder, builder.folder(), builder.text_encoders());
  if (const auto refiner = find_refiner(builder.folder())) {
    // As in diffusers' documentation, the refiner uses the base's second text encoder and its autoencoder.
    add_denoiser(builder, *refiner, {builder.text_encoders().back()});
  }
  return builder.build();
}

std::optional<Checkpoint> find_refiner(const Checkpoint& base) {
  if (base.manifest.refiner.empty()) return std::nullopt;
  auto refiner = Checkpoint::open(base.resolve(base.manifest.refiner));
  if (refiner.class_name != kSdxlRefinerClass) {
    throw Error(ErrorCode::kUnsupported, concat(refiner.index, ": `_class_name` is ", refiner.class_name,
                                                "; a refiner's is ", kSdxlRefinerClass));
  }
  refiner.require(Component::kUnet, "UNet2DConditionModel");
  return refiner;
}

}  // namespace easel
