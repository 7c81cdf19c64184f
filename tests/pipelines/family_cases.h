// What the tests of several families of pipelines expect alike.
#pragma once

#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "easel/pipeline.h"
#include "pipelines/registry.h"

namespace easel::testing {

/// A request for a square image.
GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps, int edge = 128);
std::string repeated(const std::string& text, int times);
/// An image of one gray value.
std::shared_ptr<const Image> plain(int width, int height, std::uint8_t value);

/// Requests of 128 x 128 pixels with prompts, steps, schedules, starts and guidance of their own: of five, the second
/// has a long prompt and Karras' schedule, the third `guidance_scale`, the fourth an image, and the last an image, a
/// mask and a long negative prompt.
/// @param repetitions  of a phrase, which make a long prompt
std::vector<GenerationRequest> mixed_requests(int repetitions, double guidance_scale);

/// Steps each of the requests in calls that it shares with all that are unfinished, and once more by itself. Expects
/// the latents after the last step to be nearly the same.
void expect_shared_calls_match(Pipeline& pipeline, const std::vector<GenerationRequest>& requests);
/// As expect_shared_calls_match, and expects the requests to have one batch key.
void expect_requests_share_a_call(Pipeline& pipeline, const std::vector<GenerationRequest>& requests);

/// Draws each of the requests by itself, and then all with one step of each in turn. Expects the same images.
void expect_interleaving_changes_no_bit(Pipeline& pipeline, const std::vector<GenerationRequest>& requests);

/// Expects image i of a request for two to have the latents of a request for one with the seed `r.seed` + i, after
/// `steps` steps of each.
void expect_image_i_uses_seed_plus_i(Pipeline& pipeline, GenerationRequest r, int steps = 0);

/// Expects a generation to have these numbers of rows at these guidance scales.
void expect_rows_of_guidance_scales(Pipeline& pipeline, GenerationRequest r, const std::map<double, int>& rows);

/// Expects steps outside of a guidance interval to have one row and, before the interval, the latents of an image
/// without guidance to the bit; the steps within to have `rows`; images with different intervals not to change each
/// other; and an interval without guidance to be rejected.
/// @param guided    a request of four steps with guidance
/// @param unguided  the same without
void expect_guidance_interval_limits_rows(Pipeline& pipeline, const GenerationRequest& guided,
                                          const GenerationRequest& unguided, int rows = 2);

/// Expects latents of these sizes, and after the request's only step an image of the size that it asks for.
void expect_cropped_from(Pipeline& pipeline, const GenerationRequest& r, c10::IntArrayRef latents);

/// Expects these four to be rejected by their names: `clip_skip` of this value, prompt syntax, rescaled guidance, and
/// no steps. @param valid  a request that is accepted
void expect_unused_fields_rejected(Pipeline& pipeline, const GenerationRequest& valid, int clip_skip = 1);

/// Whether the pipeline reports that the prompt was cut.
bool is_cut(Pipeline& pipeline, const GenerationRequest& r);

/// Takes three steps in float32 and in half precision. Expects the latest latents of the latter to be of dtype
/// `latents`, and their relative error to be below `tolerance`.
void expect_near_float32(Pipeline& wide, Pipeline& half, const GenerationRequest& r, c10::ScalarType latents,
                         double tolerance = 0.1);

/// Expects a preview of this width after one step.
void expect_preview_of_width(Pipeline& pipeline, const GenerationRequest& r, int width);

/// Expects what the request's second step allocates, and the prompt's embeddings, to take nearly as much as estimated.
/// The first step lays out weights.
void expect_step_allocates(Pipeline& pipeline, const GenerationRequest& r, std::int64_t estimated);
/// Expects what the description of a folder estimates for the request's size and two rows to be what a step allocates.
void expect_step_estimate_matches(const std::string& folder, const GenerationRequest& r);

/// Opens a folder or file of the reference script, on the CPU in float32.
/// @param components  roles of components, with files of the reference script
ServedModel open_files(const std::string& path, const std::map<std::string, std::string>& components = {});
/// An image of three steps that is not square.
std::vector<std::uint8_t> pixels_of(const ServedModel& model);

}  // namespace easel::testing
