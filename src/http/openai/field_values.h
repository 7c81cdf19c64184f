// The values that request fields with rules of their own may have.
#pragma once

#include <cstdint>
#include <string>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/request_fields.h"

namespace easel::http {

/// Whether the server generates images of that size.
bool is_allowed_size(std::int64_t width, std::int64_t height, const ServerOptions& limits);
/// Which sizes those are, as the second half of a sentence.
std::string describe_size_limits(const ServerOptions& limits);

// Readers of the rows of their names. All throw HttpFailure: 400 with the field as param; read_model also 404.

/// Sets FieldContext::model, too.
void read_model(const Fields& fields, FieldContext& context, GenerationRequest& request);
void read_prompt(const Fields& fields, FieldContext& context, GenerationRequest& request);
void read_size(const Fields& fields, FieldContext& context, GenerationRequest& request);
/// An integer, or its digits as text: JavaScript holds integers up to 2^53 only. Draws a random seed of 32 bits where
/// the field is absent or -1.
void read_seed(const Fields& fields, FieldContext& context, GenerationRequest& request);
/// Names as users write them: "DPM++ 2M Karras" is "dpmpp_2m_karras".
void read_scheduler(const Fields& fields, FieldContext& context, GenerationRequest& request);
void read_loras(const Fields& fields, FieldContext& context, GenerationRequest& request);

}  // namespace easel::http
