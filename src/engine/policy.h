// Who is next. Plain values and arithmetic: no threads, no clock, no pipeline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "easel/generation.h"

namespace easel {

/// In the order in which one request's own work is taken up: a decode frees memory, a beginning fills the batch.
enum class WorkKind { kFinish, kBegin, kStep };

/// One thing that could be done next. Steps may be done together; the other kinds are done one at a time.
struct Candidate {
  WorkKind kind = WorkKind::kStep;
  double served = 0;            ///< what its request has had, on FairShare's scale
  std::uint64_t request = 0;    ///< number of its request; smaller is older
  std::int64_t steps_done = 0;  ///< of its picture
  std::size_t model = 0;
  std::string_view batch_key{};  ///< steps of equal model and key may be done together
  int most_at_once = 1;          ///< pictures a step of its model may have
  bool alone = false;            ///< a suspect: its step failed in company, so it has no company now
};

/// The next unit of work: indices into `candidates`, all of one kind, most deserving first. Empty when there are none.
///
/// The request that was served least leads, the older one where two are equal; of its pictures the one with the fewest
/// steps. A step is then filled up with other pictures of equal key in the same order.
std::vector<std::size_t> choose_work(std::span<const Candidate> candidates);

/// Start-time fair queueing (Goyal, Vin and Cheng 1996): requests that have something to do get equal shares of the
/// device, whatever their number of pictures, steps or rows; so a short one ends early beside long ones, and none
/// starves.
///
/// A request's account starts at what the leader of the latest work had, not at zero: otherwise a newcomer would have
/// the device for itself until it had caught up.
class FairShare {
 public:
  double opening_account() const { return now_; }
  /// Work led by a request with this account begins.
  void lead(double served) { now_ = served > now_ ? served : now_; }

 private:
  double now_ = 0;
};

/// What work costs on FairShare's scale: an estimate of device time in UNet rows times their size.
/// @param rows  UNet rows of a step
double step_cost(double row_cost, int rows);
double begin_cost(double row_cost);
double finish_cost(double row_cost);

/// A UNet row of this request: pixels drawn times the model's number of weights. Any unit: only ratios matter.
double row_cost(const ModelDescription& model, const GenerationRequest& request);

/// How many pictures a step of one model may have: what the device was said to take, less when memory ran out.
class BatchLimit {
 public:
  explicit BatchLimit(int most) : most_(most < 1 ? 1 : most), current_(most_) {}

  int current() const { return current_; }
  /// A step of `tried` pictures, 2 or more, ran out of memory: half as many from now on.
  void ran_out(int tried);
  /// A step of `count` pictures went well. After many that were as large as may be, twice as many are tried again.
  void went_well(int count);

 private:
  int most_;
  int current_;
  int well_ = 0;
};

}  // namespace easel
