// A1111's answers.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/engine.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/responses/image_result.h"
#include "http/sdapi/calls.h"
#include "http/sdapi/translation.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {

/// The JSON text of what a request asked for, without its files, and of what was ignored.
std::string parameters_answer(const nlohmann::json& body, const Translation& translation);

/// {"images": [base64], "parameters": {...}, "info": "JSON as text"}
/// @param parameters  as parameters_answer() made them
/// @param request     as it was submitted
/// @param model       that generated the images
/// @param metadata    knows the hash of the model
std::string images_answer(const std::string& parameters, const Translation& translation,
                          const GenerationRequest& request, const ModelDescription& model,
                          const MetadataOptions& metadata, ImageResult result);

/// {"progress", "eta_relative", "state", "current_image", "textinfo"} of an account's calls.
std::string progress_answer(const std::vector<Call>& calls, bool with_image);

/// {"error", "detail", "body", "errors"}
std::string error_answer(const HttpError& error);

/// Hashes are null where they are not known.
std::string model_titles(const std::vector<ModelDescription>& models, const MetadataOptions& metadata);
std::string sampler_names();
std::string spacing_names();
std::string adapter_names(const std::vector<AdapterDescription>& adapters);
std::string upscaler_names(const std::vector<ModelDescription>& models);
/// The ways to enlarge latents.
std::string latent_modes();
std::string autoencoder_names(const std::vector<std::string>& names);
/// {"loaded": {word: {...}}, "skipped": {}}
std::string learned_words(const std::vector<LearnedWord>& words);
/// {"ram": {...}, "cuda": {...}}; of several GPUs the first.
std::string memory_answer(const std::vector<DeviceMemory>& devices);
/// {"info", "items", "parameters"} of the parameters that an image file has.
/// @throws HttpFailure  400: more than 1 MiB of text, or more than 1,000 parameters
std::string info_answer(const std::string& text);
/// {"html_info", "image"} of a PNG file, and {"html_info", "images"} of several.
std::string extra_answer(const std::string& file);
std::string extras_answer(const std::vector<std::string>& files);

}  // namespace easel::http::sdapi
