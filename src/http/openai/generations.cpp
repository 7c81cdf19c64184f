// The image routes.
#include "http/openai/generations.h"

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
#include "http/openai/openai_images.h"
#include "http/openai/request_pictures.h"
#include "http/openai/terms.h"
#include "http/wire/http_error.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

// How soon a client's leaving is noticed; the end of a job wakes the waiter at once.
constexpr std::chrono::milliseconds kLookAtClientEvery{100};

// Counts a request in, while there is a place: waiting requests must never hold every thread.
class Slot {
 public:
  Slot(std::atomic<std::size_t>& taken, std::size_t limit) : taken_(taken), got_(taken_.fetch_add(1) < limit) {}
  ~Slot() { taken_.fetch_sub(1); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  bool got() const { return got_; }

 private:
  std::atomic<std::size_t>& taken_;
  const bool got_;
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

// A body without a type is taken for JSON; one that claims another type is not.
void check_json(const RequestHead& head) {
  const auto* type = head.headers.find("Content-Type");
  if (!type) return;
  const auto media_type = trimmed(std::string_view(*type).substr(0, type->find(';')));
  if (media_type.empty() || equal_ignoring_case(media_type, "application/json")) return;
  throw HttpFailure({.status = 400,
                     .message = "The Content-Type of this request must be application/json.",
                     .code = "unsupported_content_type"});
}

log::Fields drawing_fields(const GenerationRequest& request, const std::vector<ModelDescription>& models) {
  const auto& model = resolve_model(models, request.model);
  return {
      {"model", request.model},
      {"size", concat(request.width.value_or(model.native_width), "x", request.height.value_or(model.native_height))},
      {"images", request.num_images},
      {"steps", request.num_inference_steps.value_or(model.default_steps)}};
}

// In whole seconds, as the field has them: never so soon that clients hammer, nor beyond a day, whatever was estimated.
std::string retry_after(double seconds) {
  constexpr double kDay = 86400.0;
  return std::to_string(std::llround(std::min(std::max(1.0, std::ceil(seconds)), kDay)));
}

HttpFailure refused(const Engine& engine, const Error& error) {
  const auto wait = error.code() == ErrorCode::kResourceExhausted ? std::optional(retry_after(engine.estimated_wait()))
                                                                  : std::nullopt;
  return HttpFailure(http_error(error, wait));
}

std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request, SubmitOptions terms) {
  try {
    return engine.submit(std::move(request), std::move(terms));
  } catch (const Error& error) {
    throw refused(engine, error);
  }
}

double rounded_to_ms(double seconds) {
  return std::round(seconds * 1000) / 1000;
}

void note(const JobFigures& figures, log::Fields& fields) {
  fields.emplace_back("waited", rounded_to_ms(figures.waited_seconds));
  fields.emplace_back("drawn", rounded_to_ms(figures.drawn_seconds));
  fields.emplace_back("device_seconds", rounded_to_ms(figures.device_seconds));
  fields.emplace_back("rows", figures.most_rows);
  if (!figures.device.empty()) fields.emplace_back("device", figures.device);
}

// Where the request stood when it was accepted, and how long it then waited to be begun.
void add_queue_headers(const QueuePosition& position, const JobFigures& figures, Answer& answer) {
  answer.headers.add("x-easel-queue-position", std::to_string(position.ahead));
  answer.headers.add("x-easel-estimated-wait", concat(rounded_to_ms(position.wait_seconds)));
  answer.headers.add("x-easel-waited", concat(rounded_to_ms(figures.waited_seconds)));
}

// False when the client left first, and its job with it.
bool wait_with_client(Job& job, Client& client) {
  while (!job.wait_for(kLookAtClientEvery)) {
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
    throw HttpFailure(drawing_error(error));
  }
}

std::int64_t unix_seconds() {
  using std::chrono::system_clock;
  return std::chrono::duration_cast<std::chrono::seconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

GenerationRequest Generations::read_request(ImageTask task, const RequestHead& head, const std::string& default_model,
                                            Client& client) {
  const auto& models = engine_.models();
  if (task == ImageTask::kGenerate) {
    check_json(head);
    return read_image_request(parse_json_object(client.read_body(options_.max_body_bytes)), models, options_,
                              default_model);
  }
  const auto upload = read_upload(head, client, options_);
  auto request = read_image_request(upload.fields, models, options_, default_model, task);
  const auto pass = decoding_.enter();
  add_pictures(upload, task, resolve_model(models, request.model), options_, request);
  return request;
}

std::optional<Answer> Generations::answer(ImageTask task, const RequestHead& head, const std::string& default_model,
                                          Client& client, RequestRecord& record) {
  if (shutting_down_) throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
  check_encoding(head);
  auto terms = terms_of(head.headers, record.caller, options_.request_timeout);
  auto request = read_request(task, head, default_model, client);
  record.drawing = drawing_fields(request, engine_.models());

  const Slot slot(drawing_, options_.max_waiting);
  if (!slot.got()) {
    throw refused(engine_,
                  Error(ErrorCode::kResourceExhausted,
                        concat("All ", options_.max_waiting, " places for image requests are taken; try later.")));
  }
  const auto seed = request.seed;
  const auto job = submit(engine_, std::move(request), std::move(terms));
  const auto position = job->position();
  const bool ended = wait_with_client(*job, client);
  const auto figures = job->figures();
  note(figures, record.drawing);
  if (!ended) return std::nullopt;
  auto answer = json_answer(200, image_answer(take(*job), unix_seconds(), seed));
  add_queue_headers(position, figures, answer);
  return answer;
}

}  // namespace easel::http
