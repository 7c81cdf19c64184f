// How images start: what their first latents are made from, and what the denoising model sees in addition to them.
#pragma once

#include <cstddef>
#include <memory>

#include "easel/generation.h"
#include "easel/scheduler.h"
#include "nn/run_context.h"
#include "pipelines/denoising/denoiser.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/images/canvas.h"
#include "pipelines/images/image_codec.h"
#include "tensor/placement.h"

namespace easel {

/// What StartStrategy::read has at hand. All references outlive the RequestStart that it returns.
struct StartInput {
  const GenerationRequest& request;
  const Canvas& canvas;
  Guidance guidance;
  const ImageCodec& codec;
  const Placement& placement;  ///< of the denoising model
  const RunContext& context;
  at::Tensor image_latents = {};  ///< [1, C, h, w], scaled: to start from instead of the request's image, if defined
};

/// What the images of one request start from. Its input images are read and encoded once for all of them. Immutable.
class RequestStart {
 public:
  virtual ~RequestStart() = default;

  /// Draws a generation's first noise, in the reference's order, and sets its latents and everything that depends on
  /// the request's image. The generation's phases are set and started.
  virtual void begin(DiffusionGeneration& generation) const = 0;
};

/// A family's way to start images: FromNoiseOrImage, FromInstruction or FromLowResolution. Immutable; thread-safe.
///
/// Call order for a request: check, then the others. The request has the fields that the family requires and none that
/// it does not use (ModelDescription::needs_image, request_fields.h).
class StartStrategy {
 public:
  virtual ~StartStrategy() = default;

  /// @throws Error(kInvalidArgument)  a value is out of range or lacks a field that it depends on; names the field
  virtual void check(const GenerationRequest& request) const = 0;

  virtual Canvas canvas(const GenerationRequest& request) const = 0;

  /// Whether unconditional rows run along with each image's own row.
  virtual Guidance guidance(const GenerationRequest& request, double guidance_scale,
                            const DenoisingModel& model) const = 0;

  /// Whether images may start from latents, and so have a second pass (GenerationRequest::hires).
  virtual bool starts_from_latents() const { return false; }

  /// SchedulerOptions::strength.
  virtual double scheduler_strength(const GenerationRequest&) const { return 1.0; }

  /// The step that the request's images start at. @param scheduler  with the request's timesteps set
  /// @throws Error(kInvalidArgument)  no step is left; names the field
  virtual std::size_t first_step(const GenerationRequest&, const Scheduler&) const { return 0; }

  /// @throws Error(kInvalidArgument)  the image or the mask is malformed; names the field
  /// @throws Error(kCancelled)
  virtual std::unique_ptr<const RequestStart> read(const StartInput& input) const = 0;
};

}  // namespace easel
