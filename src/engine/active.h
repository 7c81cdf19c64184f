// What the loop knows of the requests it is drawing. Touched by the loop's thread alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "easel/pipeline.h"
#include "engine/costs.h"
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
  bool retried = false;   ///< memory ran out, and a model was sent away for it

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
  ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, Costs::Shape shape);

  std::int64_t num_images() const { return job->request().num_images; }
  std::int64_t to_begin() const { return num_images() - begun; }
  /// Estimated device time that is left.
  double remaining_seconds(const Costs::PerPicture& costs) const;

  /// Takes up what begin gave.
  /// @throws Error(kInternal)  not `expected` of them
  void adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected);
  /// The device is through with this many steps of a picture: reports it, and tells the listener.
  void note_steps(Picture& picture, std::int64_t steps_done);
  /// Keeps a finished picture; with the last one the job has succeeded.
  void deliver(Picture& picture, GeneratedImage image);
  void fail(const Failure& failure);
  /// Destroys the pictures that can go.
  void sweep();

  std::shared_ptr<QueuedJob> job;
  ResidentModel* model;
  Costs::Shape shape;
  std::vector<std::unique_ptr<Picture>> pictures;  ///< in memory; in order
  std::int64_t begun = 0;                          ///< pictures that were begun, from the first on
  std::int64_t delivered = 0;
  std::int64_t steps_of_each;            ///< steps a picture takes; a guess until the first is begun
  int rows_of_each = 2;                  ///< UNet rows of a step, likewise
  bool retried = false;                  ///< as Picture::retried, when it was begun
  std::vector<GeneratedImage> images;    ///< one a picture, empty until delivered
  std::vector<std::int64_t> steps_done;  ///< one a picture
  double preview_seconds = 0;            ///< spent on previews
  double device_seconds = 0;             ///< spent on everything else

 private:
  std::optional<Image> preview(Picture& picture, std::int64_t steps_done);
};

}  // namespace easel
