// OpenAI's Images API on the wire: JSON to GenerationRequest and pictures to JSON. Its words (n, size, response_format,
// b64_json) live here alone.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"

namespace easel::http {

/// The model that a request means: the one of that id; the first one when `name` is empty or one of OpenAI's own names
/// that clients send unasked (dall-e-3, gpt-image-1, ...) and nothing is served under it.
/// @throws HttpFailure(404)  another unknown name
const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name);

/// Reads and checks a whole request; the only place where its values are validated. Faults are reported in a fixed
/// order: model, prompt, n, OpenAI's options, size, easel's own fields. Unknown fields are ignored.
///
/// @param default_model  what an absent `model` means: Azure's deployment, or empty for the first model
/// @return a request with every default of the wire filled in, its seed drawn if none was given
/// @throws HttpFailure   400 with the field as param; 404 for an unknown model
GenerationRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model);

/// The body of a successful answer. `pictures` are used up: each is dropped once encoded.
/// @param created  Unix seconds
/// @param seed     of the request, that is, of its first picture
std::string image_answer(std::vector<GeneratedImage> pictures, std::int64_t created, std::uint64_t seed);

}  // namespace easel::http
