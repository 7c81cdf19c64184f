// One image's state between two steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "easel/noise.h"
#include "easel/pipeline.h"
#include "easel/scheduler.h"
#include "image/tiles.h"
#include "nn/adapter_set.h"
#include "pipelines/denoising/diffusion_tickets.h"
#include "pipelines/denoising/guidance.h"
#include "pipelines/denoising/hires_pass.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/image_codec.h"
#include "pipelines/images/kept_pixels.h"
#include "pipelines/prompts/conditioner.h"

namespace easel {

/// Consecutive steps of an image with one denoiser and a scheduler of their own. Most images have one phase; a base and
/// a refiner make two.
struct Phase {
  std::size_t denoiser = 0;  ///< index of the pipeline's denoiser
  DenoiserConditioning conditioning;
  std::unique_ptr<Scheduler> scheduler;  ///< timesteps are set
  at::Tensor timesteps;        ///< float32 [S] on the device: the model's timestep input at the scheduler's steps
  at::Tensor sigmas;           ///< float32 [S] on the CPU with NoiseConditioning::kLogSigma; otherwise undefined
  std::size_t first_step = 0;  ///< the first of the scheduler's steps that belongs to the phase
  std::size_t end_step = 0;    ///< one past the last
  /// The steps with guidance, where guidance is on: GenerationRequest::guidance_interval.
  std::size_t first_guided_step = 0;
  std::size_t end_guided_step = std::numeric_limits<std::size_t>::max();

  std::int64_t steps() const { return static_cast<std::int64_t>(end_step - first_step); }
  /// Rows of the denoising model at a step.
  std::int64_t rows(std::size_t step) const;
  /// A copy that starts from the beginning. To be called before the first step.
  Phase repeated() const;
};

/// A part of an image that is too large to be generated as a whole.
struct Tile {
  NoiseSource noise;
  at::Tensor latents;         ///< [1, C, h, w]: the initial latents, and in the end the final ones
  at::Tensor extra_channels;  ///< see DiffusionGeneration
  /// Set by the tile's last step; the last tile is decoded by finish.
  DiffusionFinishTicket::DecodedTile decoded = {};
};

/// The result of a step, before it is committed.
struct StepResult {
  std::unique_ptr<Scheduler> scheduler;
  NoiseSource noise;
  Scheduler::Step step;
  at::Tensor kept_noise = {};                       ///< replaces PreservedRegion::noise if defined
  DiffusionFinishTicket::DecodedTile decoded = {};  ///< if the step ends_tile()
};

/// The part of an image that is not redrawn. After every step it is put back with the noise that the next step expects.
struct PreservedRegion {
  at::Tensor mask;     ///< [1, 1, h, w]: 1 where to redraw
  at::Tensor latents;  ///< [1, C, h, w], without noise
  at::Tensor noise;    ///< the same shape
};

/// Plain data for DiffusionPipeline. A step's changes are made by commit, after the whole step has succeeded.
class DiffusionGeneration : public Generation {
 public:
  DiffusionGeneration(std::uint64_t seed, Canvas image_canvas) : canvas(image_canvas), noise(seed), seed_(seed) {}

  bool finished_stepping() const override { return phase_index == phases.size(); }
  StepProgress progress() const override;
  int rows() const override;
  std::uint64_t seed() const override { return seed_; }
  int completed_passes() const override { return completed_passes_; }

  /// The phase of the next step. Not to be called when finished_stepping().
  const Phase& phase() const { return phases[phase_index]; }

  /// GeneratedImage::prompt_cut: true if it is for any phase.
  bool prompt_cut() const;
  /// GeneratedImage::prompt_tokens: those of the first phase.
  std::int64_t prompt_tokens() const;

  /// Begins the first phase that has steps. To be called after phases are set, before latents are set.
  void start();
  /// Sets the latents of an image that is generated one tile after another, each in a copy of the one phase. A single
  /// tile is the image itself. @param where  the tiles' positions in the generated image
  void begin_tiles(std::vector<Tile> parts, TileGrid where);
  /// Whether the next step is the last one of a tile that is not the last tile.
  bool ends_tile() const;
  /// Whether the next step is the last one of the first pass of two.
  bool ends_first_pass() const;
  /// Stores a step's result, and enters the next phase after the last step of one, or the second pass.
  void commit(StepResult next);

  Canvas canvas;
  double guidance_scale = 1.0;
  double guidance_rescale = 0.0;
  GuidanceRule guidance_rule = GuidanceRule::kFromUnconditional;  ///< with two rows
  double image_guidance_scale = 1.0;                              ///< used with three rows
  std::shared_ptr<const AdapterSet> adapters;                     ///< null: none

  Masking masking = Masking::kNone;
  std::optional<PreservedRegion> kept;
  std::shared_ptr<const KeptPixels> kept_pixels;  ///< of the request's image, in the finished one; null: none
  /// Further channels of the model's input, after the latents: [1, c, h, w] for all rows, or [k, c, h, w]. Undefined
  /// for most models.
  at::Tensor extra_channels;

  std::vector<Phase> phases;
  std::size_t phase_index = 0;
  std::size_t step_index = 0;  ///< into the phase's timesteps
  NoiseSource noise;
  at::Tensor latents;               ///< [1, C, h, w]
  at::Tensor pred_original_sample;  ///< x0 as predicted by the last step; undefined before the first

  std::vector<Tile> tiles;  ///< in the order of the phases; empty when the image is not tiled
  TileGrid grid;            ///< their positions, in pixels of the generated image

  std::shared_ptr<const HiresPlan> plan;             ///< of the second pass; null: there is none
  std::unique_ptr<DiffusionGeneration> second_pass;  ///< its phases are set and started; null once it was entered

 private:
  void enter_tile();
  void skip_empty_phases();
  void enter_second_pass();

  std::uint64_t seed_;
  int completed_passes_ = 0;
  std::int64_t earlier_steps_ = 0;  // of completed passes
};

}  // namespace easel
