// Shared by tests of whole images: the cases of a reference script, and generating one image step by step.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "easel/pipeline.h"

namespace easel::testing {

/// What checkpoints.py wrote for one case.
struct Expected {
  at::Tensor latents;    ///< [steps, 1, C, h, w], after every step
  at::Tensor pixels;     ///< uint8 [H, W, 3]
  at::Tensor tolerance;  ///< [steps]: the reference's own relative error between two memory formats
};
Expected expected(const std::string& name);

/// The list of cases that the reference script of this test wrote.
nlohmann::json cases();
GenerationRequest request_of(const nlohmann::json& test_case);

/// The folder that this test program's reference script wrote into.
extern const char* const kReferenceFolder;
/// A file or folder of the reference script.
std::string reference(const std::string& name);

/// Where models are loaded: on the CPU, or on the device of the environment variable EASEL_TEST_DEVICE, for which a
/// test program can be given "rehearsal:1".
c10::Device test_device();

/// Loads a checkpoint onto test_device(): an absolute path, or a folder of the reference script. Adapters are those of
/// its folder "adapters", if there is one.
/// @param embeddings  folder of textual inversions; empty for none
std::unique_ptr<Pipeline> load(const std::string& folder, c10::ScalarType dtype = at::kFloat,
                               const std::string& embeddings = "");

/// The one image of a request.
std::unique_ptr<Generation> begin(Pipeline& pipeline, const GenerationRequest& request);
/// One step of one generation. Fails the test if its latents are not finite.
void step(Pipeline& pipeline, Generation* row);
Image finish(Pipeline& pipeline, Generation* row);
Image generate_image(Pipeline& pipeline, const GenerationRequest& request);
/// The bytes that a step needs at most, with what the image keeps of its prompts, on a CPU. The request has two steps
/// or more.
std::int64_t peak_of_a_step(Pipeline& pipeline, const GenerationRequest& request);
/// Expects the request to be rejected because of its field `param`.
void expect_rejected(Pipeline& pipeline, const GenerationRequest& request, const std::string& param);

const at::Tensor& latents_of(const Generation& generation);
double relative_error(const at::Tensor& found, const at::Tensor& wanted);

/// Generates every case and expects the latents after each step and the pixels to match the reference's.
/// @return  the number of cases
int expect_all_cases_agree();

}  // namespace easel::testing
