#include "pipelines/family_cases.h"

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "pipelines/denoising/diffusion_pipeline.h"
#include "pipelines/pipeline_cases.h"

namespace easel::testing {
namespace {

// How far a call with several rows may move the latents of each: kernels add numbers in another order.
constexpr double kErrorOfSharedCalls = 2e-5;

using Generations = std::vector<std::unique_ptr<Generation>>;

Generations begin_all(Pipeline& pipeline, const std::vector<GenerationRequest>& requests) {
  Generations generations;
  for (const auto& r : requests) generations.push_back(begin(pipeline, r));
  return generations;
}

void step_to_the_end(Pipeline& pipeline, const Generations& together) {
  std::vector<Generation*> rows;
  do {
    rows.clear();
    for (const auto& generation : together) {
      if (!generation->finished_stepping()) rows.push_back(generation.get());
    }
    if (!rows.empty()) pipeline.step(rows, {})->wait();
  } while (!rows.empty());
}

void expect_shared_calls_match(Pipeline& pipeline, const Generations& together, const Generations& alone) {
  step_to_the_end(pipeline, together);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    while (!alone[i]->finished_stepping()) step(pipeline, alone[i].get());
    EXPECT_LT(relative_error(latents_of(*together[i]), latents_of(*alone[i])), kErrorOfSharedCalls) << i;
  }
}

}  // namespace

GenerationRequest request(const std::string& prompt, std::uint64_t seed, std::int64_t steps, int edge) {
  GenerationRequest r;
  r.prompt = prompt;
  r.seed = seed;
  r.num_inference_steps = steps;
  r.width = r.height = edge;
  return r;
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::shared_ptr<const Image> plain(int width, int height, std::uint8_t value) {
  return std::make_shared<Image>(
      Image{.width = width,
            .height = height,
            .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(width) * height * 3, value)});
}

std::vector<GenerationRequest> mixed_requests(int repetitions, double guidance_scale) {
  const auto long_prompt = repeated("a whale on a blue background, ", repetitions);
  std::vector<GenerationRequest> requests{request("a fox", 1, 3), request(long_prompt, 2, 5), request("", 3, 4),
                                          request("a cat", 4, 3), request("a dog", 5, 4)};
  requests[1].scheduler = "flow_euler_karras";
  requests[2].guidance_scale = guidance_scale;
  requests[3].image = plain(128, 128, 90);
  requests[4].negative_prompt = long_prompt;
  requests[4].image = plain(128, 128, 40);
  requests[4].mask = plain(128, 128, 255);
  return requests;
}

void expect_shared_calls_match(Pipeline& pipeline, const std::vector<GenerationRequest>& requests) {
  expect_shared_calls_match(pipeline, begin_all(pipeline, requests), begin_all(pipeline, requests));
}

void expect_requests_share_a_call(Pipeline& pipeline, const std::vector<GenerationRequest>& requests) {
  const auto together = begin_all(pipeline, requests);
  for (const auto& generation : together) {
    EXPECT_EQ(pipeline.batch_key(*generation), pipeline.batch_key(*together.front()));
  }
  expect_shared_calls_match(pipeline, together, begin_all(pipeline, requests));
}

void expect_interleaving_changes_no_bit(Pipeline& pipeline, const std::vector<GenerationRequest>& requests) {
  std::vector<Image> alone;
  for (const auto& r : requests) alone.push_back(generate_image(pipeline, r));
  const auto together = begin_all(pipeline, requests);
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& generation : together) {
      if (generation->finished_stepping()) continue;
      step(pipeline, generation.get());
      moved = true;
    }
  }
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(finish(pipeline, together[i].get()).pixels, alone[i].pixels) << i;
  }
}

void expect_image_i_uses_seed_plus_i(Pipeline& pipeline, GenerationRequest r, int steps) {
  auto several = r;
  several.num_images = 2;
  const auto generations = pipeline.begin(several, {})->take();
  ASSERT_EQ(generations.size(), 2u);
  for (const auto& generation : generations) {
    const auto alone = begin(pipeline, r);
    for (int i = 0; i < steps; ++i) {
      step(pipeline, generation.get());
      step(pipeline, alone.get());
    }
    EXPECT_TRUE(at::equal(latents_of(*generation), latents_of(*alone))) << r.seed;
    ++r.seed;
  }
}

void expect_rows_of_guidance_scales(Pipeline& pipeline, GenerationRequest r, const std::map<double, int>& rows) {
  for (const auto& [scale, count] : rows) {
    r.guidance_scale = scale;
    EXPECT_EQ(begin(pipeline, r)->rows(), count) << scale;
  }
}

void expect_guidance_interval_limits_rows(Pipeline& pipeline, const GenerationRequest& guided,
                                          const GenerationRequest& unguided, int rows) {
  auto middle = guided, first = guided, without = unguided;
  middle.guidance_interval = {.start = 0.5, .end = 0.75};
  first.guidance_interval = {.start = 0, .end = 0.5};
  without.guidance_interval = first.guidance_interval;
  expect_rejected(pipeline, without, "guidance_interval");

  const auto limited = begin(pipeline, middle), plain = begin(pipeline, unguided), whole = begin(pipeline, guided);
  const auto early = begin(pipeline, first);
  const int expected[] = {1, 1, rows, 1};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(limited->rows(), expected[i]) << "before step " << i;
    for (auto* generation : {limited.get(), plain.get(), whole.get(), early.get()}) step(pipeline, generation);
    const bool as_without = at::equal(latents_of(*limited), latents_of(*plain));
    EXPECT_EQ(as_without, i < 2) << "after step " << i;
    const bool as_with = at::equal(latents_of(*early), latents_of(*whole));
    EXPECT_EQ(as_with, i < 2) << "after step " << i;
  }
  EXPECT_TRUE(limited->finished_stepping());
  expect_interleaving_changes_no_bit(pipeline, {middle, first, guided, unguided});
  expect_requests_share_a_call(pipeline, {middle, first, guided, unguided});
}

void expect_cropped_from(Pipeline& pipeline, const GenerationRequest& r, c10::IntArrayRef latents) {
  auto generation = begin(pipeline, r);
  EXPECT_EQ(latents_of(*generation).sizes(), latents);
  step(pipeline, generation.get());
  const auto image = finish(pipeline, generation.get());
  EXPECT_EQ(image.width, r.width);
  EXPECT_EQ(image.height, r.height);
}

void expect_unused_fields_rejected(Pipeline& pipeline, const GenerationRequest& valid, int clip_skip) {
  auto r = valid;
  r.clip_skip = clip_skip;
  expect_rejected(pipeline, r, "clip_skip");
  r = valid;
  r.prompt_syntax = PromptSyntax::kA1111;
  expect_rejected(pipeline, r, "prompt_syntax");
  r = valid;
  r.guidance_rescale = 0.5;
  expect_rejected(pipeline, r, "guidance_rescale");
  r = valid;
  r.num_inference_steps = 0;
  expect_rejected(pipeline, r, "num_inference_steps");
}

bool is_cut(Pipeline& pipeline, const GenerationRequest& r) {
  return static_cast<const DiffusionGeneration&>(*begin(pipeline, r)).prompt_cut();
}

void expect_near_float32(Pipeline& wide, Pipeline& half, const GenerationRequest& r, c10::ScalarType latents,
                         double tolerance) {
  auto a = begin(wide, r), b = begin(half, r);
  for (int i = 0; i < 3; ++i) {
    step(wide, a.get());
    step(half, b.get());
  }
  EXPECT_EQ(latents_of(*b).scalar_type(), latents);
  EXPECT_LT(relative_error(latents_of(*b).to(at::kFloat), latents_of(*a)), tolerance);
}

void expect_preview_of_width(Pipeline& pipeline, const GenerationRequest& r, int width) {
  auto generation = begin(pipeline, r);
  step(pipeline, generation.get());
  const auto preview = pipeline.preview(*generation);
  ASSERT_TRUE(preview.has_value());
  EXPECT_EQ(preview->width, width);
}

void expect_step_allocates(Pipeline& pipeline, const GenerationRequest& r, std::int64_t estimated) {
  constexpr double kTolerance = 0.05;  // the workspaces of kernels are not estimated
  const auto generation = begin(pipeline, r);
  // The estimate counts the prompt's embeddings, which the image holds from its beginning.
  const auto& conditioning = static_cast<const DiffusionGeneration&>(*generation).phase().conditioning;
  const auto held = conditioning.prompt_embeds.numel() * conditioning.prompt_embeds.itemsize();
  const auto allocated = peak_of_a_step(pipeline, r);
  const auto ratio = static_cast<double>(estimated) / static_cast<double>(allocated + static_cast<std::int64_t>(held));
  EXPECT_NEAR(ratio, 1.0, kTolerance) << allocated << " allocated, " << held << " held";
}

void expect_step_estimate_matches(const std::string& folder, const GenerationRequest& r) {
  SCOPED_TRACE(folder);
  PipelineOptions options;
  options.estimated_sizes = {{r.width.value(), r.height.value()}};
  const auto served = open_model("m", reference(folder), options);
  const auto estimated = served.description.activations.at(1).step_bytes.at(2);
  expect_step_allocates(*served.load({}, {}), r, estimated);
}

ServedModel open_files(const std::string& path, const std::map<std::string, std::string>& components) {
  PipelineOptions options;
  options.placement = {.device = at::kCPU, .dtype = at::kFloat};
  options.estimate_activations = false;
  std::map<std::string, std::string> paths;
  for (const auto& [role, file] : components) paths[role] = reference(file);
  return open_model("m", reference(path), options, {.components = paths});
}

std::vector<std::uint8_t> pixels_of(const ServedModel& model) {
  auto r = request("a fox on a blue background", 7, 3);
  r.width = 144;
  r.height = 80;
  return generate_image(*model.load({}, {}), r).pixels;
}

}  // namespace easel::testing
