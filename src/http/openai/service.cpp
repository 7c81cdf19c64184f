// Routing and what all answers share.
#include "http/openai/service.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "http/openai/request_id.h"
#include "http/wire/fields.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kApiVersion[] = "2020-10-01";  // what OpenAI's own servers say; clients of old read it
constexpr int kClientClosedRequest = 499;     // in the log only: nobody is there to read an answer

Response allowed_methods(const std::string& allow) {
  Response response;
  response.status = 204;
  response.headers.add("Allow", allow);
  return response;
}

HttpFailure unknown_path(const RequestHead& head) {
  return HttpFailure(
      {.status = 404, .message = concat("There is nothing to ", head.method, " at ", quote(head.path), " here.")});
}

HttpFailure wrong_method(const RequestHead& head, const std::string& allow) {
  HttpError error{
      .status = 405,
      .message = concat(head.method, " is not possible at ", quote(head.path), "; try one of: ", allow, "."),
      .code = "method_not_supported"};
  error.headers.add("Allow", allow);
  return HttpFailure(std::move(error));
}

void add_common_headers(Response& response, const std::string& id, std::chrono::milliseconds elapsed) {
  response.headers.add("x-request-id", id);
  response.headers.add("openai-version", kApiVersion);
  response.headers.add("openai-processing-ms", std::to_string(elapsed.count()));
  response.headers.add("X-Content-Type-Options", "nosniff");
}

std::chrono::milliseconds since(Clock::time_point started) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - started);
}

void log_request(const RequestRecord& record, const RequestHead& head, int status, std::chrono::milliseconds elapsed) {
  log::Fields fields = {
      {"id", record.id}, {"method", shortened(head.method)}, {"path", shortened(head.path)}, {"status", status}};
  if (!record.principal.account.empty()) fields.emplace_back("account", record.principal.account);
  fields.insert(fields.end(), record.log_fields.begin(), record.log_fields.end());
  fields.emplace_back("ms", elapsed.count());
  // What probes and scrapers ask every few seconds would otherwise fill the log.
  const bool routine = status == 200 && record.route &&
                       (record.route->endpoint == Endpoint::kHealth || record.route->endpoint == Endpoint::kReady ||
                        record.route->endpoint == Endpoint::kMetrics);
  routine ? log::debug("request", fields) : log::info("request", fields);
}

// A fault of the server's belongs in its log; one of the client's has its answer, and its line among the others.
Response failed(const std::string& id, const HttpError& error) {
  const bool refused_for_now = error.headers.find("retry-after");
  if (error.status >= 500 && !refused_for_now) {
    log::error(concat("request failed: ", error.detail.empty() ? error.message : error.detail), {{"id", id}});
  }
  return to_response(error);
}

std::string_view route_label(const Route* route) {
  return route ? canonical_path(route->endpoint) : "";
}

// make_metrics makes nothing else.
std::shared_ptr<PrometheusMetrics> metrics_from(const ServerOptions& options) {
  if (options.metrics) return std::static_pointer_cast<PrometheusMetrics>(options.metrics);
  return std::make_shared<PrometheusMetrics>(options.version);
}

}  // namespace

Service::Service(Engine& engine, ServerOptions options)
    : engine_(engine),
      options_(std::move(options)),
      keys_(options_.api_keys, options_.api_keys_file),
      image_endpoints_(engine_, options_),
      model_endpoints_(engine_),
      metrics_(metrics_from(options_)) {
  start(/*loopback=*/true);
}

void Service::start(bool loopback) {
  access_.emplace(
      AccessRules{.allowed_origins = options_.allowed_origins, .own_host = options_.host, .loopback = loopback}, keys_);
}

std::optional<Response> Service::handle(const RequestHead& head, Client& client) {
  const auto started = Clock::now();
  RequestRecord record{.id = request_id(head.headers)};
  std::optional<Response> response;
  try {
    response = dispatch(head, client, record);
  } catch (const HttpFailure& failure) {
    response = failed(record.id, failure.error());
  } catch (const ProtocolError& refused) {
    response = failed(record.id, protocol_error(refused));
  } catch (const std::exception& error) {
    response = failed(record.id, unexpected_error(error.what()));
  }
  const auto elapsed = since(started);
  const int status = response ? response->status : kClientClosedRequest;
  metrics_->count_request(route_label(record.route), head.method, status,
                          std::chrono::duration<double>(elapsed).count());
  log_request(record, head, status, elapsed);
  if (!response) return std::nullopt;
  add_common_headers(*response, record.id, elapsed);
  access_->add_cors(head, *response);
  if (image_endpoints_.shutting_down()) response->close = true;
  return response;
}

Response Service::error_response(const HttpError& error) {
  const auto id = request_id({});
  log::info("unreadable request", {{"id", id}, {"status", error.status}, {"reason", error.message}});
  metrics_->count_request(/*route=*/"", /*method=*/"", error.status, 0.0);
  auto response = to_response(error);
  add_common_headers(response, id, std::chrono::milliseconds(0));
  return response;
}

std::optional<Response> Service::dispatch(const RequestHead& head, Client& client, RequestRecord& record) {
  access_->check_source(head);
  if (Access::is_preflight(head)) return access_->preflight_response(head);
  if (head.path == "*") return allowed_methods("GET, HEAD, POST, OPTIONS");

  const auto match = find_route(head.method, head.path);
  record.route = match.route;
  if (match.allow.empty()) throw unknown_path(head);
  if (head.method == "OPTIONS") return allowed_methods(match.allow);
  // Orchestrators carry no keys.
  const bool open =
      match.route && (match.route->endpoint == Endpoint::kHealth || match.route->endpoint == Endpoint::kReady);
  if (!open) record.principal = access_->identify(head, client.address());
  if (!match.route) throw wrong_method(head, match.allow);
  return call(match, head, client, record);
}

std::optional<Response> Service::call(const RouteMatch& match, const RequestHead& head, Client& client,
                                      RequestRecord& record) {
  switch (match.route->endpoint) {
    case Endpoint::kRoot:
      return root();
    case Endpoint::kHealth:
      return health();
    case Endpoint::kReady:
      return ready();
    case Endpoint::kMetrics:
      return metrics();
    case Endpoint::kModels:
      return model_endpoints_.list();
    case Endpoint::kModel:
      return model_endpoints_.one(match.parameter);
    case Endpoint::kLoadModel:
      check_operator(record.principal, "Loading a model");
      return model_endpoints_.load(match.parameter);
    case Endpoint::kUnloadModel:
      check_operator(record.principal, "Unloading a model");
      return model_endpoints_.unload(match.parameter);
    case Endpoint::kGenerations:
      return image_endpoints_.handle(ImageTask::kGenerate, head, percent_decode(match.parameter), client, record);
    case Endpoint::kEdits:
      return image_endpoints_.handle(ImageTask::kEdit, head, percent_decode(match.parameter), client, record);
    case Endpoint::kVariations:
      return image_endpoints_.handle(ImageTask::kVary, head, percent_decode(match.parameter), client, record);
    case Endpoint::kUpscale:
      return image_endpoints_.handle(ImageTask::kUpscale, head, percent_decode(match.parameter), client, record);
  }
  throw unknown_path(head);
}

Response Service::root() const {
  return json_response(200, json_text({{"name", "easel"},
                                       {"version", options_.version},
                                       {"default_model", engine_.models().front().id},
                                       {"links",
                                        {{"images", "/v1/images/generations"},
                                         {"edits", "/v1/images/edits"},
                                         {"upscale", "/v1/images/upscale"},
                                         {"models", "/v1/models"},
                                         {"health", "/health"}}}}));
}

std::string Service::default_model_status() const {
  if (image_endpoints_.shutting_down()) return "shutting_down";
  const auto model = engine_.status(engine_.models().front().id);
  switch (model.state) {
    case ModelState::kReady:
      return "ready";
    case ModelState::kFailed:
      return "failed";
    case ModelState::kUnloaded:
      // It has been in memory and left it, being idle or for another's sake: the next request brings it back. Calling
      // that unready would keep just that request away.
      return model.last_used ? "idle" : "loading";
    case ModelState::kLoading:
      break;
  }
  return "loading";
}

// Whether the process is well. One that loads or drains is; whoever would restart it on a 503 must let it.
Response Service::health() const {
  const auto status = default_model_status();
  return json_response(status == "failed" ? 503 : 200,
                       json_text({{"status", status}, {"model", engine_.models().front().id}}));
}

// Whether to send it requests.
Response Service::ready() const {
  const auto status = default_model_status();
  const bool ready = status == "ready" || status == "idle";
  return json_response(ready ? 200 : 503, json_text({{"ready", ready}, {"status", status}}));
}

Response Service::metrics() {
  Response response;
  response.headers.add("Content-Type", kMetricsContentType);
  response.body = metrics_->text();
  return response;
}

}  // namespace easel::http
