// Which steps of a scheduler an image goes through: the request's count, timesteps or sigmas, and its strength.
#pragma once

#include <cstddef>
#include <cstdint>

#include "easel/generation.h"
#include "easel/scheduler.h"

namespace easel {

/// Begins a run at the request's timesteps or sigmas, or else over its number of steps, as diffusers'
/// retrieve_timesteps does: with a list of its own num_inference_steps has no part in it.
/// @throws Error(kInvalidArgument, kUnsupported)  both lists, or one that the scheduler does not take; names the field
void set_request_timesteps(Scheduler& scheduler, const GenerationRequest& request, std::int64_t default_steps);

/// The step that an image begins at which goes through a share of a run. Of a run at timesteps or sigmas of the
/// request's own every model evaluation counts as an inference step, as in diffusers; so a scheduler of second order
/// leaves out twice as much.
/// @throws Error(kInvalidArgument)  strength is not within 0 to 1, or leaves no step; param strength
std::size_t first_step_for_strength(const Scheduler& scheduler, const GenerationRequest& request,
                                    std::int64_t default_steps, double strength);

}  // namespace easel
