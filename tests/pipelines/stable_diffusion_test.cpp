// Whole pictures against diffusers: latents after every step, then pixels.
#include "pipelines/stable_diffusion.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/record_function.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "pipelines/registry.h"
#include "weights/weights.h"

namespace easel {
namespace {

using nlohmann::json;

std::string reference(const std::string& name) { return std::string(EASEL_REFERENCE_DIR) + "/" + name; }

/// What make_pipelines.py wrote for one case.
struct Expected {
  at::Tensor latents, pixels, tolerance;
};

Expected expected(const std::string& name) {
  const auto store = open_component(EASEL_REFERENCE_DIR, name);
  return {store->read("latents"), store->read("pixels"), store->read("tolerance")};
}

json cases() {
  std::ifstream file(reference("cases.json"));
  return json::parse(file);
}

GenerationRequest request_of(const json& c) {
  GenerationRequest r;
  r.prompt = c.at("prompt");
  r.negative_prompt = c.value("negative_prompt", "");
  r.seed = c.at("seed");
  r.width = c.at("width");
  r.height = c.at("height");
  r.num_inference_steps = c.at("steps");
  r.guidance_scale = c.at("guidance_scale");
  r.eta = c.value("eta", 0.0);
  if (c.contains("scheduler")) r.scheduler = c.at("scheduler");
  if (c.contains("clip_skip")) r.clip_skip = c.at("clip_skip");
  // The shipped model's manifest prefers another scheduler than the checkpoint's own.
  if (!r.scheduler) r.scheduler = c.at("name") == "emoji_own" ? "ddim" : "pndm";
  return r;
}

std::unique_ptr<Pipeline> load(const std::string& folder) {
  return open_model("m", folder.starts_with('/') ? folder : reference(folder), {}).load({});
}

std::unique_ptr<Generation> begin(Pipeline& pipeline, const GenerationRequest& request) {
  auto ticket = pipeline.begin(request, {});
  ticket->wait();
  return std::move(ticket->take().at(0));
}

void step(Pipeline& pipeline, Generation* row) {
  auto ticket = pipeline.step({&row, 1}, {});
  ticket->wait();
  ASSERT_TRUE(ticket->finite().at(0));
}

Image finish(Pipeline& pipeline, Generation* row) {
  auto ticket = pipeline.finish({&row, 1}, {});
  ticket->wait();
  return std::move(ticket->take().at(0).image);
}

const at::Tensor& latents_of(const Generation& generation) {
  return static_cast<const StableDiffusionGeneration&>(generation).latents;
}

double relative_error(const at::Tensor& found, const at::Tensor& wanted) {
  return ((found - wanted).norm() / wanted.norm()).item<double>();
}

at::Tensor pixels_of(const Image& image) {
  return at::from_blob(const_cast<std::uint8_t*>(image.pixels.data()), {image.height, image.width, 3}, at::kByte).clone();
}

// Where the reference does not differ from itself at all, float32 rounding of the last bits remains.
constexpr double kRoundingFloor = 5e-7;

TEST(StableDiffusionPipeline, LatentsAndPixelsAreThoseOfDiffusers) {
  std::map<std::string, std::unique_ptr<Pipeline>> pipelines;
  int count = 0;
  double worst = 0;
  for (const auto& c : cases()) {
    const std::string name = c.at("name"), folder = c.at("folder");
    SCOPED_TRACE(name);
    auto& pipeline = pipelines[folder];
    if (!pipeline) pipeline = load(folder);
    const auto want = expected(name);

    auto generation = begin(*pipeline, request_of(c));
    ASSERT_EQ(generation->progress().steps_total, want.latents.size(0));
    for (std::int64_t i = 0; i < want.latents.size(0); ++i) {
      step(*pipeline, generation.get());
      const double tolerance = std::max(4 * want.tolerance[i].item<double>(), kRoundingFloor);
      const double error = relative_error(latents_of(*generation), want.latents[i]);
      worst = std::max(worst, error / tolerance);
      ASSERT_LE(error, tolerance) << "after step " << i;
    }
    ASSERT_TRUE(generation->finished_stepping());
    const auto found = pixels_of(finish(*pipeline, generation.get()));
    ASSERT_EQ(found.sizes(), want.pixels.sizes());
    const auto apart = (found.to(at::kInt) - want.pixels.to(at::kInt)).abs();
    EXPECT_LE(apart.max().item<int>(), 1);
    EXPECT_GE(apart.eq(0).to(at::kDouble).mean().item<double>(), 0.999);
    ++count;
  }
  EXPECT_GE(count, 25);
  RecordProperty("cases", count);
  std::printf("%d pictures; worst error is %.2f of what is allowed\n", count, worst);
}

GenerationRequest simple(const std::string& prompt, std::uint64_t seed, std::int64_t steps) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  return r;
}

Image draw_alone(Pipeline& pipeline, const GenerationRequest& request) {
  auto generation = begin(pipeline, request);
  while (!generation->finished_stepping()) step(pipeline, generation.get());
  return finish(pipeline, generation.get());
}

TEST(StableDiffusionPipeline, APictureIsTheSameBitsAloneAndBesideOthers) {
  auto pipeline = load("sd1");
  std::vector<GenerationRequest> requests = {simple("a fox", 1, 3), simple("a whale on pink", 2, 7), simple("", 3, 5)};
  requests[1].scheduler = "euler_ancestral";
  requests[2].guidance_scale = 1.0;
  std::vector<Image> alone;
  for (const auto& r : requests) alone.push_back(draw_alone(*pipeline, r));

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

TEST(StableDiffusionPipeline, OneCallAdvancesMixedRequestsEachByItsOwnStep) {
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

TEST(StableDiffusionPipeline, PictureIOfARequestIsThePictureOfSeedPlusI) {
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

TEST(StableDiffusionPipeline, GuidanceOffCostsOneRow) {
  auto pipeline = load("sd1");
  auto request = simple("a fox", 1, 2);
  EXPECT_EQ(begin(*pipeline, request)->rows(), 2);
  request.guidance_scale = 1.0;
  EXPECT_EQ(begin(*pipeline, request)->rows(), 1);
}

TEST(StableDiffusionPipeline, ACancelledStepChangesNothing) {
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

TEST(StableDiffusionPipeline, AFailedRowLeavesItsCompanionsUnmoved) {
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
    static_cast<StableDiffusionGeneration&>(*generation).latents.fill_(std::numeric_limits<float>::infinity());
  }
  Generation* row = generation.get();
  auto ticket = pipeline->step({&row, 1}, {});
  ticket->wait();
  EXPECT_FALSE(ticket->finite().at(0));
}

TEST(StableDiffusionPipeline, DecodeStopsWhenAsked) {
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

TEST(StableDiffusionPipeline, PreviewLooksLikeThePicture) {
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

TEST(StableDiffusionPipeline, BadValuesNameTheirField) {
  auto pipeline = load("sd1");
  auto too_many = simple("a fox", 1, 1001);
  auto unknown = simple("a fox", 1, 2);
  unknown.scheduler = "magic";
  auto skip = simple("a fox", 1, 2);
  skip.clip_skip = 99;
  for (const auto& [request, param] : {std::pair{too_many, "num_inference_steps"}, {unknown, "scheduler"}, {skip, "clip_skip"}}) {
    try {
      pipeline->begin(request, {});
      FAIL() << param;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument) << e.what();
      EXPECT_EQ(e.param(), param) << e.what();
    }
  }
}

/// Names of the operators that run while it is alive.
class OperatorLog {
 public:
  OperatorLog() {
    names().clear();
    handle_ = at::addGlobalCallback(at::RecordFunctionCallback([](const at::RecordFunction& f) {
                                      names().insert(f.name());
                                      return std::unique_ptr<at::ObserverContext>();
                                    }).scopes({at::RecordScope::FUNCTION}));
  }
  ~OperatorLog() { at::removeCallback(handle_); }
  static std::set<std::string>& names() {
    static std::set<std::string> seen;
    return seen;
  }

 private:
  at::CallbackHandle handle_;
};

// Operators whose result the host must wait for. On a GPU each would stall the loop once a step.
TEST(StableDiffusionPipeline, NothingInAStepForcesASynchronisation) {
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
