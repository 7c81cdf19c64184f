// OpenAI's Images API on the wire: JSON to GenerationRequest and images to JSON. Its words (n, size, response_format,
// b64_json) live here alone.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"

namespace easel::http {

/// What a route does, as OpenAI divides it, and enlarging.
enum class ImageTask {
  kGenerate,  ///< from a prompt alone
  kEdit,      ///< from an image and a prompt, all of it or where a mask says so
  kVary,      ///< from an image; a prompt may be given
  kUpscale,   ///< the same image, larger, by a model made for it; a prompt may be given
};

/// Whether an image of that size is within the server's limits, and what those are, for a message.
bool is_allowed_size(std::int64_t width, std::int64_t height, const ServerOptions& limits);
std::string describe_size_limits(const ServerOptions& limits);

/// The model that a request means: the one of that id; the first one when `name` is empty or one of OpenAI's own names
/// that clients send unasked (dall-e-3, gpt-image-1, ...) and nothing is served under it.
/// @throws HttpFailure(404)  another unknown name
const ModelDescription& resolve_model(const std::vector<ModelDescription>& models, const std::string& name);

/// Reads and checks all fields of a request; the only place where their values are validated. Faults are reported in a
/// fixed order: model, prompt, n, OpenAI's options, size, easel's own fields. Unknown fields are ignored. Images are
/// not fields: see attach_input_images.
///
/// @param default_model  what an absent `model` means: Azure's deployment, or empty for the first model. To enlarge,
///                       an absent one, or one of OpenAI's own names, means the first that does
/// @return a request with every default of the wire filled in, its seed drawn if none was given
/// @throws HttpFailure   400 with the field as param; 404 for an unknown model, or none that enlarges
GenerationRequest read_image_request(const nlohmann::json& body, const std::vector<ModelDescription>& models,
                                     const ServerOptions& limits, const std::string& default_model,
                                     ImageTask task = ImageTask::kGenerate);

/// The body of a successful answer. `images` are used up: each is dropped once encoded.
/// @param created  Unix seconds
/// @param seed     of the request, that is, of its first image
std::string image_response_body(std::vector<GeneratedImage> images, std::int64_t created, std::uint64_t seed);

}  // namespace easel::http
