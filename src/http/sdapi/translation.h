// A1111's txt2img and img2img as requests of easel.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"
#include "http/openai/requests/image_upload.h"

namespace easel::http::sdapi {

/// A request in easel's own fields, and what the answer says about it in A1111's.
struct Translation {
  ImageTask task = ImageTask::kGenerate;
  ImageUpload upload;
  std::string prompt;
  std::string negative_prompt;
  std::string sampler;                ///< as A1111 names it, or by easel's name where A1111 has none
  std::string spacing = "Automatic";  ///< A1111's schedule type
  std::int64_t clip_skip = 1;         ///< as A1111 counts
  std::vector<std::string> ignored;   ///< names of members that the image is made without; sorted
  /// Which member each of the request's fields came from, for errors and for what a model cannot use.
  std::map<std::string, std::string> members;
};

/// What a translation depends on besides the body.
struct TranslationContext {
  const std::vector<ModelDescription>& models;
  const ServerOptions& options;
  const std::string& chosen_model;  ///< by POST /options; empty: none
};

/// A member that easel cannot honour never fails a request: at a neutral value it is dropped, at any other it is named
/// in Translation::ignored.
/// @param body  an object; @param from_image  img2img
/// @throws HttpFailure  404: unknown sampler, scheduler or model; 422: of another type; 400: an image cannot be used
Translation translate(const nlohmann::json& body, bool from_image, const TranslationContext& context);

/// The model of that title or name: "emoji", or with a hash behind it, as "emoji [0123456789]".
/// @throws HttpFailure(404)  there is none
const ModelDescription& model_titled(const std::string& title, const TranslationContext& context);

}  // namespace easel::http::sdapi
