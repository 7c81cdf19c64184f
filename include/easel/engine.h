// The engine: one loop a device that advances everybody's pictures step by step. No torch here.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "easel/error.h"
#include "easel/generation.h"
#include "easel/pipeline.h"

namespace easel {

/// A model that can be served: what is known of it, and how to load it.
struct ServedModel {
  ModelDescription description;
  /// Reads the weights; called at most once, on the engine's thread. May throw Error; its requests then fail with it.
  std::function<std::unique_ptr<Pipeline>()> load;
};

/// The engine's side of one accepted request. Shared by who waits and who draws; every method is thread-safe.
class Job {
 public:
  virtual ~Job() = default;
  /// Waits at most `timeout`; true when the job has ended, in a result or an error. It ends once and stays as it ended.
  virtual bool wait_for(std::chrono::milliseconds timeout) = 0;
  /// The pictures, in order. Blocks until the job has ended. Call once.
  /// @throws Error  why there are none: kCancelled, kUnavailable (the engine is gone), or what loader or pipeline said;
  ///                kInternal when taken a second time
  virtual std::vector<GeneratedImage> take() = 0;
  /// Gives the job up: it ends at once with kCancelled and leaves its place to another; its rows are gone within one
  /// step or one block of a decode. Does nothing to a job that has ended. Idempotent.
  virtual void cancel() = 0;
  /// The slowest picture's progress, in steps that the device is through with; {0, 0} until it has begun.
  virtual StepProgress progress() const = 0;
};

struct EngineOptions {
  std::size_t max_waiting = 64;              ///< accepted requests that have not ended; more are refused
  std::int64_t max_active_generations = 16;  ///< pictures in memory at once; a request with more is begun in parts
  int max_steps_in_flight = 2;               ///< tickets not yet waited for
};

enum class ModelState { kUnloaded, kLoading, kReady, kFailed };

/// Takes requests, draws them, gives each exactly one answer.
///
/// Thread-safe. Models are loaded on the engine's own thread: the first one at once, the others when first asked for.
class Engine {
 public:
  /// Ends every request that has no answer yet with kUnavailable. Waits for the block in progress, or a model's
  /// loading.
  virtual ~Engine() = default;

  /// The first model is the default one.
  virtual const std::vector<ModelDescription>& models() const = 0;
  /// @throws Error(kNotFound)  no such id
  virtual ModelState model_state(const std::string& id) const = 0;

  /// Queues a request.
  /// @throws Error(kInvalidArgument)    num_images is below 1
  /// @throws Error(kNotFound)           no such model
  /// @throws Error(kResourceExhausted)  max_waiting reached
  /// @throws Error(kUnavailable)        draining
  virtual std::shared_ptr<Job> submit(GenerationRequest request) = 0;

  /// Refuses new requests from now on and returns when every accepted one has its answer and no picture is in memory.
  /// Idempotent; any number of threads may wait in it.
  virtual void drain() = 0;
};

/// Starts the loop.
/// @throws Error(kInvalidArgument)  no model, two with the same id, or an option below 1
std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options);

}  // namespace easel
