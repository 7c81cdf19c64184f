// Guidance in a part of the steps, against diffusers: see make_guidance_interval.py.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "pipelines/family_cases.h"
#include "pipelines/pipeline_cases.h"

namespace easel {
namespace {

using testing::begin;
using testing::load;
using testing::request;
using testing::step;

TEST(GuidanceInterval, LatentsAndPixelsMatchDiffusers) {
  EXPECT_EQ(testing::expect_all_cases_agree(), 6);
}

TEST(GuidanceInterval, LimitsRows) {
  auto pipeline = load("sd1");
  auto guided = request("a fox", 1, 4);
  guided.scheduler = "ddim";
  auto unguided = guided;
  guided.negative_prompt = "a cat on a red background";
  unguided.guidance_scale = 1.0;
  testing::expect_guidance_interval_limits_rows(*pipeline, guided, unguided);
  for (const auto& interval : {GuidanceInterval{-0.1, 1}, {0, 1.1}, {0.5, 0.5}, {0.8, 0.2}, {std::nan(""), 1}}) {
    guided.guidance_interval = interval;
    testing::expect_rejected(*pipeline, guided, "guidance_interval");
  }
}

TEST(GuidanceInterval, DividesEachOfTwoPasses) {
  auto pipeline = load("sd1");
  auto r = request("a fox", 1, 4);
  r.scheduler = "ddim";
  r.width = r.height = 64;
  r.hires = HiresPass{.width = 128, .height = 128, .strength = 0.5};
  r.guidance_interval = {.start = 0.5, .end = 1};
  const auto generation = begin(*pipeline, r);
  std::vector<int> rows;
  while (!generation->finished_stepping()) {
    rows.push_back(generation->rows());
    step(*pipeline, generation.get());
  }
  EXPECT_EQ(rows, (std::vector<int>{1, 1, 2, 2, 1, 2}));
}

}  // namespace
}  // namespace easel
