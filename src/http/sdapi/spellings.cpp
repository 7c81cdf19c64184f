#include "http/sdapi/spellings.h"

#include <algorithm>
#include <vector>

#include "core/normalize_name.h"
#include "core/text.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {
namespace {

constexpr Sampler kSamplers[] = {
    {"DPM++ 2M", "dpmpp_2m", "dpm++2m|k_dpmpp_2m"},
    {"DPM++ SDE", "dpmpp_sde", "k_dpmpp_sde"},
    {"DPM++ 2M SDE", "dpmpp_2m_sde", "k_dpmpp_2m_sde"},
    {"Euler a", "euler_ancestral", "euler_a|euler ancestral|k_euler_a|k_euler_ancestral"},
    {"Euler", "euler", "k_euler"},
    {"LMS", "lms", "k_lms"},
    {"Heun", "heun", "k_heun"},
    {"DPM2", "dpm2", "k_dpm_2|dpm_2"},
    {"DPM2 a", "dpm2_ancestral", "k_dpm_2_a|k_dpm_2_ancestral|dpm2_ancestral"},
    {"DDIM", "ddim", nullptr},
    {"DDPM", "ddpm", nullptr},
    {"PLMS", "pndm", "pndm"},
    {"UniPC", "unipc", "uni_pc"},
    {"DEIS", "deis", nullptr},
    {"LCM", "lcm", nullptr},
    {"TCD", "tcd", nullptr},
    {.name = "DPM++ 2S a",
     .scheduler = "dpmpp_2s",
     .spellings = "dpm++2s_a|k_dpmpp_2s_a",
     .approximate = true,
     .listed = false},
    {.name = "ddim_trailing", .scheduler = "ddim", .approximate = true, .listed = false},
    {.name = "Euler A Substep", .scheduler = "euler_ancestral", .approximate = true, .listed = false},
};

constexpr Spacing kSpacings[] = {
    {"karras", "Karras", "_karras"},
    {"exponential", "Exponential", "_exponential"},
    {"beta", "Beta", "_beta"},
    {.name = "uniform", .label = "Uniform", .suffix = ""},
    {.name = "discrete", .label = "Discrete", .suffix = "", .listed = false},
    {.name = "default", .label = "Default", .suffix = "", .listed = false},
    {.name = "normal", .label = "Normal", .suffix = "", .honoured = false, .listed = false},
    {.name = "simple", .label = "Simple", .suffix = "", .honoured = false, .listed = false},
    {.name = "sgm_uniform", .label = "SGM Uniform", .suffix = "", .honoured = false, .listed = false},
    {.name = "ays", .label = "Align Your Steps", .suffix = "", .honoured = false, .listed = false},
    {.name = "align_your_steps", .label = "Align Your Steps", .suffix = "", .honoured = false, .listed = false},
    {.name = "gits", .label = "GITS", .suffix = "", .honoured = false, .listed = false},
    {.name = "smoothstep", .label = "Smoothstep", .suffix = "", .honoured = false, .listed = false},
    {.name = "polyexponential", .label = "Polyexponential", .suffix = "", .honoured = false, .listed = false},
    {.name = "kl_optimal", .label = "KL Optimal", .suffix = "", .honoured = false, .listed = false},
    {.name = "ddim", .label = "DDIM", .suffix = "", .honoured = false, .listed = false},
    {.name = "ddim_uniform", .label = "DDIM Uniform", .suffix = "", .honoured = false, .listed = false},
};

bool is_spelling(std::string_view spellings, std::string_view normalized) {
  while (!spellings.empty()) {
    const auto end = std::min(spellings.find('|'), spellings.size());
    if (normalize_name(spellings.substr(0, end)) == normalized) return true;
    spellings.remove_prefix(std::min(end + 1, spellings.size()));
  }
  return false;
}

const Sampler* sampler_named(std::string_view normalized) {
  const auto* const found = std::find_if(std::begin(kSamplers), std::end(kSamplers), [&](const Sampler& sampler) {
    return normalize_name(sampler.name) == normalized ||
           (sampler.spellings && is_spelling(sampler.spellings, normalized));
  });
  return found == std::end(kSamplers) ? nullptr : found;
}

const Spacing* spacing_named(std::string_view normalized) {
  const auto* const found = std::find_if(std::begin(kSpacings), std::end(kSpacings), [&](const Spacing& spacing) {
    return spacing.name == normalized || normalize_name(spacing.label) == normalized;
  });
  return found == std::end(kSpacings) ? nullptr : found;
}

HttpFailure spelling_not_found(std::string_view name) {
  return HttpFailure({.status = 404,
                      .message = concat("Sampler not found: ", quote(name),
                                        "; GET /sdapi/v1/samplers and /sdapi/v1/schedulers list the names."),
                      .code = "Sampler not found"});
}

}  // namespace

std::span<const Sampler> samplers() {
  return kSamplers;
}

std::span<const Spacing> spacings() {
  return kSpacings;
}

SamplerChoice find_sampler(std::string_view sampler_name, std::string_view scheduler) {
  SamplerChoice choice;
  const auto spacing = normalize_name(scheduler);
  if (!spacing.empty() && spacing != "automatic") {
    choice.spacing = spacing_named(spacing);
    if (!choice.spacing) throw spelling_not_found(scheduler);
  }
  const auto name = normalize_name(sampler_name);
  if (name.empty() || name == "automatic") return choice;
  choice.sampler = sampler_named(name);
  // "DPM++ 2M Karras" is the sampler with the spacing.
  for (const auto& candidate : kSpacings) {
    const auto suffix = '_' + normalize_name(candidate.label);
    if (choice.sampler || !name.ends_with(suffix)) continue;
    choice.sampler = sampler_named(name.substr(0, name.size() - suffix.size()));
    if (choice.sampler && !choice.spacing) choice.spacing = &candidate;
  }
  if (!choice.sampler) throw spelling_not_found(sampler_name);
  return choice;
}

}  // namespace easel::http::sdapi
