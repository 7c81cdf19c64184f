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
#include "http/openai/input_images.h"
#include "http/openai/model_choice.h"
#include "http/openai/openai_images.h"
#include "http/openai/streaming/image_stream.h"
#include "http/openai/submit_options.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"
#include "provenance/image_record.h"

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
  const auto& model = resolve_model(models, request.model, /*options=*/{});
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
  auto answer = http_error(error, wait);
  // As for a name that was never served: see model_for.
  if (error.code() == ErrorCode::kNotFound) answer.status = 400;
  return HttpFailure(std::move(answer));
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

ImageResult take_result(Job& job, ResultContext context) {
  try {
    return make_result(job.take(), unix_seconds(), std::move(context));
  } catch (const Error& error) {
    throw HttpFailure(generation_error(error));
  }
}

ResultContext result_context(const ImageRequest& request, const ModelDescription& model, const ServerOptions& options) {
  ResultContext context{.options = request.response, .seed = request.seed, .cell = model.cell};
  const auto add = [&](const std::shared_ptr<const Image>& image) {
    if (image) context.input_image_tokens += image_tokens(image->width, image->height, model.cell);
  };
  add(request.image);
  std::for_each(request.more_images.begin(), request.more_images.end(), add);
  auto metadata = options.metadata;
  metadata.embed = metadata.embed && request.response.embed_metadata;
  if (metadata.embed || metadata.mark) context.metadata = metadata_of_request(request, model, metadata);
  return context;
}

// Where links to this server begin, as the client reached it.
std::string link_base(const ServerOptions& options, const RequestHead& head) {
  if (!options.public_url.empty()) {
    return options.public_url.substr(0, options.public_url.find_last_not_of('/') + 1);
  }
  return "http://" + (head.host.empty() ? concat(options.host, ":", options.port) : head.host);
}

// How the events of a stream are filled.
EventFormat event_format(ImageTask task, const ImageRequest& request, const ModelDescription& model,
                         const ServerOptions& options) {
  const int width = request.width.value_or(model.native_width), height = request.height.value_or(model.native_height);
  const auto context = result_context(request, model, options);
  return {.prefix = task == ImageTask::kGenerate ? "image_generation" : "image_edit",
          .partial_image =
              [=](const Image& preview, std::int64_t index) {
                return concat(R"("partial_image_index":)", index, ',',
                              partial_image_members(resize(preview, width, height), unix_seconds(), context.options));
              },
          .completed =
              [context](const std::vector<GeneratedImage>& images) {
                return completed_image_members(make_result(images, unix_seconds(), context));
              }};
}

}  // namespace

ImageUpload ImageEndpoints::read_body(ImageTask task, const RequestHead& head, Client& client) const {
  if (task != ImageTask::kGenerate) return read_upload(head, client, options_);
  check_json(head);
  return {.fields = parse_json_object(client.read_body(options_.max_body_bytes)), .images = {}, .mask = {}};
}

ImageEndpoints::ReadRequest ImageEndpoints::read_request(ImageTask task, const ImageUpload& upload,
                                                         const RequestHead& head, const std::string& default_model) {
  const auto models = engine_.models();
  ReadRequest request{.image = read_image_request(upload.fields, models, options_, default_model, task),
                      .stream = read_stream_fields(Fields(upload.fields), head.headers)};
  if (request.stream.stream) check_one_image(request.image.num_images);
  if (task != ImageTask::kGenerate) {
    const SemaphoreGuard guard(decoding_);
    attach_input_images(upload, task, resolve_model(models, request.image.model, options_), options_, request.image);
  }
  return request;
}

// Generates the images of a request. None when the client has left.
std::optional<ImageResult> ImageEndpoints::run(ImageRequest request, SubmitOptions submit_options, Client& client,
                                               RequestRecord& record, Response& response) {
  const auto models = engine_.models();
  auto context = result_context(request, resolve_model(models, request.model, options_), options_);
  const auto job = submit(engine_, std::move(request), std::move(submit_options));
  const auto position = job->position();
  const bool ended = wait_while_connected(*job, client);
  const auto stats = job->stats();
  append_log_fields(stats, record.log_fields);
  if (!ended) return std::nullopt;
  auto result = take_result(*job, std::move(context));
  add_queue_headers(position, response);
  response.headers.add("x-easel-waited", concat(rounded_to_ms(stats.queued_seconds)));
  return result;
}

std::optional<Response> ImageEndpoints::handle(ImageTask task, const RequestHead& head,
                                               const std::string& default_model, Client& client,
                                               RequestRecord& record) {
  if (shutting_down_) throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
  check_encoding(head);
  auto submit_options = read_submit_options(head.headers, record.principal, options_.request_timeout);
  auto request = read_request(task, read_body(task, head, client), head, default_model);
  record.log_fields = request_log_fields(request.image, engine_.models());

  auto permit = std::make_shared<RequestPermit>(in_flight_, options_.max_waiting);
  if (!permit->acquired()) {
    throw rejection(
        engine_, Error(ErrorCode::kResourceExhausted,
                       concat("All ", options_.max_waiting, " places for image requests are taken; try again later.")));
  }
  if (request.stream.stream) {
    return stream(task, std::move(request), std::move(submit_options), std::move(permit), client, record);
  }
  auto response = json_response(200, "");
  auto result = run(std::move(request.image), std::move(submit_options), client, record, response);
  if (!result) return std::nullopt;
  response.body = image_response_body(std::move(*result), store_, link_base(options_, head));
  return response;
}

Response ImageEndpoints::file(const std::string& name) const {
  const auto id = name.substr(0, name.find('.'));
  const auto image = store_.find(id);
  if (!image || name != id + std::string(file_extension(image->format))) {
    throw HttpFailure({.status = 404, .message = "There is no such image, or no longer: links end after a while."});
  }
  Response response;
  response.headers.add("Content-Type", std::string(media_type(image->format)));
  response.headers.add("Cache-Control", "private, immutable");
  response.body = image->bytes;
  return response;
}

std::optional<Response> ImageEndpoints::stream(ImageTask task, ReadRequest request, SubmitOptions submit_options,
                                               std::shared_ptr<void> permit, Client& client, RequestRecord& record) {
  const auto models = engine_.models();
  const auto format = event_format(task, request.image, resolve_model(models, request.image.model, options_), options_);
  const auto feed = std::make_shared<ProgressFeed>();
  listen(feed, request.stream, submit_options);
  const auto job = submit(engine_, std::move(request.image), std::move(submit_options));
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
