// What the tests of transformers that keep what they computed from prompts have in common.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "nn/prompt_projections.h"
#include "nn/run_context.h"
#include "support/operator_counter.h"
#include "support/reference_vectors.h"

namespace easel::testing {

/// Expects that the second step of an image computes nothing again that depends on its prompts only, with the same
/// result to the bit, and that rows that are images of their own, with prompts of their own lengths, get theirs within
/// `tolerance`.
/// @param model  called with `input` and a RunContext
/// @param kept   products that the second step does not need
template <class Model, class Input>
void expect_prompts_are_read_once(const Model& model, const Input& input, std::int64_t kept, double tolerance) {
  const std::vector<ImageRows> one_image{{.projections = std::make_shared<PromptProjections>(),
                                          .rows = input.prompt_embeds.size(0),
                                          .tokens = input.prompt_embeds.size(1)}};
  const auto expected = model(input, {});
  const auto run = [&](const std::vector<ImageRows>& images) {
    const OperatorCounter counter(kLinear);
    EXPECT_TRUE(model(input, {.images = &images}).equal(expected));
    return counter.count();
  };
  const auto of_first_step = run(one_image), of_second_step = run(one_image);
  EXPECT_EQ(of_second_step, of_first_step - kept);

  // Each row as an image with a prompt of its own length.
  std::vector<ImageRows> images;
  for (const auto length : input.prompt_lengths) {
    images.push_back({.projections = std::make_shared<PromptProjections>(), .rows = 1, .tokens = length});
  }
  for (int step = 0; step < 2; ++step) {
    EXPECT_TRUE(all_near(model(input, {.images = &images}), expected, tolerance)) << step;
  }
}

}  // namespace easel::testing
