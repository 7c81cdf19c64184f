#include "engine/active.h"

#include <algorithm>
#include <utility>

#include "core/log.h"
#include "core/text.h"

namespace easel {

void Picture::refresh() {
  finished_stepping = generation->finished_stepping();
  progress = generation->progress();
  rows = generation->rows();
  batch_key = request->model->pipeline->batch_key(*generation);
}

bool Picture::can_go() const {
  return tickets_in_flight == 0 && (decoded || request->job->ended());
}

ActiveRequest::ActiveRequest(std::shared_ptr<QueuedJob> job, ResidentModel& model, double served)
    : job(std::move(job)),
      model(&model),
      row_cost(easel::row_cost(model.pipeline->description(), this->job->request())),
      served(served),
      images(static_cast<std::size_t>(num_images())),
      steps_done(static_cast<std::size_t>(num_images())) {}

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
  note_steps(*pictures[first], 0);
}

void ActiveRequest::note_steps(const Picture& picture, std::int64_t steps) {
  steps_done[static_cast<std::size_t>(picture.index)] = steps;
  job->report({*std::min_element(steps_done.begin(), steps_done.end()), picture.progress.steps_total});
}

void ActiveRequest::deliver(Picture& picture, GeneratedImage image) {
  images[static_cast<std::size_t>(picture.index)] = std::move(image);
  picture.decoded = true;
  if (++delivered < num_images()) return;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  if (job->succeed(std::move(images))) {
    log::info(concat("request ", job->number(), ": ", num_images(), " x ", picture.progress.steps_total, " steps by ",
                     job->request().model, " in ", seconds.count(), " s"));
  }
}

void ActiveRequest::fail(const Failure& failure) {
  if (!job->fail(failure)) return;
  const auto line = concat("request ", job->number(), " failed: ", to_string(failure.code), ": ", failure.message);
  if (failure.code == ErrorCode::kInvalidArgument) {
    log::info(line);  // the client's doing
  } else {
    log::warning(line);
  }
}

void ActiveRequest::sweep() {
  std::erase_if(pictures, [](const auto& picture) { return picture->can_go(); });
}

}  // namespace easel
