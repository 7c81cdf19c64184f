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
#include "easel/image.h"
#include "http/openai/image_upload.h"
#include "http/openai/input_images.h"
#include "http/openai/model_choice.h"
#include "http/openai/openai_images.h"
#include "http/openai/streaming/image_stream.h"
#include "http/openai/submit_options.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

// How often to check whether the client has left. The end of a job ends the wait at once.
constexpr std::chrono::milliseconds kDisconnectPollInterval{100};

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

// In whole seconds, as the header requires: from one second, so that clients do not retry at once, to a day.
std::string retry_after(double seconds) {
  constexpr double kDay = 86400.0;
  return std::to_string(std::llround(std::min(std::max(1.0, std::ceil(seconds)), kDay)));
}

HttpFailure rejection(const Engine& engine, const Error& error) {
  const auto wait = error.code() == ErrorCode::kResourceExhausted ? std::optional(retry_after(engine.estimated_wait()))
                                                                  : std::nullopt;
  return HttpFailure(http_error(error, wait));
}

std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request, SubmitOptions submit_options) {
  try {
    return engine.submit(std::move(request), std::move(submit_options));
  } catch (const Error& error) {
    throw rejection(engine, error);
  }
}

double rounded_to_ms(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

void append_log_fields(const JobStats& stats, log::Fields& fields) {
  fields.emplace_back("waited", rounded_to_ms(stats.queued_seconds));
  fields.emplace_back("drawn", rounded_to_ms(stats.run_seconds));
  fields.emplace_back("device_seconds", rounded_to_ms(stats.device_seconds));
  fields.emplace_back("rows", stats.max_rows);
  if (!stats.device.empty()) fields.emplace_back("device", stats.device);
}

// Where in the queue the request was when it was accepted.
void add_queue_headers(const QueuePosition& position, Response& response) {
  response.headers.add("x-easel-queue-position", std::to_string(position.ahead));
  response.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(position.wait_seconds)));
}

// What a streamed response keeps until it has ended.
struct OpenStream {
  OpenStream(std::shared_ptr<Job> its_job, std::shared_ptr<void> its_permit)
      : job(std::move(its_job)), permit(std::move(its_permit)) {}
  ~OpenStream() { job->cancel(); }  // does nothing once it has ended
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;

  const std::shared_ptr<Job> job;
  const std::shared_ptr<void> permit;
  std::optional<std::vector<GeneratedImage>> images;  // of a job that ended before the response began
};

// False when the client left before the job ended; the job is then cancelled.
bool wait_while_connected(Job& job, Client& client) {
  while (!job.wait_for(kDisconnectPollInterval)) {
    if (!client.gone()) continue;
    job.cancel();
    return false;
  }
  return true;
}

std::vector<GeneratedImage> take(Job& job) {
  try {
    return job.take();
  } catch (const Error& error) {
    throw HttpFailure(generation_error(error));
  }
}

std::int64_t unix_seconds() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch()).count();
}

// How the events of a stream are filled.
EventFormat event_format(ImageTask task, const GenerationRequest& request, const std::vector<ModelDescription>& models,
                         const std::string& quality) {
  const auto& model = resolve_model(models, request.model);
  const int width = request.width.value_or(model.native_width), height = request.height.value_or(model.native_height);
  return {.prefix = task == ImageTask::kGenerate ? "image_generation" : "image_edit",
          .partial_image =
              [=](const Image& preview, std::int64_t index) {
                return concat(R"("partial_image_index":)", index, ',',
                              image_event_members(resize(preview, width, height), unix_seconds(), quality));
              },
          .completed =
              [quality](const std::vector<GeneratedImage>& images) {
                return concat(image_event_members(images.at(0).image, unix_seconds(), quality), R"(,"seed":)",
                              images.at(0).seed);
              }};
}

}  // namespace

ImageEndpoints::ReadRequest ImageEndpoints::read_request(ImageTask task, const RequestHead& head,
                                                         const std::string& default_model, Client& client) {
  const auto models = engine_.models();
  ImageUpload upload;
  if (task == ImageTask::kGenerate) {
    check_json(head);
    upload.fields = parse_json_object(client.read_body(options_.max_body_bytes));
  } else {
    upload = read_upload(head, client, options_);
  }
  const Fields fields(upload.fields);
  ReadRequest request{.generation = read_image_request(upload.fields, models, options_, default_model, task),
                      .stream = read_stream_fields(fields, head.headers),
                      .quality = reported_quality(fields)};
  if (request.stream.stream) check_one_image(request.generation.num_images);
  if (task != ImageTask::kGenerate) {
    const SemaphoreGuard guard(decoding_);
    attach_input_images(upload, task, resolve_model(models, request.generation.model), options_, request.generation);
  }
  return request;
}

std::optional<Response> ImageEndpoints::handle(ImageTask task, const RequestHead& head,
                                               const std::string& default_model, Client& client,
                                               RequestRecord& record) {
  if (shutting_down_) throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
  check_encoding(head);
  auto submit_options = read_submit_options(head.headers, record.principal, options_.request_timeout);
  auto request = read_request(task, head, default_model, client);
  record.log_fields = request_log_fields(request.generation, engine_.models());

  auto permit = std::make_shared<RequestPermit>(in_flight_, options_.max_waiting);
  if (!permit->acquired()) {
    throw rejection(
        engine_, Error(ErrorCode::kResourceExhausted,
                       concat("All ", options_.max_waiting, " places for image requests are taken; try again later.")));
  }
  if (request.stream.stream) {
    return stream(task, std::move(request), std::move(submit_options), std::move(permit), client, record);
  }
  const auto seed = request.generation.seed;
  const auto job = submit(engine_, std::move(request.generation), std::move(submit_options));
  const auto position = job->position();
  const bool ended = wait_while_connected(*job, client);
  const auto stats = job->stats();
  append_log_fields(stats, record.log_fields);
  if (!ended) return std::nullopt;
  auto response = json_response(200, image_response_body(take(*job), unix_seconds(), seed));
  add_queue_headers(position, response);
  response.headers.add("x-easel-waited", concat(rounded_to_ms(stats.queued_seconds)));
  return response;
}

std::optional<Response> ImageEndpoints::stream(ImageTask task, ReadRequest request, SubmitOptions submit_options,
                                               std::shared_ptr<void> permit, Client& client, RequestRecord& record) {
  const auto format = event_format(task, request.generation, engine_.models(), request.quality);
  const auto feed = std::make_shared<ProgressFeed>();
  listen(feed, request.stream, submit_options);
  const auto job = submit(engine_, std::move(request.generation), std::move(submit_options));
  const auto open = std::make_shared<OpenStream>(job, std::move(permit));
  const auto position = job->position();
  const bool connected = wait_for_start(*job, *feed, client);
  const auto log_fields = record.log_fields;
  append_log_fields(job->stats(), record.log_fields);
  if (!connected) return std::nullopt;
  // A failure before the response has begun is answered with its own status.
  if (job->wait_for(std::chrono::milliseconds(0))) open->images = take(*job);
  const auto write = [open, feed, format, log_fields, with_progress = request.stream.progress,
                      &record](BodyWriter& body) {
    EventWriter events(body);
    const auto end = stream_job(*open->job, *feed, format, with_progress, events, std::move(open->images));
    record.log_fields = log_fields;
    append_log_fields(open->job->stats(), record.log_fields);
    record.client_left = end.client_left;
    record.stream_error = end.error;
  };
  auto response = event_stream_response(write);
  add_queue_headers(position, response);
  return response;
}

}  // namespace easel::http
