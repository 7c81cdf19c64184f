// The events that the engine reports, for metrics. No torch here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace easel {

/// How a request ended.
enum class RequestOutcome { kSucceeded, kFailed, kCancelled, kTimedOut, kUnavailable };

/// Why a request was not accepted.
enum class RejectionReason { kQueueFull, kWorkLimit, kAccountLimit, kDraining };

/// What an event is about: the id of a model, and the name of the device that it is on. Valid during the call.
struct ModelLabels {
  const std::string& model;
  const std::string& device;
};

/// Receives events; every method does nothing unless overridden.
///
/// Called from the engine's threads and from threads that submit or cancel, several at once: an override must be
/// thread-safe and quick, must not throw, and must not call the engine or a job. Times are in seconds.
class EngineObserver {
 public:
  virtual ~EngineObserver() = default;

  /// The queue has changed. @param waiting  accepted and not begun; @param drawing  begun and not ended
  virtual void on_queue(std::size_t waiting, std::size_t drawing) {}
  /// A request's first image is begun. @param waited  since it was accepted
  virtual void on_started(const std::string& model, double waited) {}
  /// A request has ended. @param seconds  since it was accepted; @param images  generated: 0 unless it succeeded
  virtual void on_ended(const std::string& model, RequestOutcome outcome, double seconds, std::int64_t images) {}
  virtual void on_rejected(const std::string& model, RejectionReason reason) {}

  // Device time of one unit of work, when its ticket is settled.
  virtual void on_begin(const ModelLabels& at, std::int64_t images, double seconds) {}
  virtual void on_step(const ModelLabels& at, int rows, int images, double seconds) {}
  virtual void on_decode(const ModelLabels& at, double seconds) {}
  /// A step ran out of memory: from now on steps of this model on this device have at most so many images.
  virtual void on_batch_shrunk(const ModelLabels& at, int images) {}

  virtual void on_loaded(const ModelLabels& at, double seconds, std::int64_t bytes) {}
  virtual void on_load_failed(const ModelLabels& at, double seconds) {}
  /// A model was unloaded. @param evicted  to make room for another one; otherwise because it was asked for, or idle
  virtual void on_unloaded(const ModelLabels& at, std::int64_t bytes, bool evicted) {}
};

}  // namespace easel
