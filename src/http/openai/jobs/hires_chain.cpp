#include "http/openai/jobs/hires_chain.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/mutex.h"
#include "http/openai/jobs/hires_parts.h"

namespace easel::http {
namespace {

using std::chrono::milliseconds;
using ChainClock = std::chrono::steady_clock;

constexpr milliseconds kPlacePoll{100};  // from one attempt to find a place to the next

// What the listeners of all parts pass events on to. Parts may report at the same time.
class SharedListener {
 public:
  SharedListener(ProgressListener listener, std::int64_t steps_total)
      : listener_(std::move(listener)), steps_total_(steps_total) {}

  // A part that begins: its steps follow the completed ones.
  void begin_part(std::int64_t steps_before) {
    const MutexLock lock(mutex_);
    steps_before_ = steps_before;
  }
  void pass_on(ProgressEvent event, std::int64_t image) {
    if (!listener_) return;
    const MutexLock lock(mutex_);
    const bool is_first = steps_before_ == 0;
    const bool is_about_the_queue =
        event.kind == ProgressEvent::Kind::kQueued || event.kind == ProgressEvent::Kind::kStarted;
    if (is_about_the_queue && !is_first) return;
    event.image += image;
    const auto done = steps_before_ + event.progress.steps_done;
    event.progress = {.steps_done = std::min(done, steps_total_), .steps_total = steps_total_};
    listener_(event);
  }

 private:
  Mutex mutex_;
  const ProgressListener listener_;
  const std::int64_t steps_total_;
  std::int64_t steps_before_ EASEL_GUARDED_BY(mutex_) = 0;
};

const ModelDescription& model_of(const ModelList& models, const std::string& id) {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == id; });
  if (found == models.end()) throw Error(ErrorCode::kNotFound, "there is no model " + id, "hires.upscaler");
  return *found;
}

class HiresChain final : public Job {
 public:
  HiresChain(Engine& engine, GenerationRequest request, const SubmitOptions& options)
      : engine_(engine), request_(std::move(request)), options_(options), started_(ChainClock::now()) {
    const auto models = engine_.models();
    const auto& model = model_of(models, request_.model);
    const auto& upscaler = model_of(models, request_.hires->upscaler_model);
    factor_ = upscaler.upscale_factor;
    steps_ = {request_.requested_steps(model.default_steps), upscaler.default_steps,
              request_.second_pass_steps(model.default_steps)};
    listener_ = std::make_shared<SharedListener>(options.listener, steps_[0] + steps_[1] + steps_[2]);
    auto first = request_;
    first.hires.reset();
    current_ = {engine_.submit(std::move(first), terms(/*image=*/0, options.preview_count))};
    thread_ = std::thread([this] { run(); });
  }
  ~HiresChain() override {
    HiresChain::cancel();
    thread_.join();
  }

  bool wait_for(milliseconds timeout) override {
    const auto until = ChainClock::now() + timeout;
    const MutexLock lock(mutex_);
    while (!ended_ && ChainClock::now() < until) changed_.wait_until(mutex_, until);
    return ended_;
  }
  std::vector<GeneratedImage> take() override {
    const MutexLock lock(mutex_);
    while (!ended_) changed_.wait(mutex_);
    if (error_) throw *error_;
    return std::move(images_);
  }
  void cancel() override {
    const MutexLock lock(mutex_);
    cancelled_ = true;
    for (const auto& job : current_) job->cancel();
    changed_.notify_all();
  }
  StepProgress progress() const override {
    const MutexLock lock(mutex_);
    auto done = steps_before_;
    if (!current_.empty()) done += slowest_of_current();
    const auto total = steps_[0] + steps_[1] + steps_[2];
    return {.steps_done = std::min(done, total), .steps_total = total};
  }
  QueuePosition position() const override {
    const MutexLock lock(mutex_);
    return current_.empty() ? QueuePosition{} : current_.front()->position();
  }
  JobStats stats() const override {
    const MutexLock lock(mutex_);
    auto stats = done_stats_;
    for (const auto& job : current_) add(job->stats(), stats);
    return stats;
  }

 private:
  static void add(const JobStats& part, JobStats& stats) {
    if (stats.device.empty()) stats.queued_seconds = part.queued_seconds;
    stats.run_seconds += part.run_seconds;
    stats.device_seconds += part.device_seconds;
    stats.max_rows = std::max(stats.max_rows, part.max_rows);
    if (!part.device.empty()) stats.device = part.device;
  }

  std::int64_t slowest_of_current() const EASEL_REQUIRES(mutex_) {
    auto done = current_.front()->progress().steps_done;
    for (const auto& job : current_) done = std::min(done, job->progress().steps_done);
    return done;
  }

  SubmitOptions terms(std::int64_t image, std::int64_t previews) const {
    auto terms = options_;
    terms.preview_count = previews;
    terms.listener = [listener = listener_, image](const ProgressEvent& event) { listener->pass_on(event, image); };
    if (!options_.timeout) return terms;
    const auto left = *options_.timeout - std::chrono::duration_cast<milliseconds>(ChainClock::now() - started_);
    if (left.count() <= 0) throw Error(ErrorCode::kDeadlineExceeded, "the request did not end in its time");
    terms.timeout = left;
    return terms;
  }

  void run() {
    std::optional<Error> error;
    try {
      auto images = wait_for_part();
      images = part(requests_to_enlarge(std::move(images)), /*steps_before=*/steps_[0], /*previews=*/0);
      images = part(second_requests(images), steps_[0] + steps_[1], options_.preview_count);
      const MutexLock lock(mutex_);
      images_ = std::move(images);
    } catch (const Error& failure) {
      error = failure;
    } catch (const std::exception& failure) {
      error = Error(ErrorCode::kInternal, failure.what());
    }
    const MutexLock lock(mutex_);
    error_ = std::move(error);
    ended_ = true;
    changed_.notify_all();
  }

  std::vector<GenerationRequest> requests_to_enlarge(std::vector<GeneratedImage> images) const {
    std::vector<GenerationRequest> requests;
    for (auto& generated : images) {
      requests.push_back(enlarging_request(*request_.hires, factor_, std::move(generated)));
    }
    return requests;
  }

  std::vector<GenerationRequest> second_requests(const std::vector<GeneratedImage>& larger) const {
    std::vector<GenerationRequest> requests;
    for (const auto& generated : larger) requests.push_back(second_pass_request(request_, generated));
    return requests;
  }

  std::vector<GeneratedImage> part(const std::vector<GenerationRequest>& requests, std::int64_t steps_before,
                                   std::int64_t previews) {
    listener_->begin_part(steps_before);
    {
      const MutexLock lock(mutex_);
      steps_before_ = steps_before;
      for (const auto& job : current_) add(job->stats(), done_stats_);
      current_.clear();
    }
    std::int64_t image = 0;
    for (auto& request : requests) submit_part(request, terms(image++, previews));
    return wait_for_part();
  }

  void submit_part(const GenerationRequest& request, const SubmitOptions& terms) {
    while (true) {
      try {
        const auto job = engine_.submit(request, terms);
        const MutexLock lock(mutex_);
        current_.push_back(job);
        if (cancelled_) job->cancel();
        return;
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kResourceExhausted) throw;
      }
      const MutexLock lock(mutex_);
      if (!cancelled_) changed_.wait_until(mutex_, ChainClock::now() + kPlacePoll);
      if (cancelled_) throw Error(ErrorCode::kCancelled, "the request was cancelled");
      if (options_.timeout && ChainClock::now() - started_ > *options_.timeout) {
        throw Error(ErrorCode::kDeadlineExceeded, "the request did not end in its time");
      }
    }
  }

  std::vector<GeneratedImage> wait_for_part() {
    std::vector<std::shared_ptr<Job>> jobs;
    {
      const MutexLock lock(mutex_);
      jobs = current_;
    }
    std::vector<GeneratedImage> images;
    for (const auto& job : jobs) {
      for (auto& image : job->take()) images.push_back(std::move(image));
    }
    return images;
  }

  Engine& engine_;
  const GenerationRequest request_;
  const SubmitOptions options_;
  const ChainClock::time_point started_;
  int factor_ = 1;
  std::vector<std::int64_t> steps_;  // of the three parts, estimated
  std::shared_ptr<SharedListener> listener_;
  std::thread thread_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<std::shared_ptr<Job>> current_ EASEL_GUARDED_BY(mutex_);  // of the part that is running
  std::int64_t steps_before_ EASEL_GUARDED_BY(mutex_) = 0;              // of earlier parts
  JobStats done_stats_ EASEL_GUARDED_BY(mutex_);                        // of earlier parts
  bool cancelled_ EASEL_GUARDED_BY(mutex_) = false;
  bool ended_ EASEL_GUARDED_BY(mutex_) = false;
  std::optional<Error> error_ EASEL_GUARDED_BY(mutex_);
  std::vector<GeneratedImage> images_ EASEL_GUARDED_BY(mutex_);
};

}  // namespace

std::shared_ptr<Job> submit_hires_chain(Engine& engine, GenerationRequest request, const SubmitOptions& options) {
  return std::make_shared<HiresChain>(engine, std::move(request), options);
}

}  // namespace easel::http
