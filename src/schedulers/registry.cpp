// The table of schedulers. A new one is its pair of files and a line here.
#include "core/text.h"
#include "easel/scheduler.h"
#include "schedulers/ddim.h"
#include "schedulers/dpmsolver_multistep.h"
#include "schedulers/euler_ancestral_discrete.h"
#include "schedulers/euler_discrete.h"
#include "schedulers/pndm.h"
#include "schedulers/scheduler_arguments.h"

namespace easel {
namespace {

template <class T>
std::unique_ptr<Scheduler> make(SchedulerArguments& arguments, const SchedulerOptions& options) {
  return std::make_unique<T>(arguments, options);
}

struct SchedulerEntry {
  const char* class_name;  // `_class_name` in scheduler_config.json
  const char* name;        // in requests
  std::unique_ptr<Scheduler> (*make)(SchedulerArguments&, const SchedulerOptions&);
  const char* switched_on;  // a flag of the config that the name sets to true, or none
};

// Where several have a class in common, the plain one comes first.
constexpr SchedulerEntry kSchedulers[] = {
    {"PNDMScheduler", "pndm", &make<PNDMScheduler>, nullptr},
    {"DDIMScheduler", "ddim", &make<DDIMScheduler>, nullptr},
    {"EulerDiscreteScheduler", "euler", &make<EulerDiscreteScheduler>, nullptr},
    {"EulerAncestralDiscreteScheduler", "euler_ancestral", &make<EulerAncestralDiscreteScheduler>, nullptr},
    {"DPMSolverMultistepScheduler", "dpmpp_2m", &make<DPMSolverMultistepScheduler>, nullptr},
    {"DPMSolverMultistepScheduler", "dpmpp_2m_karras", &make<DPMSolverMultistepScheduler>, "use_karras_sigmas"},
};

const SchedulerEntry& entry_of(const std::string& name) {
  for (const auto& entry : kSchedulers) {
    if (name == entry.name || name == entry.class_name) return entry;
  }
  throw Error(ErrorCode::kInvalidArgument,
              concat("there is no scheduler \"", name, "\", expected one of ", join(scheduler_names())), "scheduler");
}

bool is_on(const nlohmann::json& config, const char* flag) {
  return flag != nullptr && config.contains(flag) && config.at(flag) == true;
}

}  // namespace

const std::vector<std::string>& scheduler_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& entry : kSchedulers) list.emplace_back(entry.name);
    return list;
  }();
  return names;
}

std::string scheduler_name_of(const nlohmann::json& scheduler_config) {
  if (!scheduler_config.is_object() || !scheduler_config.contains("_class_name") ||
      !scheduler_config.at("_class_name").is_string()) {
    throw Error(ErrorCode::kCorruptData, "scheduler_config.json has no `_class_name`");
  }
  const auto class_name = scheduler_config.at("_class_name").get<std::string>();
  const SchedulerEntry* found = nullptr;
  std::vector<std::string> class_names;
  for (const auto& entry : kSchedulers) {
    if (entry.switched_on == nullptr) class_names.emplace_back(entry.class_name);
    if (class_name == entry.class_name && (found == nullptr || is_on(scheduler_config, entry.switched_on)))
      found = &entry;
  }
  if (found != nullptr) return found->name;
  throw Error(ErrorCode::kUnsupported,
              concat("scheduler_config.json: `_class_name` is \"", class_name, "\"; easel has ", join(class_names)));
}

std::unique_ptr<Scheduler> make_scheduler(const std::string& name, const nlohmann::json& scheduler_config,
                                          const SchedulerOptions& options) {
  const auto& entry = entry_of(name.empty() ? scheduler_name_of(scheduler_config) : name);
  SchedulerArguments arguments(scheduler_config, entry.switched_on);
  return entry.make(arguments, options);
}

}  // namespace easel
