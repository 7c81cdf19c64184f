// What other programs call the schedulers.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace easel {

/// A name in another program and what easel calls the same algorithm with the same spacing of noise levels. Read by the
/// table of schedulers, and by the server for the samplers of AUTOMATIC1111's API.
struct CustomaryName {
  std::string_view written;  ///< as normalize_name spells it
  std::string_view name;     ///< a name that requests may use
};

/// Names of AUTOMATIC1111's web UI, ComfyUI, stable-diffusion.cpp, InvokeAI, the AI Horde and diffusers that are
/// neither names nor aliases in the table of schedulers. Algorithms that easel does not have are not in it, such as
/// "DPM++ 3M SDE", nor are names for which a program changes more than the algorithm, such as "ddim_trailing".
std::span<const CustomaryName> customary_scheduler_names();

/// The name of the scheduler that is customarily called `plain`; empty if there is none.
std::string_view customary_scheduler_name(std::string_view plain);

}  // namespace easel
