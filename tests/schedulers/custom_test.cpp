// Custom timesteps and sigmas: which lists are rejected. Accepted lists are compared with diffusers in parity_test.cpp.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "easel/error.h"
#include "easel/noise.h"
#include "easel/scheduler.h"

namespace easel {
namespace {

using nlohmann::json;

// The parameter that the error names, or "accepted" when nothing is thrown.
template <class F>
std::string param_of(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_TRUE(e.code() == ErrorCode::kInvalidArgument || e.code() == ErrorCode::kUnsupported);
    return e.param();
  }
  return "accepted";
}

std::string timesteps_param(const std::string& name, const std::vector<double>& timesteps,
                            const json& config = json::object()) {
  return param_of([&] { make_scheduler(name, config)->set_custom_timesteps(timesteps); });
}

std::string sigmas_param(const std::string& name, const std::vector<double>& sigmas,
                         const json& config = json::object()) {
  return param_of([&] { make_scheduler(name, config)->set_custom_sigmas(sigmas); });
}

TEST(CustomTimesteps, AreAcceptedWhereDiffusersAcceptsThem) {
  for (const char* name : {"euler", "heun", "dpmpp_2m", "dpmpp_2s", "ddpm", "lcm", "tcd"}) {
    EXPECT_EQ(timesteps_param(name, {999, 500, 20}), "accepted") << name;
  }
  for (const char* name : {"pndm", "ddim", "euler_ancestral", "lms", "dpm2", "dpm2_ancestral", "dpmpp_sde", "unipc",
                           "deis", "sa_solver", "edm_euler", "euler_karras", "heun_beta", "dpmpp_2m_exponential"}) {
    EXPECT_EQ(timesteps_param(name, {999, 500, 20}), "timesteps") << name;
  }
  EXPECT_EQ(timesteps_param("dpmpp_2m", {999, 500}, {{"use_lu_lambdas", true}}), "timesteps");
  EXPECT_EQ(timesteps_param("dpmpp_2m", {999, 500}, {{"use_flow_sigmas", true}}), "timesteps");
}

TEST(CustomTimesteps, MustDescendWithinTrainingTimesteps) {
  const std::vector<double> bad[] = {{},         {999, 999},     {20, 500},    {1000, 3},       {999, -0.5}, {NAN},
                                     {INFINITY}, {500, NAN, 20}, {1e300, 1.0}, {999, 500, 500}, {-1}};
  for (const char* name : {"euler", "heun", "dpmpp_2m", "dpmpp_2s", "ddpm", "lcm", "tcd"}) {
    for (const auto& timesteps : bad) EXPECT_EQ(timesteps_param(name, timesteps), "timesteps") << name;
  }
  EXPECT_EQ(timesteps_param("euler", {40, 3}, {{"num_train_timesteps", 40}}), "timesteps");
  // Flow matching visits the timestep 1000 of 1000, which is noise without an image.
  EXPECT_EQ(timesteps_param("flow_euler", {1000, 3}), "accepted");
  for (const auto& timesteps : bad) {
    if (timesteps != std::vector<double>{1000, 3}) {
      EXPECT_EQ(timesteps_param("flow_euler", timesteps), "timesteps");
    }
  }
  EXPECT_EQ(timesteps_param("flow_euler", {1000.5, 3}), "timesteps");
}

TEST(CustomSigmas, AreAcceptedWhereDiffusersAcceptsThem) {
  EXPECT_EQ(sigmas_param("euler", {14.6, 1, 0}), "accepted");
  EXPECT_EQ(sigmas_param("unipc", {1, 0.5}, {{"use_flow_sigmas", true}}), "accepted");
  EXPECT_EQ(sigmas_param("edm_euler", {0, 0.4, 1}), "accepted");
  EXPECT_EQ(sigmas_param("flow_euler", {1, 0.5, 0}), "accepted");
  EXPECT_EQ(sigmas_param("flow_euler_exponential", {1, 0.5}), "accepted");
  EXPECT_EQ(sigmas_param("flow_euler_exponential", {1, 0.5, 0}), "sigmas") << "0 has no logarithm";
  for (const auto& name : scheduler_names()) {
    const bool takes_flow_sigmas = scheduler_capabilities(name).flow_matching && name != "flow_heun";
    if (!takes_flow_sigmas && (!name.starts_with("euler") || name == "euler_ancestral")) {
      EXPECT_EQ(sigmas_param(name, {14.6, 1, 0}), "sigmas") << name;
    }
  }
}

TEST(CustomSigmas, MustDescend) {
  const std::vector<double> bad[] = {{}, {1, 2}, {1, 1}, {-1}, {3, -1}, {NAN, 1}, {INFINITY, 1}, {2, 1, NAN}};
  for (const auto& sigmas : bad) {
    EXPECT_EQ(sigmas_param("euler", sigmas), "sigmas");
    EXPECT_EQ(sigmas_param("unipc", sigmas, {{"use_flow_sigmas", true}}), "sigmas");
    EXPECT_EQ(sigmas_param("flow_euler", sigmas), "sigmas");
  }
  EXPECT_EQ(sigmas_param("euler", {1}), "sigmas");
  EXPECT_EQ(sigmas_param("euler", {0}), "sigmas");
}

TEST(CustomSigmas, EdmEulerTakesAscendingPositions) {
  const std::vector<double> bad[] = {{}, {1, 0}, {0.5, 0.5}, {-0.1, 1}, {0, 1.1}, {NAN}, {0, INFINITY}};
  for (const auto& ramp : bad) EXPECT_EQ(sigmas_param("edm_euler", ramp), "sigmas");
}

TEST(DistilledTimesteps, StrengthOutsideItsRangeIsRejected) {
  const auto param = [](double strength, std::int64_t steps) {
    return param_of([&] { make_scheduler("lcm", json::object(), {.strength = strength})->set_timesteps(steps); });
  };
  for (const double strength : {-0.1, 1.1, std::nan(""), 0.0, 0.07})
    EXPECT_EQ(param(strength, 4), "strength") << strength;
  EXPECT_EQ(param(0.08, 4), "accepted");  // 4 of the 50 timesteps
  EXPECT_EQ(param(0.08, 51), "num_inference_steps");
  EXPECT_EQ(param_of([&] { make_scheduler("tcd", json::object(), {.strength = 0.3})->set_custom_timesteps({9, 3}); }),
            "strength");
}

TEST(CustomTimesteps, RejectedListLeavesTheRunUnchanged) {
  const auto scheduler = make_scheduler("heun", json::object());
  scheduler->set_timesteps(4);
  const auto timesteps = scheduler->timesteps();
  EXPECT_THROW(scheduler->set_custom_timesteps({1, 2}), Error);
  EXPECT_EQ(scheduler->timesteps(), timesteps);
  NoiseSource noise(1);
  const auto sample = noise.normal({1, 4, 2, 2});
  EXPECT_NO_THROW(scheduler->step(sample, 0, sample, noise));
}

}  // namespace
}  // namespace easel
