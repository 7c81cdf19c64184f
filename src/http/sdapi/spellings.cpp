#include "http/sdapi/spellings.h"

#include <algorithm>
#include <vector>

#include "core/customary_names.h"
#include "core/normalize_name.h"
#include "core/text.h"
#include "http/wire/http_error.h"

namespace easel::http::sdapi {
namespace {

constexpr Sampler kSamplers[] = {
    {"DPM++ 2M", "dpmpp_2m"},
    {"DPM++ SDE", "dpmpp_sde"},
    {"DPM++ 2M SDE", "dpmpp_2m_sde"},
    {"Euler a", "euler_ancestral"},
    {"Euler", "euler"},
    {"LMS", "lms"},
    {"Heun", "heun"},
    {"DPM2", "dpm2", "dpm_2"},
    {"DPM2 a", "dpm2_ancestral"},
    {"DDIM", "ddim"},
    {"DDPM", "ddpm"},
    {"PLMS", "pndm"},
    {"UniPC", "unipc", "uni_pc"},
    {"DEIS", "deis"},
    {"LCM", "lcm"},
    {"TCD", "tcd"},
    {.name = "DPM++ 2S a", .scheduler = "dpmpp_2s", .spelling = "k_dpmpp_2s_a", .approximate = true, .listed = false},
    {.name = "dpm++2s_a", .scheduler = "dpmpp_2s", .approximate = true, .listed = false},
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

// By A1111's name, or by a name that the scheduler has in easel or customarily has elsewhere.
const Sampler* sampler_named(std::string_view normalized) {
  const auto find = [](const auto& is_wanted) -> const Sampler* {
    const auto* const found = std::find_if(std::begin(kSamplers), std::end(kSamplers), is_wanted);
    return found == std::end(kSamplers) ? nullptr : found;
  };
  const auto* own = find([&](const Sampler& sampler) {
    return normalize_name(sampler.name) == normalized || (sampler.spelling && sampler.spelling == normalized);
  });
  if (own) return own;
  const auto customary = customary_scheduler_name(normalized);
  const auto scheduler = customary.empty() ? normalized : customary;
  return find([&](const Sampler& sampler) { return !sampler.approximate && sampler.scheduler == scheduler; });
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

std::pair<std::string, std::string> names_of_scheduler(const std::string& scheduler) {
  std::string_view plain = scheduler;
  if (plain.starts_with(kFlowPrefix)) plain.remove_prefix(kFlowPrefix.size());
  for (const auto& sampler : kSamplers) {
    const std::string_view name = sampler.scheduler;
    if (!sampler.listed || !plain.starts_with(name)) continue;
    const auto suffix = plain.substr(name.size());
    if (suffix.empty()) return {sampler.name, kAutomaticSpacing};
    for (const auto& spacing : kSpacings) {
      if (suffix == spacing.suffix) return {sampler.name, spacing.label};
    }
  }
  return {scheduler, kAutomaticSpacing};
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
