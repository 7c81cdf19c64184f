// Who is next. Plain values and arithmetic: no threads, no clock, no pipeline. Times are seconds of device time.
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

namespace easel {

/// In the order in which one request's own work is taken up: a decode frees memory, a beginning fills the batch.
enum class WorkKind { kFinish, kBegin, kStep };

/// One thing that could be done next. Steps may be done together; the other kinds are done one at a time.
struct Candidate {
  WorkKind kind = WorkKind::kStep;
  std::uint64_t request = 0;    ///< number of its request; smaller is older
  std::int64_t steps_done = 0;  ///< of its image
  std::size_t model = 0;
  std::string_view batch_key{};  ///< steps of equal model and key may be done together
  int rows = 1;                  ///< UNet rows of a step
  double seconds = 0;            ///< estimated, when done without company
  int max_batch = 1;             ///< images a step of its model may have
  bool isolated = false;         ///< a suspect: its step failed in company, so it has no company now
};

/// An accepted request: what it may claim.
struct Claim {
  std::uint64_t request = 0;
  std::string account{};
  double share = 1;
  int priority = 0;
  double total_seconds = 0;  ///< its whole work, estimated
};

/// Seconds of a step of so many rows of this model and key, as measured or read between measurements; none where
/// nothing near it was measured.
using StepCurve = std::function<std::optional<double>(std::size_t model, std::string_view batch_key, int rows)>;

/// Whose device time it was.
struct DeviceTime {
  std::uint64_t request;
  double seconds;
};

/// Decides what the device does next. Replaceable: the loop knows nothing else of it. Used by one thread.
class Policy {
 public:
  virtual ~Policy() = default;
  /// A request was accepted; its work may be chosen from now on.
  virtual void arrived(const Claim& claim) = 0;
  /// Its work is estimated anew.
  virtual void estimated(std::uint64_t request, double total_seconds, double remaining_seconds) = 0;
  /// It has its answer.
  virtual void left(std::uint64_t request) = 0;
  /// The next unit of work: indices into `candidates`, all of one kind, the leader first. Empty when there are none.
  /// Steps together have one model and key, and at most the leader's max_batch images.
  virtual std::vector<std::size_t> choose(std::span<const Candidate> candidates, const StepCurve& curve) = 0;
  /// A unit is handed out, with the time it is estimated to take; or it was settled, with what is to be
  /// added to that estimate, which may be negative.
  virtual void spent(std::span<const DeviceTime> portions) = 0;
};

/// The engine's policy.
/// @param max_step_seconds  no step is given more company than it takes to last this long; 0: no limit
std::unique_ptr<Policy> make_fair_sojourn(double max_step_seconds);

}  // namespace easel
