// What the loop knows of the requests it is drawing. Touched by the loop's thread alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "easel/pipeline.h"
#include "engine/cost_model.h"
#include "engine/job.h"
#include "engine/residency.h"

namespace easel {

struct ActiveRequest;

/// One image on its way.
///
/// While a ticket of it is in flight the device may be writing to its generation, so it is kept, whatever has become
/// of its request; further work may be put behind that ticket.
struct ActiveImage {
  ActiveRequest* request;
  std::int64_t index;  ///< in the request
  std::unique_ptr<Generation> generation;
  int tickets_in_flight = 0;
  bool decoding = false;  ///< finish was called: no more work is
  bool decoded = false;   ///< and gave the image
  bool isolated = false;  ///< a step with company failed
  bool retried = false;   ///< memory ran out, and a model was sent away for it

  // What the pipeline said of it after its latest step.
  bool finished_stepping = false;
  StepProgress progress{};
  int rows = 1;
  std::string batch_key{};

  /// Asks the pipeline again. Throws what the pipeline throws.
  void refresh();
  bool releasable() const;
};

/// A request that has left the queue.
struct ActiveRequest {
  ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, CostModel::Shape shape);

  std::int64_t num_images() const { return job->request().num_images; }
  std::int64_t images_to_begin() const { return num_images() - begun; }
  /// Estimated device time that is left.
  double remaining_seconds(const CostModel::PerImage& costs) const;

  /// Takes up what begin gave.
  /// @throws Error(kInternal)  not `expected` of them
  void adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected);
  /// The device is through with this many steps of an image: reports it, and tells the listener.
  void record_steps(ActiveImage& image, std::int64_t steps_done);
  /// Keeps a finished image; with the last one the job has succeeded.
  void deliver(ActiveImage& image, GeneratedImage result);
  void fail(const Failure& failure);
  /// Destroys the images that can go.
  void sweep();

  std::shared_ptr<QueuedJob> job;
  ResidentModel* model;
  CostModel::Shape shape;
  std::vector<std::unique_ptr<ActiveImage>> images;  ///< in memory; in order
  std::int64_t begun = 0;                            ///< images that were begun, from the first on
  std::int64_t delivered = 0;
  std::int64_t steps_per_image;          ///< steps an image takes; a guess until the first is begun
  int rows_per_step = 2;                 ///< UNet rows of a step, likewise
  bool retried = false;                  ///< as Image::retried, when it was begun
  std::vector<GeneratedImage> results;   ///< one an image, empty until delivered
  std::vector<std::int64_t> steps_done;  ///< one an image
  double preview_seconds = 0;            ///< spent on previews
  double device_seconds = 0;             ///< spent on everything else

 private:
  std::optional<Image> preview(ActiveImage& image, std::int64_t steps_done);
};

}  // namespace easel
