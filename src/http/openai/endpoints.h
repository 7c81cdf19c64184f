// Everything that the handlers of the routes work with.
#pragma once

#include <string>

#include "http/openai/image_endpoints.h"
#include "http/openai/job_endpoints.h"
#include "http/openai/model_endpoints.h"
#include "http/openai/model_pull.h"
#include "http/openai/status_endpoints.h"

namespace easel::http {

/// Thread-safe, as its members are.
struct Endpoints {
  StatusEndpoints status;
  ModelEndpoints models;
  ModelPulls pulls;
  ImageEndpoints images;
  JobEndpoints jobs;
  std::string description = {};  ///< the body of GET /openapi.json; does not change
};

}  // namespace easel::http
