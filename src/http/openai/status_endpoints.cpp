// The state of the default model stands for the server's.
#include "http/openai/status_endpoints.h"

#include <algorithm>
#include <string>

#include "http/metrics/metrics.h"
#include "http/wire/json_text.h"

namespace easel::http {
namespace {

constexpr char kPage[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<title>easel</title>\n<h1>easel</h1>\n"
    "<p>This is an image generation server with OpenAI's Images API under <code>/v1/</code>.</p>\n"
    "<ul>\n<li><a href=\"/v1/models\">models</a></li>\n<li><a href=\"/health\">health</a></li>\n</ul>\n</html>\n";

bool accepts_html(const Headers& headers) {
  return std::any_of(headers.begin(), headers.end(), [](const Headers::Field& field) {
    return equal_ignoring_case(field.name, "Accept") && field.value.find("text/html") != std::string::npos;
  });
}

}  // namespace

Response StatusEndpoints::root(const Headers& headers) const {
  const auto models = engine_.models();
  const auto upscaler = std::find_if(models.begin(), models.end(),
                                     [](const ModelDescription& model) { return model.upscale_factor > 0; });
  auto response = json_response(200, json_text({{"name", "easel"},
                                                {"version", options_.version},
                                                {"default_model", models.front().id},
                                                {"model", models.front().id},
                                                {"upscaler", upscaler == models.end() ? "" : upscaler->id},
                                                {"links",
                                                 {{"images", "/v1/images/generations"},
                                                  {"edits", "/v1/images/edits"},
                                                  {"upscale", "/v1/images/upscale"},
                                                  {"models", "/v1/models"},
                                                  {"health", "/health"}}}}));
  if (accepts_html(headers)) {
    response = Response{};
    response.headers.add("Content-Type", "text/html; charset=utf-8");
    response.body = kPage;
  }
  response.headers.add("Vary", "Accept");
  return response;
}

std::string StatusEndpoints::default_model_status() const {
  if (shutting_down_) return "shutting_down";
  if (options_.download && !options_.download->finished) return "downloading";
  const auto model = engine_.status(engine_.models().front().id);
  switch (model.state) {
    case ModelState::kReady:
      return "ready";
    case ModelState::kFailed:
      return "failed";
    case ModelState::kUnloaded:
      // A model that was used has been unloaded because it was idle or to make room for another: the next request
      // loads it again. If that counted as not ready, a load balancer would hold back just that request.
      return model.last_used ? "idle" : "loading";
    case ModelState::kLoading:
      break;
  }
  return "loading";
}

Response StatusEndpoints::health() const {
  const auto status = default_model_status();
  return json_response(status == "failed" ? 503 : 200, json_text({{"status", status}}));
}

Response StatusEndpoints::ready() const {
  auto status = default_model_status();
  if (!engine_.stalled_loops().empty()) status = "stalled";
  const bool ready = status == "ready" || status == "idle";
  nlohmann::ordered_json body = {{"ready", ready}, {"status", status}};
  if (status == "downloading") {
    body["model"] = options_.download->model;
    body["downloaded_bytes"] = options_.download->done_bytes.load();
    body["total_bytes"] = options_.download->total_bytes.load();
  }
  return json_response(ready ? 200 : 503, json_text(body));
}

Response StatusEndpoints::metrics() const {
  Response response;
  response.headers.add("Content-Type", kMetricsContentType);
  response.body = metrics_.text();
  return response;
}

}  // namespace easel::http
