#include "http/openai/model_pull.h"

#include <chrono>
#include <cstdint>
#include <exception>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "core/mutex.h"
#include "easel/error.h"
#include "http/openai/streaming/event_writer.h"
#include "http/wire/fields.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPullPollInterval{100};
constexpr milliseconds kMaxWaitForPull{10'000};  // for a failure that can have a status of its own
constexpr std::size_t kMaxNameChars = 1024;

struct PullRequest {
  std::string model;
  bool stream = true;
};

PullRequest read_pull_request(const std::string& body) {
  const auto object = parse_json_object(body);
  const Fields fields(object);
  const auto model = fields.text("model", kMaxNameChars);
  if (!model || model->empty()) {
    throw field_error("model", "missing_required_parameter",
                      "`model` is missing: the name of a recipe, or ORG/NAME of a repository.");
  }
  // A server that fetched any address for its clients would reach what they cannot.
  if (model->find("://") != std::string::npos) {
    throw field_error("model", "invalid_value",
                      "`model` is an address; this route takes the name of a recipe or ORG/NAME. Run `easel pull` on "
                      "the server's machine for an address.");
  }
  return {.model = *model, .stream = fields.boolean("stream").value_or(true)};
}

std::string pulled_text(const ModelLibrary::Pulled& pulled) {
  return json_text(
      {{"object", "model_pull"},
       {"model", pulled.model},
       {"licence", pulled.licence.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(pulled.licence)},
       {"bytes", pulled.bytes},
       {"was_there", pulled.was_there},
       {"needs_conversion", pulled.has_pickles}});
}

HttpError error_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    auto result = http_error(error);
    if (error.code() == ErrorCode::kCorruptData) result.code = "pull_failed";  // the hub's data, not an image's
    return result;
  } catch (const std::exception& error) {
    return unexpected_error(error.what());
  }
}

}  // namespace

/// A download on a thread of its own, which ends with this object.
class ModelPulls::Task {
 public:
  struct News {
    std::uint64_t done = 0, total = 0;  ///< bytes; a total of 0: it is not known yet
    bool ended = false;
  };

  Task(ModelLibrary& library, std::string name, const std::atomic<bool>& shutting_down, std::atomic<bool>& busy)
      : busy_(busy),
        shutting_down_(shutting_down),
        thread_([this, &library, name = std::move(name)] { run(library, name); }) {}
  ~Task() {
    stop_ = true;
    thread_.join();
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  /// Waits until the download has ended, but not longer than `time`.
  News wait_for(milliseconds time) {
    const MutexLock lock(mutex_);
    const auto until = Clock::now() + time;
    while (!news_.ended && Clock::now() < until) changed_.wait_until(mutex_, until);
    return news_;
  }

  /// To be called after the end. @throws HttpFailure  the download failed
  ModelLibrary::Pulled result() const {
    if (failure_) throw HttpFailure(error_of(failure_));
    return pulled_;
  }

 private:
  void run(ModelLibrary& library, const std::string& name) {
    try {
      pulled_ = library.pull(
          name,
          [this](std::uint64_t done, std::uint64_t total) {
            const MutexLock lock(mutex_);
            news_ = {.done = done, .total = total};
          },
          [this] { return stop_ || shutting_down_; });
    } catch (...) {
      failure_ = std::current_exception();
    }
    // Before the end is known, so that a client that has read it may ask for the next model at once.
    busy_ = false;
    const MutexLock lock(mutex_);
    news_.ended = true;
    changed_.notify_all();
  }

  std::atomic<bool>& busy_;
  const std::atomic<bool>& shutting_down_;
  std::atomic<bool> stop_ = false;
  Mutex mutex_;
  CondVar changed_;
  News news_ EASEL_GUARDED_BY(mutex_);
  ModelLibrary::Pulled pulled_;  // written by the thread before `ended`
  std::exception_ptr failure_;   // the same
  std::thread thread_;           // the last member: it uses the others
};

namespace {

template <class Task>
void stream_pull(Task& task, BodyWriter& body, RequestRecord& record) {
  EventWriter events(body);
  std::uint64_t sent = 0;
  bool any_sent = false, connected = true;
  for (auto news = task.wait_for(milliseconds(0)); connected && !news.ended; news = task.wait_for(kPullPollInterval)) {
    if (news.total > 0 && (!any_sent || news.done != sent)) {
      connected = events.send("model_pull.progress",
                              without_braces(json_text({{"done_bytes", news.done}, {"total_bytes", news.total}})));
      sent = news.done;
      any_sent = true;
    } else {
      connected = events.keep_alive();
    }
  }
  try {
    if (connected) connected = events.send("model_pull.completed", without_braces(pulled_text(task.result())));
  } catch (const HttpFailure& failure) {
    connected = events.send_error(failure.error());
    record.stream_error = failure.error();
  }
  record.client_left = !connected;
}

}  // namespace

std::optional<Response> ModelPulls::pull(Client& client, RequestRecord& record) {
  auto& library = model_library(options_);
  const auto asked = read_pull_request(client.read_body(options_.max_body_bytes));
  record.log_fields = {{"model", asked.model}};
  if (busy_.exchange(true)) {
    throw HttpFailure({.status = 409,
                       .message = "Another model is being fetched; one is fetched at a time.",
                       .code = "pull_in_progress"});
  }
  std::shared_ptr<Task> task;
  try {
    task = std::make_shared<Task>(library, asked.model, shutting_down_, busy_);
  } catch (...) {
    busy_ = false;
    throw;
  }
  const auto until = Clock::now() + kMaxWaitForPull;
  auto news = task->wait_for(milliseconds(0));
  while (!news.ended && (!asked.stream || (news.total == 0 && Clock::now() < until))) {
    if (client.gone()) return std::nullopt;
    news = task->wait_for(kPullPollInterval);
  }
  if (news.ended) {
    const auto pulled = task->result();
    if (!asked.stream) return json_response(200, pulled_text(pulled));
  }
  return event_stream_response([task, &record](BodyWriter& body) { stream_pull(*task, body, record); });
}

ModelLibrary& model_library(const ServerOptions& options) {
  if (options.model_library) return *options.model_library;
  throw HttpFailure({.status = 400,
                     .message = "This server searches no folder for models; start it with --models-dir.",
                     .code = "no_models_folder"});
}

}  // namespace easel::http
