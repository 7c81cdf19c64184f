// Names, classes, the table of the guide, and the errors for unsupported configs. Accepted configs are compared with
// diffusers in parity_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "core/text.h"
#include "easel/error.h"
#include "easel/scheduler.h"

namespace easel {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(SchedulerRegistry, NamesFollowTableOrder) {
  const auto& names = scheduler_names();
  EXPECT_THAT(std::vector<std::string>(names.begin(), names.begin() + 9),
              testing::ElementsAre("pndm", "ddim", "euler", "euler_karras", "euler_exponential", "euler_beta",
                                   "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras"));
  EXPECT_THAT(std::set<std::string>(names.begin(), names.end()), testing::SizeIs(names.size()));
}

TEST(SchedulerRegistry, ClassNamesAreAccepted) {
  for (const char* name : {"PNDMScheduler",
                           "DDIMScheduler",
                           "EulerDiscreteScheduler",
                           "EulerAncestralDiscreteScheduler",
                           "DPMSolverMultistepScheduler",
                           "DPMSolverSinglestepScheduler",
                           "DPMSolverSDEScheduler",
                           "HeunDiscreteScheduler",
                           "LMSDiscreteScheduler",
                           "KDPM2DiscreteScheduler",
                           "KDPM2AncestralDiscreteScheduler",
                           "UniPCMultistepScheduler",
                           "DEISMultistepScheduler",
                           "SASolverScheduler",
                           "DDPMScheduler",
                           "LCMScheduler",
                           "TCDScheduler",
                           "EDMEulerScheduler",
                           "FlowMatchEulerDiscreteScheduler",
                           "FlowMatchHeunDiscreteScheduler",
                           "FlowMatchLCMScheduler"}) {
    EXPECT_NE(make_scheduler(name, json::object()), nullptr);
    EXPECT_NE(make_scheduler("", json{{"_class_name", name}}), nullptr);
  }
}

TEST(SchedulerRegistry, ConfiguredNameFollowsClassAndFlags) {
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "PNDMScheduler"}}), "pndm");
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "DPMSolverMultistepScheduler"}}), "dpmpp_2m");
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "DPMSolverMultistepScheduler"}, {"use_karras_sigmas", true}}),
            "dpmpp_2m_karras");
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "DPMSolverMultistepScheduler"},
                                       {"algorithm_type", "sde-dpmsolver++"},
                                       {"use_beta_sigmas", true}}),
            "dpmpp_2m_sde_beta");
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "EulerDiscreteScheduler"}, {"use_karras_sigmas", true}}),
            "euler_karras");
  EXPECT_EQ(configured_scheduler_name({{"_class_name", "PNDMScheduler"}, {"use_karras_sigmas", true}}), "pndm");
}

// Expects the scheduler of a name and that of a config to be of one class and to visit the same timesteps.
void expect_same(const std::string& name, const std::string& class_name, const json& flags) {
  SCOPED_TRACE(name);
  const auto named = make_scheduler(name, {{"beta_schedule", "scaled_linear"}});
  json config{{"_class_name", class_name}, {"beta_schedule", "scaled_linear"}};
  config.update(flags);
  const auto expected = make_scheduler("", config);
  const Scheduler& named_class = *named;
  const Scheduler& expected_class = *expected;
  EXPECT_EQ(typeid(named_class), typeid(expected_class));
  named->set_timesteps(9);
  expected->set_timesteps(9);
  EXPECT_EQ(named->timesteps(), expected->timesteps());
  EXPECT_EQ(named->init_noise_sigma(), expected->init_noise_sigma());
}

TEST(SchedulerRegistry, SpellingVariantsOfNamesAreAccepted) {
  const json karras{{"use_karras_sigmas", true}};
  expect_same("dpm++ 2m karras", "DPMSolverMultistepScheduler", karras);
  expect_same("DPM++ 2M Karras", "DPMSolverMultistepScheduler", karras);
  expect_same("dpmpp-2m_karras", "DPMSolverMultistepScheduler", karras);
  expect_same("DPM++ 2M SDE", "DPMSolverMultistepScheduler", {{"algorithm_type", "sde-dpmsolver++"}});
  expect_same("dpm++ 2s", "DPMSolverSinglestepScheduler", json::object());
  expect_same("DPM++ SDE Karras", "DPMSolverSDEScheduler", karras);
  expect_same("Euler a", "EulerAncestralDiscreteScheduler", json::object());
  expect_same("euler-ancestral", "EulerAncestralDiscreteScheduler", json::object());
  expect_same("Euler", "EulerDiscreteScheduler", json::object());
  expect_same("euler exponential", "EulerDiscreteScheduler", {{"use_exponential_sigmas", true}});
  expect_same("LMS Karras", "LMSDiscreteScheduler", karras);
  expect_same("Heun", "HeunDiscreteScheduler", json::object());
  expect_same("DPM2", "KDPM2DiscreteScheduler", json::object());
  expect_same("DPM2 a Karras", "KDPM2AncestralDiscreteScheduler", karras);
  expect_same("UniPC", "UniPCMultistepScheduler", json::object());
  expect_same("uni_pc", "UniPCMultistepScheduler", json::object());
  expect_same("dpm_2", "KDPM2DiscreteScheduler", json::object());
  expect_same("dpm_2_ancestral karras", "KDPM2AncestralDiscreteScheduler", karras);
  expect_same("DEIS beta", "DEISMultistepScheduler", {{"use_beta_sigmas", true}});
  expect_same("PLMS", "PNDMScheduler", json::object());
  expect_same("LCM", "LCMScheduler", json::object());
  expect_same("TCD", "TCDScheduler", json::object());
  expect_same("DDPM", "DDPMScheduler", json::object());
  expect_same("EDM Euler", "EDMEulerScheduler", json::object());
  expect_same("eulerdiscretescheduler", "EulerDiscreteScheduler", json::object());
}

TEST(SchedulerRegistry, SdeNameOverridesConfiguredAlgorithm) {
  // The configured algorithm could not end at sigma 0, which is the default.
  EXPECT_NO_THROW(make_scheduler("dpmpp_2m_sde", {{"algorithm_type", "dpmsolver"}}));
}

struct Rejection {
  std::string name;
  json config;
  ErrorCode code;
  std::string param;
  std::string words;  // part of the message
};

void expect_rejected(const Rejection& rejection) {
  SCOPED_TRACE(rejection.name + " " + rejection.config.dump());
  try {
    make_scheduler(rejection.name, rejection.config);
    ADD_FAILURE() << "is accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), rejection.code);
    EXPECT_EQ(e.param(), rejection.param);
    EXPECT_THAT(e.what(), HasSubstr(rejection.words));
  }
}

TEST(SchedulerRegistry, UnknownNamesAndClassesAreRejectedListingKnownOnes) {
  for (const char* name : {"dpmpp_3m", "pndm_karras", "euler_karras_beta", "_karras", "++", " "}) {
    expect_rejected({name, json::object(), ErrorCode::kInvalidArgument, "scheduler",
                     "pndm, ddim, euler, euler_karras, euler_exponential, euler_beta, euler_ancestral, dpmpp_2m"});
  }
  expect_rejected(
      {"",
       {{"_class_name", "CosineDPMSolverMultistepScheduler"}},
       ErrorCode::kUnsupported,
       "",
       "`_class_name` is \"CosineDPMSolverMultistepScheduler\"; easel supports PNDMScheduler, DDIMScheduler"});
  expect_rejected({"", json::object(), ErrorCode::kCorruptData, "", "`_class_name`"});
  expect_rejected({"", {{"_class_name", json::array({"a"})}}, ErrorCode::kCorruptData, "", "`_class_name`"});
  expect_rejected({"", json::array(), ErrorCode::kCorruptData, "", "`_class_name`"});
  expect_rejected({"euler", json::array(), ErrorCode::kCorruptData, "", "not a JSON object"});
}

TEST(SchedulerRegistry, UnsupportedValuesAreRejectedNamingTheField) {
  const auto unsupported = ErrorCode::kUnsupported;
  expect_rejected({"pndm", {{"prediction_type", "sample"}}, unsupported, "", "`prediction_type` is \"sample\""});
  expect_rejected({"euler_ancestral", {{"prediction_type", "sample"}}, unsupported, "", "epsilon, v_prediction"});
  expect_rejected({"ddim", {{"beta_schedule", "sigmoid"}}, unsupported, "", "`beta_schedule` is \"sigmoid\""});
  expect_rejected({"ddim", {{"timestep_spacing", "karras"}}, unsupported, "", "linspace, leading, trailing"});
  expect_rejected({"ddim", {{"num_train_timesteps", 1}}, unsupported, "", "`num_train_timesteps` is 1"});
  expect_rejected({"ddim", {{"num_train_timesteps", 1e12}}, unsupported, "", "`num_train_timesteps`"});
  expect_rejected(
      {"ddim", {{"steps_offset", INT64_MIN}, {"timestep_spacing", "leading"}}, unsupported, "", "`steps_offset`"});
  expect_rejected({"ddim", {{"steps_offset", INT64_MAX}}, unsupported, "", "`steps_offset`"});
  expect_rejected({"euler_karras", {{"use_beta_sigmas", true}}, unsupported, "", "`use_beta_sigmas` is true"});
  expect_rejected({"unipc", {{"shift_terminal", 0.1}}, unsupported, "", "`shift_terminal` is 0.1"});
  expect_rejected({"unipc", {{"use_dynamic_shifting", true}}, unsupported, "", "`use_dynamic_shifting` is true"});
  expect_rejected({"unipc", {{"solver_p", "DDIMScheduler"}}, unsupported, "", "`solver_p`"});
  expect_rejected({"unipc", {{"solver_order", 0}}, unsupported, "", "`solver_order` is 0"});
  expect_rejected({"deis", {{"algorithm_type", "sde-dpmsolver++"}}, unsupported, "", "deis, dpmsolver"});
  expect_rejected({"dpmpp_2s", {{"algorithm_type", "sde-dpmsolver"}}, unsupported, "", "`algorithm_type`"});
  expect_rejected({"ddpm", {{"variance_type", "fixed_large_log"}}, unsupported, "", "`variance_type`"});
  expect_rejected({"lcm", {{"original_inference_steps", 0}}, unsupported, "", "`original_inference_steps` is 0"});
  expect_rejected({"tcd", {{"original_inference_steps", 1001}}, unsupported, "", "`original_inference_steps` is 1001"});
  expect_rejected({"edm_euler", {{"sigma_schedule", "beta"}}, unsupported, "", "karras, exponential"});
  expect_rejected({"euler", {{"interpolation_type", "cubic"}}, unsupported, "", "`interpolation_type`"});
  expect_rejected(
      {"euler", {{"timestep_type", "wavy"}, {"prediction_type", "v_prediction"}}, unsupported, "", "`timestep_type`"});
  expect_rejected({"euler", {{"final_sigmas_type", "none"}}, unsupported, "", "`final_sigmas_type`"});
  expect_rejected({"dpmpp_2m_karras", {{"use_exponential_sigmas", true}}, unsupported, "", "`use_exponential_sigmas`"});
  expect_rejected({"dpmpp_2m", {{"solver_order", 4}}, unsupported, "", "`solver_order` is 4"});
  expect_rejected(
      {"dpmpp_2m", {{"algorithm_type", "dpmsolver"}}, unsupported, "", "`algorithm_type` is \"dpmsolver\""});
  expect_rejected({"dpmpp_2m", {{"algorithm_type", "unipc"}}, unsupported, "", "dpmsolver++"});
  expect_rejected({"flow_euler", {{"time_shift_type", "cubic"}}, unsupported, "", "`time_shift_type` is \"cubic\""});
  expect_rejected({"flow_euler", {{"num_train_timesteps", 1}}, unsupported, "", "`num_train_timesteps` is 1"});
  expect_rejected({"flow_lcm", {{"scale_factors", {0.5, 1.0}}}, unsupported, "", "`scale_factors` is [0.5,1.0]"});
}

TEST(SchedulerRegistry, InvalidValuesAreRejectedNamingTheField) {
  const auto corrupt = ErrorCode::kCorruptData;
  expect_rejected({"ddim", {{"beta_start", "small"}}, corrupt, "", "`beta_start` is \"small\""});
  expect_rejected({"ddim", {{"beta_start", nullptr}}, corrupt, "", "`beta_start` is null"});
  expect_rejected({"ddim", {{"beta_end", "Infinity"}}, corrupt, "", "`beta_end`"});
  expect_rejected(
      {"ddim", {{"beta_start", -1}, {"beta_schedule", "scaled_linear"}}, corrupt, "", "`beta_start` is -1"});
  expect_rejected({"ddim", {{"trained_betas", json::array()}}, corrupt, "", "`trained_betas`"});
  expect_rejected({"ddim", {{"trained_betas", {0.1, "x"}}}, corrupt, "", "`trained_betas`"});
  expect_rejected({"ddim", {{"clip_sample", "yes"}}, corrupt, "", "`clip_sample`"});
  expect_rejected({"ddim",
                   {{"dynamic_thresholding_ratio", 2}, {"thresholding", true}},
                   corrupt,
                   "",
                   "`dynamic_thresholding_ratio` is 2"});
  expect_rejected({"euler", {{"use_karras_sigmas", nullptr}}, corrupt, "", "`use_karras_sigmas` is null"});
  expect_rejected({"euler", {{"sigma_min", 0}, {"use_karras_sigmas", true}}, corrupt, "", "`sigma_min` is 0"});
}

TEST(SchedulerRegistry, NewerClassesRejectInvalidNumbers) {
  const auto corrupt = ErrorCode::kCorruptData;
  expect_rejected({"edm_euler", {{"sigma_data", 0}}, corrupt, "", "`sigma_data` is 0"});
  expect_rejected({"dpmpp_sde", {{"noise_sampler_seed", -1}}, corrupt, "", "`noise_sampler_seed` is -1"});
  expect_rejected({"dpmpp_sde", {{"noise_sampler_seed", "x"}}, corrupt, "", "`noise_sampler_seed`"});
}

TEST(SchedulerRegistry, FlowMatchingClassesRejectInvalidNumbers) {
  const auto corrupt = ErrorCode::kCorruptData;
  expect_rejected({"flow_euler", {{"shift", 0}}, corrupt, "", "`shift` is 0"});
  expect_rejected({"flow_heun", {{"shift", -3}}, corrupt, "", "`shift` is -3"});
  expect_rejected({"flow_euler", {{"shift_terminal", 1}}, corrupt, "", "`shift_terminal` is 1"});
  expect_rejected({"flow_euler_karras", {{"sigma_min", 0}}, corrupt, "", "`sigma_min` is 0"});
}

TEST(SchedulerRegistry, DynamicShiftingWithoutMuIsRejected) {
  const json config{{"use_dynamic_shifting", true}};
  EXPECT_THROW(make_scheduler("flow_euler", config)->set_timesteps(4), Error);
  EXPECT_NO_THROW(make_scheduler("flow_euler", config, {.mu = 1.15})->set_timesteps(4));
  EXPECT_NO_THROW(make_scheduler("flow_heun", config)->set_timesteps(4)) << "the class does not have the field";
}

TEST(SchedulerRegistry, UnknownFieldsAreIgnored) {
  EXPECT_NO_THROW(make_scheduler("pndm", {{"use_beta_sigmas", true}, {"solver_order", 9}, {"shift", "x"}}));
}

TEST(SchedulerRegistry, DdimAndTcdRejectEtaOutsideZeroToOne) {
  for (const double eta : {-0.1, 1.1, std::nan("")}) {
    try {
      make_scheduler("ddim", json::object(), {.eta = eta});
      ADD_FAILURE() << eta << " is accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.param(), "eta");
    }
    EXPECT_THROW(make_scheduler("tcd", json::object(), {.eta = eta}), Error);
    EXPECT_NO_THROW(make_scheduler("euler", json::object(), {.eta = eta}));
  }
}

TEST(SchedulerRegistry, RungeKuttaRequiresFourSteps) {
  const auto scheduler = make_scheduler("pndm", json::object());
  for (const int steps : {1, 2, 3}) {
    try {
      scheduler->set_timesteps(steps);
      ADD_FAILURE() << steps << " steps are accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_EQ(e.param(), "num_inference_steps");
    }
  }
  scheduler->set_timesteps(4);
  EXPECT_EQ(scheduler->timesteps().size(), 13u);
}

TEST(SchedulerRegistry, LambdaClippingThatLeavesNoTimestepIsRejected) {
  const auto scheduler = make_scheduler("dpmpp_2m", {{"lambda_min_clipped", 100}});
  EXPECT_THROW(scheduler->set_timesteps(5), Error);
}

// Cells of a row of the guide's table.
std::string guide_row(const std::string& name) {
  const auto capabilities = scheduler_capabilities(name);
  const auto yes = [](bool value) { return value ? "yes" : ""; };
  std::string aliases;
  for (const auto& alias : capabilities.aliases) aliases += concat(aliases.empty() ? "" : ", ", "`", alias, "`");
  std::string class_name = capabilities.class_name;
  const auto overrides = json::parse(capabilities.overrides);
  for (const auto& [key, value] : overrides.items()) {
    class_name += concat(", `", key, "` ", value.get<std::string>());
  }
  return concat("| `", name, "` | ", aliases, " | ", class_name, " | ", yes(capabilities.sigma_spacings), " | ",
                yes(capabilities.custom_timesteps), " | ", yes(capabilities.custom_sigmas), " | ",
                yes(capabilities.uses_eta), " | ", capabilities.order, " |\n");
}

TEST(SchedulerGuide, TableMatchesTheRegistry) {
  std::string table =
      "| `scheduler` | other names | diffusers' class | suffixes | `timesteps` | `sigmas` | `eta` | evaluations |\n"
      "|---|---|---|---|---|---|---|---|\n";
  for (const auto& name : scheduler_names()) {
    const bool has_suffix = std::ranges::any_of(std::array{"_karras", "_exponential", "_beta"},
                                                [&](const char* suffix) { return name.ends_with(suffix); });
    if (!has_suffix) table += guide_row(name);
  }
  std::ifstream in(EASEL_SCHEDULERS_GUIDE);
  const std::string guide{std::istreambuf_iterator<char>(in), {}};
  EXPECT_THAT(guide, HasSubstr(table)) << "Put this table into docs/guide/schedulers.md:\n" << table;
}

}  // namespace
}  // namespace easel
