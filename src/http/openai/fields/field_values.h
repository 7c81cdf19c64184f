// The values that request fields with rules of their own may have.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "easel/generation.h"
#include "easel/server.h"
#include "http/openai/fields/request_fields.h"

namespace easel::http {

inline constexpr double kMaxGuidanceScale = 100;

/// Whether the server generates images of that size.
bool is_allowed_size(std::int64_t width, std::int64_t height, const ServerOptions& limits);
/// The size of that shape, in whole latent cells, whose area is nearest to the model's own.
/// @param width, height  any positive numbers of that ratio
std::pair<std::int64_t, std::int64_t> native_area_size(std::int64_t width, std::int64_t height,
                                                       const ModelDescription& model);
/// Which sizes those are, as the second half of a sentence.
std::string describe_size_limits(const ServerOptions& limits);

/// A 400 for two names of one field, or two fields, that contradict each other.
HttpFailure names_with_different_values(const std::string& first, const std::string& second);

// Readers of the rows of their names. All throw HttpFailure: 400 with the field as param.

/// Of names that the reader of another row reads.
void read_nothing(const Fields& fields, FieldContext& context, ImageRequest& request);

/// Sets FieldContext::model, too.
void read_model(const Fields& fields, FieldContext& context, ImageRequest& request);
void read_prompt(const Fields& fields, FieldContext& context, ImageRequest& request);
/// Reads `width` with `height`, `aspect_ratio` and `aspectRatio`, too. A `width` without a `height` is set aside.
void read_size(const Fields& fields, FieldContext& context, ImageRequest& request);
/// An integer, or its digits as text: JavaScript holds integers up to 2^53 only. Draws a random seed of 32 bits where
/// the field is absent or -1.
void read_seed(const Fields& fields, FieldContext& context, ImageRequest& request);
void read_rng_seed(const Fields& fields, FieldContext& context, ImageRequest& request);
/// As A1111's users understand it: the scale of the difference between two predictions. A model that takes
/// `guidance_scale` as an input has `true_cfg_scale` for it.
void read_cfg_scale(const Fields& fields, FieldContext& context, ImageRequest& request);
void read_guidance_interval(const Fields& fields, FieldContext& context, ImageRequest& request);
/// Names as users write them: "DPM++ 2M Karras" is "dpmpp_2m_karras". Reads `sampler_name` and `sampler`, too: with
/// one of them, `scheduler` may be the spacing of the sigmas, as in A1111's requests.
void read_scheduler(const Fields& fields, FieldContext& context, ImageRequest& request);
/// Where there is no `response_format`, the model's name as the client sent it decides, because some clients read only
/// links and some only base64.
void read_response_format(const Fields& fields, FieldContext& context, ImageRequest& request);
void read_background(const Fields& fields, FieldContext& context, ImageRequest& request);
/// After `size`, on which the size of the second pass depends.
void read_hires(const Fields& fields, FieldContext& context, ImageRequest& request);
void read_loras(const Fields& fields, FieldContext& context, ImageRequest& request);

}  // namespace easel::http
