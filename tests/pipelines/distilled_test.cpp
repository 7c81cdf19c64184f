// Checkpoints for few steps against diffusers: see make_distilled.py.
#include <gtest/gtest.h>

#include "pipelines/pipeline_cases.h"
#include "pipelines/registry.h"

namespace easel {
namespace {

using testing::begin;
using testing::load;
using testing::reference;

TEST(Distilled, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 29);
}

TEST(Distilled, LatentConsistencyModelUsesItsPipelinesDefaults) {
  const auto d = open_model("m", reference("lcm"), {}).description;
  EXPECT_EQ(d.family, "latent-consistency-model");
  EXPECT_EQ(d.default_scheduler, "lcm");
  EXPECT_EQ(d.default_steps, 4);
  EXPECT_EQ(d.default_guidance_scale, 8.5);
}

// The guidance scale is an input of the UNet.
TEST(Distilled, LatentConsistencyModelTakesOneRowAtAnyGuidanceScale) {
  auto pipeline = load("lcm");
  GenerationRequest request;
  request.prompt = "a fox";
  request.width = request.height = 64;
  EXPECT_EQ(begin(*pipeline, request)->rows(), 1);
  EXPECT_EQ(begin(*pipeline, request)->progress().steps_total, 4);
}

}  // namespace
}  // namespace easel
