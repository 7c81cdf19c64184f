#include "core/customary_names.h"

#include <algorithm>

namespace easel {
namespace {

constexpr CustomaryName kCustomaryNames[] = {{"heun_k", "heun_karras"},
                                             {"euler_k", "euler_karras"},
                                             {"lms_k", "lms_karras"},
                                             {"dpmpp_2s_k", "dpmpp_2s_karras"},
                                             {"dpmpp_2m_k", "dpmpp_2m_karras"},
                                             {"dpmpp_2m_sde_k", "dpmpp_2m_sde_karras"},
                                             {"dpmpp_sde_k", "dpmpp_sde_karras"},
                                             {"unipc_k", "unipc_karras"},
                                             {"kdpm_2_k", "dpm2_karras"},
                                             {"kdpm_2_a_k", "dpm2_ancestral_karras"},
                                             {"kdpm_2", "dpm2"},
                                             {"kdpm_2_a", "dpm2_ancestral"},
                                             {"k_euler", "euler"},
                                             {"k_euler_a", "euler_ancestral"},
                                             {"k_euler_ancestral", "euler_ancestral"},
                                             {"k_heun", "heun"},
                                             {"k_lms", "lms"},
                                             {"k_dpm_2", "dpm2"},
                                             {"k_dpm_2_a", "dpm2_ancestral"},
                                             {"k_dpm_2_ancestral", "dpm2_ancestral"},
                                             {"k_dpmpp_2m", "dpmpp_2m"},
                                             {"k_dpmpp_sde", "dpmpp_sde"},
                                             {"k_dpmpp_2m_sde", "dpmpp_2m_sde"},
                                             {"dpmpp_sde_gpu", "dpmpp_sde"},
                                             {"dpmpp_2m_sde_gpu", "dpmpp_2m_sde"},
                                             {"uni_pc_bh2", "unipc"},
                                             {"dpmpp2m", "dpmpp_2m"},
                                             {"dpmpp2m_karras", "dpmpp_2m_karras"},
                                             {"dpmpp2m_exponential", "dpmpp_2m_exponential"},
                                             {"dpmpp2m_sde", "dpmpp_2m_sde"},
                                             {"dpmpp2m_sde_karras", "dpmpp_2m_sde_karras"},
                                             {"dpmpp2m_sde_exponential", "dpmpp_2m_sde_exponential"},
                                             {"dpmpp2s", "dpmpp_2s"},
                                             {"dpmpp2s_karras", "dpmpp_2s_karras"},
                                             {"dpmpp2s_exponential", "dpmpp_2s_exponential"},
                                             {"eulerdiscrete", "euler"},
                                             {"eulerancestraldiscrete", "euler_ancestral"},
                                             {"dpmsolvermultistep", "dpmpp_2m"},
                                             {"dpmsolversinglestep", "dpmpp_2s"},
                                             {"dpmsolversde", "dpmpp_sde"},
                                             {"heundiscrete", "heun"},
                                             {"lmsdiscrete", "lms"},
                                             {"kdpm2discrete", "dpm2"},
                                             {"kdpm2ancestraldiscrete", "dpm2_ancestral"},
                                             {"unipcmultistep", "unipc"},
                                             {"deismultistep", "deis"},
                                             {"edmeuler", "edm_euler"}};

}  // namespace

std::span<const CustomaryName> customary_scheduler_names() {
  return kCustomaryNames;
}

std::string_view customary_scheduler_name(std::string_view plain) {
  const auto found = std::ranges::find(kCustomaryNames, plain, &CustomaryName::written);
  return found == std::end(kCustomaryNames) ? std::string_view() : found->name;
}

}  // namespace easel
