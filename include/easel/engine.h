// The engine: one loop a device that advances everybody's images step by step. No torch here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "easel/error.h"
#include "easel/generation.h"
#include "easel/image.h"
#include "easel/observer.h"
#include "easel/pipeline.h"

namespace easel {

/// Told by a loader how far it is, 0 to 1, as often as it likes. Cheap and thread-safe. Empty: nobody asks.
using LoadProgress = std::function<void(double)>;

/// A model that can be served: what is known of it, and how to load it.
struct ServedModel {
  ModelDescription description;
  /// Reads the weights. Called whenever the model is to come into the memory of a device (one of
  /// EngineOptions::devices), on that device's loader thread, one model at a time there, while the loops draw with
  /// others. The pipeline is used, and destroyed, on the thread of that device's loop.
  /// @throws Error  why not: the answer to the requests that wait for it; kResourceExhausted: out of memory
  std::function<std::unique_ptr<Pipeline>(const std::string& device, const LoadProgress&)> load;
  /// Loaded at the start, and leaves memory only when Engine::unload asks for it. Of several devices it is pinned to
  /// one, so that pinned models are spread out; another gets a copy when requests are served sooner by it.
  bool pinned = false;
};

/// Where a request stands among those that have no answer yet.
struct QueuePosition {
  std::size_t ahead = 0;    ///< requests that will probably have their answers before it
  double wait_seconds = 0;  ///< until its own answer, estimated from measured costs; 0 once it has ended
};

/// What is told to the listener of a request while it is drawn.
struct ProgressEvent {
  enum class Kind {
    kQueued,    ///< accepted; `position` says where it stands. Told again when `ahead` changes, at most once a second
    kStarted,   ///< its first image is begun
    kStep,      ///< the device is through with a step of image `image`
    kDecoding,  ///< image `image` has its last step and is being decoded
  };
  Kind kind = Kind::kQueued;
  std::int64_t image = 0;          ///< index in the request; kStep and kDecoding
  StepProgress progress{};         ///< of that image; kStep and kDecoding
  std::optional<Image> preview{};  ///< rough, at latent resolution; kStep, where SubmitOptions asks for it
  QueuePosition position{};        ///< kQueued
};

/// Called from the engine's thread, never twice at once for one request; a call that was under way when the job ended
/// is the last. It holds up everybody's images, so it must only hand the event on; it may cancel its job. What it
/// throws is dropped, and the listener with it. It must not own its job, which owns it.
using ProgressListener = std::function<void(const ProgressEvent&)>;

/// SubmitOptions::priority is from -kMaxPriority to kMaxPriority.
inline constexpr int kMaxPriority = 3;

/// Who asks, and on what terms.
struct SubmitOptions {
  /// Whose request it is: an API key's name or a client's address. Accounts share the device fairly, then the requests
  /// of an account among themselves. Requests without a name share one account.
  std::string account{};
  double share = 1;  ///< of its account, against the others'; above 0
  /// Each level has 8 times the weight of the one below, -3 to 3, so that a lower level is slowed, never starved.
  int priority = 0;
  /// From acceptance to the answer; then the job ends with kDeadlineExceeded, at whatever stage it is. Above 0.
  std::optional<std::chrono::milliseconds> timeout{};
  std::size_t max_pending_per_account =
      0;                        ///< requests of the account without an answer, this one included; 0: no limit
  ProgressListener listener{};  ///< costs nothing when empty
  /// Steps of an image from one preview to the next; 0: none. Some are left out where previews would take more than a
  /// tenth of the request's device time.
  std::int64_t preview_every = 0;
};

/// What a request has cost so far.
struct JobStats {
  double queued_seconds = 0;  ///< from acceptance until its first image was begun, or until now
  double run_seconds = 0;     ///< from there until its end, or until now
  double device_seconds = 0;  ///< its part of the measured time of the work it was in
  int max_rows = 0;           ///< UNet rows of the largest step it was in, others' rows included
  std::string device{};       ///< that draws it; empty until it was begun
};

/// The engine's side of one accepted request. Shared by who waits and who draws; every method is thread-safe.
class Job {
 public:
  virtual ~Job() = default;
  /// Waits at most `timeout`; true when the job has ended, in a result or an error. It ends once and stays as it ended.
  virtual bool wait_for(std::chrono::milliseconds timeout) = 0;
  /// The images, in order. Blocks until the job has ended. Call once.
  /// @throws Error  why there are none: kCancelled, kDeadlineExceeded, kUnavailable (the engine is gone, or drained),
  ///                or what loader or pipeline said; kInternal when taken a second time
  virtual std::vector<GeneratedImage> take() = 0;
  /// Gives the job up: it ends at once with kCancelled and leaves its place to another; its rows are gone within one
  /// step or one block of a decode. Does nothing to a job that has ended. Idempotent.
  virtual void cancel() = 0;
  /// The slowest image's progress, in steps that the device is through with; {0, 0} until it has begun.
  virtual StepProgress progress() const = 0;
  /// Where it stands now. As good as the estimates: a model's first requests are guessed from its size.
  virtual QueuePosition position() const = 0;
  /// What it has cost; final once it has ended.
  virtual JobStats stats() const = 0;
};

struct EngineOptions {
  /// Names, as loaders know them: one loop each, all fed from one queue. A request goes where its answer is expected
  /// first by measured costs, loading the model included. Bounds by device hold for each.
  std::vector<std::string> devices{"cpu"};
  std::size_t max_waiting = 64;  ///< accepted requests that have not ended; more are refused
  /// Images in memory at once, by device; a request with more is begun in parts. A quarter of the places is kept for
  /// the first images of requests that come later.
  std::int64_t max_active_generations = 16;
  /// Further images in memory, by device: when all places are taken, a request that needs much less time than those
  /// who have them gets one of these for an image, and others are put aside for it. An image that is put aside is a
  /// few latents; a step's memory depends on its rows alone. 0: who comes later waits for a place.
  std::int64_t max_parked_generations = 48;
  int max_steps_in_flight = 2;  ///< tickets not yet waited for, by device
  /// Estimated device time of the accepted requests, in seconds; one that would exceed it is refused, unless it is the
  /// only one. 0: no limit.
  double max_waiting_seconds = 0;
  /// No step is given more company than it takes to last this long, in seconds by measured costs; 0: no limit.
  double max_step_seconds = 0;
  /// ModelDescription::memory_bytes of the models in memory and of the one that loads, together, by device; 0: no
  /// limit. Beyond it the least recently used one leaves, never in the middle of a request.
  std::int64_t memory_budget = 0;
  std::optional<std::chrono::milliseconds> keep_alive{};  ///< a model that idle leaves memory; none: it stays
  std::chrono::milliseconds load_retry{30000};  ///< how long a failed load is the answer before it is tried again
  std::shared_ptr<EngineObserver> observer{};   ///< null: nobody counts
};

enum class ModelState { kUnloaded, kLoading, kReady, kFailed };

/// A model on one device.
struct ModelOnDevice {
  std::string device{};
  ModelState state = ModelState::kUnloaded;
  std::int64_t memory_bytes = 0;  ///< held now: the description's while loading or ready, else 0
  double loading_progress = 0;    ///< 0 to 1; 1 when ready
  std::string failure{};          ///< why the latest load failed; kFailed only
};

/// A model as it is now.
struct ModelStatus {
  /// The best there is of it on any device: ready, else loading, else failed, else unloaded.
  ModelState state = ModelState::kUnloaded;
  std::int64_t memory_bytes = 0;  ///< held now, on all devices
  bool pinned = false;
  double loading_progress = 0;           ///< 0 to 1; 1 when ready
  std::string failure{};                 ///< why the latest load failed; kFailed only
  std::vector<ModelOnDevice> devices{};  ///< one each, in the order of EngineOptions::devices
  /// When an image of it was last worked on, or when it was loaded; none before.
  std::optional<std::chrono::system_clock::time_point> last_used{};
};

/// Takes requests, draws them, gives each exactly one answer.
///
/// Thread-safe. The first model and the pinned ones are loaded at once, the others when first asked for, on threads of
/// their own: who waits for a model holds up nobody else. A device on which one request after the other fails is spared
/// for a while where there are others.
class Engine {
 public:
  /// Ends every request that has no answer yet with kUnavailable. Waits for the block in progress, or a model's
  /// loading.
  virtual ~Engine() = default;

  /// The first model is the default one.
  virtual const std::vector<ModelDescription>& models() const = 0;
  /// @throws Error(kNotFound)  no such id
  virtual ModelStatus status(const std::string& id) const = 0;
  ModelState model_state(const std::string& id) const { return status(id).state; }

  /// Asks for a model: returns at once, status() tells the rest. Of several devices the one that has it soonest loads
  /// it. One that failed is tried again without waiting for load_retry. Nothing happens where it is in memory already.
  /// @throws Error(kNotFound)     no such id
  /// @throws Error(kUnavailable)  draining
  virtual void load(const std::string& id) = 0;
  /// Asks for a model's memory, on every device: returns at once. It is freed when the requests that were begun with it
  /// have ended; those that wait, or come later, load it again. Nothing happens where it is not in memory.
  /// @throws Error(kNotFound)  no such id
  virtual void unload(const std::string& id) = 0;

  /// Queues a request.
  /// @throws Error(kInvalidArgument)    num_images is below 1, or an option is out of its range
  /// @throws Error(kNotFound)           no such model
  /// @throws Error(kResourceExhausted)  max_waiting, max_waiting_seconds or the account's limit reached: see
  ///                                    estimated_wait()
  /// @throws Error(kUnavailable)        draining
  virtual std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) = 0;
  std::shared_ptr<Job> submit(GenerationRequest request) { return submit(std::move(request), SubmitOptions{}); }

  /// Seconds until a place is likely to be free, from measured costs: what to tell who was refused. Above 0.
  virtual double estimated_wait() const = 0;

  /// Refuses new requests from now on and returns when every accepted one has its answer and no image is in memory.
  /// What has none after `timeout` is ended with kUnavailable. Idempotent; any number of threads may wait in it.
  /// @return whether everything ended in its own way
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
  void drain() { drain(std::chrono::milliseconds::max()); }
};

/// Starts the loops.
/// @throws Error(kInvalidArgument)  no model, two with the same id, no device, one named twice, or an option out of its
///                                  range
std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options);

}  // namespace easel
