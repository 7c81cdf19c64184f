// The table of schedulers. A new one is a .cpp, its factory in algorithms.h and a row here.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/customary_names.h"
#include "core/normalize_name.h"
#include "core/text.h"
#include "easel/error.h"
#include "easel/scheduler.h"
#include "schedulers/algorithms/algorithms.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {
namespace {

using nlohmann::json;

// A row of the table: what a name stands for, and what the algorithm supports whatever its config says. The columns
// after `make` are explained in SchedulerCapabilities.
struct SchedulerEntry {
  const char* class_name;  // `_class_name` in scheduler_config.json
  const char* name;        // in requests
  std::unique_ptr<Scheduler> (*make)(SchedulerArguments&, const SchedulerOptions&);
  const char* overrides = "{}";             // JSON that the name puts over the config
  std::array<const char*, 3> aliases = {};  // customary names, as normalize_name spells them
  bool sigma_spacings = false;
  bool custom_timesteps = false;
  bool custom_sigmas = false;
  bool has_history = false;
  bool uses_eta = false;
  bool has_sigma = false;
  bool flow_matching = false;
  std::int64_t order = 1;
};

// Of several rows with the same class, the first is the one without overrides.
constexpr SchedulerEntry kSchedulers[] = {
    {.class_name = "PNDMScheduler", .name = "pndm", .make = &make_pndm, .aliases = {"plms"}, .has_history = true},
    {.class_name = "DDIMScheduler", .name = "ddim", .make = &make_ddim, .uses_eta = true},
    {.class_name = "EulerDiscreteScheduler",
     .name = "euler",
     .make = &make_euler_discrete,
     .sigma_spacings = true,
     .custom_timesteps = true,
     .custom_sigmas = true,
     .has_sigma = true},
    {.class_name = "EulerAncestralDiscreteScheduler",
     .name = "euler_ancestral",
     .make = &make_euler_ancestral_discrete,
     .aliases = {"euler_a"},
     .has_sigma = true},
    {.class_name = "DPMSolverMultistepScheduler",
     .name = "dpmpp_2m",
     .make = &make_dpmsolver_multistep,
     .sigma_spacings = true,
     .custom_timesteps = true,
     .has_history = true},
    {.class_name = "DPMSolverMultistepScheduler",
     .name = "dpmpp_2m_sde",
     .make = &make_dpmsolver_multistep,
     .overrides = R"({"algorithm_type": "sde-dpmsolver++"})",
     .sigma_spacings = true,
     .custom_timesteps = true,
     .has_history = true},
    {.class_name = "DPMSolverSinglestepScheduler",
     .name = "dpmpp_2s",
     .make = &make_dpmsolver_singlestep,
     .sigma_spacings = true,
     .custom_timesteps = true,
     .has_history = true},
    // k-diffusion's sample_dpmpp_sde, from which the name comes; a table in diffusers' documentation gives it to the
    // singlestep solver.
    {.class_name = "DPMSolverSDEScheduler",
     .name = "dpmpp_sde",
     .make = &make_dpmsolver_sde,
     .sigma_spacings = true,
     .has_history = true,
     .has_sigma = true,
     .order = 2},
    {.class_name = "HeunDiscreteScheduler",
     .name = "heun",
     .make = &make_heun_discrete,
     .sigma_spacings = true,
     .custom_timesteps = true,
     .has_history = true,
     .has_sigma = true,
     .order = 2},
    {.class_name = "LMSDiscreteScheduler",
     .name = "lms",
     .make = &make_lms_discrete,
     .sigma_spacings = true,
     .has_history = true,
     .has_sigma = true},
    {.class_name = "KDPM2DiscreteScheduler",
     .name = "dpm2",
     .make = &make_k_dpm_2_discrete,
     .aliases = {"dpm_2"},
     .sigma_spacings = true,
     .has_history = true,
     .has_sigma = true,
     .order = 2},
    {.class_name = "KDPM2AncestralDiscreteScheduler",
     .name = "dpm2_ancestral",
     .make = &make_k_dpm_2_ancestral_discrete,
     .aliases = {"dpm2_a", "dpm_2_ancestral", "dpm_2_a"},
     .sigma_spacings = true,
     .has_history = true,
     .has_sigma = true,
     .order = 2},
    {.class_name = "UniPCMultistepScheduler",
     .name = "unipc",
     .make = &make_unipc_multistep,
     .aliases = {"uni_pc"},
     .sigma_spacings = true,
     .custom_sigmas = true,
     .has_history = true},
    {.class_name = "DEISMultistepScheduler",
     .name = "deis",
     .make = &make_deis_multistep,
     .sigma_spacings = true,
     .has_history = true},
    // The configs of other classes name algorithms of their own.
    {.class_name = "SASolverScheduler",
     .name = "sa_solver",
     .make = &make_sa_solver,
     .overrides = R"({"algorithm_type": "data_prediction"})",
     .sigma_spacings = true,
     .has_history = true},
    {.class_name = "DDPMScheduler", .name = "ddpm", .make = &make_ddpm, .custom_timesteps = true},
    {.class_name = "LCMScheduler", .name = "lcm", .make = &make_lcm, .custom_timesteps = true},
    {.class_name = "TCDScheduler", .name = "tcd", .make = &make_tcd, .custom_timesteps = true, .uses_eta = true},
    {.class_name = "EDMEulerScheduler",
     .name = "edm_euler",
     .make = &make_edm_euler,
     .custom_sigmas = true,
     .has_sigma = true},
    {.class_name = "FlowMatchEulerDiscreteScheduler",
     .name = "flow_euler",
     .make = &make_flow_match_euler_discrete,
     .aliases = {"flow_match_euler"},
     .sigma_spacings = true,
     .custom_timesteps = true,
     .custom_sigmas = true,
     .flow_matching = true},
    {.class_name = "FlowMatchHeunDiscreteScheduler",
     .name = "flow_heun",
     .make = &make_flow_match_heun_discrete,
     .aliases = {"flow_match_heun"},
     .has_history = true,
     .flow_matching = true,
     .order = 2},
    {.class_name = "FlowMatchLCMScheduler",
     .name = "flow_lcm",
     .make = &make_flow_match_lcm,
     .aliases = {"flow_match_lcm"},
     .sigma_spacings = true,
     .custom_timesteps = true,
     .custom_sigmas = true,
     .flow_matching = true},
};

// A suffix that can follow the name of a scheduler with a choice of sigmas, and the flag that it sets.
struct SigmaSuffix {
  std::string_view suffix;
  const char* flag;
};
constexpr SigmaSuffix kSuffixes[] = {
    {"_karras", "use_karras_sigmas"}, {"_exponential", "use_exponential_sigmas"}, {"_beta", "use_beta_sigmas"}};

// A name split into a row of the table and the flag of its suffix, or null without a suffix.
struct NamedScheduler {
  const SchedulerEntry* entry;
  const char* flag;

  std::string name() const {
    for (const auto& suffix : kSuffixes) {
      if (flag == suffix.flag) return concat(entry->name, suffix.suffix);
    }
    return entry->name;
  }

  json overrides() const {
    auto values = json::parse(entry->overrides);
    if (flag != nullptr) values[flag] = true;
    return values;
  }
};

// Appends the name itself and, where there is a choice of sigmas, the name with each suffix.
void append_with_suffixes(std::vector<std::string>& names, const std::string& name, const SchedulerEntry& entry) {
  names.push_back(name);
  if (!entry.sigma_spacings) return;
  for (const auto& [suffix, flag] : kSuffixes) names.push_back(concat(name, suffix));
}

const SchedulerEntry* find_entry(std::string_view plain) {
  for (const auto& entry : kSchedulers) {
    const auto& aliases = entry.aliases;
    const auto is_named = [&](const char* name) { return name != nullptr && plain == name; };
    if (plain == entry.name || std::any_of(aliases.begin(), aliases.end(), is_named)) return &entry;
  }
  for (const auto& entry : kSchedulers) {
    if (plain == normalize_name(entry.class_name)) return &entry;
  }
  return nullptr;
}

NamedScheduler find_scheduler(const std::string& written) {
  const auto plain = normalize_name(written);
  if (const auto* entry = find_entry(plain)) return NamedScheduler{entry, nullptr};
  for (const auto& [suffix, flag] : kSuffixes) {
    if (!plain.ends_with(suffix)) continue;
    const auto* entry = find_entry(std::string_view(plain).substr(0, plain.size() - suffix.size()));
    if (entry != nullptr && entry->sigma_spacings) return NamedScheduler{entry, flag};
  }
  if (const auto known = customary_scheduler_name(plain); !known.empty()) return find_scheduler(std::string(known));
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no scheduler \"", written, "\", expected one of ", join(scheduler_names())),
              "scheduler");
}

// True when the config already has all values that the name would put over it.
bool contains_all(const json& config, const json& overrides) {
  return std::all_of(overrides.items().begin(), overrides.items().end(), [&](const auto& item) {
    return config.contains(item.key()) && config.at(item.key()) == item.value();
  });
}

void check_eta(double eta) {
  if (eta >= 0 && eta <= 1) return;
  throw Error(ErrorCode::kInvalidArgument, concat("eta is ", eta, ", expected 0 to 1"), "eta");
}

}  // namespace

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& entry : kSchedulers) append_with_suffixes(list, entry.name, entry);
    return list;
  }();
  return names;
}

const std::vector<std::string>& scheduler_aliases() {
  static const std::vector<std::string> aliases = [] {
    std::vector<std::string> list;
    const char* last_class = "";
    for (const auto& entry : kSchedulers) {
      for (const char* name : entry.aliases) {
        if (name != nullptr) append_with_suffixes(list, name, entry);
      }
      if (std::string_view(last_class) != entry.class_name) {
        append_with_suffixes(list, normalize_name(entry.class_name), entry);
      }
      last_class = entry.class_name;
    }
    for (const auto& customary : customary_scheduler_names()) list.emplace_back(customary.written);
    return list;
  }();
  return aliases;
}

std::string canonical_scheduler_name(const std::string& written) {
  return find_scheduler(written).name();
}

SchedulerCapabilities scheduler_capabilities(const std::string& name) {
  const auto& entry = *find_scheduler(name).entry;
  SchedulerCapabilities capabilities{.class_name = entry.class_name,
                                     .overrides = entry.overrides,
                                     .aliases = {},
                                     .sigma_spacings = entry.sigma_spacings,
                                     .custom_timesteps = entry.custom_timesteps,
                                     .custom_sigmas = entry.custom_sigmas,
                                     .has_history = entry.has_history,
                                     .uses_eta = entry.uses_eta,
                                     .has_sigma = entry.has_sigma,
                                     .flow_matching = entry.flow_matching,
                                     .order = entry.order};
  for (const char* alias : entry.aliases) {
    if (alias != nullptr) capabilities.aliases.emplace_back(alias);
  }
  return capabilities;
}

std::string configured_scheduler_name(const json& scheduler_config) {
  if (!scheduler_config.is_object() || !scheduler_config.contains("_class_name") ||
      !scheduler_config.at("_class_name").is_string()) {
    throw Error(ErrorCode::kCorruptData, "`_class_name` is missing or not a string");
  }
  const auto class_name = scheduler_config.at("_class_name").get<std::string>();
  const SchedulerEntry* found = nullptr;
  std::vector<std::string> class_names;
  for (const auto& entry : kSchedulers) {
    if (class_names.empty() || class_names.back() != entry.class_name) class_names.emplace_back(entry.class_name);
    if (class_name != entry.class_name) continue;
    if (found == nullptr || contains_all(scheduler_config, json::parse(entry.overrides))) found = &entry;
  }
  if (found == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                concat("`_class_name` is \"", class_name, "\"; easel supports ", join(class_names)));
  }
  if (!found->sigma_spacings) return found->name;
  for (const auto& [suffix, flag] : kSuffixes) {
    if (contains_all(scheduler_config, {{flag, true}})) return concat(found->name, suffix);
  }
  return found->name;
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const json& scheduler_config,
                                          const SchedulerOptions& options) {
  const auto found = find_scheduler(name.empty() ? configured_scheduler_name(scheduler_config) : name);
  SchedulerArguments arguments(scheduler_config, name.empty() ? json::object() : found.overrides());
  auto scheduler = found.entry->make(arguments, options);
  if (found.entry->uses_eta) check_eta(options.eta);
  return scheduler;
}

}  // namespace easel
