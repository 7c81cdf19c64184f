// Whole images against diffusers: latents after every step, then pixels.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "easel/error.h"
#include "easel/scheduler.h"
#include "pipelines/denoising/diffusion_generation.h"
#include "pipelines/pipeline_cases.h"

namespace easel {
namespace {

using testing::begin;
using testing::finish;
using testing::generate_image;
using testing::latents_of;
using testing::load;
using testing::relative_error;
using testing::step;

TEST(StableDiffusionPipeline, LatentsAndPixelsMatchDiffusers) {
  EXPECT_GE(testing::expect_all_cases_agree(), 39);
}

GenerationRequest simple(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  return r;
}

TEST(StableDiffusionPipeline, InterleavedImagesAreBitIdenticalToImagesGeneratedAlone) {
  auto pipeline = load("sd1");
  std::vector<GenerationRequest> requests = {simple("a fox", 1, 3), simple("a whale on pink", 2, 7), simple("", 3, 5)};
  requests[1].scheduler = "euler_ancestral";
  requests[2].guidance_scale = 1.0;
  std::vector<Image> alone;
  for (const auto& r : requests) alone.push_back(generate_image(*pipeline, r));

  std::vector<std::unique_ptr<Generation>> together;
  for (const auto& r : requests) together.push_back(begin(*pipeline, r));
  for (bool moved = true; moved;) {
    moved = false;
    for (auto& g : together) {
      if (g->finished_stepping()) continue;
      step(*pipeline, g.get());
      moved = true;
    }
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(finish(*pipeline, together[i].get()).pixels, alone[i].pixels) << "request " << i;
  }
}

TEST(StableDiffusionPipeline, OneCallAdvancesEachRequestByOneStep) {
  auto pipeline = load("sd1");
  auto a = simple("a fox", 1, 3), b = simple("a whale on pink", 2, 7), c = simple("a cat", 3, 4);
  b.scheduler = "dpmpp_2m_karras";
  c.guidance_scale = 1.0;
  auto ga = begin(*pipeline, a), gb = begin(*pipeline, b), gc = begin(*pipeline, c);
  auto ga1 = begin(*pipeline, a), gb1 = begin(*pipeline, b), gc1 = begin(*pipeline, c);
  step(*pipeline, gb.get());  // ahead of the others
  step(*pipeline, gb1.get());
  std::vector<Generation*> rows = {ga.get(), gb.get(), gc.get()};
  pipeline->step(rows, {})->wait();
  for (auto* g : {ga1.get(), gb1.get(), gc1.get()}) step(*pipeline, g);
  EXPECT_LT(relative_error(latents_of(*ga), latents_of(*ga1)), 1e-5);
  EXPECT_LT(relative_error(latents_of(*gb), latents_of(*gb1)), 1e-5);
  EXPECT_LT(relative_error(latents_of(*gc), latents_of(*gc1)), 1e-5);
}

TEST(StableDiffusionPipeline, ImageIUsesSeedPlusI) {
  auto pipeline = load("sd1");
  auto request = simple("a fox", 100, 2);
  request.num_images = 3;
  auto ticket = pipeline->begin(request, {});
  const auto generations = ticket->take();
  ASSERT_EQ(generations.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    auto single = begin(*pipeline, simple("a fox", 100 + i, 2));
    EXPECT_TRUE(at::equal(latents_of(*generations[i]), latents_of(*single)));
  }
  EXPECT_FALSE(at::equal(latents_of(*generations[0]), latents_of(*generations[1])));
}

TEST(StableDiffusionPipeline, NoGuidanceTakesOneRow) {
  auto pipeline = load("sd1");
  auto request = simple("a fox", 1, 2);
  EXPECT_EQ(begin(*pipeline, request)->rows(), 2);
  request.guidance_scale = 1.0;
  EXPECT_EQ(begin(*pipeline, request)->rows(), 1);
}

TEST(StableDiffusionPipeline, CancelledStepLeavesStateUnchanged) {
  auto pipeline = load("sd1");
  auto request = simple("a fox", 1, 4);
  request.scheduler = "euler_ancestral";  // would draw noise
  auto generation = begin(*pipeline, request), twin = begin(*pipeline, request);
  step(*pipeline, generation.get());
  step(*pipeline, twin.get());
  Generation* row = generation.get();
  int polls = 0;
  EXPECT_THROW(pipeline->step({&row, 1}, [&] { return ++polls > 3; }), Error);
  EXPECT_GT(polls, 3) << "a step polls between its blocks";
  step(*pipeline, generation.get());
  step(*pipeline, twin.get());
  EXPECT_TRUE(at::equal(latents_of(*generation), latents_of(*twin)));
}

TEST(StableDiffusionPipeline, FailedRowLeavesTheRestOfTheBatchUnchanged) {
  auto pipeline = load("sd1");
  auto a = begin(*pipeline, simple("a fox", 1, 2)), b = begin(*pipeline, simple("a cat", 2, 1));
  step(*pipeline, b.get());
  const auto before = latents_of(*a).clone();
  std::vector<Generation*> rows = {a.get(), b.get()};  // b has no step left
  EXPECT_THROW(pipeline->step(rows, {}), Error);
  EXPECT_TRUE(at::equal(latents_of(*a), before));
  EXPECT_EQ(a->progress().steps_done, 0);
}

TEST(StableDiffusionPipeline, NonFiniteLatentsAreFlagged) {
  auto pipeline = load("sd1");
  auto generation = begin(*pipeline, simple("a fox", 1, 2));
  {
    const c10::InferenceMode inference;
    static_cast<DiffusionGeneration&>(*generation).latents.fill_(std::numeric_limits<float>::infinity());
  }
  Generation* row = generation.get();
  auto ticket = pipeline->step({&row, 1}, {});
  ticket->wait();
  EXPECT_FALSE(ticket->finite().at(0));
}

TEST(StableDiffusionPipeline, DecodeIsCancellable) {
  auto pipeline = load("sd1");
  auto generation = begin(*pipeline, simple("a fox", 1, 1));
  step(*pipeline, generation.get());
  Generation* row = generation.get();
  try {
    pipeline->finish({&row, 1}, [] { return true; });
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCancelled);
  }
}

// Its autoencoder overflows in float16; diffusers returns a black image.
TEST(StableDiffusionPipeline, Float16OverflowIsDecodedAgainInFloat32) {
  auto request = simple("a fox on a blue background", 9, 4);
  const auto full = generate_image(*load("sd1_overflowing"), request);
  const auto half = generate_image(*load("sd1_overflowing", at::kHalf), request);
  double difference = 0;
  for (std::size_t i = 0; i < full.pixels.size(); ++i) difference += std::abs(full.pixels[i] - half.pixels[i]);
  EXPECT_LT(difference / static_cast<double>(full.pixels.size()), 4.0) << "mean distance of 8-bit values";
}

TEST(StableDiffusionPipeline, PreviewResemblesTheImage) {
  auto pipeline = load(EASEL_EMOJI_MODEL);
  auto generation = begin(*pipeline, simple("a fox on a blue background", 5, 8));
  EXPECT_FALSE(pipeline->preview(*generation).has_value());
  while (!generation->finished_stepping()) step(*pipeline, generation.get());
  const auto preview = pipeline->preview(*generation);
  ASSERT_TRUE(preview.has_value());
  EXPECT_EQ(preview->width, 16);
  const auto full = resize(finish(*pipeline, generation.get()), 16, 16);
  double difference = 0;
  for (std::size_t i = 0; i < full.pixels.size(); ++i) difference += std::abs(full.pixels[i] - preview->pixels[i]);
  EXPECT_LT(difference / static_cast<double>(full.pixels.size()), 45.0) << "mean distance of 8-bit values";
}

TEST(StableDiffusionPipeline, InvalidValuesNameTheField) {
  auto pipeline = load("sd1");
  auto too_many = simple("a fox", 1, 1001);
  auto unknown = simple("a fox", 1, 2);
  unknown.scheduler = "magic";
  auto skip = simple("a fox", 1, 2);
  skip.clip_skip = 99;
  auto rescale = simple("a fox", 1, 2);
  rescale.guidance_rescale = 1.5;
  auto no_number = simple("a fox", 1, 2);
  no_number.guidance_scale = std::numeric_limits<double>::quiet_NaN();
  auto no_image = simple("a fox", 1, 2);
  no_image.strength = 0.5;
  for (const auto& [request, param] : {std::pair{too_many, "num_inference_steps"},
                                       {unknown, "scheduler"},
                                       {skip, "clip_skip"},
                                       {rescale, "guidance_rescale"},
                                       {no_number, "guidance_scale"},
                                       {no_image, "strength"}}) {
    try {
      pipeline->begin(request, {});
      FAIL() << param;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
      EXPECT_EQ(e.param(), param) << e.what();
    }
  }
}

/// Records the names of the operators that run during its lifetime, except those within linalg_solve_ex, with which
/// UniPC solves small systems on the CPU whatever the device.
class OperatorLog {
 public:
  OperatorLog() {
    names().clear();
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback(
                                        [](const at::RecordFunction& f) {
                                          if (is_solver(f)) ++solvers();
                                          if (solvers() == 0) names().insert(f.name());
                                          return std::unique_ptr<at::ObserverContext>();
                                        },
                                        [](const at::RecordFunction& f, at::ObserverContext*) {
                                          if (is_solver(f)) --solvers();
                                        })
                                        .scopes({at::RecordScope::FUNCTION}));
  }
  ~OperatorLog() { at::removeCallback(handle_); }
  static std::set<std::string>& names() {
    static std::set<std::string> seen;
    return seen;
  }

 private:
  static bool is_solver(const at::RecordFunction& f) { return std::string(f.name()) == "aten::linalg_solve_ex"; }
  static int& solvers() {
    static int depth = 0;
    return depth;
  }

  at::CallbackHandle handle_;
};

// Operators whose result the host must wait for. On a GPU, each would block the loop once per step.
TEST(StableDiffusionPipeline, StepNeverSynchronizesWithTheHost) {
  auto pipeline = load("sd1");
  for (const auto& scheduler : scheduler_names()) {
    auto request = simple("a fox", 1, 5);
    request.scheduler = scheduler;
    request.eta = 0.5;
    auto generation = begin(*pipeline, request);
    const OperatorLog log;
    while (!generation->finished_stepping()) {
      Generation* row = generation.get();
      pipeline->step({&row, 1}, {});
    }
    EXPECT_TRUE(OperatorLog::names().contains("aten::conv2d")) << "the log hears nothing";
    for (const char* forbidden : {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::masked_select",
                                  "aten::is_nonzero", "aten::equal", "aten::unique_dim", "aten::_unique2"}) {
      EXPECT_FALSE(OperatorLog::names().contains(forbidden)) << scheduler << " calls " << forbidden;
    }
  }
}

}  // namespace
}  // namespace easel
