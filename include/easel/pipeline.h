// What the engine knows of a model: four calls on resumable images. No torch here, so engine and http build and run
// without it, and tests give them a fake.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/stop.h"

namespace easel {

/// One image on its way: prompt embeddings, latents, noise source, scheduler state, step index.
/// Made by Pipeline::begin, and known in full only to the pipeline that made it. Owned by one thread at a time.
class Generation {
 public:
  virtual ~Generation() = default;
  /// True when only Pipeline::finish is left.
  virtual bool finished_stepping() const = 0;
  virtual StepProgress progress() const = 0;
  /// UNet rows that the next step costs: 1 without guidance, 2 with.
  virtual int rows() const = 0;
  virtual std::uint64_t seed() const = 0;
};

/// Work that was handed to a device and may still be running there.
///
/// Call order: wait, then the result of the concrete ticket. On a CPU a ticket is done when it is returned. Dropping a
/// ticket that was not waited for is allowed: the work goes on, its result is lost.
class Ticket {
 public:
  virtual ~Ticket() = default;
  /// True when wait would not block.
  virtual bool done() const = 0;
  /// Blocks until the device is through.
  /// @throws Error(kInternal, kResourceExhausted)  the device failed
  virtual void wait() = 0;
};

/// Of begin: the generations of a request, one an image, in order.
class BeginTicket : public Ticket {
 public:
  /// Call once. The generations may be stepped at once, waited for or not: a device keeps the order.
  virtual std::vector<std::unique_ptr<Generation>> take() = 0;
};

/// Of step: which rows are still worth going on with.
class StepTicket : public Ticket {
 public:
  /// One flag a generation of the step, in order: false when its latents hold an infinity or NaN. After wait().
  virtual std::vector<bool> finite() = 0;
};

/// Of finish: the images.
class FinishTicket : public Ticket {
 public:
  /// Call once, after wait(). In the order of the generations given.
  virtual std::vector<GeneratedImage> take() = 0;
};

/// A loaded model of one family on one device.
///
/// The sequence of calls for one image must match: begin step* finish, with preview anywhere between. Calls come from
/// one thread at a time (the engine's loop for that device), which also destroys it; it is made on another one, the
/// engine's loader, while the loop may be drawing with other models. description() from any thread, at any time.
class Pipeline {
 public:
  virtual ~Pipeline() = default;

  virtual const ModelDescription& description() const = 0;

  /// Tokenises, encodes the prompt (cached), draws the noise and prepares the scheduler for each of the n images.
  /// The engine may begin a request in parts: images i to i + k are the k images of the same request with seed + i.
  /// @throws Error(kInvalidArgument)  a value this model cannot draw; names the field
  /// @throws Error(kCancelled)        stop said so
  virtual std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) = 0;

  /// Generations with equal keys may share a step; nothing else about the key means anything. It may change with every
  /// step, so it is asked again after each.
  virtual std::string batch_key(const Generation& generation) const = 0;

  /// Advances each generation by one step of its own, in one model call. All or nothing: when it throws, no generation
  /// has moved and the call can be repeated, whole or with fewer rows. A generation's result does not depend on its
  /// companions (on a CPU to the bit, when called with one generation at a time).
  /// @throws Error(kInvalidArgument)    empty, keys differ, or a generation has no step left
  /// @throws Error(kResourceExhausted)  out of device memory
  /// @throws Error(kCancelled)          stop said so
  virtual std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) = 0;

  /// A rough image of where a generation is heading, at latent resolution; none before its first step. A later step
  /// of it may be in flight already. Only asked for where somebody looks, and less often where it is slow.
  virtual std::optional<Image> preview(const Generation& generation) = 0;

  /// Decodes finished latents into images of the size asked for. May follow the last step before that was waited for.
  /// The engine gives one generation at a time: a decode takes several steps' time and by far the most memory.
  /// @throws as step
  virtual std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) = 0;

  /// Most generations that step should be given at once on this device: 1 on a CPU, where batching gains nothing and
  /// one at a time keeps the bits.
  virtual int max_generations_per_step() const = 0;
};

}  // namespace easel
