// OpenAI's Images API on the wire: JSON to GenerationRequest, and images to JSON. Its names (n, size, response_format,
// b64_json) do not go beyond http/openai.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/request_fields.h"

namespace easel::http {

/// Reads and checks all fields of a request; the only place where their values are validated. Faults are reported in
/// the order of request_fields(). Unknown fields are ignored. Images are attached afterwards: see attach_input_images.
///
/// @param body           an object
/// @param default_model  what an absent `model` means: Azure's deployment, or empty for the first model
/// @return a request with every default of the API filled in, its seed drawn if none was given
/// @throws HttpFailure   400 with the field as param; 404 for an unknown model, or when no model upscales
GenerationRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model,
                                     ImageTask task = ImageTask::kGenerate);

/// `quality` as a response reports it: "low", "medium" or "high", whatever name the request has for it.
std::string reported_quality(const Fields& fields);

/// The members of a stream's event that has an image, after its `type`: see EventWriter::send.
/// @param created  Unix seconds; @param quality  as reported_quality() gave it
std::string image_event_members(const Image& image, std::int64_t created, const std::string& quality);

/// The body of a successful response. `images` are used up: each is dropped once it is encoded.
/// @param created  Unix seconds
/// @param seed     of the request, which is that of its first image
std::string image_response_body(std::vector<GeneratedImage> images, std::int64_t created, std::uint64_t seed);

}  // namespace easel::http
