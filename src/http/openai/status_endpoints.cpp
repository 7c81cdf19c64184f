// The state of the default model stands for the server's.
#include "http/openai/status_endpoints.h"

#include "http/metrics/metrics.h"
#include "http/wire/json_text.h"

namespace easel::http {

Response StatusEndpoints::root() const {
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

std::string StatusEndpoints::default_model_status() const {
  if (shutting_down_) return "shutting_down";
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
  return json_response(ready ? 200 : 503, json_text({{"ready", ready}, {"status", status}}));
}

Response StatusEndpoints::metrics() const {
  Response response;
  response.headers.add("Content-Type", kMetricsContentType);
  response.body = metrics_.text();
  return response;
}

}  // namespace easel::http
