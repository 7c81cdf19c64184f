// The image route.
#include "http/generations.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "http/http_error.h"
#include "http/json_text.h"
#include "http/openai_images.h"

namespace easel::http {
namespace {

// How soon a client's leaving is noticed; the end of a job wakes the waiter at once.
constexpr std::chrono::milliseconds kLookAtClientEvery{100};

// Counts a request in, or refuses it: waiting requests must never hold every thread.
class Slot {
 public:
  Slot(std::atomic<std::size_t>& taken, std::size_t limit) : taken_(taken) {
    if (taken_.fetch_add(1) < limit) return;
    taken_.fetch_sub(1);
    throw HttpFailure(http_error(Error(ErrorCode::kResourceExhausted,
                                       concat("All ", limit, " places for image requests are taken; try later."))));
  }
  ~Slot() { taken_.fetch_sub(1); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

 private:
  std::atomic<std::size_t>& taken_;
};

// A body without a type is taken for JSON; one that claims another type is not.
void check_content(const RequestHead& head) {
  const auto* encoding = head.headers.find("Content-Encoding");
  if (encoding && !equal_ignoring_case(*encoding, "identity")) {
    HttpError error{
        .status = 415, .message = "The request's body must not be compressed.", .code = "unsupported_content_encoding"};
    error.headers.add("Accept-Encoding", "identity");
    throw HttpFailure(std::move(error));
  }
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

std::shared_ptr<Job> submit(Engine& engine, GenerationRequest request) {
  try {
    return engine.submit(std::move(request));
  } catch (const Error& error) {
    throw HttpFailure(http_error(error));
  }
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

GenerationRequest Generations::read_request(const std::string& default_model, Client& client) const {
  const auto body = parse_json_object(client.read_body(options_.max_body_bytes));
  return read_image_request(body, engine_.models(), options_, default_model);
}

std::optional<Answer> Generations::answer(const RequestHead& head, const std::string& default_model, Client& client,
                                          RequestRecord& record) {
  if (shutting_down_) throw HttpFailure(http_error(Error(ErrorCode::kUnavailable, "The server is shutting down.")));
  check_content(head);
  auto request = read_request(default_model, client);
  record.drawing = drawing_fields(request, engine_.models());

  const Slot slot(drawing_, options_.max_waiting);
  const auto seed = request.seed;
  const auto job = submit(engine_, std::move(request));
  if (!wait_with_client(*job, client)) return std::nullopt;
  return json_answer(200, image_answer(take(*job), unix_seconds(), seed));
}

}  // namespace easel::http
