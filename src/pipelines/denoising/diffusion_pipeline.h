// The denoising loop that all families of latent diffusion share, split into resumable steps (Rombach et al. 2022,
// arXiv:2112.10752).
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "adapters/adapters.h"
#include "adapters/embedding_folder.h"
#include "easel/pipeline.h"
#include "nn/prompt_projections.h"
#include "pipelines/denoising/denoiser.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/denoising/diffusion_tickets.h"
#include "pipelines/denoising/request_fields.h"
#include "pipelines/denoising/start_strategy.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/prompts/conditioner.h"
#include "tensor/component_offloader.h"
#include "tensor/placement.h"

namespace easel {

struct PipelineOptions {
  Placement placement = {};
  bool choose_dtype = false;         ///< replaces placement.dtype by automatic_dtype's choice for the model
  int max_generations_per_step = 0;  ///< 0: 1 on a CPU, 8 on a GPU
  VaeTiling vae_tiling = VaeTiling::kAuto;
  bool estimate_activations = true;  ///< false leaves ModelDescription::activations empty, which takes less time
  std::int64_t device_memory = 0;    ///< bytes that requests are checked against; 0: what the device has
  std::vector<std::pair<int, int>> estimated_sizes = {};  ///< for ModelDescription::activations, after the native size
  PromptSyntax prompt_syntax = PromptSyntax::kPlain;      ///< of requests that do not name one
  std::shared_ptr<EmbeddingFolder> embeddings = {};       ///< textual inversions; null for none
  AdapterOptions adapters = {};
  /// Make the models of a checkpoint take turns on a device. Null: all stay on it.
  std::shared_ptr<ComponentOffloaders> offloaders = {};

  int generations_per_step() const;  ///< max_generations_per_step, with 0 replaced
};

/// What a family's builder puts together.
struct DiffusionParts {
  std::vector<Denoiser> denoisers;  ///< one, or two of which the second takes over: base and refiner
  ImageCodec codec;
  std::unique_ptr<const StartStrategy> start;
  std::span<const RequestField> fields;                       ///< that the family uses
  std::vector<std::shared_ptr<LayerTable>> adaptable_models;  ///< the models that adapters can change
  double denoising_end = 1.0;                                 ///< default of GenerationRequest::denoising_end
  GuidanceRule guidance_rule = GuidanceRule::kFromUnconditional;
  std::optional<c10::ScalarType> latents_dtype = std::nullopt;  ///< if it is not that of the denoising model
};

/// See Pipeline for the contract. Tickets of finish must be taken while the pipeline exists. What families differ in is
/// in the parts; numbers agree with the family's pipeline in diffusers.
class DiffusionPipeline : public Pipeline {
 public:
  DiffusionPipeline(ModelDescription description, const PipelineOptions& options, DiffusionParts parts);

  const ModelDescription& description() const override { return description_; }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& asked, const StopPredicate& stop) override;
  std::string batch_key(const Generation& generation) const override;
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override;
  std::optional<Image> preview(const Generation& generation) override;
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override;
  int max_generations_per_step() const override { return max_generations_per_step_; }

 private:
  void check(const GenerationRequest& request) const;
  void check_guidance_interval(const GenerationRequest& request) const;
  double guidance_scale(const GenerationRequest& request) const;
  /// The scale by which the rows of an image are combined.
  double row_guidance_scale(const GenerationRequest& request) const;
  std::vector<DenoiserConditioning> encode(const GenerationRequest& request, const Canvas& canvas,
                                           const RunContext& context);
  std::vector<Phase> begin_phases(const GenerationRequest& request,
                                  const std::vector<DenoiserConditioning>& conditioning, const Canvas& canvas) const;
  std::unique_ptr<Scheduler> begin_run(const Denoiser& denoiser, const std::string& default_scheduler,
                                       const GenerationRequest& request, const Canvas& canvas) const;
  Phase begin_phase(std::size_t denoiser, const GenerationRequest& request, DenoiserConditioning conditioning,
                    const Canvas& canvas) const;
  /// An image before its first latents.
  std::unique_ptr<DiffusionGeneration> begin_image(const GenerationRequest& request, std::uint64_t seed,
                                                   const std::vector<DenoiserConditioning>& conditioning,
                                                   const Canvas& canvas) const;
  /// Sets the latents of the second pass. May be repeated.
  /// @param latents  the final ones of the first pass
  void start_second_pass(DiffusionGeneration& generation, const at::Tensor& latents, const RunContext& context) const;
  at::Tensor predict(std::span<DiffusionGeneration* const> generations, RunContext context);
  DiffusionFinishTicket::DecodedTile decode(const DiffusionGeneration& generation, const at::Tensor& latents,
                                            const RunContext& context) const;

  ModelDescription description_;
  Placement placement_;          // of the denoising model
  Placement latents_placement_;  // its device, and the latents' dtype
  PromptSyntax prompt_syntax_;
  int max_generations_per_step_;
  DiffusionParts parts_;
  RecentPrompts recent_prompts_;
  Adapters adapters_;
};

}  // namespace easel
