// Work that a pipeline was given, from the call until its result has been handed to the requests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "easel/pipeline.h"
#include "engine/active_request.h"
#include "engine/device/clock.h"
#include "engine/device/cost_model.h"

namespace easel {

/// A request's part of a unit of work.
struct WorkPart {
  std::shared_ptr<ActiveRequest> request;
  std::shared_ptr<ActiveImage> image;  ///< null for a begin
  int rows = 1;                        ///< UNet rows when the work was handed out
};

/// For which requests a unit of work is done, and what it is expected to cost.
struct WorkInfo {
  std::vector<WorkPart> parts;
  CostModel::Shape shape;
  std::string batch_key{};
  double estimate = 0;  ///< seconds of device time
  bool typical = true;  ///< false for a step in which an image entered its second pass, which takes longer
  TimePoint enqueued_at{};

  int rows() const;  ///< of all parts
};

/// A unit of work with its ticket. Keeps requests and images alive until it is destroyed. Used by the loop's thread.
class Work {
 public:
  explicit Work(WorkInfo info) : info_(std::move(info)) {}
  virtual ~Work() = default;

  const WorkInfo& info() const { return info_; }
  virtual Ticket& ticket() = 0;
  /// Whether the device may be using this image.
  virtual bool holds(const ActiveImage& image) const;
  /// Hands the result to the requests. After ticket().wait().
  /// @throws Error  the result is not what was expected
  virtual void settle() = 0;
  /// Adds the device time to the cost model and the observer, which may be null.
  virtual void record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const = 0;
  /// UNet rows of the step; 0 if it is not a step.
  virtual int step_rows() const { return 0; }

 private:
  const WorkInfo info_;
};

/// Pipeline::begin. Its generations have been taken already, so there is nothing to settle.
class BeginWork final : public Work {
 public:
  BeginWork(WorkInfo info, std::unique_ptr<BeginTicket> ticket, std::vector<std::shared_ptr<ActiveImage>> images)
      : Work(std::move(info)), images_(std::move(images)), ticket_(std::move(ticket)) {}
  Ticket& ticket() override { return *ticket_; }
  bool holds(const ActiveImage& image) const override;
  void settle() override {}
  void record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const override;

 private:
  const std::vector<std::shared_ptr<ActiveImage>> images_;
  const std::unique_ptr<BeginTicket> ticket_;
};

/// Pipeline::step.
class StepWork final : public Work {
 public:
  /// @param steps_done  by each part's image when this step is complete
  StepWork(WorkInfo info, std::unique_ptr<StepTicket> ticket, std::vector<std::int64_t> steps_done)
      : Work(std::move(info)), steps_done_(std::move(steps_done)), ticket_(std::move(ticket)) {}
  Ticket& ticket() override { return *ticket_; }
  /// Requests whose latents are not finite fail; the others progress.
  void settle() override;
  void record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const override;
  int step_rows() const override { return info().rows(); }

 private:
  const std::vector<std::int64_t> steps_done_;
  const std::unique_ptr<StepTicket> ticket_;
};

/// Pipeline::finish, of one image.
class FinishWork final : public Work {
 public:
  FinishWork(WorkInfo info, std::unique_ptr<FinishTicket> ticket) : Work(std::move(info)), ticket_(std::move(ticket)) {}
  Ticket& ticket() override { return *ticket_; }
  /// Delivers the image.
  void settle() override;
  void record_cost(double seconds, CostModel& costs, const ModelLabels& at, EngineObserver* observer) const override;

 private:
  const std::unique_ptr<FinishTicket> ticket_;
};

}  // namespace easel
