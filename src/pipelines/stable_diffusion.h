// StableDiffusionPipeline: text to image with SD 1.x (Rombach et al. 2022, arXiv:2112.10752).
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>

#include "easel/pipeline.h"
#include "easel/scheduler.h"
#include "models/autoencoder_kl.h"
#include "models/unet_2d_condition.h"
#include "pipelines/canvas.h"
#include "pipelines/checkpoint_folder.h"
#include "pipelines/prompt_encoder.h"
#include "pipelines/scheduler_config.h"
#include "tensor/noise_source.h"
#include "tensor/placement.h"

namespace easel {

struct PipelineOptions {
  Placement placement;
  int max_generations_per_step = 0;  ///< 0: 1 on a CPU, 8 on a GPU
};

/// One picture's state between two steps. What a step changes stands at the end; it is replaced only when the whole
/// step has succeeded.
class StableDiffusionGeneration : public Generation {
 public:
  StableDiffusionGeneration(std::uint64_t seed, Canvas canvas) : canvas(canvas), noise(seed), seed_(seed) {}

  bool finished_stepping() const override { return step_index == scheduler->timesteps().size(); }
  StepProgress progress() const override {
    return {static_cast<std::int64_t>(step_index), static_cast<std::int64_t>(scheduler->timesteps().size())};
  }
  int rows() const override { return static_cast<int>(prompt_embeds.size(0)); }
  std::uint64_t seed() const override { return seed_; }

  Canvas canvas;
  at::Tensor prompt_embeds;  ///< [k, T, D]: the negative prompt's first where guidance is on (k = 2)
  double guidance_scale = 1.0;
  at::Tensor timesteps;      ///< float32 [S] on the device: what the UNet is told at each step
  at::Tensor timestep_cond;  ///< [1, time_cond_proj_dim]; undefined for most models

  std::unique_ptr<Scheduler> scheduler;
  NoiseSource noise;
  at::Tensor latents;               ///< [1, C, h, w]
  at::Tensor pred_original_sample;  ///< x0 as the last step saw it; undefined before the first
  std::size_t step_index = 0;

 private:
  std::uint64_t seed_;
};

/// See Pipeline for the contract. Numbers are those of diffusers' pipeline of the same name.
class StableDiffusionPipeline : public Pipeline {
 public:
  /// Reads the weights. @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
  StableDiffusionPipeline(const CheckpointFolder& folder, ModelDescription description, const PipelineOptions& options);

  const ModelDescription& description() const override { return description_; }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override;
  std::string batch_key(const Generation& generation) const override;
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override;
  std::optional<Image> preview(const Generation& generation) override;
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override;
  int max_generations_per_step() const override { return max_generations_per_step_; }

 private:
  std::unique_ptr<Generation> begin_one(const GenerationRequest& request, std::uint64_t seed,
                                        const at::Tensor& prompt_embeds);
  at::Tensor predict(std::span<StableDiffusionGeneration* const> generations, const RunContext& context) const;
  at::Tensor preview_map();

  ModelDescription description_;
  Placement placement_;
  int max_generations_per_step_;
  SchedulerConfig scheduler_config_;
  PromptEncoder prompt_encoder_;
  UNet2DConditionModel unet_;
  AutoencoderKL vae_;
  at::Tensor preview_map_;  ///< [C + 1, 3]; made when a preview is first asked for
};

}  // namespace easel
