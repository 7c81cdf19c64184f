// The engine: one loop for each device, which advances the images of all requests step by step. No torch here.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
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

/// A loader calls this with its progress, 0 to 1, as often as it likes. Cheap and thread-safe; empty if the progress is
/// not needed.
using LoadProgress = std::function<void(double)>;

/// A model that can be served: its description, and how to load it.
struct ServedModel {
  ModelDescription description;
  /// Reads the weights into the memory of a device, one of EngineOptions::devices. Called on that device's loader
  /// thread, for one model at a time, while the loops go on generating with other models. The pipeline is used and
  /// destroyed on the thread of that device's loop.
  /// @throws Error  ends the requests that wait for the model; kResourceExhausted: out of memory
  std::function<std::unique_ptr<Pipeline>(const std::string& device, const LoadProgress&)> load;
  /// Loaded at the start, and unloaded only by Engine::unload. Where there are several devices each pinned model is
  /// pinned to one of them, so that they are spread out; another device loads a copy when that serves requests sooner.
  bool pinned = false;
  /// Looks at a request before it is queued, so that a client learns at once of what would fail on the device. Cheap
  /// and thread-safe; may be empty. @throws Error  becomes that of Engine::submit
  std::function<void(const GenerationRequest&)> check{};
};

/// The served models at one moment. Copies are cheap: they share the descriptions, which stay valid for as long as any
/// copy exists, whatever is added to or removed from the engine meanwhile. Immutable, so thread-safe.
class ModelList {
 public:
  explicit ModelList(std::vector<ModelDescription> models)
      : models_(std::make_shared<const std::vector<ModelDescription>>(std::move(models))) {}

  operator const std::vector<ModelDescription>&() const { return *models_; }
  auto begin() const { return models_->begin(); }
  auto end() const { return models_->end(); }
  std::size_t size() const { return models_->size(); }
  const ModelDescription& front() const { return models_->front(); }
  const ModelDescription& operator[](std::size_t index) const { return (*models_)[index]; }

 private:
  std::shared_ptr<const std::vector<ModelDescription>> models_;
};

/// Where a request stands among the requests that have not ended.
struct QueuePosition {
  std::size_t ahead = 0;    ///< requests that will probably end before it
  double wait_seconds = 0;  ///< estimated from measured costs until it ends; 0 once it has ended
};

/// What the listener of a request receives while the request is served.
struct ProgressEvent {
  enum class Kind {
    kQueued,    ///< accepted; see `position`. Sent again when `ahead` changes, at most once a second
    kStarted,   ///< its first image is begun
    kStep,      ///< the device has completed a step of image `image`
    kDecoding,  ///< image `image` has completed its last step and is being decoded
  };
  Kind kind = Kind::kQueued;
  std::int64_t image = 0;          ///< index in the request; kStep and kDecoding
  StepProgress progress{};         ///< of that image; kStep and kDecoding
  std::optional<Image> preview{};  ///< rough, mostly at latent resolution; kStep, if SubmitOptions asks for it
  QueuePosition position{};        ///< kQueued
};

/// Called from the engine's thread, for one request never twice at the same time. A call that was under way when the
/// job ended is the last one. The call delays the images of all requests, so it must only pass the event on; it may
/// cancel its job. If it throws, the exception is dropped and the listener is not called again. It must not own its
/// job, because the job owns it.
using ProgressListener = std::function<void(const ProgressEvent&)>;

/// SubmitOptions::priority is from -kMaxPriority to kMaxPriority.
inline constexpr int kMaxPriority = 3;
/// SubmitOptions::preview_count is at most this.
inline constexpr std::int64_t kMaxPreviewCount = 16;

/// On whose behalf a request is made, and on what terms.
struct SubmitOptions {
  /// The name of an API key or the address of a client. Accounts share the devices fairly, then the requests of an
  /// account among themselves. Requests with an empty name share one account.
  std::string account{};
  double share = 1;  ///< the account's weight against the other accounts; above 0
  /// -3 to 3. Each level has 8 times the weight of the one below, so a lower level is slowed but never starved.
  int priority = 0;
  /// From acceptance until the end; then the job ends with kDeadlineExceeded, at whatever stage it is. Above 0.
  std::optional<std::chrono::milliseconds> timeout{};
  /// Longest time in the queue: a request that has not begun by then ends with kDeadlineExceeded. The time counts only
  /// while the device that the request is assigned to works for other accounts, and not while the request's model is
  /// being loaded. At least three times the request's own estimated time, whatever is given here. Above 0.
  std::optional<std::chrono::milliseconds> queue_timeout{};
  /// Requests of the account that have not ended, this one included; 0: no limit.
  std::size_t max_pending_per_account = 0;
  ProgressListener listener{};  ///< may be empty, which costs nothing
  /// Steps of an image from one preview to the next; 0: none. Previews are skipped where they would take more than a
  /// tenth of the request's device time.
  std::int64_t preview_every = 0;
  /// Previews of each image, spread evenly over its steps: the k-th of p after step k * steps / (p + 1), rounded up; 0
  /// to kMaxPreviewCount. They are made whatever they cost. An image of few steps has fewer of them, because its last
  /// step has none. May be combined with `preview_every`.
  std::int64_t preview_count = 0;
};

/// What a request has cost so far.
struct JobStats {
  double queued_seconds = 0;  ///< from acceptance until its first image was begun, or until now
  double run_seconds = 0;     ///< from then until its end, or until now
  double device_seconds = 0;  ///< its part of the measured time of the work that it took part in
  int max_rows = 0;           ///< UNet rows of the largest step that it took part in, other requests' rows included
  std::string device{};       ///< where it runs; empty until it was begun
};

/// An accepted request. Shared by the thread that waits for it and the engine; every method is thread-safe.
class Job {
 public:
  virtual ~Job() = default;
  /// Waits at most `timeout`. @return true if the job has ended, with images or an error. A job ends once
  virtual bool wait_for(std::chrono::milliseconds timeout) = 0;
  /// The images, in order. Blocks until the job has ended. Call once.
  /// @throws Error  why there are none: kCancelled, kDeadlineExceeded, kUnavailable (the engine was destroyed or
  ///                drained), or what the loader or the pipeline threw; kInternal if called a second time
  virtual std::vector<GeneratedImage> take() = 0;
  /// Ends the job at once with kCancelled and frees its place in the queue. Its rows leave the device within one step
  /// or one block of a decode. Does nothing to a job that has ended. Idempotent.
  virtual void cancel() = 0;
  /// The progress of the slowest image, in steps that the device has completed; {0, 0} until it has begun.
  virtual StepProgress progress() const = 0;
  /// Where it stands now. As good as the estimates: the first requests for a model are estimated from its size.
  virtual QueuePosition position() const = 0;
  /// What it has cost; final once it has ended.
  virtual JobStats stats() const = 0;
};

/// When a rejected request should be sent again. In seconds, at least 1.
struct RetryAdvice {
  double estimated_wait = 1;  ///< until the account is likely to find a place, after requests that were rejected before
  double retry_after = 1;     ///< the same, but at most 60, since clients do not wait for longer
};

/// All places of an engine: those for every account, and those kept for accounts that hold less than an equal part.
constexpr std::size_t all_places(std::size_t max_waiting) {
  return max_waiting + max_waiting / 3;
}

struct EngineOptions {
  /// Names, as loaders know them. Each device has one loop; all loops take their requests from one queue. A request is
  /// assigned to the device that is expected to complete it first by measured costs, loading its model included. Bounds
  /// that are given for a device hold for each of them.
  std::vector<std::string> devices{"cpu"};
  /// Accepted requests that have not ended; further ones are rejected. The rest of all_places() is kept for accounts
  /// that hold fewer than all places / (accounts with requests + 1), so that one account cannot take the server from
  /// the others.
  std::size_t max_waiting = 64;
  /// Images in the memory of a device at once; a request with more is begun in parts. A quarter of the places is kept
  /// for the first images of later requests.
  std::int64_t max_active_generations = 16;
  /// Further images in the memory of a device. When all places are taken, a request that needs much less time than the
  /// requests that hold them may begin one image in addition, and others are parked meanwhile. A parked image is a few
  /// latents; the memory of a step depends only on its rows. 0: later requests wait for a place.
  std::int64_t max_parked_generations = 48;
  int max_steps_in_flight = 2;  ///< tickets of a device that were not waited for yet
  /// Estimated device time of the accepted requests, in seconds. A request that would exceed it is rejected, unless it
  /// is the only one. 0: no limit.
  double max_waiting_seconds = 0;
  /// Upper bound, in seconds, on a step's estimated duration; larger batches are trimmed to fit. 0: no limit.
  double max_step_seconds = 0;
  /// Upper bound on ModelDescription::memory_bytes of the models in a device's memory and of the one that loads,
  /// together; 0: no limit. When it is reached the least recently used model is unloaded, never during a request.
  std::int64_t memory_budget = 0;
  /// Replaces memory_budget for the devices that are in it, by their names. In contrast to memory_budget, a model that
  /// needs more than this is loaded where it has the device to itself: these bounds are estimates, and not a promise to
  /// other users of the device.
  std::map<std::string, std::int64_t> estimated_memory_budgets{};
  std::optional<std::chrono::milliseconds> keep_alive{};  ///< an idle model is unloaded after it; none: never
  std::chrono::milliseconds load_retry{30000};  ///< a failed load ends requests for so long, then it is tried again
  std::shared_ptr<EngineObserver> observer{};   ///< may be null
  /// A loop that has completed neither a unit of work nor a block of a model within one for longer than this is in
  /// Engine::stalled_loops(). None: no loop is.
  std::optional<std::chrono::milliseconds> stall_after{};
  /// How long Engine::drain waits for what devices still do after it has ended the requests.
  std::chrono::milliseconds abort_timeout{20000};
  /// Called on the thread of each loop before anything else, for example to make the threads that compute on a CPU.
  /// make_engine() throws what it throws. May be empty.
  std::function<void()> prepare_thread{};
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
  /// Its best state on any device: ready, else loading, else failed, else unloaded.
  ModelState state = ModelState::kUnloaded;
  std::int64_t memory_bytes = 0;  ///< held now, on all devices
  bool pinned = false;
  double loading_progress = 0;           ///< 0 to 1; 1 when ready
  std::string failure{};                 ///< why the latest load failed; kFailed only
  std::vector<ModelOnDevice> devices{};  ///< one for each, in the order of EngineOptions::devices
  /// When work with it was last completed, or when it was loaded; none if it was never in memory.
  std::optional<std::chrono::system_clock::time_point> last_used{};
};

/// A loop that has work and makes no progress with it.
struct StalledLoop {
  std::string device{};
  double seconds = 0;  ///< since it last made progress
  std::string work{};  ///< what it does, e.g. "step of model emoji"
};

/// Accepts requests, generates their images, and ends each request exactly once.
///
/// Thread-safe. The first model and the pinned ones are loaded at the start, the others when they are first needed, on
/// threads of their own: a request that waits for its model delays no other request. While a device fails one request
/// after the other, requests are assigned to other devices if there are any.
class Engine {
 public:
  /// Ends every request that has not ended with kUnavailable. Waits for the block in progress, or for a model that is
  /// being loaded.
  virtual ~Engine() = default;

  /// The served models as they are now. The first one is the default model.
  virtual ModelList models() const = 0;
  /// @throws Error(kNotFound)  no such id
  virtual ModelStatus status(const std::string& id) const = 0;
  ModelState model_state(const std::string& id) const { return status(id).state; }

  /// Asks for a model to be loaded and returns at once; status() shows the progress. Where there are several devices,
  /// the one that can have it soonest loads it. A model whose load failed is tried again without waiting for
  /// load_retry. Does nothing where the model is in memory.
  /// @throws Error(kNotFound)     no such id
  /// @throws Error(kUnavailable)  draining
  virtual void load(const std::string& id) = 0;
  /// Asks for a model to be unloaded from every device and returns at once. The memory is freed when the requests that
  /// were begun with the model have ended; waiting and later requests load it again. Does nothing where the model is
  /// not in memory.
  /// @throws Error(kNotFound)  no such id
  virtual void unload(const std::string& id) = 0;

  /// Serves a further model from now on, as the last of models(); or, where a model of that id is served, a new one in
  /// its place. Then images in progress are completed with the old one, and requests that wait use the new one, which
  /// is loaded anew.
  /// @throws Error(kUnsupported)  this engine's models do not change; make_engine's do
  virtual void put(ServedModel model) {  // NOLINT(performance-unnecessary-value-param): engines that serve it move it
    throw Error(ErrorCode::kUnsupported, model.description.id + ": the models of this engine do not change");
  }
  /// Serves the model no more. Images in progress are completed; requests that wait end with kNotFound, as do later
  /// ones.
  /// @throws Error(kNotFound)         no such id
  /// @throws Error(kInvalidArgument)  it is the only model
  /// @throws Error(kUnsupported)      as put
  virtual void remove(const std::string& id) {
    throw Error(ErrorCode::kUnsupported, id + ": the models of this engine do not change");
  }

  /// Queues a request.
  /// @throws Error(kInvalidArgument)    num_images is below 1, or an option is out of its range
  /// @throws Error(kNotFound)           no such model
  /// @throws Error(kResourceExhausted)  max_waiting, max_waiting_seconds or the account's limit is reached; see
  ///                                    advise_retry()
  /// @throws Error(kUnavailable)        draining
  /// @throws Error                      what ServedModel::check threw
  virtual std::shared_ptr<Job> submit(GenerationRequest request, SubmitOptions options) = 0;
  std::shared_ptr<Job> submit(GenerationRequest request) { return submit(std::move(request), SubmitOptions{}); }

  /// When a request that was rejected with kResourceExhausted should be sent again, from measured costs. Each call is
  /// taken for one rejected client: the times are spread over the time that serving these clients takes.
  /// @param options  as they were given to submit
  virtual RetryAdvice advise_retry(const SubmitOptions& options) = 0;

  /// The loops that have made no progress for longer than EngineOptions::stall_after, e.g. because a driver does not
  /// return. A call of a pipeline makes progress whenever it asks its StopPredicate.
  virtual std::vector<StalledLoop> stalled_loops() const = 0;

  /// Whether every device is lost (kDeviceLost), so that no request can succeed until the process is started again. A
  /// device that is lost while there are others is not used any more.
  virtual bool all_devices_lost() const { return false; }

  /// Rejects new requests from now on, and returns when every accepted one has ended and no image is in memory. Ends
  /// requests that have not ended after `timeout` with kUnavailable, and then waits at most
  /// EngineOptions::abort_timeout for the work that devices have begun; at_rest() tells whether it was done by then.
  /// Idempotent; any number of threads may call it at the same time.
  /// @return whether no request was ended by the timeout
  virtual bool drain(std::chrono::milliseconds timeout) = 0;
  void drain() { drain(std::chrono::milliseconds::max()); }
  /// Whether every request has ended and no device works for one. If this is false after drain(), a device does not
  /// return from its work, and the engine's destructor would wait for it without limit.
  virtual bool at_rest() const { return true; }
};

/// Starts the loops.
/// @throws Error(kInvalidArgument)  no model, two with the same id, no device, one named twice, or an option out of its
///                                  range
std::unique_ptr<Engine> make_engine(std::vector<ServedModel> models, EngineOptions options);

}  // namespace easel
