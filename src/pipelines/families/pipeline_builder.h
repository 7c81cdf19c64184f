// Builds the pipelines of all families from the components of their checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "checkpoints/checkpoint.h"
#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/denoising/from_noise_or_image.h"
#include "pipelines/families/components.h"
#include "pipelines/families/families.h"

namespace easel {

/// Loads what families have in common, and is configured by Family::load.
///
/// Call order: (add_unet | add_denoiser)+ build. Every function that reads weights throws
/// Error(kNotFound, kCorruptData, kUnsupported), which names the file and what is wrong with it.
class PipelineBuilder {
 public:
  /// Loads the text encoders and the autoencoder. @param family, folder  outlive this
  PipelineBuilder(const Family& family, const Checkpoint& folder, ModelDescription description,
                  const PipelineOptions& options);

  const Family& family() const { return family_; }
  const Checkpoint& folder() const { return folder_; }
  const ModelDescription& description() const { return description_; }
  const Placement& placement() const { return options_.placement; }
  /// Those of CLIP, in the order of the family's row.
  const std::vector<std::shared_ptr<PromptEncoder>>& text_encoders() const { return text_encoders_; }
  std::int64_t latent_channels() const { return codec_.latent_channels(); }

  /// Adds a denoiser: the UNet and the scheduler of `folder`. A second one takes over from the first.
  /// @param folder       the checkpoint, or that of a refiner
  /// @param conditioner  provides what `provided` says
  /// @return             the UNet's config
  const UNet2DConditionConfig& add_unet(const Checkpoint& folder, std::unique_ptr<Conditioner> conditioner,
                                        ProvidedConditioning provided = {});

  /// Adds a denoiser of the checkpoint that is not a UNet. @param in_channels  of the model's input
  void add_denoiser(std::int64_t in_channels, std::unique_ptr<const DenoisingModel> model,
                    std::unique_ptr<Conditioner> conditioner);

  /// The pipeline of a family whose images start from noise or from an image under noise. Decides by the channels of
  /// the UNet's input how masks are used.
  std::unique_ptr<Pipeline> build();

  /// The pipeline of a family with a start of its own.
  /// @param extra_channels  that `start` adds to the latents
  std::unique_ptr<Pipeline> build(std::unique_ptr<const StartStrategy> start, std::int64_t extra_channels);

 private:
  [[noreturn]] void reject_channels(const std::string& supported) const;
  InpaintingMode inpainting_mode() const;
  std::function<Canvas(const ModelDescription&, int, int)> canvas_planner() const;
  std::unique_ptr<Pipeline> assemble(std::unique_ptr<const StartStrategy> start);

  const Family& family_;
  const Checkpoint& folder_;
  ModelDescription description_;
  PipelineOptions options_;
  std::vector<std::shared_ptr<PromptEncoder>> text_encoders_;
  ImageCodec codec_;
  std::vector<Denoiser> denoisers_;
  std::vector<UNet2DConditionConfig> unets_;  // configs of the UNets
  std::vector<std::int64_t> in_channels_;     // of the denoisers
};

}  // namespace easel
