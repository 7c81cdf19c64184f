// The factories of all algorithms, one for each row of the registry. A class is private to its .cpp.
#pragma once

#include <memory>

#include "easel/scheduler.h"
#include "schedulers/schedule/scheduler_arguments.h"

namespace easel {

/// Each makes diffusers' class of the same name as X.from_config does.
/// @throws Error(kUnsupported, kCorruptData)  a config field has a value that the class does not support; names it
std::unique_ptr<Scheduler> make_ddim(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_ddpm(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_deis_multistep(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_dpmsolver_multistep(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_dpmsolver_sde(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_dpmsolver_singlestep(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_edm_euler(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_euler_ancestral_discrete(SchedulerArguments& arguments,
                                                         const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_euler_discrete(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_flow_match_euler_discrete(SchedulerArguments& arguments,
                                                          const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_flow_match_heun_discrete(SchedulerArguments& arguments,
                                                         const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_flow_match_lcm(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_heun_discrete(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_k_dpm_2_ancestral_discrete(SchedulerArguments& arguments,
                                                           const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_k_dpm_2_discrete(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_lcm(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_lms_discrete(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_pndm(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_sa_solver(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_tcd(SchedulerArguments& arguments, const SchedulerOptions& options);
std::unique_ptr<Scheduler> make_unipc_multistep(SchedulerArguments& arguments, const SchedulerOptions& options);

}  // namespace easel
