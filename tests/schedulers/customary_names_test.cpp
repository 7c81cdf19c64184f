// The names that other programs give to schedulers, as their users write them. Each line is from the program's own
// list: AUTOMATIC1111's modules/sd_samplers_kdiffusion.py and sd_samplers_timesteps.py, ComfyUI's comfy/samplers.py,
// stable-diffusion.cpp's --sampling-method, InvokeAI's SCHEDULER_NAME_VALUES, the AI Horde's API.
#include "core/customary_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "core/normalize_name.h"
#include "easel/error.h"
#include "easel/scheduler.h"

namespace easel {
namespace {

struct Spelling {
  const char* written;
  const char* name;  // null: easel does not have the algorithm
};

constexpr Spelling kSpellings[] = {
    // AUTOMATIC1111
    {"Euler a", "euler_ancestral"},
    {"Euler", "euler"},
    {"LMS", "lms"},
    {"LMS Karras", "lms_karras"},
    {"Heun", "heun"},
    {"DPM2", "dpm2"},
    {"DPM2 Karras", "dpm2_karras"},
    {"DPM2 a", "dpm2_ancestral"},
    {"DPM2 a Karras", "dpm2_ancestral_karras"},
    {"DPM++ 2M", "dpmpp_2m"},
    {"DPM++ 2M Karras", "dpmpp_2m_karras"},
    {"DPM++ 2M SDE", "dpmpp_2m_sde"},
    {"DPM++ 2M SDE Karras", "dpmpp_2m_sde_karras"},
    {"DPM++ 2M SDE Exponential", "dpmpp_2m_sde_exponential"},
    {"DPM++ SDE", "dpmpp_sde"},
    {"DPM++ SDE Karras", "dpmpp_sde_karras"},
    {"DDIM", "ddim"},
    {"PLMS", "pndm"},
    {"UniPC", "unipc"},
    {"LCM", "lcm"},
    {"DPM++ 2S a", nullptr},
    {"DPM++ 3M SDE", nullptr},
    {"DPM++ 2M SDE Heun", nullptr},
    {"DPM fast", nullptr},
    {"DPM adaptive", nullptr},
    {"Restart", nullptr},
    {"DDIM CFG++", nullptr},
    // ComfyUI
    {"euler", "euler"},
    {"euler_ancestral", "euler_ancestral"},
    {"heun", "heun"},
    {"dpm_2", "dpm2"},
    {"dpm_2_ancestral", "dpm2_ancestral"},
    {"lms", "lms"},
    {"dpmpp_sde", "dpmpp_sde"},
    {"dpmpp_sde_gpu", "dpmpp_sde"},
    {"dpmpp_2m", "dpmpp_2m"},
    {"dpmpp_2m_sde", "dpmpp_2m_sde"},
    {"dpmpp_2m_sde_gpu", "dpmpp_2m_sde"},
    {"ddpm", "ddpm"},
    {"lcm", "lcm"},
    {"deis", "deis"},
    {"ddim", "ddim"},
    {"uni_pc", "unipc"},
    {"uni_pc_bh2", "unipc"},
    {"euler_cfg_pp", nullptr},
    {"heunpp2", nullptr},
    {"dpm_fast", nullptr},
    {"dpmpp_2s_ancestral", nullptr},
    {"dpmpp_3m_sde", nullptr},
    {"ipndm", nullptr},
    // stable-diffusion.cpp
    {"euler_a", "euler_ancestral"},
    {"dpm2", "dpm2"},
    {"dpm++2m", "dpmpp_2m"},
    {"tcd", "tcd"},
    {"dpm++2mv2", nullptr},
    {"dpm++2s_a", nullptr},
    {"ipndm_v", nullptr},
    {"ddim_trailing", nullptr},
    // InvokeAI
    {"pndm", "pndm"},
    {"lms_k", "lms_karras"},
    {"heun_k", "heun_karras"},
    {"euler_k", "euler_karras"},
    {"kdpm_2", "dpm2"},
    {"kdpm_2_k", "dpm2_karras"},
    {"kdpm_2_a", "dpm2_ancestral"},
    {"kdpm_2_a_k", "dpm2_ancestral_karras"},
    {"dpmpp_2s", "dpmpp_2s"},
    {"dpmpp_2s_k", "dpmpp_2s_karras"},
    {"dpmpp_2m_k", "dpmpp_2m_karras"},
    {"dpmpp_2m_sde_k", "dpmpp_2m_sde_karras"},
    {"dpmpp_sde_k", "dpmpp_sde_karras"},
    {"unipc", "unipc"},
    {"unipc_k", "unipc_karras"},
    {"dpmpp_3m", nullptr},
    // the AI Horde
    {"k_euler", "euler"},
    {"k_euler_a", "euler_ancestral"},
    {"k_heun", "heun"},
    {"k_lms", "lms"},
    {"k_dpm_2", "dpm2"},
    {"k_dpm_2_a", "dpm2_ancestral"},
    {"k_dpmpp_2m", "dpmpp_2m"},
    {"k_dpmpp_sde", "dpmpp_sde"},
    {"k_dpmpp_2s_a", nullptr},
    {"k_dpm_fast", nullptr},
    // diffusers
    {"EulerDiscreteScheduler", "euler"},
    {"DPMSolverMultistep", "dpmpp_2m"},
    {"KDPM2AncestralDiscrete", "dpm2_ancestral"},
    {"UniPCMultistep", "unipc"}};

TEST(CustomaryNames, SpellingsOfOtherProgramsAreUnderstoodOrErrors) {
  for (const auto& [written, name] : kSpellings) {
    if (name != nullptr) {
      EXPECT_EQ(canonical_scheduler_name(written), name) << written;
    } else {
      EXPECT_THROW(canonical_scheduler_name(written), Error) << written;
    }
  }
}

TEST(CustomaryNames, TableHoldsEachNameOnceAndOnlyNamesOfSchedulers) {
  std::set<std::string_view> written;
  const auto& names = scheduler_names();
  for (const auto& customary : customary_scheduler_names()) {
    EXPECT_EQ(normalize_name(customary.written), customary.written);
    EXPECT_TRUE(written.insert(customary.written).second) << customary.written;
    EXPECT_THAT(names, testing::Contains(customary.name));
    EXPECT_THAT(names, testing::Not(testing::Contains(customary.written)));
    EXPECT_EQ(canonical_scheduler_name(std::string(customary.written)), customary.name);
    EXPECT_THAT(scheduler_aliases(), testing::Contains(customary.written)) << "requests may use it";
  }
}

}  // namespace
}  // namespace easel
