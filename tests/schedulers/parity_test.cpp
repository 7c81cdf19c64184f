// Every number of every run equals that of diffusers, to the bit.
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sin.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "core/text.h"
#include "easel/error.h"
#include "easel/noise.h"
#include "easel/scheduler.h"
#include "schedulers/numerics/beta_distribution.h"
#include "schedulers/numerics/numpy_math.h"
#include "schedulers/numerics/seed_sequence.h"
#include "schedulers/reference_cases.h"
#include "support/parity_results.h"

namespace easel {
namespace {

using test::ReferenceCase;

// Takes the place of the network, as in make_schedulers.py.
at::Tensor model(const at::Tensor& sample, float timestep, std::int64_t channel_factor) {
  const auto output = sample.mul(0.7).add(static_cast<double>(timestep) * 0.01).sin();
  return at::cat(std::vector<at::Tensor>(static_cast<std::size_t>(channel_factor), output), 1);
}

at::ScalarType dtype_of(const std::string& name) {
  return name == "float16" ? at::kHalf : name == "bfloat16" ? at::kBFloat16 : at::kFloat;
}

// Compares the numbers of a run one after the other with those of the reference, and remembers the first difference.
class Comparison {
 public:
  explicit Comparison(std::span<const float> expected) : expected_(expected) {}

  void expect(const std::string& what, float found) {
    if (next_ >= expected_.size()) return fail(concat(what, ": the reference has no more numbers"));
    const float expected = expected_[next_++];
    saw_nan_ = saw_nan_ || !std::isfinite(expected);
    if (found == expected || (std::isnan(found) && std::isnan(expected))) {
      ++equal_;
      return;
    }
    // An infinity or NaN on one side only counts as an infinite difference.
    const double apart = std::fabs(static_cast<double>(found) - static_cast<double>(expected));
    largest_ = std::isfinite(apart) ? std::max(largest_, apart) : std::numeric_limits<double>::infinity();
    fail(concat(what, " is ", found, ", expected ", expected));
  }
  void expect(const std::string& what, const at::Tensor& found) {
    const auto floats = found.to(at::kFloat).contiguous();
    for (std::int64_t i = 0; i < floats.numel(); ++i) expect(what, floats.const_data_ptr<float>()[i]);
  }
  void expect_end() {
    if (next_ != expected_.size()) fail(concat("compared ", next_, " numbers of ", expected_.size()));
  }

  const std::string& difference() const { return difference_; }
  bool saw_nan() const { return saw_nan_; }
  double largest() const { return largest_; }
  double share_equal() const {
    return expected_.empty() ? 1.0 : static_cast<double>(equal_) / static_cast<double>(expected_.size());
  }

 private:
  void fail(const std::string& what) {
    if (difference_.empty()) difference_ = what;
  }

  std::span<const float> expected_;
  std::size_t next_ = 0, equal_ = 0;
  double largest_ = 0;
  std::string difference_;
  bool saw_nan_ = false;
};

std::unique_ptr<Scheduler> begin(const ReferenceCase& run) {
  auto scheduler = make_scheduler(run.name, run.config, {.eta = run.eta, .strength = run.strength, .mu = run.mu});
  if (!run.timesteps.empty()) {
    scheduler->set_custom_timesteps(run.timesteps);
  } else if (!run.sigmas.empty()) {
    scheduler->set_custom_sigmas(run.sigmas);
  } else {
    scheduler->set_timesteps(run.steps);
  }
  if (run.begin) scheduler->set_begin_index(*run.begin * static_cast<std::size_t>(scheduler->order()));
  return scheduler;
}

void expect_same_run(const ReferenceCase& run, Comparison& comparison) {
  const auto scheduler = begin(run);
  comparison.expect("init_noise_sigma", static_cast<float>(scheduler->init_noise_sigma()));
  const auto& timesteps = scheduler->timesteps();
  const auto first = run.begin.value_or(0) * static_cast<std::size_t>(scheduler->order());
  for (std::size_t i = first; i < timesteps.size(); ++i) comparison.expect("timestep", timesteps[i]);
  if (run.kind == "light") return;

  NoiseSource noise(run.seed);
  const auto draw = [&] { return noise.normal(run.shape).to(dtype_of(run.dtype)); };
  const auto image = draw(), over_image = run.begin ? draw() : at::Tensor();
  auto sample = run.begin ? scheduler->add_noise(image, over_image, first) : image.mul(scheduler->init_noise_sigma());
  if (run.begin) comparison.expect("image with noise", sample);
  for (std::size_t i = first; i < timesteps.size(); ++i) {
    const auto scaled = scheduler->scale_model_input(sample, i);
    const auto model_output = model(scaled, timesteps[i], run.channel_factor);
    const auto result = scheduler->step(model_output, i, sample, noise);
    sample = result.prev_sample;
    if (run.kind == "final") continue;
    comparison.expect(concat("step ", i, ": model input"), scaled);
    comparison.expect(concat("step ", i, ": prev_sample"), sample);
    if (run.has_original_sample) {
      comparison.expect(concat("step ", i, ": pred_original_sample"), result.pred_original_sample);
    } else if (result.pred_original_sample.sizes() != sample.sizes()) {
      comparison.expect(concat("step ", i, ": pred_original_sample has another shape"), NAN);
    }
    if (run.begin && i + 1 < timesteps.size()) {
      comparison.expect(concat("step ", i, ": add_noise"), scheduler->add_noise(image, over_image, i + 1));
    }
  }
  if (run.kind == "final") comparison.expect("last sample", sample);
}

// A placement of sigmas, the flag that asks for it, and the schedulers that read the flag.
struct SigmaKind {
  const char* name;
  const char* flag;
  std::vector<std::string> known_to;  // names; empty means all schedulers that have the kind as a suffix
};

const std::vector<SigmaKind>& sigma_kinds() {
  static const std::vector<SigmaKind> kinds{
      {"karras", "use_karras_sigmas", {}},
      {"exponential", "use_exponential_sigmas", {}},
      {"beta", "use_beta_sigmas", {}},
      {"lu", "use_lu_lambdas", {"dpmpp_2m", "dpmpp_2m_sde"}},
      {"flow", "use_flow_sigmas", {"dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s", "unipc", "deis", "sa_solver"}}};
  return kinds;
}

// The scheduler and the placement of its sigmas, unless they are those of training.
std::string row_of(const ReferenceCase& run) {
  const auto name = canonical_scheduler_name(run.name.empty() ? configured_scheduler_name(run.config) : run.name);
  const auto& names = scheduler_names();
  for (const auto& kind : sigma_kinds()) {
    const auto suffix = concat("_", kind.name);
    if (name.ends_with(suffix)) return concat(name.substr(0, name.size() - suffix.size()), ", ", kind.name, " sigmas");
    const bool known = kind.known_to.empty() ? std::ranges::count(names, name + suffix) > 0
                                             : std::ranges::count(kind.known_to, name) > 0;
    const auto flag = run.config.find(kind.flag);
    if (known && flag != run.config.end() && *flag == true) return concat(name, ", ", kind.name, " sigmas");
  }
  return name;
}

// A figure of docs/measurements/parity.md: a row for scheduler and sigmas, a column for the prediction type.
void record_result(const ReferenceCase& run, const Comparison& comparison) {
  const auto name = canonical_scheduler_name(run.name.empty() ? configured_scheduler_name(run.config) : run.name);
  const auto prediction = run.config.find("prediction_type");
  const bool is_named = prediction != run.config.end() && prediction->is_string();
  const char* default_prediction = scheduler_capabilities(name).flow_matching ? "flow_prediction" : "epsilon";
  testing::record({.area = "schedulers",
                   .row = row_of(run),
                   .column = is_named ? prediction->get<std::string>() : default_prediction,
                   .largest_difference = comparison.largest(),
                   .share_equal = comparison.share_equal()});
}

// The last bit of logarithms, exponentials and square roots depends on the code path that MKL and ATen choose, so only
// vectors made on the same path can be compared to the bit.
TEST(CodePath, IsThatOfTheReference) {
  const auto reference = test::reference_code_path();
  EXPECT_EQ(at::get_cpu_capability(), reference.at("cpu_capability").get<std::string>());
  for (const char* variable : {"MKL_CBWR", "ONEDNN_MAX_CPU_ISA"}) {
    const char* value = std::getenv(variable);
    EXPECT_EQ(value == nullptr ? "" : value, reference.at(variable).get<std::string>()) << variable;
  }
}

class Parity : public ::testing::TestWithParam<const char*> {};

TEST_P(Parity, EveryNumberMatchesTheReference) {
  int runs = 0, different = 0, with_nan = 0;
  for (const auto& run : test::reference_cases()) {
    if (run.group != GetParam() || !run.raises.empty()) continue;
    ++runs;
    Comparison comparison(run.numbers);
    std::string difference;
    try {
      expect_same_run(run, comparison);
      comparison.expect_end();
      difference = comparison.difference();
    } catch (const std::exception& e) {
      difference = concat("throws ", e.what());
    }
    with_nan += comparison.saw_nan();
    record_result(run, comparison);
    if (!difference.empty() && ++different <= 20) ADD_FAILURE() << run.describe() << "\n  " << difference;
  }
  EXPECT_EQ(different, 0) << "of " << runs << " runs";
  EXPECT_GT(runs, 0);
  // Infinities show little, so the grids are chosen to make them rare.
  EXPECT_LE(with_nan * 10, runs);
  RecordProperty("runs", runs);
}

TEST_P(Parity, RejectsWhatTheReferenceRejects) {
  for (const auto& run : test::reference_cases()) {
    if (run.group != GetParam() || run.raises.empty()) continue;
    try {
      begin(run);
      ADD_FAILURE() << run.describe() << "\n  is accepted; diffusers raises " << run.raises;
    } catch (const Error& e) {
      EXPECT_NE(e.code(), ErrorCode::kInternal);
    } catch (const std::exception& e) {
      ADD_FAILURE() << run.describe() << "\n  throws another exception than Error: " << e.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Groups, Parity,
                         ::testing::Values("grid", "variants", "step counts", "custom", "flow", "begun", "mappings",
                                           "refusals", "halves", "random"),
                         [](const auto& test) {
                           std::string name = test.param;
                           return name == "step counts" ? "step_counts" : name;
                         });

TEST(NumpyMath, LogarithmsAreBitIdenticalToNumpy) {
  const auto numbers = test::read_numbers<float>("logarithms.bin");  // [2, n]: x, log(x)
  const auto n = numbers.size() / 2;
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_EQ(numpy::log(numbers[i]), numbers[n + i]) << "of " << numbers[i];
  }
  EXPECT_GT(n, 20000u);
}

TEST(BetaDistribution, QuantilesMatchScipy) {
  // Both sum a series to its last bits; the rest is the rounding of a power.
  constexpr double kTolerance = 4e-15;
  const auto numbers = test::read_numbers<double>("quantiles.bin");  // [2, n]: p, x
  const auto n = numbers.size() / 2;
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_NEAR(beta_sigma_quantile(numbers[i]), numbers[n + i], kTolerance * numbers[n + i]);
    if (numbers[i] == 0 || numbers[i] == 0.5 || numbers[i] == 1) {
      ASSERT_EQ(beta_sigma_quantile(numbers[i]), numbers[n + i]) << "at " << numbers[i];
    }
  }
  EXPECT_GT(n, 20000u);
}

TEST(SeedSequence, MatchesNumpy) {
  const auto numbers = test::read_numbers<std::uint32_t>("seeds.bin");  // [n, 8]
  for (auto row = numbers.begin(); row != numbers.end(); row += 8) {
    const std::array<std::uint64_t, 2> spawn_key{row[2], row[3]};
    EXPECT_THAT(seed_sequence(row[0] | std::uint64_t{row[1]} << 32, spawn_key, 24, 4),
                ::testing::ElementsAreArray(row + 4, row + 8));
  }
  EXPECT_GT(numbers.size(), 8u * 20);
}

}  // namespace
}  // namespace easel
