// What a device does next. Plain values and arithmetic: no threads, no clock, no pipeline. Times are seconds of device
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/device/model_ids.h"

namespace easel {

/// In the order in which the work of one request is done: a decode frees memory, a begin fills the batch.
enum class WorkKind { kFinish, kBegin, kStep };

/// One unit of work that could be done next. Steps may share a call; the other kinds are done one at a time.
struct Candidate {
  WorkKind kind = WorkKind::kStep;
  std::uint64_t request = 0;    ///< number of its request; smaller is older
  std::int64_t steps_done = 0;  ///< of its image
  ModelId model = 0;
  std::string_view batch_key{};  ///< steps of the same model and key may share a call
  int rows = 1;                  ///< UNet rows of a step
  double seconds = 0;            ///< estimated, if the call is not shared
  int max_batch = 1;             ///< images that a step of its model may have
  bool isolated = false;         ///< a step that it shared failed, so its next step is not shared
};

/// What an accepted request may claim.
struct Claim {
  std::uint64_t request = 0;
  std::string account{};
  double share = 1;
  int priority = 0;
  double total_seconds = 0;  ///< all of its work, estimated
};

/// Seconds of a step of so many rows of this model and key, measured or interpolated; none where nothing was measured.
using StepCurve = std::function<std::optional<double>(ModelId model, std::string_view batch_key, int rows)>;

/// The part of some device time that was spent on a request.
struct DeviceTime {
  std::uint64_t request;
  double seconds;
};

/// Decides what a device does next. Replaceable: the loop uses nothing but this interface. Used by one thread.
class Policy {
 public:
  virtual ~Policy() = default;
  /// A request was accepted; its work may be chosen from now on.
  virtual void arrived(const Claim& claim) = 0;
  /// There is a new estimate of its work.
  virtual void estimated(std::uint64_t request, double total_seconds, double remaining_seconds) = 0;
  /// It has ended, or moved to another device.
  virtual void left(std::uint64_t request) = 0;
  /// The next unit of work: indices into `candidates`, all of one kind, the leader first. Empty if there are no
  /// candidates. Steps that share a call have the same model and key, and are at most the leader's max_batch images.
  virtual std::vector<std::size_t> choose(std::span<const Candidate> candidates, const StepCurve& curve) = 0;
  /// A unit of work was handed out, with its estimated time; or it was settled, with the difference between measured
  /// and estimated time, which may be negative.
  virtual void spent(std::span<const DeviceTime> portions) = 0;
};

/// The engine's policy.
/// @param max_step_seconds  upper bound on a step's estimated duration; larger batches are trimmed to fit. 0: no limit
std::unique_ptr<Policy> make_fair_sojourn(double max_step_seconds);

}  // namespace easel
