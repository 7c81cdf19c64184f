// Routing and what all answers share.
#include "http/service.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "http/fields.h"
#include "http/json_text.h"
#include "http/openai_models.h"
#include "http/request_id.h"

namespace easel::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kApiVersion[] = "2020-10-01";  // what OpenAI's own servers say; clients of old read it
constexpr int kClientLeft = 499;              // in the log only: nobody is there to read an answer

Answer allowed_methods(const std::string& allow) {
  Answer answer;
  answer.status = 204;
  answer.headers.add("Allow", allow);
  return answer;
}

HttpFailure unknown_path(const RequestHead& head) {
  return HttpFailure(
      {.status = 404, .message = concat("There is nothing to ", head.method, " at ", shown(head.path), " here.")});
}

HttpFailure wrong_method(const RequestHead& head, const std::string& allow) {
  HttpError error{
      .status = 405,
      .message = concat(head.method, " is not possible at ", shown(head.path), "; try one of: ", allow, "."),
      .code = "method_not_supported"};
  error.headers.add("Allow", allow);
  return HttpFailure(std::move(error));
}

void add_common_headers(Answer& answer, const std::string& id, std::chrono::milliseconds took) {
  answer.headers.add("x-request-id", id);
  answer.headers.add("openai-version", kApiVersion);
  answer.headers.add("openai-processing-ms", std::to_string(took.count()));
  answer.headers.add("X-Content-Type-Options", "nosniff");
}

std::chrono::milliseconds since(Clock::time_point started) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started);
}

void log_request(const std::string& id, const RequestHead& head, int status, const std::string& summary,
                 std::chrono::milliseconds took) {
  const auto line = concat(id, " ", head.method, " ", shown(head.path), " ", status, summary, " ", took.count(), " ms");
  // A container's health check would otherwise fill the log.
  const bool health_check = status == 200 && head.path.ends_with("/health");
  health_check ? log::debug(line) : log::info(line);
}

// A fault of the server's belongs in its log; one of the client's has its answer, and its line among the others.
Answer failed(const std::string& id, const HttpError& error) {
  const bool refused_for_now = error.headers.find("retry-after");
  if (error.status >= 500 && !refused_for_now) {
    log::error(concat(id, " failed: ", error.detail.empty() ? error.message : error.detail));
  }
  return answer_of(error);
}

}  // namespace

Service::Service(Engine& engine, ServerOptions options)
    : engine_(engine), options_(std::move(options)), generations_(engine_, options_) {
  start(/*loopback=*/true);
}

void Service::start(bool loopback) {
  access_.emplace(AccessRules{.api_keys = options_.api_keys,
                              .allowed_origins = options_.allowed_origins,
                              .own_host = options_.host,
                              .loopback = loopback});
}

std::optional<Answer> Service::answer(const RequestHead& head, Client& client) {
  const auto started = Clock::now();
  const auto id = request_id(head.headers);
  std::string summary;
  std::optional<Answer> answer;
  try {
    answer = dispatch(head, client, summary);
  } catch (const HttpFailure& failure) {
    answer = failed(id, failure.error());
  } catch (const std::exception& error) {
    answer = failed(id, unexpected_error(error.what()));
  }
  const auto took = since(started);
  log_request(id, head, answer ? answer->status : kClientLeft, summary, took);
  if (!answer) return std::nullopt;
  add_common_headers(*answer, id, took);
  access_->add_cors(head, *answer);
  if (generations_.shutting_down()) answer->close = true;
  return answer;
}

Answer Service::refusal(const HttpError& error) const {
  const auto id = request_id({});
  log::info(concat(id, " unreadable request ", error.status, ": ", error.message));
  auto answer = answer_of(error);
  add_common_headers(answer, id, std::chrono::milliseconds(0));
  return answer;
}

std::optional<Answer> Service::dispatch(const RequestHead& head, Client& client, std::string& summary) {
  access_->check_source(head);
  if (Access::is_preflight(head)) return access_->preflight_answer(head);
  if (head.path == "*") return allowed_methods("GET, HEAD, POST, OPTIONS");

  const auto match = find_route(head.method, head.path);
  if (match.allow.empty()) throw unknown_path(head);
  if (head.method == "OPTIONS") return allowed_methods(match.allow);
  const bool open = match.route && match.route->endpoint == Endpoint::kHealth;
  if (!open) access_->check_key(head);
  if (!match.route) throw wrong_method(head, match.allow);
  return call(match, head, client, summary);
}

std::optional<Answer> Service::call(const RouteMatch& match, const RequestHead& head, Client& client,
                                    std::string& summary) {
  switch (match.route->endpoint) {
    case Endpoint::kRoot:
      return root();
    case Endpoint::kHealth:
      return health();
    case Endpoint::kModels:
      return json_answer(200, model_list(engine_.models()));
    case Endpoint::kModel:
      return model(match.parameter);
    case Endpoint::kGenerations:
      return generations_.answer(head, percent_decode(match.parameter), client, summary);
  }
  throw unknown_path(head);
}

Answer Service::root() const {
  return json_answer(
      200,
      json_text({{"name", "easel"},
                 {"version", options_.version},
                 {"default_model", engine_.models().front().id},
                 {"links", {{"images", "/v1/images/generations"}, {"models", "/v1/models"}, {"health", "/health"}}}}));
}

// Only a server that can draw now is healthy: load balancers and container health checks read the status alone.
Answer Service::health() const {
  const auto& model = engine_.models().front();
  const auto state = engine_.model_state(model.id);
  std::string status = "loading";
  if (state == ModelState::kReady) status = "ready";
  if (state == ModelState::kFailed) status = "failed";
  if (generations_.shutting_down()) status = "shutting_down";
  return json_answer(status == "ready" ? 200 : 503, json_text({{"status", status}, {"model", model.id}}));
}

Answer Service::model(const std::string& encoded_id) const {
  const auto& models = engine_.models();
  const auto served = [&](const std::string& id) {
    return std::find_if(models.begin(), models.end(), [&](const ModelDescription& model) { return model.id == id; });
  };
  const auto id = percent_decode(encoded_id);
  if (id.find('\0') != std::string::npos) {
    throw field_error("model", "invalid_value", "A model's id holds no NUL byte.");
  }
  auto found = served(id);
  if (found == models.end()) {
    // Python clients before 1.0 write a space as a plus.
    auto with_spaces = encoded_id;
    std::replace(with_spaces.begin(), with_spaces.end(), '+', ' ');
    found = served(percent_decode(with_spaces));
  }
  if (found == models.end()) {
    throw HttpFailure({.status = 404,
                       .message = concat("There is no model ", shown(id), " here."),
                       .param = "model",
                       .code = "model_not_found"});
  }
  return json_answer(200, model_object(*found));
}

}  // namespace easel::http
