// The table of schedulers. A new one is its pair of files and a line here.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/normalize_name.h"
#include "core/text.h"
#include "easel/scheduler.h"
#include "schedulers/algorithms/ddim.h"
#include "schedulers/algorithms/ddpm.h"
#include "schedulers/algorithms/deis_multistep.h"
#include "schedulers/algorithms/dpmsolver_multistep.h"
#include "schedulers/algorithms/dpmsolver_sde.h"
#include "schedulers/algorithms/dpmsolver_singlestep.h"
#include "schedulers/algorithms/edm_euler.h"
#include "schedulers/algorithms/euler_ancestral_discrete.h"
#include "schedulers/algorithms/euler_discrete.h"
#include "schedulers/algorithms/heun_discrete.h"
#include "schedulers/algorithms/k_dpm_2_ancestral_discrete.h"
#include "schedulers/algorithms/k_dpm_2_discrete.h"
#include "schedulers/algorithms/lcm.h"
#include "schedulers/algorithms/lms_discrete.h"
#include "schedulers/algorithms/pndm.h"
#include "schedulers/algorithms/tcd.h"
#include "schedulers/algorithms/unipc_multistep.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {
namespace {

using nlohmann::json;

template <class T>
std::unique_ptr<Scheduler> make(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<T>(arguments, options);
}

enum class Sigmas { kOwn, kChoice };  // kChoice: the class knows use_karras_sigmas and its kin

struct SchedulerEntry {
  const char* class_name;  // `_class_name` in scheduler_config.json
  const char* name;        // in requests
  std::unique_ptr<Scheduler> (*make)(SchedulerArguments&, const SchedulerOptions&);
  Sigmas sigmas = Sigmas::kOwn;
  const char* overrides = "{}";                 // JSON that the name puts over the config
  std::array<const char*, 3> other_names = {};  // customary; normalize_name of what people write
};

// Where several have a class in common, the plain one comes first.
constexpr SchedulerEntry kSchedulers[] = {
    {"PNDMScheduler", "pndm", &make<PNDMScheduler>, Sigmas::kOwn, "{}", {"plms"}},
    {"DDIMScheduler", "ddim", &make<DDIMScheduler>},
    {"EulerDiscreteScheduler", "euler", &make<EulerDiscreteScheduler>, Sigmas::kChoice},
    {"EulerAncestralDiscreteScheduler",
     "euler_ancestral",
     &make<EulerAncestralDiscreteScheduler>,
     Sigmas::kOwn,
     "{}",
     {"euler_a"}},
    {"DPMSolverMultistepScheduler", "dpmpp_2m", &make<DPMSolverMultistepScheduler>, Sigmas::kChoice},
    {"DPMSolverMultistepScheduler", "dpmpp_2m_sde", &make<DPMSolverMultistepScheduler>, Sigmas::kChoice,
     R"({"algorithm_type": "sde-dpmsolver++"})"},
    {"DPMSolverSinglestepScheduler", "dpmpp_2s", &make<DPMSolverSinglestepScheduler>, Sigmas::kChoice},
    // k-diffusion's sample_dpmpp_sde, which the name comes from; a table in diffusers' documentation gives it to the
    // singlestep solver.
    {"DPMSolverSDEScheduler", "dpmpp_sde", &make<DPMSolverSDEScheduler>, Sigmas::kChoice},
    {"HeunDiscreteScheduler", "heun", &make<HeunDiscreteScheduler>, Sigmas::kChoice},
    {"LMSDiscreteScheduler", "lms", &make<LMSDiscreteScheduler>, Sigmas::kChoice},
    {"KDPM2DiscreteScheduler", "dpm2", &make<KDPM2DiscreteScheduler>, Sigmas::kChoice, "{}", {"dpm_2"}},
    {"KDPM2AncestralDiscreteScheduler",
     "dpm2_ancestral",
     &make<KDPM2AncestralDiscreteScheduler>,
     Sigmas::kChoice,
     "{}",
     {"dpm2_a", "dpm_2_ancestral", "dpm_2_a"}},
    {"UniPCMultistepScheduler", "unipc", &make<UniPCMultistepScheduler>, Sigmas::kChoice, "{}", {"uni_pc"}},
    {"DEISMultistepScheduler", "deis", &make<DEISMultistepScheduler>, Sigmas::kChoice},
    {"DDPMScheduler", "ddpm", &make<DDPMScheduler>},
    {"LCMScheduler", "lcm", &make<LCMScheduler>},
    {"TCDScheduler", "tcd", &make<TCDScheduler>},
    {"EDMEulerScheduler", "edm_euler", &make<EDMEulerScheduler>},
};

// What may stand behind the name of a scheduler with a choice of sigmas, and the flag that it sets.
struct SigmaSuffix {
  std::string_view suffix;
  const char* flag;
};
constexpr SigmaSuffix kSuffixes[] = {
    {"_karras", "use_karras_sigmas"}, {"_exponential", "use_exponential_sigmas"}, {"_beta", "use_beta_sigmas"}};

// A name taken apart: a line of the table, and the flag of its suffix or none.
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

// The name itself and, where there is a choice of sigmas, with each suffix.
void append_with_suffixes(std::vector<std::string>& names, const std::string& name, const SchedulerEntry& entry) {
  names.push_back(name);
  if (entry.sigmas == Sigmas::kOwn) return;
  for (const auto& [suffix, flag] : kSuffixes) names.push_back(concat(name, suffix));
}

const SchedulerEntry* find_entry(std::string_view plain) {
  for (const auto& entry : kSchedulers) {
    const auto& others = entry.other_names;
    const auto is_named = [&](const char* name) { return name != nullptr && plain == name; };
    if (plain == entry.name || std::any_of(others.begin(), others.end(), is_named)) return &entry;
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
    if (entry != nullptr && entry->sigmas == Sigmas::kChoice) return NamedScheduler{entry, flag};
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no scheduler \"", written, "\", expected one of ", join(scheduler_names())),
              "scheduler");
}

// All that the name would put over the config is there already.
bool says(const json& config, const json& overrides) {
  return std::all_of(overrides.items().begin(), overrides.items().end(), [&](const auto& item) {
    return config.contains(item.key()) && config.at(item.key()) == item.value();
  });
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
      for (const char* name : entry.other_names) {
        if (name != nullptr) append_with_suffixes(list, name, entry);
      }
      if (std::string_view(last_class) != entry.class_name) {
        append_with_suffixes(list, normalize_name(entry.class_name), entry);
      }
      last_class = entry.class_name;
    }
    return list;
  }();
  return aliases;
}

std::string canonical_scheduler_name(const std::string& written) {
  return find_scheduler(written).name();
}

std::string configured_scheduler_name(const json& scheduler_config) {
  if (!scheduler_config.is_object() || !scheduler_config.contains("_class_name") ||
      !scheduler_config.at("_class_name").is_string()) {
    throw Error(ErrorCode::kCorruptData, "`_class_name` is missing or no string");
  }
  const auto class_name = scheduler_config.at("_class_name").get<std::string>();
  const SchedulerEntry* found = nullptr;
  std::vector<std::string> class_names;
  for (const auto& entry : kSchedulers) {
    if (class_names.empty() || class_names.back() != entry.class_name) class_names.emplace_back(entry.class_name);
    if (class_name != entry.class_name) continue;
    if (found == nullptr || says(scheduler_config, json::parse(entry.overrides))) found = &entry;
  }
  if (found == nullptr) {
    throw Error(ErrorCode::kUnsupported,
                concat("`_class_name` is \"", class_name, "\"; easel has ", join(class_names)));
  }
  if (found->sigmas == Sigmas::kOwn) return found->name;
  for (const auto& [suffix, flag] : kSuffixes) {
    if (says(scheduler_config, {{flag, true}})) return concat(found->name, suffix);
  }
  return found->name;
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const json& scheduler_config,
                                          const SchedulerOptions& options) {
  const auto found = find_scheduler(name.empty() ? configured_scheduler_name(scheduler_config) : name);
  SchedulerArguments arguments(scheduler_config, name.empty() ? json::object() : found.overrides());
  return found.entry->make(arguments, options);
}

}  // namespace easel
