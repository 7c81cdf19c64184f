#include "http/openai/jobs/job_json.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/base64.h"
#include "easel/image.h"
#include "http/openai/responses/image_result.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using nlohmann::ordered_json;
using Status = KeptRequest::Status;

const char* status_name(Status status) {
  switch (status) {
    case Status::kQueued:
      return "queued";
    case Status::kRunning:
      return "running";
    case Status::kCompleted:
      return "completed";
    case Status::kFailed:
      return "failed";
    case Status::kCancelled:
      break;
  }
  return "cancelled";
}

HttpError expired() {
  return {.status = 404,
          .message = "The images of this job are no longer kept: later ones took their place, or too much time passed.",
          .code = "result_expired"};
}

ordered_json preview_json(const KeptRequest& job) {
  const auto preview = job.newest_preview();
  if (!preview) return nullptr;
  return "data:image/png;base64," + base64_encode(encode_png(*preview));
}

// The error object itself, without the object around it.
std::string error_object(const HttpError& error) {
  constexpr std::string_view kBegin = R"({"error":)";
  const auto body = error_body(error);
  return body.substr(kBegin.size(), body.size() - kBegin.size() - 1);
}

}  // namespace

std::string job_path(const KeptRequest& job) {
  return "/v1/images/jobs/" + job.id();
}

std::string job_json(const KeptRequest& job, bool with_preview, ImageStore& store, const std::string& link_base) {
  const auto status = job.status();
  const auto progress = job.progress();
  const auto position = job.position();
  ordered_json members = {{"id", job.id()},
                          {"object", "image.job"},
                          {"status", status_name(status)},
                          {"created_at", job.created_at()},
                          {"position", position.ahead},
                          {"step", progress.steps_done},
                          {"steps", progress.steps_total},
                          {"seconds_left", std::round(position.wait_seconds * 1000) / 1000}};
  if (with_preview) members["preview"] = preview_json(job);
  std::optional<ImageResult> result;
  std::optional<HttpError> error;
  if (status == Status::kCompleted) {
    result = job.load();
    if (!result) error = expired();
  }
  if (status == Status::kFailed) error = job.error();
  // The result has megabytes of base64, which do not pass through the JSON library.
  auto text = json_text(members);
  text.pop_back();
  text += R"(,"result":)";
  text += result ? image_response_body(*result, store, link_base) : "null";
  text += R"(,"error":)";
  text += error ? error_object(*error) : "null";
  text += '}';
  return text;
}

}  // namespace easel::http
