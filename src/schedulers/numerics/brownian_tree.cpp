#include "schedulers/numerics/brownian_tree.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "easel/noise.h"
#include "schedulers/numerics/seed_sequence.h"

namespace easel {
namespace {

constexpr std::size_t kPoolSize = 24;

// Python's round(x, 6), which rounds the decimal representation.
double rounded(double x) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.6f", x);
  return std::strtod(text.data(), nullptr);
}

}  // namespace

BrownianTree::BrownianTree(double t0, double t1, std::vector<std::int64_t> shape, std::uint64_t seed)
    : start_(rounded(t0)), end_(rounded(t1)), length_(t1 - t0), shape_(std::move(shape)), seed_(seed) {}

at::Tensor BrownianTree::increment(double from, double to) {
  from = rounded(std::clamp(from, start_, end_));
  to = rounded(std::clamp(to, start_, end_));
  if (from >= to) return at::zeros(shape_, at::kFloat);
  if (!whole_.defined()) {
    whole_ = NoiseSource(seed_sequence(seed_, {}, kPoolSize, 1)[0]).normal(shape_) * std::sqrt(length_);
  }
  std::vector<at::Tensor> found;
  halves_.clear();
  collect({start_, end_, 0, 0}, whole_, from, to, found);
  last_halves_ = std::exchange(halves_, {});
  auto sum = found[0];
  for (std::size_t i = 1; i < found.size(); ++i) sum = sum + found[i];
  return sum;
}

// Collects, in order, the increments of the largest pieces that make up [from, to].
void BrownianTree::collect(const Interval& interval, const at::Tensor& increment, double from, double to,
                           std::vector<at::Tensor>& found) {
  if (from <= interval.start && interval.end <= to) {
    found.push_back(increment);
    return;
  }
  const double middle = rounded(0.5 * (interval.end + interval.start));
  if (middle <= interval.start || middle >= interval.end) return;  // shorter than the rounding, so it cannot be divided

  const std::pair place{interval.depth, interval.key};
  const auto known = last_halves_.find(place);
  const auto left = known != last_halves_.end() ? known->second : draw_left_half(interval, middle, increment);
  halves_.emplace(place, left);
  const auto depth = interval.depth + 1;
  if (from < middle) collect({interval.start, middle, 2 * interval.key, depth}, left, from, to, found);
  if (to > middle) collect({middle, interval.end, 2 * interval.key + 1, depth}, increment - left, from, to, found);
}

// A Brownian bridge: the value in the middle, given the ends.
at::Tensor BrownianTree::draw_left_half(const Interval& interval, double middle, const at::Tensor& increment) const {
  const double left_length = middle - interval.start, right_length = interval.end - middle;
  const double reciprocal = 1 / (interval.end - interval.start);
  const std::array<std::uint64_t, 2> key{interval.key, interval.depth};
  const auto noise = NoiseSource(seed_sequence(seed_, key, kPoolSize, 1)[0]).normal(shape_);
  return increment * left_length * reciprocal + noise * std::sqrt(left_length * right_length * reciprocal);
}

}  // namespace easel
