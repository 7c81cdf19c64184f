// The runs of diffusers that make_schedulers.py wrote down.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace easel::test {

/// One run: what was asked for, and what diffusers computed.
struct ReferenceCase {
  std::string group;
  std::string name;  ///< as make_scheduler takes it
  nlohmann::json config;
  std::int64_t steps = 0;            ///< num_inference_steps
  std::vector<double> timesteps;     ///< of the caller's choice, in the place of `steps`; mostly empty
  std::vector<double> sigmas;        ///< likewise
  std::optional<std::size_t> begin;  ///< inference steps left out; then it starts from an image with noise over it
  double strength = 1;               ///< SchedulerOptions::strength
  std::vector<std::int64_t> shape;
  std::string dtype;
  std::uint64_t seed = 0;
  double eta = 0;
  std::int64_t channel_factor = 1;  ///< channels of the model output in those of the sample
  std::string kind;                 ///< "full", "light" (timesteps alone), "final" (timesteps and the last sample)
  std::string raises;               ///< what diffusers raised, or empty
  std::size_t total_steps = 0;
  bool has_original_sample = false;
  std::span<const float> numbers;

  std::string describe() const;
};

/// Read once, on first use. Throws when the reference script has not run.
const std::vector<ReferenceCase>& reference_cases();

/// Raw numbers of a file in the reference folder. @tparam Number  float, double or std::uint32_t
template <class Number>
std::vector<Number> read_numbers(const std::string& file);

}  // namespace easel::test
