// The image routes.
#include "http/openai/image_endpoints.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http/openai/image_upload.h"
#include "http/openai/input_images.h"
#include "http/openai/model_choice.h"
#include "http/openai/openai_images.h"
#include "http/openai/public_text.h"
#include "http/openai/submit_options.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

// How often to check whether the client has left. The end of a job ends the wait at once.
constexpr std::chrono::milliseconds kDisconnectPollInterval{100};

// How long a request waits for memory for its body.
constexpr std::chrono::seconds kMaxMemoryWait{30};

// Holds one of the places of a semaphore.
template <class Semaphore>
class SemaphoreGuard {
 public:
  explicit SemaphoreGuard(Semaphore& semaphore) : semaphore_(semaphore) { semaphore_.acquire(); }
  ~SemaphoreGuard() { semaphore_.release(); }
  SemaphoreGuard(const SemaphoreGuard&) = delete;
  SemaphoreGuard& operator=(const SemaphoreGuard&) = delete;

 private:
  Semaphore& semaphore_;
};

// Counts a request as in flight, up to a limit: image requests must never occupy every thread.
class RequestPermit {
 public:
  RequestPermit(std::atomic<std::size_t>& taken, std::size_t limit)
      : taken_(taken), acquired_(taken_.fetch_add(1) < limit) {}
  ~RequestPermit() { taken_.fetch_sub(1); }
  RequestPermit(const RequestPermit&) = delete;
  RequestPermit& operator=(const RequestPermit&) = delete;

  bool acquired() const { return acquired_; }

 private:
  std::atomic<std::size_t>& taken_;
  const bool acquired_;
};

void check_encoding(const RequestHead& head) {
  const auto* encoding = head.headers.find("Content-Encoding");
  if (encoding && !equal_ignoring_case(*encoding, "identity")) {
    HttpError error{
        .status = 415, .message = "The request's body must not be compressed.", .code = "unsupported_content_encoding"};
    error.headers.add("Accept-Encoding", "identity");
    throw HttpFailure(std::move(error));
  }
}

// A body without a type is taken for JSON; one of another type is refused.
void check_json(const RequestHead& head) {
  const auto* type = head.headers.find("Content-Type");
  if (!type) return;
  const auto media_type = trimmed(std::string_view(*type).substr(0, type->find(';')));
  if (media_type.empty() || equal_ignoring_case(media_type, "application/json")) return;
  throw HttpFailure({.status = 400,
                     .message = "The Content-Type of this request must be application/json.",
                     .code = "unsupported_content_type"});
}

log::Fields request_log_fields(const GenerationRequest& request, const std::vector<ModelDescription>& models) {
  const auto& model = resolve_model(models, request.model);
  return {
      {"model", request.model},
      {"size", concat(request.width.value_or(model.native_width), "x", request.height.value_or(model.native_height))},
      {"images", request.num_images},
      {"steps", request.num_inference_steps.value_or(model.default_steps)}};
}

double rounded_to_ms(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

// In whole seconds, as the header requires: from one second, so that clients do not retry at once, to the longest time
// that SDKs accept.
std::string retry_after(double seconds) {
  constexpr double kLongest = 60;
  return std::to_string(std::llround(std::min(std::max(1.0, std::ceil(seconds)), kLongest)));
}

// A 429 says when to come back. The time in its header is limited, so the estimate stands in the message as well.
HttpFailure rejection(Engine& engine, const SubmitOptions& submit_options, const Error& error) {
  if (error.code() != ErrorCode::kResourceExhausted) return HttpFailure(http_error(error));
  const auto advice = engine.advise_retry(submit_options);
  auto result = http_error(error, retry_after(advice.retry_after));
  result.message +=
      concat(" (a place is expected to be free in ", std::max(1.0, std::ceil(advice.estimated_wait)), " s)");
  result.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(advice.estimated_wait)));
  return HttpFailure(result);
}

std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request, const SubmitOptions& submit_options) {
  try {
    return engine.submit(std::move(request), submit_options);
  } catch (const Error& error) {
    throw rejection(engine, submit_options, error);
  }
}

void append_log_fields(const JobStats& stats, log::Fields& fields) {
  fields.emplace_back("waited", rounded_to_ms(stats.queued_seconds));
  fields.emplace_back("drawn", rounded_to_ms(stats.run_seconds));
  fields.emplace_back("device_seconds", rounded_to_ms(stats.device_seconds));
  fields.emplace_back("rows", stats.max_rows);
  if (!stats.device.empty()) fields.emplace_back("device", stats.device);
}

// Where in the queue the request was when it was accepted, and how long it waited until it started.
void add_queue_headers(const QueuePosition& position, const JobStats& stats, Response& response) {
  response.headers.add("x-easel-queue-position", std::to_string(position.ahead));
  response.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(position.wait_seconds)));
  response.headers.add("x-easel-waited", concat(rounded_to_ms(stats.queued_seconds)));
}

// False when the client left before the job ended; the job is then cancelled.
bool wait_while_connected(Job& job, Client& client) {
  while (!job.wait_for(kDisconnectPollInterval)) {
    if (!client.gone()) continue;
    job.cancel();
    return false;
  }
  return true;
}

// The log has the whole text of an error, clients the one without the server's folders.
std::vector<GeneratedImage> take(Job& job, const std::vector<ModelDescription>& models) {
  try {
    return job.take();
  } catch (const Error& error) {
    auto result = generation_error(error);
    if (result.detail.empty()) result.detail = result.message;
    result.message = without_folders(std::move(result.message), models);
    throw HttpFailure(std::move(result));
  }
}

std::int64_t unix_seconds() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

ImageEndpoints::ImageEndpoints(Engine& engine, const ServerOptions& options, const std::atomic<bool>& shutting_down)
    : engine_(engine),
      options_(options),
      shutting_down_(shutting_down),
      upload_memory_(options.upload_memory, kMaxMemoryWait) {
  const auto least = options.max_body_bytes + options.max_upload_bytes;
  if (upload_memory_.max_body() < least) {
    throw Error(ErrorCode::kInvalidArgument,
                concat("--upload-memory ", options.upload_memory, " is too small: three quarters of it must hold one ",
                       "request of --max-upload-bytes and --max-body-bytes, which is ", least, " bytes"));
  }
}

GenerationRequest ImageEndpoints::read_request(ImageTask task, const RequestHead& head,
                                               const std::string& default_model, const std::string& account,
                                               Client& connection) {
  BudgetedClient client(connection, head, upload_memory_, account);
  const auto models = engine_.models();
  if (task == ImageTask::kGenerate) {
    check_json(head);
    return read_image_request(parse_json_object(client.read_body(options_.max_body_bytes)), models, options_,
                              default_model);
  }
  const auto upload = read_upload(head, client, options_);
  auto request = read_image_request(upload.fields, models, options_, default_model, task);
  const SemaphoreGuard guard(decoding_);
  attach_input_images(upload, task, resolve_model(models, request.model), options_, request);
  return request;
}

std::optional<Response> ImageEndpoints::handle(ImageTask task, const RequestHead& head,
                                               const std::string& default_model, Client& client,
                                               RequestRecord& record) {
  if (shutting_down_) throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
  check_encoding(head);
  auto submit_options = read_submit_options(head.headers, record.principal, options_.request_timeout);
  submit_options.queue_timeout = options_.queue_timeout;
  auto request = read_request(task, head, default_model, record.principal.account, client);
  record.log_fields = request_log_fields(request, engine_.models());

  const RequestPermit permit(in_flight_, options_.max_waiting);
  if (!permit.acquired()) {
    throw rejection(
        engine_, submit_options,
        Error(ErrorCode::kResourceExhausted,
              concat("All ", options_.max_waiting, " places for image requests are taken; try again later.")));
  }
  const auto seed = request.seed;
  const auto job = submit(engine_, std::move(request), submit_options);
  const auto position = job->position();
  const bool ended = wait_while_connected(*job, client);
  const auto stats = job->stats();
  append_log_fields(stats, record.log_fields);
  if (!ended) return std::nullopt;
  auto response = json_response(200, image_response_body(take(*job, engine_.models()), unix_seconds(), seed));
  add_queue_headers(position, stats, response);
  return response;
}

}  // namespace easel::http
