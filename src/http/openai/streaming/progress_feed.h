// What the engine reports about one request, kept until the thread that writes to the client takes it.
#pragma once

#include <optional>
#include <vector>

#include "core/mutex.h"
#include "easel/engine.h"

namespace easel::http {

/// The engine's thread puts events in; they wait here for a client that may be slow. Bounded: steps replace each other,
/// and previews are as many as SubmitOptions asked for. Thread-safe.
class ProgressFeed {
 public:
  /// What has happened since the last call of take().
  struct News {
    bool changed = false;              ///< whether anything below is new
    std::vector<Image> previews;       ///< in order, mostly at latent resolution
    std::optional<StepProgress> step;  ///< the newest; none before the first
  };

  /// To be called by SubmitOptions::listener.
  void receive(const ProgressEvent& event);
  News take();
  /// Whether the request has done a step.
  bool stepped() const;
  /// The newest preview; none before the first.
  std::optional<Image> newest_preview() const;

 private:
  mutable Mutex mutex_;
  News news_ EASEL_GUARDED_BY(mutex_);
  std::optional<Image> newest_preview_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace easel::http
