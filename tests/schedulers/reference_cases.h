// The runs of diffusers that make_schedulers.py recorded.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace easel::test {

/// One run: its settings, and the numbers that diffusers computed.
struct ReferenceCase {
  std::string group;
  std::string name;  ///< as make_scheduler takes it
  nlohmann::json config;
  std::int64_t steps = 0;            ///< num_inference_steps
  std::vector<double> timesteps;     ///< custom timesteps, which replace `steps`; mostly empty
  std::vector<double> sigmas;        ///< custom sigmas, which replace `steps`; mostly empty
  std::optional<std::size_t> begin;  ///< inference steps left out of a run that starts from an image with noise
  double strength = 1;               ///< SchedulerOptions::strength
  std::vector<std::int64_t> shape;
  std::string dtype;
  std::uint64_t seed = 0;
  double eta = 0;
  std::optional<double> mu;         ///< SchedulerOptions::mu
  std::int64_t channel_factor = 1;  ///< channels of the model output for each channel of the sample
  std::string kind;                 ///< "full", "light" (only timesteps), "final" (timesteps and the last sample)
  std::string raises;               ///< the exception of diffusers, or empty
  std::size_t total_steps = 0;
  bool has_original_sample = false;
  std::span<const float> numbers;

  std::string describe() const;
};

/// Read once, on first use, from the folder that the environment variable EASEL_SCHEDULERS_REFERENCE names, or else
/// from that of the default reference. Throws when the reference script has not run.
const std::vector<ReferenceCase>& reference_cases();

/// The code path of the reference's run: "cpu_capability", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA".
const nlohmann::json& reference_code_path();

/// Raw numbers of a file in the reference folder. @tparam Number  float, double or std::uint32_t
template <class Number>
std::vector<Number> read_numbers(const std::string& file);

}  // namespace easel::test
