#include "engine/active_request.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

namespace {

// After the first preview, the next ones may take this part of the request's device time.
constexpr double kMaxPreviewShare = 0.1;

}  // namespace

void ActiveImage::refresh(const Pipeline& pipeline) {
  finished_stepping = generation->finished_stepping();
  progress = generation->progress();
  rows = generation->rows();
  completed_passes = generation->completed_passes();
  batch_key = pipeline.batch_key(*generation);
}

ActiveRequest::ActiveRequest(std::shared_ptr<QueuedJob> queued_job, ResidentModel& resident, const CostModel& costs)
    : job(std::move(queued_job)),
      model(&resident),
      shape(costs.shape_of(resident.id, job->request())),
      second_shape(costs.second_shape_of(resident.id, job->request())),
      second_steps(job->request().second_pass_steps(resident.pipeline->description().default_steps)),
      steps_per_image(job->request().requested_steps(resident.pipeline->description().default_steps) + second_steps),
      results(static_cast<std::size_t>(num_images())),
      steps_done(static_cast<std::size_t>(num_images())),
      previews_due_(static_cast<std::size_t>(num_images())) {}

double ActiveRequest::rows_of_last(std::int64_t left, std::int64_t steps) const {
  return static_cast<double>(rows_from(steps - left, steps, guided_rows, job->request().guidance_interval));
}

double ActiveRequest::remaining_seconds(const CostModel& costs) const {
  const auto first = costs.of(shape), last = costs.of(second_shape);
  // Of an image that has so many steps left, in both passes together.
  const auto seconds_for = [&](std::int64_t steps, bool in_second_pass) {
    const auto second = in_second_pass ? steps : std::min(second_steps, steps);
    const auto change = in_second_pass || second_steps == 0 ? 0 : costs.between_passes(shape, second_shape);
    return first.row * rows_of_last(steps - second, steps_per_image - second_steps) +
           last.row * rows_of_last(second, second_steps) + change + last.decode;
  };
  const auto whole = seconds_for(steps_per_image, /*in_second_pass=*/false);
  double seconds = images_to_begin() > 0 ? first.begin + whole * static_cast<double>(images_to_begin()) : 0;
  for (const auto& image : images) {
    if (image->decoding) continue;
    seconds += seconds_for(image->progress.steps_total - image->progress.steps_done, image->completed_passes > 0);
  }
  return seconds;
}

void ActiveRequest::adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected) {
  // Take all of them before anything can throw: the device may still be working on them.
  const auto first = images.size();
  for (auto& generation : generations) {
    if (generation)
      images.push_back(
          std::make_shared<ActiveImage>(ActiveImage{.index = begun++, .generation = std::move(generation)}));
  }
  const auto given = static_cast<std::int64_t>(images.size() - first);
  if (given != expected) {
    throw Error(ErrorCode::kInternal, concat("the pipeline began ", given, " images, expected ", expected));
  }
  for (auto i = first; i < images.size(); ++i) images[i]->refresh(*model->pipeline);
  steps_per_image = images[first]->progress.steps_total;
  // Where guidance begins with a later step, this one does not tell how many rows it has then.
  guided_rows = job->request().guidance_interval ? std::max(guided_rows, images[first]->rows) : images[first]->rows;
  job->set_progress({*std::min_element(steps_done.begin(), steps_done.end()), steps_per_image});
}

void ActiveRequest::record_steps(const ActiveImage& image, std::int64_t steps) {
  steps_done[static_cast<std::size_t>(image.index)] = steps;
  job->set_progress({*std::min_element(steps_done.begin(), steps_done.end()), image.progress.steps_total});
  if (!job->listening()) return;
  job->notify({.kind = ProgressEvent::Kind::kStep,
               .image = image.index,
               .progress = {steps, image.progress.steps_total},
               .preview = preview(image, steps)});
}

bool ActiveRequest::wants_preview(const ActiveImage& image, std::int64_t steps) {
  const auto total = image.progress.steps_total;
  const auto count = job->options().preview_count, every = job->options().preview_every;
  // Step k * total / (count + 1), rounded up, is the first one for which this is at least k.
  const auto due = total > 0 ? std::min(count, steps * (count + 1) / total) : 0;
  const bool is_due = std::exchange(previews_due_[static_cast<std::size_t>(image.index)], due) < due;
  if (steps == total) return false;
  if (is_due) return true;
  return every > 0 && steps % every == 0 && preview_seconds <= kMaxPreviewShare * device_seconds;
}

// A preview that fails does not fail the image.
std::optional<Image> ActiveRequest::preview(const ActiveImage& image, std::int64_t steps) {
  if (!wants_preview(image, steps)) return std::nullopt;
  const auto start = job->now();
  std::optional<Image> result;
  try {
    result = model->pipeline->preview(*image.generation);
  } catch (...) {
    log::warning(concat("no preview of request ", job->number(), ": ", current_failure().message));
  }
  preview_seconds += seconds_between(start, job->now());
  return result;
}

void ActiveRequest::deliver(ActiveImage& image, GeneratedImage result) {
  results[static_cast<std::size_t>(image.index)] = std::move(result);
  image.decoded = true;
  if (++delivered < num_images()) return;
  if (!job->succeed(std::move(results))) return;
  const auto stats = job->stats();
  // At debug level only: the HTTP layer logs one line for each request, under the request's public id.
  log::debug(concat("request ", job->number(), ": ", num_images(), " x ", image.progress.steps_total, " steps by ",
                    job->request().model, ", waited ", stats.queued_seconds, " s, generated in ", stats.run_seconds,
                    " s on ", stats.device, ", at most ", stats.max_rows, " rows a step"));
}

void ActiveRequest::fail(const Failure& failure) {
  if (!job->fail(failure)) return;
  log::debug(concat("request ", job->number(), " failed: ", to_string(failure.code), ": ", failure.message));
}

}  // namespace easel
