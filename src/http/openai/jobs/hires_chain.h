// A second pass that begins from what another model made of the first.
#pragma once

#include <memory>

#include "easel/engine.h"
#include "easel/generation.h"

namespace easel::http {

/// Submits a request with HiresPass::upscaler_model: its first pass now, and on a thread of its own, when that has
/// ended, the enlargement of each image by the other model, without a prompt, and image to image of each result. The
/// parts are requests of their own for the engine, on the same terms. A part that finds no place waits for one.
/// @return a job that ends when the last part has ended; cancelling or destroying it cancels all parts
/// @throws Error  as Engine::submit
std::shared_ptr<Job> submit_hires_chain(Engine& engine, GenerationRequest request, const SubmitOptions& options);

}  // namespace easel::http
