// The requests that a loop has begun, and their images. Used by the loop's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "easel/pipeline.h"
#include "engine/device/cost_model.h"
#include "engine/residency/model_entry.h"
#include "engine/waiting/job.h"

namespace easel {

/// One image of a request that is being generated.
struct ActiveImage {
  std::int64_t index;  ///< in the request
  std::unique_ptr<Generation> generation;
  bool decoding = false;  ///< finish was called, so there is no further work
  bool decoded = false;   ///< the image has been delivered
  bool isolated = false;  ///< a step that it shared with others failed, so its next step is not shared
  bool retried = false;   ///< a model was evicted because memory ran out for it

  // What the pipeline said about it after its latest step.
  bool finished_stepping = false;
  StepProgress progress{};
  int rows = 1;
  int completed_passes = 0;
  std::string batch_key{};

  /// Asks the pipeline again. Throws what the pipeline throws.
  void refresh(const Pipeline& pipeline);
};

/// A request that has left the queue.
struct ActiveRequest {
  ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, const CostModel& costs);

  std::int64_t num_images() const { return job->request().num_images; }
  std::int64_t images_to_begin() const { return num_images() - begun; }
  /// Estimated device time that the request still needs, in seconds.
  double remaining_seconds(const CostModel& costs) const;
  /// Of the pass that the image is in.
  const CostModel::Shape& shape_of(const ActiveImage& image) const {
    return image.completed_passes > 0 ? second_shape : shape;
  }

  /// Takes over the generations that Pipeline::begin returned.
  /// @throws Error(kInternal)  there are not `expected` of them; the existing ones have been taken over
  void adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected);
  /// The device has completed this many steps of an image: reports it to the job and its listener.
  void record_steps(const ActiveImage& image, std::int64_t steps_done);
  /// Keeps a finished image. With the last one the job succeeds.
  void deliver(ActiveImage& image, GeneratedImage result);
  void fail(const Failure& failure);
  /// Whether nothing needs the image any more, once it is not in flight.
  bool released(const ActiveImage& image) const { return image.decoded || job->ended(); }

  std::shared_ptr<QueuedJob> job;
  ResidentModel* model;  ///< stays in memory while a request runs on it
  CostModel::Shape shape;
  CostModel::Shape second_shape;  ///< of the second pass; equal to `shape` where there is none
  std::int64_t second_steps = 0;  ///< estimated, of the second pass of an image; 0 where there is none
  std::vector<std::shared_ptr<ActiveImage>> images;  ///< in memory; in order
  std::int64_t begun = 0;                            ///< number of images that were begun, from the first on
  std::int64_t delivered = 0;
  std::int64_t steps_per_image;          ///< a guess until the first image is begun
  int guided_rows = 2;                   ///< UNet rows of an image's step; a guess until the first image is begun
  bool retried = false;                  ///< as ActiveImage::retried, for Pipeline::begin
  std::vector<GeneratedImage> results;   ///< one for each image, empty until delivered
  std::vector<std::int64_t> steps_done;  ///< one for each image
  double preview_seconds = 0;            ///< device time spent on previews
  double device_seconds = 0;             ///< device time spent on everything else

 private:
  /// UNet rows of an image's last `left` steps of a pass that has `steps`.
  double rows_of_last(std::int64_t left, std::int64_t steps) const;
  std::optional<Image> preview(const ActiveImage& image, std::int64_t steps_done);
  bool wants_preview(const ActiveImage& image, std::int64_t steps_done);

  std::vector<std::int64_t> previews_due_;  // one for each image: of SubmitOptions::preview_count, up to the last step
};

/// An image together with its request.
struct ActiveImageRef {
  std::shared_ptr<ActiveRequest> request;
  std::shared_ptr<ActiveImage> image;
};

}  // namespace easel
