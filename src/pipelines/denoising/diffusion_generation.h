// One image's state between two steps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "easel/noise.h"
#include "easel/pipeline.h"
#include "easel/scheduler.h"
#include "image/tiles.h"
#include "nn/adapter_set.h"
#include "pipelines/denoising/diffusion_tickets.h"
#include "pipelines/images/canvas.h"
#include "pipelines/prompts/conditioner.h"

namespace easel {

/// A stretch of an image's steps under one UNet, with a scheduler of its own. Most images have one phase; base and
/// refiner make two.
struct Phase {
  std::size_t denoiser = 0;  ///< which of the pipeline's UNets
  UNetConditioning conditioning;
  std::unique_ptr<Scheduler> scheduler;  ///< timesteps are set
  at::Tensor timesteps;                  ///< float32 [S] on the device: what the UNet is told at the scheduler's steps
  at::Tensor sigmas;                     ///< float32 [S] on the CPU: where the UNet is preconditioned; else undefined
  std::size_t first_step = 0;            ///< the scheduler's steps that belong to the phase: from this one ...
  std::size_t end_step = 0;              ///< ... up to, without, this one

  std::int64_t steps() const { return static_cast<std::int64_t>(end_step - first_step); }
  /// The same stretch once more, from its beginning. Before the first step.
  Phase repeated() const;
};

/// A part of an image that is drawn as one of its own, because the whole is too large.
struct Tile {
  NoiseSource noise;
  at::Tensor latents;         ///< [1, C, h, w]: to begin with, and at the end as drawn
  at::Tensor extra_channels;  ///< as DiffusionGeneration's
  DiffusionFinishTicket::DecodedTile decoded =
      {};  ///< from the tile's last step on; of the last tile only finish knows
};

/// What a step makes, before anything is replaced.
struct StepResult {
  std::unique_ptr<Scheduler> scheduler;
  NoiseSource noise;
  Scheduler::Step step;
  at::Tensor kept_noise = {};                       ///< PreservedRegion::noise from now on; undefined: as it was
  DiffusionFinishTicket::DecodedTile decoded = {};  ///< where it ends_tile()
};

/// The part of an image that is not redrawn. After every step it is put back, as noisy as the next step expects.
struct PreservedRegion {
  at::Tensor mask;     ///< [1, 1, h, w]: 1 where to redraw
  at::Tensor latents;  ///< [1, C, h, w], without noise
  at::Tensor noise;    ///< the same shape
};

/// Plain data for DiffusionPipeline. What a step changes is replaced by commit alone, when the whole step has
/// succeeded.
class DiffusionGeneration : public Generation {
 public:
  DiffusionGeneration(std::uint64_t seed, Canvas image_canvas) : canvas(image_canvas), noise(seed), seed_(seed) {}

  bool finished_stepping() const override { return phase_index == phases.size(); }
  StepProgress progress() const override;
  int rows() const override;
  std::uint64_t seed() const override { return seed_; }

  /// The phase of the next step. Not to be called when finished_stepping().
  const Phase& phase() const { return phases[phase_index]; }

  /// GeneratedImage::prompt_cut, from the conditions of any phase.
  bool prompt_cut() const;

  /// Begins the first phase that has a step. After phases are set, before latents and the first step.
  void start();
  /// Instead of setting latents: draws one tile after the other, each in a phase like the one that there is. One tile
  /// is the image itself. @param where  the tiles' places in the drawing
  void begin_tiles(std::vector<Tile> parts, TileGrid where);
  /// Whether the next step is the last of a tile that others follow.
  bool ends_tile() const;
  /// Takes a step's result over, and goes on to the next phase after the last step of one.
  void commit(StepResult next);

  Canvas canvas;
  double guidance_scale = 1.0;
  double guidance_rescale = 0.0;
  double image_guidance_scale = 1.0;           ///< where there are three rows
  std::shared_ptr<const AdapterSet> adapters;  ///< null: none

  std::optional<PreservedRegion> kept;
  /// What the UNet sees beside the latents: [1, c, h, w] for all rows, or [k, c, h, w]; undefined for most models.
  at::Tensor extra_channels;

  std::vector<Phase> phases;
  std::size_t phase_index = 0;
  std::size_t step_index = 0;  ///< into the phase's timesteps
  NoiseSource noise;
  at::Tensor latents;               ///< [1, C, h, w]
  at::Tensor pred_original_sample;  ///< x0 as the last step saw it; undefined before the first

  std::vector<Tile> tiles;  ///< in the order of the phases; empty when the image is drawn whole
  TileGrid grid;            ///< where they lie, in pixels of the drawing

 private:
  void enter_tile();
  void skip_empty_phases();

  std::uint64_t seed_;
};

}  // namespace easel
