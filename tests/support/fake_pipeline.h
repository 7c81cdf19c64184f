// A Pipeline without torch: deterministic, fails on demand, and checks that it is used as easel/pipeline.h says.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "easel/pipeline.h"
#include "support/fake_clock.h"

namespace easel::testing {

enum class FakeCallKind { kLoad, kBegin, kStep, kPreview, kFinish };

/// One call of a fake pipeline, with its arguments.
struct FakeCall {
  FakeCallKind kind;
  std::string model;
  std::vector<std::uint64_t> seeds;  ///< of the generations, in order
  std::vector<std::int64_t> steps;   ///< the step that each of them was about to take
  std::string device{};
};

/// Records the calls of fake pipelines. Shared by any number of them, on any devices; must outlive them. Thread-safe.
class FakeRecord {
 public:
  std::vector<FakeCall> calls() const;
  /// Calls of one kind.
  std::vector<FakeCall> calls(FakeCallKind kind) const;
  /// Every violation of the pipeline's contract, as a sentence. Tests expect it to be empty.
  std::vector<std::string> violations() const;
  int live_generations() const;
  int max_live_generations() const;   ///< on one device
  int tickets_in_flight() const;      ///< handed out, neither waited for nor dropped
  int max_tickets_in_flight() const;  ///< on one device

  // For the fake pipelines.
  void add(FakeCall call);
  void add_violation(std::string sentence);
  void count_generations(const std::string& device, int change);
  void count_tickets(const std::string& device, int change);
  void enter(const std::string& device);  ///< a call begins; two at once on one device are a violation
  void leave(const std::string& device);

 private:
  mutable std::mutex mutex_;  // guards the members below
  std::vector<FakeCall> calls_;
  std::vector<std::string> violations_;
  struct OnDevice {
    int live = 0, max_live = 0;
    int in_flight = 0, max_in_flight = 0;
    bool inside_call = false;
  };
  std::map<std::string, OnDevice> devices_;
};

/// One thing that goes wrong, for the image with this seed.
struct FakeFault {
  enum class How {
    kError,         ///< the call throws Error(code)
    kStdException,  ///< the call throws std::runtime_error
    kNotException,  ///< the call throws an int
    kDeviceError,   ///< the call's ticket throws Error(code) from wait()
    kNotFinite,     ///< step only: finite() is false from this step on
    kNull,          ///< load only: the loader returns null
  };
  FakeCallKind where = FakeCallKind::kStep;
  std::uint64_t seed = 0;
  std::int64_t step = 0;  ///< counted from 0; where == kStep only
  How how = How::kError;
  ErrorCode code = ErrorCode::kInternal;
  std::string device{};  ///< only on this device; empty: on every device
};

/// The error code that a request ends with when such a fault happens to it.
inline ErrorCode expected_code(const FakeFault& fault) {
  switch (fault.how) {
    case FakeFault::How::kError:
      return fault.code;
    case FakeFault::How::kNotFinite:
      return ErrorCode::kCorruptData;
    default:
      return ErrorCode::kInternal;
  }
}

enum class FakeTickets {
  kSynchronous,     ///< as on a CPU: the call takes its time, its ticket is done when it returns
  kTimed,           ///< as on a GPU: the call returns at once, its ticket is done when the time has passed
  kDoneWhenWaited,  ///< the same on a virtual clock: done() is false until wait(), which takes no time
};

/// @return a plain model: id "fake", 64 x 64, 4 steps, schedulers "euler" and "ddim"
ModelDescription fake_description(const std::string& id = "fake");

struct FakeOptions {
  ModelDescription description = fake_description();
  int max_generations_per_step = 1;
  FakeTickets tickets = FakeTickets::kSynchronous;
  std::chrono::microseconds load_time{0};
  std::chrono::microseconds begin_time{0};
  std::chrono::microseconds step_time{0};                      ///< for each generation
  std::chrono::microseconds finish_time{0};                    ///< for each generation
  std::function<std::chrono::microseconds(int)> step_curve{};  ///< of a step of so many; empty: step_time for each
  std::shared_ptr<FakeClock>
      clock{};  ///< the clock that all this time passes on; null: the real one. Events happen inside calls
  std::int64_t steps_per_phase = 0;  ///< the batch key changes every so many steps; 0: never
  int step_memory = 1 << 20;         ///< generations; a step with more of them throws Error(kResourceExhausted)
  int finish_memory = 1 << 20;       ///< the same for finish
  std::vector<FakeFault> faults{};
  std::string broken_device{};          ///< every call on this device throws Error(kInternal)
  bool begin_returns_too_few = false;   ///< n - 1 generations
  bool finite_returns_too_few = false;  ///< n - 1 flags
  bool finish_returns_too_few = false;  ///< n - 1 images
  /// Called at the beginning of every call, on the caller's thread. May block, cancel jobs or throw.
  std::function<void(const FakeCall&)> on_call{};
};

/// The colour of the image, which depends only on prompt and seed.
std::array<std::uint8_t, 3> fake_color(const std::string& prompt, std::uint64_t seed);

/// Generates images of one colour, of the requested or the native size. Refuses schedulers that it does not list.
class FakePipeline : public Pipeline {
 public:
  /// @param record  may be null
  explicit FakePipeline(FakeOptions options, std::shared_ptr<FakeRecord> record = nullptr, std::string device = "cpu");

  ~FakePipeline() override;

  const ModelDescription& description() const override { return options_.description; }
  std::unique_ptr<BeginTicket> begin(const GenerationRequest& request, const StopPredicate& stop) override;
  std::string batch_key(const Generation& generation) const override;
  std::unique_ptr<StepTicket> step(std::span<Generation* const> generations, const StopPredicate& stop) override;
  std::optional<Image> preview(const Generation& generation) override;
  std::unique_ptr<FinishTicket> finish(std::span<Generation* const> generations, const StopPredicate& stop) override;
  int max_generations_per_step() const override { return options_.max_generations_per_step; }

 private:
  using Clock = std::chrono::steady_clock;

  /// Throws if a fault of these generations says so. @return the device error that wait() shall throw, or none
  std::optional<Error> apply_faults(const FakeCall& call) const;
  bool is_finite_after(std::uint64_t seed, std::int64_t step) const;
  void record_call(FakeCall call);
  /// Spends the time, or reserves it on the device. @return when its ticket is done
  Clock::time_point spend(std::chrono::microseconds time, const StopPredicate& stop);

  FakeOptions options_;
  std::shared_ptr<FakeRecord> record_;
  std::string device_;
  std::shared_ptr<const int> token_ = std::make_shared<const int>(0);  ///< each of its generations holds it too
  Clock::time_point device_free_at_{};

  Clock::time_point now() const { return options_.clock ? options_.clock->now() : Clock::now(); }
};

/// A model whose loader makes a FakePipeline. A fault with where == kLoad makes the loader throw (its seed is ignored).
ServedModel served_fake(FakeOptions options = {}, std::shared_ptr<FakeRecord> record = nullptr);

}  // namespace easel::testing
