// What the loop knows of the requests it is drawing. Touched by the loop's thread alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "easel/pipeline.h"
#include "engine/job.h"
#include "engine/residency.h"

namespace easel {

struct ActiveRequest;

/// One picture on its way.
///
/// While a ticket of it is in flight the device may be writing to its generation, so it is kept, whatever has become
/// of its request; further work may be put behind that ticket.
struct Picture {
  ActiveRequest* request;
  std::int64_t index;  ///< in the request
  std::unique_ptr<Generation> generation;
  int tickets_in_flight = 0;
  bool decoding = false;  ///< finish was called: no more work is
  bool decoded = false;   ///< and gave the picture
  bool alone = false;     ///< a step with company failed

  // What the pipeline said of it after its latest step.
  bool finished_stepping = false;
  StepProgress progress{};
  int rows = 1;
  std::string batch_key{};

  /// Asks the pipeline again. Throws what the pipeline throws.
  void refresh();
  bool can_go() const;
};

/// A request that has left the queue.
struct ActiveRequest {
  ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, double served);

  std::int64_t num_images() const { return job->request().num_images; }
  std::int64_t to_begin() const { return num_images() - begun; }
  /// Waits for a place for its first, or next, picture and has none yet.
  bool needs_place() const { return !job->ended() && pictures.empty() && to_begin() > 0; }

  /// Takes up what begin gave.
  /// @throws Error(kInternal)  not `expected` of them
  void adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected);
  /// The device is through with this many steps of a picture.
  void note_steps(const Picture& picture, std::int64_t steps_done);
  /// Keeps a finished picture; with the last one the job has succeeded.
  void deliver(Picture& picture, GeneratedImage image);
  void fail(const Failure& failure);
  /// Destroys the pictures that can go.
  void sweep();

  std::shared_ptr<QueuedJob> job;
  ResidentModel* model;
  double row_cost;
  double served;
  std::vector<std::unique_ptr<Picture>> pictures;  ///< in memory; in order
  std::int64_t begun = 0;                          ///< pictures that were begun, from the first on
  std::int64_t delivered = 0;
  std::vector<GeneratedImage> images;    ///< one a picture, empty until delivered
  std::vector<std::int64_t> steps_done;  ///< one a picture
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
};

}  // namespace easel
