// Routing, and what all responses share.
#include "http/openai/service.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/log.h"
#include "core/text.h"
#include "http/openai/description/components.h"
#include "http/openai/openapi.h"
#include "http/openai/request_id.h"
#include "http/wire/json_text.h"

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
  const bool is_secret = record.route && record.route->path_is_secret;
  const auto path = is_secret ? std::string(record.route->name) : shortened(head.path);
  log::Fields fields = {{"id", record.id}, {"method", shortened(head.method)}, {"path", path}, {"status", status}};
  if (!record.principal.account.empty()) fields.emplace_back("account", record.principal.account);
  fields.insert(fields.end(), record.log_fields.begin(), record.log_fields.end());
  fields.emplace_back("ms", elapsed.count());
  const bool routine = status == 200 && record.route && record.route->logging == Logging::kUnlessOk;
  routine ? log::debug("request", fields) : log::info("request", fields);
}

// A fault of the server is logged as an error; a fault of the client is only in its response and its request line.
void log_failure(const std::string& id, const HttpError& error) {
  const bool refused_for_now = error.headers.find("retry-after");
  if (error.status >= 500 && !refused_for_now) {
    log::error(concat("request failed: ", error.detail.empty() ? error.message : error.detail), {{"id", id}});
  }
}

// Counts and logs a request when it has ended: for a streamed response that is after its body, or when it turns out
// that its head cannot be written.
class RequestEnd {
 public:
  RequestEnd(ServerMetrics& metrics, const RequestHead& head, RequestRecord request)
      : record(std::move(request)), metrics_(metrics), head_(head) {}
  ~RequestEnd() {
    const auto elapsed = since(started_);
    const int final_status = log_stream_error();
    metrics_.count_request(record.route ? record.route->name : "", head_.method, final_status,
                           std::chrono::duration<double>(elapsed).count());
    log_request(record, head_, final_status, elapsed);
  }
  RequestEnd(const RequestEnd&) = delete;
  RequestEnd& operator=(const RequestEnd&) = delete;

  std::chrono::milliseconds elapsed() const { return since(started_); }

  RequestRecord record;
  int status = kClientClosedRequest;

 private:
  // The status that the request ended with.
  int log_stream_error() const {
    if (record.stream_error) log_failure(record.id, *record.stream_error);
    if (record.client_left) return kClientClosedRequest;
    return record.stream_error ? record.stream_error->status : status;
  }

  ServerMetrics& metrics_;
  const RequestHead& head_;
  const Clock::time_point started_ = Clock::now();
};

void check_model_aliases(const std::vector<std::pair<std::string, std::string>>& aliases, const ModelList& models) {
  for (const auto& [name, id] : aliases) {
    const bool served = std::any_of(models.begin(), models.end(), [&id](const auto& model) { return model.id == id; });
    if (name.empty() || !served) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat("the alias ", quote(name), " stands for ", quote(id), ", which is not a served model"));
    }
  }
}

}  // namespace

Service::Service(Engine& engine, ServerOptions options, const ExtensionFactory& make_extension)
    : options_(std::move(options)),
      metrics_(options_.metrics ? options_.metrics : make_metrics(options_.version)),
      keys_(options_.api_keys, options_.api_keys_file),
      access_({.allowed_origins = options_.allowed_origins,
               .own_host = options_.host,
               .allowed_hosts = options_.allowed_hosts,
               .trusted_proxies = options_.trusted_proxies,
               .public_url = options_.public_url,
               .local_operator = options_.local_operator},
              keys_),
      store_(options_.image_store_bytes, options_.image_store_seconds),
      kept_(store_),
      endpoints_{.status = StatusEndpoints(engine, options_, *metrics_, shutting_down_),
                 .models = ModelEndpoints(engine, options_),
                 .pulls = ModelPulls(options_, shutting_down_),
                 .images = ImageEndpoints(engine, options_, store_, kept_, shutting_down_),
                 .jobs = JobEndpoints(options_, kept_, store_)},
      extension_(make_extension ? make_extension({engine, options_, endpoints_.images}) : nullptr) {
  check_model_aliases(options_.aliases, engine.models());
  std::vector<DescribedRoutes> tables = {{.routes = routes(), .schemas = component_schemas()}};
  if (extension_) tables.push_back({.routes = extension_->routes(), .schemas = extension_->schemas()});
  endpoints_.description = json_text(openapi_document(tables, options_));
}

Response Service::failed(const RequestHead& head, const RequestRecord& record, const HttpError& error) const {
  log_failure(record.id, error);
  const bool is_extended = record.route ? !record.route->handler : extension_ && extension_->owns(head.path);
  return is_extended ? extension_->error_response(error) : to_response(error);
}

RouteMatch Service::match(const RequestHead& head) const {
  auto found = find_route(head.method, head.path);
  if (found.allow.empty() && extension_) found = find_route(extension_->routes(), head.method, head.path);
  return found;
}

std::optional<Response> Service::handle(const RequestHead& head, Client& client) {
  const auto end = std::make_shared<RequestEnd>(*metrics_, head, RequestRecord{.id = request_id(head.headers)});
  auto& record = end->record;
  record.source = access_.source_of(head, client.address());
  std::optional<Response> response;
  try {
    response = dispatch(head, client, record);
  } catch (const HttpFailure& failure) {
    response = failed(head, record, failure.error());
  } catch (const ProtocolError& refused) {
    response = failed(head, record, protocol_error(refused));
  } catch (const std::exception& error) {
    response = failed(head, record, unexpected_error(error.what()));
  }
  if (!response) return std::nullopt;
  add_common_headers(*response, record.id, end->elapsed());
  access_.add_cors(head, record.source, *response);
  if (shutting_down_) response->close = true;
  if (!response->stream) {
    end->status = response->status;
    return response;
  }
  response->stream = [end, status = response->status, write = std::move(response->stream)](BodyWriter& body) {
    end->status = status;
    write(body);
  };
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
  const auto& source = record.source;
  access_.check_origin(head, source);
  const auto found = match(head);
  const bool open = found.route && found.route->auth == Auth::kOpen;
  if (!open) access_.check_host(source);  // health checks may use any name
  if (Access::is_preflight(head)) return access_.preflight_response(head);
  if (head.path == "*") return allowed_methods("GET, HEAD, POST, OPTIONS");

  record.route = found.route;
  if (found.allow.empty()) throw unknown_path(head);
  if (head.method == "OPTIONS") return allowed_methods(found.allow);
  if (!open) record.principal = access_.identify(head, source);
  if (!found.route) throw wrong_method(head, found.allow);
  const RouteRequest request{head, found.parameter, client, record};
  return found.route->handler ? found.route->handler(endpoints_, request) : extension_->handle(*found.route, request);
}

}  // namespace easel::http
