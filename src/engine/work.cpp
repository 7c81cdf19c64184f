#include "engine/work.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/text.h"

namespace easel {

namespace {

void expect_count(const char* what, std::size_t found, std::size_t expected) {
  if (found == expected) return;
  throw Error(ErrorCode::kInternal, concat("the pipeline returned ", found, " ", what, ", expected ", expected));
}

}  // namespace

int WorkInfo::rows() const {
  return std::accumulate(parts.begin(), parts.end(), 0,
                         [](int rows, const WorkPart& part) { return rows + part.rows; });
}

bool Work::holds(const ActiveImage& image) const {
  return std::any_of(info_.parts.begin(), info_.parts.end(),
                     [&](const WorkPart& part) { return part.image.get() == &image; });
}

bool BeginWork::holds(const ActiveImage& image) const {
  return std::any_of(images_.begin(), images_.end(), [&](const auto& each) { return each.get() == &image; });
}

void BeginWork::record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const {
  costs.add_begin(info().shape, seconds);
  if (observer) observer->on_begin(at, static_cast<std::int64_t>(images_.size()), seconds);
}

void StepWork::settle() {
  const auto& parts = info().parts;
  const auto finite = ticket_->finite();
  expect_count("flags for a step", finite.size(), parts.size());
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto& request = *parts[i].request;
    if (finite[i]) {
      request.record_steps(*parts[i].image, steps_done_[i]);
    } else {
      const bool small_range = request.model->pipeline->description().dtype == "float16";
      request.fail(
          {ErrorCode::kCorruptData,
           concat("the model produced infinities or NaN in step ", steps_done_[i], " of the image with seed ",
                  parts[i].image->generation->seed(),
                  small_range ? "; if they come from float16's small range, the server needs --dtype bfloat16" : ""),
           {}});
    }
  }
}

void StepWork::record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const {
  const auto rows = info().rows();
  if (info().typical) costs.add_step(info().shape, info().batch_key, rows, seconds);
  if (observer) observer->on_step(at, rows, static_cast<int>(info().parts.size()), seconds);
}

void FinishWork::settle() {
  auto images = ticket_->take();
  expect_count("images of a decode", images.size(), 1);
  const auto& part = info().parts.front();
  part.request->deliver(*part.image, std::move(images.front()));
}

void FinishWork::record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const {
  costs.add_decode(info().shape, seconds);
  if (observer) observer->on_decode(at, seconds);
}

}  // namespace easel
