#include "support/fake_pipeline.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "core/text.h"

namespace easel::testing {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::milliseconds(1);
// Blocks of a call on a fake clock.
constexpr int kBlocks = 4;

Image solid(int width, int height, const std::array<std::uint8_t, 3>& color) {
  Image image{width, height, {}};
  image.pixels.reserve(std::size_t{3} * width * height);
  for (int i = 0; i < width * height; ++i) image.pixels.insert(image.pixels.end(), color.begin(), color.end());
  return image;
}

// What a ticket needs of a generation, even after the generation was destroyed.
struct TicketCount {
  int tickets = 0;
};

// The part that all three kinds of ticket share.
struct TicketState {
  std::shared_ptr<FakeRecord> record;
  std::string device;
  FakeTickets kind;
  Clock::time_point done_at;
  std::optional<Error> device_error;
  std::vector<std::shared_ptr<TicketCount>> ticket_counts;
  std::shared_ptr<FakeClock> clock{};
  bool in_flight = true;
  bool waited = false;

  void release() {
    if (!std::exchange(in_flight, false)) return;
    for (const auto& ticket_count : ticket_counts) --ticket_count->tickets;
    record->count_tickets(device, -1);
  }
};

template <class Base>
class FakeTicket : public Base {
 public:
  explicit FakeTicket(TicketState state) : state_(std::move(state)) {
    for (const auto& ticket_count : state_.ticket_counts) ++ticket_count->tickets;
    state_.record->count_tickets(state_.device, +1);
  }
  ~FakeTicket() override { state_.release(); }

  bool done() const override {
    const auto now = state_.clock ? state_.clock->now() : Clock::now();
    return state_.waited || (state_.kind != FakeTickets::kDoneWhenWaited && now >= state_.done_at);
  }
  void wait() override {
    if (state_.clock) {
      state_.clock->advance_to(state_.done_at);
    } else if (state_.kind != FakeTickets::kDoneWhenWaited) {
      std::this_thread::sleep_until(state_.done_at);
    }
    state_.waited = true;
    state_.release();
    if (state_.device_error) throw Error(*state_.device_error);
  }

 protected:
  void expect_waited(const char* what) const {
    if (!state_.waited) state_.record->add_violation(concat(what, " was called on a ticket before wait()"));
  }
  TicketState state_;
};

}  // namespace

class FakeGeneration final : public Generation {
 public:
  FakeGeneration(const FakePipeline* pipeline, std::shared_ptr<const int> pipeline_token,
                 std::shared_ptr<FakeRecord> fake_record, std::string device_name,
                 const GenerationRequest& whole_request, std::int64_t index, std::int64_t steps,
                 std::int64_t second_pass_steps)
      : owner(pipeline),
        token(std::move(pipeline_token)),
        record(std::move(fake_record)),
        device(std::move(device_name)),
        request(whole_request),
        seed_(request.seed + static_cast<std::uint64_t>(index)),
        first_pass_steps_(steps),
        progress_{0, steps + second_pass_steps} {
    record->count_generations(device, +1);
  }
  ~FakeGeneration() override {
    if (ticket_count->tickets > 0)
      record->add_violation(concat("the generation of seed ", seed_, " was destroyed while in flight"));
    record->count_generations(device, -1);
  }

  bool finished_stepping() const override { return progress_.steps_done == progress_.steps_total; }
  StepProgress progress() const override { return progress_; }
  int rows() const override { return request.guidance_scale.value_or(7.5) > 1.0 ? 2 : 1; }
  std::uint64_t seed() const override { return seed_; }
  int completed_passes() const override { return request.hires && progress_.steps_done >= first_pass_steps_ ? 1 : 0; }
  /// Of the pass that it is in.
  int width(const ModelDescription& model) const {
    return completed_passes() > 0 ? request.hires->width : request.width.value_or(model.native_width);
  }
  int height(const ModelDescription& model) const {
    return completed_passes() > 0 ? request.hires->height : request.height.value_or(model.native_height);
  }
  void advance() { ++progress_.steps_done; }

  const FakePipeline* const owner;
  const std::shared_ptr<const int> token;  // shows the pipeline whether generations are left
  const std::shared_ptr<FakeRecord> record;
  const std::string device;
  const GenerationRequest request;
  const std::shared_ptr<TicketCount> ticket_count = std::make_shared<TicketCount>();
  bool finite = true;
  bool decoded = false;

 private:
  std::uint64_t seed_;
  std::int64_t first_pass_steps_;
  StepProgress progress_;
};

namespace {

class FakeBeginTicket final : public FakeTicket<BeginTicket> {
 public:
  FakeBeginTicket(TicketState state, std::vector<std::unique_ptr<Generation>> generations)
      : FakeTicket(std::move(state)), generations_(std::move(generations)) {}
  ~FakeBeginTicket() override { state_.release(); }  // before the generations are destroyed
  std::vector<std::unique_ptr<Generation>> take() override { return std::move(generations_); }

 private:
  std::vector<std::unique_ptr<Generation>> generations_;
};

class FakeStepTicket final : public FakeTicket<StepTicket> {
 public:
  FakeStepTicket(TicketState state, std::vector<bool> finite)
      : FakeTicket(std::move(state)), finite_(std::move(finite)) {}
  std::vector<bool> finite() override {
    expect_waited("finite()");
    return finite_;
  }

 private:
  std::vector<bool> finite_;
};

class FakeFinishTicket final : public FakeTicket<FinishTicket> {
 public:
  FakeFinishTicket(TicketState state, std::vector<GeneratedImage> images)
      : FakeTicket(std::move(state)), images_(std::move(images)) {}
  std::vector<GeneratedImage> take() override {
    expect_waited("take()");
    return std::move(images_);
  }

 private:
  std::vector<GeneratedImage> images_;
};

// Marks the time inside a call: two calls at once on one device are a violation, whichever pipelines they belong to.
class CallScope {
 public:
  CallScope(FakeRecord& record, const std::string& device) : record_(record), device_(device) { record_.enter(device); }
  ~CallScope() { record_.leave(device_); }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  FakeRecord& record_;
  const std::string& device_;
};

FakeGeneration& own(const FakePipeline* pipeline, FakeRecord& record, const Generation* generation) {
  const auto* fake = dynamic_cast<const FakeGeneration*>(generation);
  if (fake == nullptr || fake->owner != pipeline) {
    record.add_violation("a generation was given to a pipeline that did not make it");
    throw Error(ErrorCode::kInternal, "not a generation of this pipeline");
  }
  return *const_cast<FakeGeneration*>(fake);  // NOLINT: made here, never const
}

std::vector<FakeGeneration*> own_all(const FakePipeline* pipeline, FakeRecord& record,
                                     std::span<Generation* const> generations) {
  std::vector<FakeGeneration*> fakes;
  for (const auto* generation : generations) fakes.push_back(&own(pipeline, record, generation));
  if (fakes.empty()) record.add_violation("a call without generations");
  if (std::set<FakeGeneration*>(fakes.begin(), fakes.end()).size() != fakes.size()) {
    record.add_violation("a generation twice in one call");
  }
  return fakes;
}

FakeCall describe(FakeCallKind kind, const std::string& model, const std::vector<FakeGeneration*>& generations) {
  FakeCall call{kind, model, {}, {}};
  for (const auto* generation : generations) {
    call.seeds.push_back(generation->seed());
    call.steps.push_back(generation->progress().steps_done);
  }
  return call;
}

std::vector<std::shared_ptr<TicketCount>> ticket_counts_of(const std::vector<FakeGeneration*>& generations) {
  std::vector<std::shared_ptr<TicketCount>> ticket_counts;
  for (const auto* generation : generations) ticket_counts.push_back(generation->ticket_count);
  return ticket_counts;
}

void poll(const StopPredicate& stop) {
  if (stop && stop()) throw Error(ErrorCode::kCancelled, "the stop predicate asked the fake to stop");
}

}  // namespace

FakePipeline::FakePipeline(FakeOptions options, std::shared_ptr<FakeRecord> record, std::string device)
    : options_(std::move(options)),
      record_(record ? std::move(record) : std::make_shared<FakeRecord>()),
      device_(std::move(device)) {}

FakePipeline::~FakePipeline() {
  if (token_.use_count() > 1) record_->add_violation("the pipeline was destroyed before its generations");
}

std::optional<Error> FakePipeline::apply_faults(const FakeCall& call) const {
  std::optional<Error> device_error;
  for (std::size_t i = 0; i < call.seeds.size(); ++i) {
    for (const auto& fault : options_.faults) {
      if (fault.where != call.kind || fault.seed != call.seeds[i]) continue;
      if (!fault.device.empty() && fault.device != device_) continue;
      if (fault.where == FakeCallKind::kStep && fault.step != call.steps[i]) continue;
      const auto message = concat("injected for seed ", fault.seed);
      if (fault.how == FakeFault::How::kError) throw Error(fault.code, message);
      if (fault.how == FakeFault::How::kStdException) throw std::runtime_error(message);
      if (fault.how == FakeFault::How::kNotException) throw 42;
      if (fault.how == FakeFault::How::kDeviceError) device_error = Error(fault.code, message);
    }
  }
  return device_error;
}

bool FakePipeline::is_finite_after(std::uint64_t seed, std::int64_t step) const {
  return std::none_of(options_.faults.begin(), options_.faults.end(), [&](const FakeFault& fault) {
    return fault.how == FakeFault::How::kNotFinite && fault.seed == seed && fault.step <= step;
  });
}

Clock::time_point FakePipeline::spend(std::chrono::microseconds time, const StopPredicate& stop) {
  if (options_.tickets != FakeTickets::kSynchronous) {
    device_free_at_ = std::max(device_free_at_, now()) + time;
    return device_free_at_;
  }
  if (options_.clock) {
    const auto end = now() + time;
    for (int block = 1; block <= kBlocks; ++block) {
      options_.clock->advance_to(end - time * (kBlocks - block) / kBlocks);
      poll(stop);
    }
    return end;
  }
  const auto end = Clock::now() + time;
  for (auto now = Clock::now(); now < end; now = Clock::now()) {
    poll(stop);
    std::this_thread::sleep_for(std::min<Clock::duration>(end - now, kPollInterval));
  }
  return end;
}

void FakePipeline::record_call(FakeCall call) {
  call.device = device_;
  record_->add(call);
  if (options_.on_call) options_.on_call(call);
  if (device_ == options_.broken_device) throw Error(ErrorCode::kInternal, concat(device_, " is broken"));
}

std::unique_ptr<BeginTicket> FakePipeline::begin(const GenerationRequest& request, const StopPredicate& stop) {
  const CallScope scope(*record_, device_);
  FakeCall call{FakeCallKind::kBegin, options_.description.id, {}, {}};
  for (std::int64_t i = 0; i < request.num_images; ++i) {
    call.seeds.push_back(request.seed + static_cast<std::uint64_t>(i));
    call.steps.push_back(0);
  }
  record_call(call);
  poll(stop);
  const auto& known = options_.description.schedulers;
  if (request.scheduler && std::find(known.begin(), known.end(), *request.scheduler) == known.end()) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("scheduler \"", *request.scheduler, "\" is not one of ", join(known)), "scheduler");
  }
  auto device_error = apply_faults(call);
  const auto done_at = spend(options_.begin_time, stop);

  const auto steps = request.num_inference_steps.value_or(options_.description.default_steps);
  const auto second_pass_steps = request.second_pass_steps(options_.description.default_steps);
  std::vector<std::unique_ptr<Generation>> generations;
  std::vector<std::shared_ptr<TicketCount>> ticket_counts;
  for (std::int64_t i = 0; i < request.num_images - (options_.begin_returns_too_few ? 1 : 0); ++i) {
    auto generation =
        std::make_unique<FakeGeneration>(this, token_, record_, device_, request, i, steps, second_pass_steps);
    ticket_counts.push_back(generation->ticket_count);
    generations.push_back(std::move(generation));
  }
  return std::make_unique<FakeBeginTicket>(
      TicketState{record_, device_, options_.tickets, done_at, std::move(device_error), std::move(ticket_counts),
                  options_.clock},
      std::move(generations));
}

std::string FakePipeline::batch_key(const Generation& generation) const {
  const auto& fake = own(this, *record_, &generation);
  const auto& description = options_.description;
  const auto phase = options_.steps_per_phase > 0 ? fake.progress().steps_done / options_.steps_per_phase : 0;
  return concat(fake.width(description), "x", fake.height(description), " phase ", phase);
}

std::unique_ptr<StepTicket> FakePipeline::step(std::span<Generation* const> generations, const StopPredicate& stop) {
  const CallScope scope(*record_, device_);
  const auto fakes = own_all(this, *record_, generations);
  const auto call = describe(FakeCallKind::kStep, options_.description.id, fakes);
  record_call(call);
  if (static_cast<int>(fakes.size()) > options_.max_generations_per_step) record_->add_violation("a step of too many");
  for (const auto* fake : fakes) {
    if (batch_key(*fake) != batch_key(*fakes.front())) record_->add_violation("a step of unequal batch keys");
    if (fake->finished_stepping()) record_->add_violation(concat("seed ", fake->seed(), " was stepped past its end"));
  }
  poll(stop);
  if (static_cast<int>(fakes.size()) > options_.step_memory) {
    throw Error(ErrorCode::kResourceExhausted, concat("no memory to step ", fakes.size(), " images"));
  }
  auto device_error = apply_faults(call);
  const auto count = static_cast<int>(fakes.size());
  const auto done_at = spend(options_.step_curve ? options_.step_curve(count) : options_.step_time * count, stop);

  std::vector<bool> finite;  // committed last, so that a call that threw can be repeated
  for (auto* fake : fakes) {
    fake->finite = is_finite_after(fake->seed(), fake->progress().steps_done);
    finite.push_back(fake->finite);
    fake->advance();
  }
  if (options_.finite_returns_too_few) finite.pop_back();
  return std::make_unique<FakeStepTicket>(TicketState{record_, device_, options_.tickets, done_at,
                                                      std::move(device_error), ticket_counts_of(fakes), options_.clock},
                                          std::move(finite));
}

std::optional<Image> FakePipeline::preview(const Generation& generation) {
  const CallScope scope(*record_, device_);
  const auto& fake = own(this, *record_, &generation);
  record_call({FakeCallKind::kPreview, options_.description.id, {fake.seed()}, {fake.progress().steps_done}});
  if (fake.progress().steps_done == 0) return std::nullopt;
  const auto& description = options_.description;
  return solid(description.native_width / description.cell, description.native_height / description.cell,
               fake_color(fake.request.prompt, fake.seed()));
}

std::unique_ptr<FinishTicket> FakePipeline::finish(std::span<Generation* const> generations,
                                                   const StopPredicate& stop) {
  const CallScope scope(*record_, device_);
  const auto fakes = own_all(this, *record_, generations);
  const auto call = describe(FakeCallKind::kFinish, options_.description.id, fakes);
  record_call(call);
  for (const auto* fake : fakes) {
    if (!fake->finished_stepping()) record_->add_violation(concat("seed ", fake->seed(), " was decoded too early"));
    if (fake->decoded) record_->add_violation(concat("seed ", fake->seed(), " was decoded twice"));
  }
  poll(stop);
  if (static_cast<int>(fakes.size()) > options_.finish_memory) {
    throw Error(ErrorCode::kResourceExhausted, concat("no memory to decode ", fakes.size(), " images"));
  }
  auto device_error = apply_faults(call);
  const auto done_at = spend(options_.finish_time * fakes.size(), stop);

  std::vector<GeneratedImage> images;
  for (auto* fake : fakes) {
    fake->decoded = true;
    images.push_back({solid(fake->width(options_.description), fake->height(options_.description),
                            fake_color(fake->request.prompt, fake->seed())),
                      fake->seed()});
  }
  if (options_.finish_returns_too_few) images.pop_back();
  return std::make_unique<FakeFinishTicket>(
      TicketState{record_, device_, options_.tickets, done_at, std::move(device_error), ticket_counts_of(fakes),
                  options_.clock},
      std::move(images));
}

ServedModel served_fake(FakeOptions options, std::shared_ptr<FakeRecord> record) {
  auto description = options.description;
  auto load = [options = std::move(options), record = std::move(record)](
                  const std::string& device, const LoadProgress& progress) -> std::unique_ptr<Pipeline> {
    if (progress) progress(0.5);
    const FakeCall call{FakeCallKind::kLoad, options.description.id, {}, {}, device};
    if (record) record->add(call);
    if (options.on_call) options.on_call(call);
    if (!options.clock) std::this_thread::sleep_for(options.load_time);
    for (const auto& fault : options.faults) {
      if (fault.where != FakeCallKind::kLoad || (!fault.device.empty() && fault.device != device)) continue;
      if (fault.how == FakeFault::How::kError) throw Error(fault.code, "injected load failure");
      if (fault.how == FakeFault::How::kStdException) throw std::runtime_error("injected load failure");
      if (fault.how == FakeFault::How::kNotException) throw 42;
      return nullptr;
    }
    return std::make_unique<FakePipeline>(options, record, device);
  };
  return {std::move(description), std::move(load)};
}

}  // namespace easel::testing
