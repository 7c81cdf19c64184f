// What the engine knows of a model: four calls on images that are generated step by step. This header does not include
// torch, so engine and http build and run without it, and tests use a fake.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/stop.h"

namespace easel {

/// The state of one image in progress: prompt embeddings, latents, noise source, scheduler state, step index. Made by
/// Pipeline::begin; its contents are known only to that pipeline. Used by one thread at a time.
class Generation {
 public:
  virtual ~Generation() = default;
  /// True when all steps are done and only Pipeline::finish is left.
  virtual bool finished_stepping() const = 0;
  virtual StepProgress progress() const = 0;
  /// Rows of the denoising model that the next step needs: 1 without guidance, 2 with guidance, 3 where an image guides
  /// too. 0 after the last step.
  virtual int rows() const = 0;
  virtual std::uint64_t seed() const = 0;
  /// 1 in the second pass of a request with GenerationRequest::hires, otherwise 0.
  virtual int completed_passes() const { return 0; }
};

/// Work that was enqueued on a device and may still be running.
///
/// Call order: wait, then the concrete ticket's result. On a CPU a ticket is done when it is returned. A ticket may be
/// destroyed without waiting: the work continues, and its result is lost.
class Ticket {
 public:
  virtual ~Ticket() = default;
  /// True if wait would not block.
  virtual bool done() const = 0;
  /// Blocks until the work has finished.
  /// @throws Error(kInternal, kResourceExhausted, kDeviceLost)  the device failed
  virtual void wait() = 0;
};

/// The ticket of begin: the generations of a request, one per image, in order.
class BeginTicket : public Ticket {
 public:
  /// To be called once. The generations may be stepped immediately, without wait, because a device keeps the order of
  /// work.
  virtual std::vector<std::unique_ptr<Generation>> take() = 0;
};

/// The ticket of step: which generations are still finite.
class StepTicket : public Ticket {
 public:
  /// One flag per generation of the step, in order: false if its latents hold infinities or NaN. To be called after
  /// wait().
  virtual std::vector<bool> finite() = 0;
};

/// The ticket of finish: the images.
class FinishTicket : public Ticket {
 public:
  /// To be called once, after wait(). Images are in the order of the generations.
  virtual std::vector<GeneratedImage> take() = 0;
};

/// A loaded model of one family on one device.
///
/// The calls for one image must match: begin step* finish, with preview anywhere between them. All calls come from one
/// thread, the engine's loop for the device, which also destroys the pipeline. It is made on another thread, the
/// engine's loader, while the loop may be running other models. description() may be called from any thread at any
/// time.
class Pipeline {
 public:
  virtual ~Pipeline() = default;

  virtual const ModelDescription& description() const = 0;

  /// Tokenizes and encodes the prompt (cached), draws the noise and prepares the scheduler for each of the n images.
  /// The engine may begin a request in parts: the k images from index i are those of a request for k images with seed +
  /// i.
  /// @throws Error(kInvalidArgument)  a value that this model cannot use; names the field
  /// @throws Error(kCancelled)        stop returned true
  virtual std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) = 0;

  /// Generations with equal keys may share a step; the key has no other meaning. It can change with every step, so it
  /// is queried again after each.
  virtual std::string batch_key(const Generation& generation) const = 0;

  /// Advances each generation by one of its steps, in one model call. If it throws, no generation has changed, and the
  /// call can be repeated with the same or fewer generations. A generation's result does not depend on the others in
  /// its batch (bit for bit on a CPU, if called with one generation at a time).
  /// @throws Error(kInvalidArgument)    no generations, different keys, or a generation without steps left
  /// @throws Error(kResourceExhausted)  out of device memory
  /// @throws Error(kDeviceLost)         the device fails this and every later call
  /// @throws Error(kCancelled)          stop returned true
  virtual std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) = 0;

  /// An approximate image of the current state, mostly at latent resolution; none before the first step. A later step
  /// of the generation may already be in progress. The engine calls it only if a client wants previews, and less often
  /// if it is slow.
  virtual std::optional<Image> preview(const Generation& generation) = 0;

  /// Decodes finished latents into images of the requested size. May be called before the last step's ticket was waited
  /// for. The engine passes one generation at a time, because a decode takes as long as several steps and needs by far
  /// the most memory.
  /// @throws as step
  virtual std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) = 0;

  /// The most generations that step should be given at once on this device: 1 on a CPU, where batching gains nothing
  /// and would change the last bits of results.
  virtual int max_generations_per_step() const = 0;
};

}  // namespace easel
