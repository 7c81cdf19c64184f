// Routing, and what all responses share.
#include "http/openai/service.h"

#include <chrono>
#include <exception>
#include <utility>

#include "core/log.h"
#include "core/text.h"
#include "http/openai/request_id.h"

namespace easel::http {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kApiVersion[] = "2020-10-01";  // as OpenAI's own servers say; old clients read it
constexpr int kClientClosedRequest = 499;     // in the log and the metrics only: nobody reads a response

Response allowed_methods(const std::string& allow) {
  Response response;
  response.status = 204;
  response.headers.add("Allow", allow);
  return response;
}

HttpFailure unknown_path(const RequestHead& head) {
  return HttpFailure({.status = 404, .message = concat("There is no route ", head.method, " ", quote(head.path), ".")});
}

HttpFailure wrong_method(const RequestHead& head, const std::string& allow) {
  HttpError error{.status = 405,
                  .message = concat("The method ", head.method, " is not allowed at ", quote(head.path),
                                    "; use one of: ", allow, "."),
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
  const bool routine = status == 200 && record.route && record.route->logging == Logging::kUnlessOk;
  routine ? log::debug("request", fields) : log::info("request", fields);
}

// A fault of the server is logged as an error; a fault of the client is only in its response and its request line.
Response failed(const std::string& id, const HttpError& error) {
  const bool refused_for_now = error.headers.find("retry-after");
  if (error.status >= 500 && !refused_for_now) {
    log::error(concat("request failed: ", error.detail.empty() ? error.message : error.detail), {{"id", id}});
  }
  return to_response(error);
}

}  // namespace

Service::Service(Engine& engine, ServerOptions options)
    : options_(std::move(options)),
      metrics_(options_.metrics ? options_.metrics : make_metrics(options_.version)),
      keys_(options_.api_keys, options_.api_keys_file),
      access_({.allowed_origins = options_.allowed_origins,
               .own_host = options_.host,
               .allowed_hosts = options_.allowed_hosts,
               .trusted_proxies = options_.trusted_proxies,
               .local_operator = options_.local_operator},
              keys_),
      endpoints_{.status = StatusEndpoints(engine, options_, *metrics_, shutting_down_),
                 .models = ModelEndpoints(engine),
                 .images = ImageEndpoints(engine, options_, shutting_down_)} {}

std::optional<Response> Service::handle(const RequestHead& head, Client& client) {
  const auto started = Clock::now();
  const auto source = access_.source_of(head, client.address());
  RequestRecord record{.id = request_id(head.headers)};
  std::optional<Response> response;
  try {
    response = dispatch(head, source, client, record);
  } catch (const HttpFailure& failure) {
    response = failed(record.id, failure.error());
  } catch (const ProtocolError& refused) {
    response = failed(record.id, protocol_error(refused));
  } catch (const std::exception& error) {
    response = failed(record.id, unexpected_error(error.what()));
  }
  const auto elapsed = since(started);
  const int status = response ? response->status : kClientClosedRequest;
  metrics_->count_request(record.route ? record.route->name : "", head.method, status,
                          std::chrono::duration<double>(elapsed).count());
  log_request(record, head, status, elapsed);
  if (!response) return std::nullopt;
  add_common_headers(*response, record.id, elapsed);
  access_.add_cors(head, source, *response);
  if (shutting_down_) response->close = true;
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

std::optional<Response> Service::dispatch(const RequestHead& head, const RequestSource& source, Client& client,
                                          RequestRecord& record) {
  access_.check_origin(head, source);
  const auto match = find_route(head.method, head.path);
  const bool open = match.route && match.route->auth == Auth::kOpen;
  if (!open) access_.check_host(source);  // health checks may use any name
  if (Access::is_preflight(head)) return access_.preflight_response(head);
  if (head.path == "*") return allowed_methods("GET, HEAD, POST, OPTIONS");

  record.route = match.route;
  if (match.allow.empty()) throw unknown_path(head);
  if (head.method == "OPTIONS") return allowed_methods(match.allow);
  if (!open) record.principal = access_.identify(head, source);
  if (!match.route) throw wrong_method(head, match.allow);
  return match.route->handler(endpoints_, {head, match.parameter, client, record});
}

}  // namespace easel::http
