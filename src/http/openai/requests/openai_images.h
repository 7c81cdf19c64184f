// OpenAI's Images API on the wire: JSON to a request. Its names (n, size, response_format, b64_json) do not go beyond
// http/openai.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"

namespace easel::http {

/// Reads and checks all fields of a request; the only place where their values are validated. Faults are reported in
/// the order of request_fields(). What the image is made without is listed in ImageRequest::response: unknown fields,
/// and fields that this route or this model cannot use. Images are attached afterwards: see attach_input_images.
///
/// @param body           an object
/// @param default_model  what an absent `model` means: Azure's deployment, or empty for the first model
/// @return a request with every default of the API filled in, its seed drawn if none was given
/// @throws HttpFailure   400 with the field as param
ImageRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                const ServerOptions& limits, const std::string& default_model,
                                ImageTask task = ImageTask::kGenerate);

}  // namespace easel::http
