// AUTOMATIC1111's names of samplers and schedulers.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace easel::http::sdapi {

/// One sampler of A1111.
struct Sampler {
  const char* name;       ///< as A1111 lists it, e.g. "Euler a"
  const char* scheduler;  ///< easel's name, e.g. "euler_ancestral"
  /// One more spelling, normalized; null: none. Those of core/customary_names.h are understood, too.
  const char* spelling = nullptr;
  /// The algorithm differs in a detail from the one of that spelling, so that the answer to a request that uses it says
  /// so.
  bool approximate = false;
  bool listed = true;
};

std::span<const Sampler> samplers();

/// How the noise levels of a run are spaced: A1111's "scheduler" (or "schedule type").
struct Spacing {
  const char* name;    ///< as A1111's API has it, e.g. "karras"
  const char* label;   ///< as A1111 shows it, e.g. "Karras"
  const char* suffix;  ///< of easel's scheduler names, e.g. "_karras"; empty: the scheduler's own spacing
  bool honoured = true;
  bool listed = true;
};

std::span<const Spacing> spacings();

/// What A1111 shows for the spacing that belongs to a sampler.
inline constexpr char kAutomaticSpacing[] = "Automatic";

/// What the names of easel's schedulers for flow matching begin with: "flow_euler" is A1111's "Euler" for such models.
inline constexpr std::string_view kFlowPrefix = "flow_";

/// A1111's names of one of easel's schedulers: the sampler, and the label of its spacing. The scheduler's own name
/// where A1111 has none for it.
std::pair<std::string, std::string> names_of_scheduler(const std::string& scheduler);

/// A sampler and a spacing as a request names them.
struct SamplerChoice {
  const Sampler* sampler = nullptr;  ///< null: none was named
  const Spacing* spacing = nullptr;  ///< null: none was named
};

/// @param sampler_name  may end with a spacing, as "DPM++ 2M Karras"; empty: none
/// @param scheduler     empty, "Automatic" and "automatic": none
/// @throws HttpFailure(404)  "Sampler not found": a name is not in the tables; near guesses are not made
SamplerChoice find_sampler(std::string_view sampler_name, std::string_view scheduler);

}  // namespace easel::http::sdapi
