// The denoising loop that all families of latent diffusion share, cut into resumable steps (Rombach et al. 2022,
// arXiv:2112.10752).
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/adapters.h"
#include "adapters/embedding_folder.h"
#include "easel/pipeline.h"
#include "models/unet_2d_condition.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/denoising/diffusion_tickets.h"
#include "pipelines/denoising/from_noise_or_image.h"
#include "pipelines/denoising/scheduler_config.h"
#include "pipelines/denoising/start_strategy.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/conditioner.h"
#include "tensor/component_offloader.h"
#include "tensor/placement.h"

namespace easel {

struct PipelineOptions {
  Placement placement = {};
  int max_generations_per_step = 0;  ///< 0: 1 on a CPU, 8 on a GPU
  VaeTiling vae_tiling = VaeTiling::kAuto;
  bool estimate_activations = true;  ///< false, for who does not look: ModelDescription without them, sooner
  std::vector<std::pair<int, int>> estimated_sizes = {};  ///< beside the native one: ModelDescription::activations
  PromptSyntax prompt_syntax = PromptSyntax::kPlain;      ///< of requests that name none
  std::shared_ptr<EmbeddingFolder> embeddings = {};       ///< words of textual inversion; null for none
  AdapterOptions adapters = {};
  std::shared_ptr<ComponentOffloaders> offloaders =
      {};  ///< where models take turns on each device; null: all stay there

  int generations_per_step() const;  ///< max_generations_per_step with 0 replaced
};

/// How a UNet is told of the noise in its sample.
enum class NoiseConditioning {
  kTimestep,
  kLogSigma,  ///< see preconditioning.h, also for what is made of its output
};

/// A UNet with what belongs to it.
struct Denoiser {
  UNet2DConditionModel unet;
  std::unique_ptr<Conditioner> conditioner;
  SchedulerConfig scheduler_config;
  std::vector<std::shared_ptr<LayerTable>> text_layers = {};  ///< of its text encoders: what adapters can change
  NoiseConditioning noise_conditioning = NoiseConditioning::kTimestep;
};

/// What a family's pipelines of the reference take where a request says nothing.
struct ModeDefaults {
  double inpainting_strength = 1.0;
  double denoising_end = 0.8;  ///< where the second of two denoisers takes over
  /// Strength of image to image is no share of a run's steps: LCM and TCD spread all steps over that share of their
  /// timesteps. With other schedulers, and with a mask, it is a share of the steps here too.
  bool scheduler_takes_strength = false;
};

/// See Pipeline for the contract; tickets of finish must be taken while the pipeline lives. A family is the parts it is
/// given; numbers are those of the family's pipeline in diffusers.
class DiffusionPipeline : public Pipeline {
 public:
  /// @throws Error(kUnsupported)  a UNet and the autoencoder do not fit; names the file of `folder`
  /// @param denoisers    one, or two that follow each other: base and refiner
  /// @param start_strategy  of families whose one UNet sees an image at every step; else null
  DiffusionPipeline(const Checkpoint& folder, ModelDescription description, const PipelineOptions& options,
                    std::vector<Denoiser> denoisers, ImageCodec codec, const ModeDefaults& defaults,
                    std::unique_ptr<const StartStrategy> start_strategy = nullptr);

  const ModelDescription& description() const override { return description_; }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& asked, const StopPredicate& stop) override;
  std::string batch_key(const Generation& generation) const override;
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override;
  std::optional<Image> preview(const Generation& generation) override;
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override;
  int max_generations_per_step() const override { return max_generations_per_step_; }

 private:
  void check_channels(const Checkpoint& folder);
  PrepareLatents read_image(const GenerationRequest& request, const Canvas& canvas, bool guided,
                            const RunContext& context) const;
  Canvas canvas_of(const GenerationRequest& request) const;
  double strength_of(const GenerationRequest& request) const;
  SchedulerOptions scheduler_options(const GenerationRequest& request) const;
  std::vector<Phase> begin_phases(const GenerationRequest& request,
                                  const std::vector<UNetConditioning>& conditioning) const;
  Phase begin_phase(std::size_t denoiser, const GenerationRequest& request, UNetConditioning conditioning) const;
  void check(const GenerationRequest& request) const;
  DiffusionFinishTicket::DecodedTile decode(const at::Tensor& latents, const RunContext& context) const;
  at::Tensor predict(std::span<DiffusionGeneration* const> generations, const RunContext& context) const;

  ModelDescription description_;
  Placement placement_;
  PromptSyntax prompt_syntax_;
  int max_generations_per_step_;
  std::vector<Denoiser> denoisers_;
  ImageCodec codec_;
  Adapters adapters_;
  ModeDefaults defaults_;
  std::unique_ptr<const StartStrategy> start_strategy_;  ///< null for most families
  InpaintingMode inpainting_ = InpaintingMode::kBlend;
};

}  // namespace easel
