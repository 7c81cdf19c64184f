// The table of routes and the matcher of paths.
#include "http/openai/routes.h"

#include <charconv>
#include <cstddef>
#include <vector>

#include "http/access/access.h"
#include "http/openai/endpoints.h"
#include "http/openai/request_record.h"

namespace easel::http {
namespace {

using MaybeResponse = std::optional<Response>;

template <Response (StatusEndpoints::*endpoint)() const>
MaybeResponse server_status(Endpoints& endpoints, const RouteRequest&) {
  return (endpoints.status.*endpoint)();
}

MaybeResponse root(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.status.root(request.head.headers);
}

MaybeResponse list_adapters(Endpoints& endpoints, const RouteRequest&) {
  return endpoints.models.adapters();
}

MaybeResponse list_tags(Endpoints& endpoints, const RouteRequest&) {
  return endpoints.models.tags();
}

MaybeResponse image_file(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.images.file(percent_decode(request.parameter));
}

MaybeResponse list_models(Endpoints& endpoints, const RouteRequest&) {
  return endpoints.models.list();
}

MaybeResponse describe_model(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.models.one(request.parameter);
}

template <ImageTask task>
MaybeResponse draw(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.images.handle(task, request.head, percent_decode(request.parameter), request.client, request.record);
}

MaybeResponse show_job(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.jobs.get(request.head, request.parameter, request.record);
}

MaybeResponse cancel_job(Endpoints& endpoints, const RouteRequest& request) {
  return endpoints.jobs.cancel(request.parameter, request.record);
}

MaybeResponse load_model(Endpoints& endpoints, const RouteRequest& request) {
  check_operator(request.record.principal, "Loading a model");
  return endpoints.models.load(request.parameter);
}

MaybeResponse unload_model(Endpoints& endpoints, const RouteRequest& request) {
  check_operator(request.record.principal, "Unloading a model");
  return endpoints.models.unload(request.parameter);
}

MaybeResponse pull_model(Endpoints& endpoints, const RouteRequest& request) {
  check_operator(request.record.principal, "Pulling a model");
  return endpoints.pulls.pull(request.client, request.record);
}

MaybeResponse remove_model(Endpoints& endpoints, const RouteRequest& request) {
  check_operator(request.record.principal, "Removing a model");
  return endpoints.models.remove(request.parameter);
}

MaybeResponse describe_api(Endpoints& endpoints, const RouteRequest&) {
  return json_response(200, endpoints.description);
}

// The statuses of errors. Every route may refuse a page of another site or a host name (403) and may fail (500).
constexpr int kOpenErrors[] = {403, 500};
constexpr int kErrors[] = {401, 403, 500};
constexpr int kNamedErrors[] = {400, 401, 403, 404, 500};
constexpr int kLoadErrors[] = {400, 401, 403, 404, 500, 503};
constexpr int kPullErrors[] = {400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503};
constexpr int kRemovalErrors[] = {400, 401, 403, 404, 409, 500, 503};
constexpr int kFileErrors[] = {403, 404, 500};
constexpr int kImageErrors[] = {400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504};

constexpr DescribedResponse kServerResponses[] = {
    {200, "Name, version and links. A page for clients that accept HTML.", "Server"}};
constexpr DescribedResponse kHealthResponses[] = {{200, "The process is well.", "Health"},
                                                  {503, "The default model could not be loaded.", "Health"}};
constexpr DescribedResponse kReadyResponses[] = {{200, "The server takes requests.", "Ready"},
                                                 {503, "The server does not take requests yet, or no more.", "Ready"}};
constexpr DescribedResponse kMetricsResponses[] = {{200, "Metrics for Prometheus.", nullptr, "text/plain"}};
constexpr DescribedResponse kModelsResponses[] = {{200, "The models.", "Models"}};
constexpr DescribedResponse kModelResponses[] = {{200, "The model.", "Model"}};
constexpr DescribedResponse kLoadResponses[] = {{200, "The model is loaded.", "Model"},
                                                {202, "It is being loaded.", "Model"}};
constexpr DescribedResponse kUnloadResponses[] = {{200, "The model is unloaded.", "Model"},
                                                  {202, "It is still in use.", "Model"}};
constexpr DescribedResponse kPullResponses[] = {
    {200, "The model, where `stream` is false.", "Pulled"},
    {200, "Events that tell the progress, and the end.", nullptr, "text/event-stream"}};
constexpr DescribedResponse kRemovalResponses[] = {{200, "The model was removed.", "Removal"}};
constexpr DescribedResponse kAdaptersResponses[] = {{200, "The adapters that requests may select.", "Adapters"}};
constexpr DescribedResponse kTagsResponses[] = {{200, "The models as Ollama lists them.", "Tags"}};
constexpr DescribedResponse kFileResponses[] = {{200, "The image.", nullptr, "image/png"},
                                                {200, "The image.", nullptr, "image/jpeg"},
                                                {200, "The image.", nullptr, "image/webp"}};
constexpr DescribedResponse kImageResponses[] = {
    {200, "The images.", "Images"},
    {200, "The images; with `stream`, events.", nullptr, "text/event-stream"},
    {202, "With `Prefer: respond-async`, the job.", "Job"}};
constexpr DescribedResponse kJobResponses[] = {{200, "The job.", "Job"}};
constexpr DescribedResponse kDescriptionResponses[] = {{200, "This description, OpenAPI 3.1.", "Description"}};

constexpr char kPreviewQuery[] =
    R"([{"name": "preview", "in": "query", "description": "1: with a rough image of a running job.",
         "schema": {"enum": ["0", "1"], "examples": ["1"]}}])";

constexpr Operation image_operation(const char* summary, BodyOf body) {
  return {.summary = summary, .responses = kImageResponses, .errors = kImageErrors, .body = body};
}

constexpr Route kRoutes[] = {
    {.method = "GET",
     .name = "/v1/",
     .pattern = "",
     .handler = &root,
     .operation = {.summary = "What this server is.", .responses = kServerResponses, .errors = kErrors}},
    {.method = "GET",
     .name = "/openapi.json",
     .pattern = "openapi.json",
     .handler = &describe_api,
     .operation = {.summary = "Describes all routes.", .responses = kDescriptionResponses, .errors = kErrors}},
    {.method = "GET",
     .name = "/health",
     .pattern = "health",
     .handler = &server_status<&StatusEndpoints::health>,
     .auth = Auth::kOpen,
     .logging = Logging::kUnlessOk,
     .operation = {.summary = "Whether the process is well.", .responses = kHealthResponses, .errors = kOpenErrors}},
    {.method = "GET",
     .name = "/ready",
     .pattern = "ready",
     .handler = &server_status<&StatusEndpoints::ready>,
     .auth = Auth::kOpen,
     .logging = Logging::kUnlessOk,
     .operation = {.summary = "Whether to send it requests.", .responses = kReadyResponses, .errors = kOpenErrors}},
    {.method = "GET",
     .name = "/metrics",
     .pattern = "metrics",
     .handler = &server_status<&StatusEndpoints::metrics>,
     .logging = Logging::kUnlessOk,
     .operation = {.summary = "Metrics of the server and the engine.",
                   .responses = kMetricsResponses,
                   .errors = kErrors}},
    {.method = "GET",
     .name = "/v1/models",
     .pattern = "models",
     .azure_pattern = "models",
     .handler = &list_models,
     .operation = {.summary = "Lists the models.", .responses = kModelsResponses, .errors = kErrors}},
    {.method = "GET",
     .name = "/v1/models/{id}",
     .pattern = "models/{...}",
     .azure_pattern = "models/{...}",
     .handler = &describe_model,
     .operation = {.summary = "Describes a model.", .responses = kModelResponses, .errors = kNamedErrors}},
    {.method = "POST",
     .name = "/v1/models/{id}/load",
     .pattern = "models/{...}/load",
     .handler = &load_model,
     .operation = {.summary = "Loads a model. For operators.", .responses = kLoadResponses, .errors = kLoadErrors}},
    {.method = "POST",
     .name = "/v1/models/{id}/unload",
     .pattern = "models/{...}/unload",
     .handler = &unload_model,
     .operation = {.summary = "Unloads a model. For operators.", .responses = kUnloadResponses, .errors = kLoadErrors}},
    {.method = "POST",
     .name = "/v1/models/pull",
     .pattern = "models/pull",
     .handler = &pull_model,
     .operation = {.summary = "Downloads a model. For operators.",
                   .responses = kPullResponses,
                   .errors = kPullErrors,
                   .body = BodyOf::kNamed,
                   .body_schema = "Pull"}},
    {.method = "DELETE",
     .name = "/v1/models/{id}",
     .pattern = "models/{...}",
     .handler = &remove_model,
     .operation = {.summary = "Removes a model. For operators.",
                   .responses = kRemovalResponses,
                   .errors = kRemovalErrors}},
    {.method = "GET",
     .name = "/v1/loras",
     .pattern = "loras",
     .handler = &list_adapters,
     .operation = {.summary = "Lists the adapters.", .responses = kAdaptersResponses, .errors = kErrors}},
    {.method = "GET",
     .name = "/api/tags",
     .pattern = "api/tags",
     .handler = &list_tags,
     .operation = {.summary = "Lists the models as Ollama does.", .responses = kTagsResponses, .errors = kErrors}},
    // The id in the path is the permission: browsers send no key with the address of an image.
    {.method = "GET",
     .name = "/v1/images/files/{name}",
     .pattern = "images/files/{}",
     .handler = &image_file,
     .auth = Auth::kOpen,
     .path_is_secret = true,
     .operation = {.summary = "An image that a response linked to.",
                   .responses = kFileResponses,
                   .errors = kFileErrors}},
    // Azure's clients put the model into the path.
    {.method = "POST",
     .name = "/v1/images/generations",
     .pattern = "images/generations",
     .azure_pattern = "deployments/{}/images/generations",
     .handler = &draw<ImageTask::kGenerate>,
     .operation = image_operation("Makes images from a prompt.", BodyOf::kGenerate)},
    {.method = "POST",
     .name = "/v1/images/edits",
     .pattern = "images/edits",
     .azure_pattern = "deployments/{}/images/edits",
     .handler = &draw<ImageTask::kEdit>,
     .operation = image_operation("Makes images from an image and a prompt.", BodyOf::kEdit)},
    {.method = "POST",
     .name = "/v1/images/variations",
     .pattern = "images/variations",
     .handler = &draw<ImageTask::kVary>,
     .operation = image_operation("Makes images like an image.", BodyOf::kVary)},
    {.method = "POST",
     .name = "/v1/images/upscale",
     .pattern = "images/upscale",
     .handler = &draw<ImageTask::kUpscale>,
     .operation = image_operation("Makes an image larger.", BodyOf::kUpscale)},
    {.method = "GET",
     .name = "/v1/images/jobs/{id}",
     .pattern = "images/jobs/{}",
     .handler = &show_job,
     .operation =
         {.summary = "Shows a job.", .responses = kJobResponses, .errors = kNamedErrors, .query = kPreviewQuery}},
    {.method = "DELETE",
     .name = "/v1/images/jobs/{id}",
     .pattern = "images/jobs/{}",
     .handler = &cancel_job,
     .operation = {.summary = "Cancels a job.", .responses = kJobResponses, .errors = kNamedErrors}},
};

using Segments = std::vector<std::string_view>;

// Empty segments are dropped, so that //v1//models/ is /v1/models.
Segments split(std::string_view path) {
  Segments segments;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) break;
    path.remove_prefix(slash + 1);
  }
  return segments;
}

bool segment_is(std::string_view segment, std::string_view expected) {
  return segment == expected || (segment.find('%') != std::string_view::npos && percent_decode(segment) == expected);
}

// A client's base URL may or may not contain the version; the routes are the same. Clients that expect a Lemonade
// server write /api/v1, and OpenAI's older ones append the path to a base URL without a slash between them: /v1images.
Segments without_version(Segments segments) {
  const bool has_prefix = segments.size() > 1 && segment_is(segments[1], "v1") &&
                          (segment_is(segments[0], "openai") || segment_is(segments[0], "api"));
  if (has_prefix) segments.erase(segments.begin());
  if (segments.empty()) return segments;
  if (segment_is(segments[0], "v1")) {
    segments.erase(segments.begin());
  } else if (segments[0] == "v1images" || segments[0] == "v1models") {
    segments[0].remove_prefix(std::string_view("v1").size());
  }
  return segments;
}

std::string joined(const Segments& segments, std::size_t first, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += '/';
    text += segments[first + i];
  }
  return text;
}

bool matches(const Segments& pattern, const Segments& segments, std::string& parameter) {
  if (segments.size() < pattern.size()) return false;
  std::size_t used = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    // What is left for "{...}" when every segment of the pattern after it has taken one.
    const auto count = pattern[i] == "{...}" ? segments.size() - used - (pattern.size() - i - 1) : 1;
    if (pattern[i].starts_with('{')) {
      parameter = joined(segments, used, count);
    } else if (!segment_is(segments[used], pattern[i])) {
      return false;
    }
    used += count;
  }
  return used == segments.size();
}

bool serves(const Route& route, const Segments& segments, std::string& parameter) {
  if (matches(split(route.pattern), segments, parameter)) return true;
  if (!route.azure_pattern || segments.empty() || !segment_is(segments.front(), "openai")) return false;
  return matches(split(route.azure_pattern), Segments(segments.begin() + 1, segments.end()), parameter);
}

}  // namespace

std::span<const Route> routes() {
  return kRoutes;
}

RouteMatch find_route(std::string_view method, std::string_view path) {
  return find_route(kRoutes, method, path);
}

RouteMatch find_route(std::span<const Route> table, std::string_view method, std::string_view path) {
  const auto wanted = method == "HEAD" ? "GET" : method;
  const auto segments = without_version(split(path));
  RouteMatch match;
  for (const auto& route : table) {
    std::string parameter;
    if (!serves(route, segments, parameter)) continue;
    const bool is_get = std::string_view(route.method) == "GET";
    match.allow += (match.allow.empty() ? "" : ", ") + std::string(is_get ? "GET, HEAD" : route.method);
    if (route.method == wanted) {
      match.route = &route;
      match.parameter = parameter;
    }
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

std::string percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const auto digits = text.substr(i + 1 < text.size() ? i + 1 : text.size(), 2);
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): its end is given as well
    const bool escape = text[i] == '%' && digits.size() == 2 &&
                        std::from_chars(digits.data(), digits.data() + 2, byte, 16).ptr == digits.data() + 2;
    decoded += escape ? static_cast<char>(byte) : text[i];
    if (escape) i += 2;
  }
  return decoded;
}

}  // namespace easel::http
