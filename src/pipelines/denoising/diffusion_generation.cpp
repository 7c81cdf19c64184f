#include "pipelines/denoising/diffusion_generation.h"

#include <algorithm>
#include <utility>

namespace easel {

std::int64_t Phase::rows(std::size_t step) const {
  return step >= first_guided_step && step < end_guided_step ? conditioning.prompt_embeds.size(0) : 1;
}

Phase Phase::repeated() const {
  return {.denoiser = denoiser,
          .conditioning = conditioning,
          .scheduler = scheduler->clone(),
          .timesteps = timesteps,
          .sigmas = sigmas,
          .first_step = first_step,
          .end_step = end_step,
          .first_guided_step = first_guided_step,
          .end_guided_step = end_guided_step};
}

StepProgress DiffusionGeneration::progress() const {
  StepProgress progress;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    progress.steps_total += phases[i].steps();
    if (i < phase_index) progress.steps_done += phases[i].steps();
  }
  if (!finished_stepping()) progress.steps_done += static_cast<std::int64_t>(step_index - phase().first_step);
  progress.steps_done += earlier_steps_;
  progress.steps_total += earlier_steps_ + (second_pass ? second_pass->progress().steps_total : 0);
  return progress;
}

int DiffusionGeneration::rows() const {
  return finished_stepping() ? 0 : static_cast<int>(phase().rows(step_index));
}

bool DiffusionGeneration::prompt_cut() const {
  return std::any_of(phases.begin(), phases.end(), [](const Phase& phase) { return phase.conditioning.prompt_cut; });
}

std::int64_t DiffusionGeneration::prompt_tokens() const {
  return phases.empty() ? 0 : phases.front().conditioning.prompt_tokens;
}

void DiffusionGeneration::start() {
  phase_index = 0;
  skip_empty_phases();
}

void DiffusionGeneration::begin_tiles(std::vector<Tile> parts, TileGrid where) {
  if (parts.size() == 1) {
    noise = std::move(parts[0].noise);
    latents = std::move(parts[0].latents);
    extra_channels = std::move(parts[0].extra_channels);
    return;
  }
  tiles = std::move(parts);
  grid = std::move(where);
  while (phases.size() < tiles.size()) phases.push_back(phases[0].repeated());
  enter_tile();
}

void DiffusionGeneration::enter_tile() {
  const auto& tile = tiles[phase_index];
  noise = tile.noise;
  latents = tile.latents;
  extra_channels = tile.extra_channels;
}

bool DiffusionGeneration::ends_tile() const {
  return !tiles.empty() && phase_index + 1 < phases.size() && step_index + 1 == phase().end_step;
}

void DiffusionGeneration::commit(StepResult next) {
  phases[phase_index].scheduler = std::move(next.scheduler);
  noise = std::move(next.noise);
  latents = std::move(next.step.prev_sample);
  pred_original_sample = std::move(next.step.pred_original_sample);
  if (next.kept_noise.defined()) kept->noise = std::move(next.kept_noise);
  if (++step_index < phase().end_step) return;
  phases[phase_index].conditioning.images.clear();  // their memory is free for the decode
  phases[phase_index].conditioning.text_projections.reset();
  if (!tiles.empty()) {
    tiles[phase_index].latents = latents;
    tiles[phase_index].decoded = std::move(next.decoded);
  }
  ++phase_index;
  skip_empty_phases();
  if (!tiles.empty() && !finished_stepping()) enter_tile();
  if (finished_stepping() && second_pass) enter_second_pass();
}

bool DiffusionGeneration::ends_first_pass() const {
  if (!second_pass || finished_stepping() || step_index + 1 < phase().end_step) return false;
  return std::all_of(phases.begin() + static_cast<std::ptrdiff_t>(phase_index) + 1, phases.end(),
                     [](const Phase& later) { return later.steps() == 0; });
}

void DiffusionGeneration::enter_second_pass() {
  const auto second = std::move(second_pass);
  const auto done = progress().steps_done;
  *this = std::move(*second);
  earlier_steps_ = done;
  completed_passes_ = 1;
}

void DiffusionGeneration::skip_empty_phases() {
  while (!finished_stepping() && phase().steps() == 0) ++phase_index;
  if (!finished_stepping()) step_index = phase().first_step;
}

}  // namespace easel
