// The fields that say how an image is drawn: easel's own, under diffusers' names.
#pragma once

#include "easel/generation.h"
#include "easel/server.h"
#include "http/wire/fields.h"

namespace easel::http {

/// Reads and checks them into `request`, in a fixed order; its seed is drawn if none was given.
/// @param has_input_image  whether the request begins from an image; fields that speak of it are refused elsewhere
/// @throws HttpFailure(400)  with the field as param
void read_sampling(const Fields& fields, const ServerOptions& limits, const ModelDescription& model,
                   bool has_input_image, GenerationRequest& request);

}  // namespace easel::http
