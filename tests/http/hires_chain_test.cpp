// A second pass that begins from what a model that upscales made of the first.
#include "http/openai/jobs/hires_chain.h"

#include <gtest/gtest.h>

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "http/support/running_server.h"
#include "support/fake_pipeline.h"

namespace easel::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

TEST(HiresChain, ThreeRequestsFollowEachOther) {
  const auto server = server_with_upscaler();
  const auto response = server.draw(
      R"({"prompt": "a cat", "n": 2, "seed": 5, "size": "32x16", "loras": ["ink"],
          "hires": {"scale": 1.5, "steps": 6, "strength": 0.5, "upscaler": "x2"}})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.json()["data"].size(), 2u);
  EXPECT_EQ(response.json()["size"], "48x24");
  EXPECT_EQ(response.json()["data"][1]["seed"], 6);
  const auto requests = server.engine.requests();
  ASSERT_EQ(requests.size(), 5u);
  EXPECT_EQ(requests[0].num_images, 2);
  EXPECT_EQ(requests[0].width, 32);
  EXPECT_FALSE(requests[0].hires || requests[0].image);
  for (const auto i : {1, 2}) {
    EXPECT_EQ(requests[i].model, "x2");
    EXPECT_EQ(requests[i].width, 64);
    EXPECT_EQ(requests[i].image->width, 32);
    EXPECT_TRUE(requests[i].prompt.empty() && requests[i].loras.empty());
  }
  for (const auto i : {3, 4}) {
    EXPECT_EQ(requests[i].model, "tiny");
    EXPECT_EQ(requests[i].prompt, "a cat");
    EXPECT_EQ(requests[i].seed, 5u + (i - 3)) << "the seeds of the first pass";
    EXPECT_EQ(requests[i].width, 48);
    EXPECT_EQ(requests[i].image->width, 48) << "resized to the result";
    EXPECT_EQ(requests[i].strength, 0.5);
    EXPECT_EQ(requests[i].num_inference_steps, 6);
    EXPECT_EQ(requests[i].loras.size(), 1u);
  }
}

TEST(HiresChain, AFailureOfAnyPartIsTheRequestsOwn) {
  auto server = server_with_upscaler();
  const std::string body = R"({"prompt": "a cat", "hires": {"upscaler": "x2"}})";
  server.engine.fail_generation(Error(ErrorCode::kCorruptData, "broken"));
  EXPECT_EQ(server.draw(body).status, 500);
  server.engine.fail_generation(std::nullopt);
  server.engine.fail_submit(Error(ErrorCode::kResourceExhausted, "full"));
  EXPECT_EQ(server.draw(body).status, 429) << "the first part is accepted or not, as any request";
}

// Two models of the real engine; the upscaler is a fake, too.
struct Devices {
  explicit Devices(std::chrono::microseconds step_time) {
    auto upscaler = testing::fake_description("x2");
    upscaler.upscale_factor = 2;
    std::vector<ServedModel> models = {
        testing::served_fake({.description = testing::fake_description("base"), .step_time = step_time}),
        testing::served_fake({.description = upscaler, .step_time = step_time})};
    engine = make_engine(std::move(models), {});
  }
  GenerationRequest request() const {
    GenerationRequest request;
    request.model = "base";
    request.prompt = "a cat";
    request.num_images = 2;
    request.hires = HiresPass{.width = 96, .height = 96, .upscaler_model = "x2"};
    return request;
  }
  std::unique_ptr<Engine> engine;
};

TEST(HiresChain, ProgressRunsOverAllParts) {
  const Devices devices(0us);
  std::mutex mutex;
  std::vector<StepProgress> seen;
  SubmitOptions options;
  options.listener = [&](const ProgressEvent& event) {
    const std::lock_guard lock(mutex);
    if (event.kind == ProgressEvent::Kind::kStep && event.image == 1) seen.push_back(event.progress);
  };
  const auto job = http::submit_hires_chain(*devices.engine, devices.request(), options);
  ASSERT_EQ(job->take().size(), 2u);
  ASSERT_FALSE(seen.empty());
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_GE(seen[i].steps_done, seen[i - 1].steps_done);
  EXPECT_EQ(seen.back().steps_total, 4 + 4 + 3) << "three quarters of the steps of the second pass";
  EXPECT_EQ(seen.back().steps_done, seen.back().steps_total);
}

TEST(HiresChain, CancellingEndsItAtOnce) {
  const Devices devices(50ms);
  const auto job = http::submit_hires_chain(*devices.engine, devices.request(), {});
  EXPECT_FALSE(job->wait_for(60ms));
  const auto before = std::chrono::steady_clock::now();
  job->cancel();
  EXPECT_TRUE(job->wait_for(20s));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
  try {
    job->take();
    FAIL() << "there are no images";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled) << error.what();
  }
}

TEST(HiresChain, TheTimeoutHoldsForAllPartsTogether) {
  const Devices devices(50ms);
  SubmitOptions options;
  options.timeout = 700ms;  // the first part takes 400 ms
  const auto job = http::submit_hires_chain(*devices.engine, devices.request(), options);
  try {
    job->take();
    FAIL() << "it had no time for all parts";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDeadlineExceeded) << error.what();
  }
}

}  // namespace
}  // namespace easel::test
