#include "engine/active.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

namespace {

// Previews may take this part of a request's device time, beyond the first.
constexpr double kPreviews = 0.1;

}  // namespace

void Picture::refresh() {
  finished_stepping = generation->finished_stepping();
  progress = generation->progress();
  rows = generation->rows();
  batch_key = request->model->pipeline->batch_key(*generation);
}

bool Picture::can_go() const {
  return tickets_in_flight == 0 && (decoded || request->job->ended());
}

ActiveRequest::ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, Costs::Shape shape)
    : job(std::move(job)),
      model(&model),
      shape(shape),
      steps_of_each(this->job->request().planned_steps(model.pipeline->description().default_steps)),
      images(static_cast<std::size_t>(num_images())),
      steps_done(static_cast<std::size_t>(num_images())) {}

double ActiveRequest::remaining_seconds(const Costs::PerPicture& costs) const {
  const auto step = costs.row * rows_of_each;
  const auto whole = step * static_cast<double>(steps_of_each) + costs.decode;
  double seconds = to_begin() > 0 ? costs.begin + whole * static_cast<double>(to_begin()) : 0;
  for (const auto& picture : pictures) {
    if (picture->decoding) continue;
    seconds += step * static_cast<double>(picture->progress.steps_total - picture->progress.steps_done) + costs.decode;
  }
  return seconds;
}

void ActiveRequest::adopt(std::vector<std::unique_ptr<Generation>> generations, std::int64_t expected) {
  // All of them first: what is thrown below must not destroy one that the device is still working on.
  const auto first = pictures.size();
  for (auto& generation : generations) {
    if (generation) pictures.push_back(std::make_unique<Picture>(Picture{this, begun++, std::move(generation)}));
  }
  const auto given = static_cast<std::int64_t>(pictures.size() - first);
  if (given != expected) {
    throw Error(ErrorCode::kInternal, concat("the pipeline began ", given, " pictures, expected ", expected));
  }
  for (auto i = first; i < pictures.size(); ++i) pictures[i]->refresh();
  steps_of_each = pictures[first]->progress.steps_total;
  rows_of_each = pictures[first]->rows;
  job->report({*std::min_element(steps_done.begin(), steps_done.end()), steps_of_each});
}

void ActiveRequest::note_steps(Picture& picture, std::int64_t steps) {
  steps_done[static_cast<std::size_t>(picture.index)] = steps;
  job->report({*std::min_element(steps_done.begin(), steps_done.end()), picture.progress.steps_total});
  if (!job->listening()) return;
  job->tell({.kind = ProgressEvent::Kind::kStep,
             .picture = picture.index,
             .progress = {steps, picture.progress.steps_total},
             .preview = preview(picture, steps)});
}

// Its failure is no failure of the picture.
std::optional<Image> ActiveRequest::preview(Picture& picture, std::int64_t steps) {
  const auto every = job->options().preview_every;
  if (every == 0 || steps % every != 0 || steps == picture.progress.steps_total) return std::nullopt;
  if (preview_seconds > kPreviews * device_seconds) return std::nullopt;
  const auto start = job->now();
  std::optional<Image> image;
  try {
    image = model->pipeline->preview(*picture.generation);
  } catch (...) {
    log::warning(concat("no preview of request ", job->number(), ": ", current_failure().message));
  }
  preview_seconds += seconds_between(start, job->now());
  return image;
}

void ActiveRequest::deliver(Picture& picture, GeneratedImage image) {
  images[static_cast<std::size_t>(picture.index)] = std::move(image);
  picture.decoded = true;
  if (++delivered < num_images()) return;
  if (!job->succeed(std::move(images))) return;
  const auto figures = job->figures();
  // Whoever submitted it has the line that people read, with its own name for it.
  log::debug(concat("request ", job->number(), ": ", num_images(), " x ", picture.progress.steps_total, " steps by ",
                    job->request().model, ", waited ", figures.waited_seconds, " s, drawn in ", figures.drawn_seconds,
                    " s on ", figures.device, ", at most ", figures.most_rows, " rows a step"));
}

void ActiveRequest::fail(const Failure& failure) {
  if (!job->fail(failure)) return;
  log::debug(concat("request ", job->number(), " failed: ", to_string(failure.code), ": ", failure.message));
}

void ActiveRequest::sweep() {
  std::erase_if(pictures, [](const auto& picture) { return picture->can_go(); });
}

}  // namespace easel
