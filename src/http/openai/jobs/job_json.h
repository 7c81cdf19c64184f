// A job as clients see it.
#pragma once

#include <string>

#include "http/openai/jobs/kept_request.h"
#include "http/openai/responses/image_store.h"

namespace easel::http {

/// {"id", "object": "image.job", "status", "created_at", "position", "step", "steps", "seconds_left", "preview",
/// "result", "error"}; `preview` only if it was asked for.
/// @param link_base  as image_response_body() takes it
std::string job_json(const KeptRequest& job, bool with_preview, ImageStore& store, const std::string& link_base);

/// The path of a job.
std::string job_path(const KeptRequest& job);

}  // namespace easel::http
