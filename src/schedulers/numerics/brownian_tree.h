// Brownian motion that can be evaluated between any two points.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace easel {

/// One path of Brownian motion over a range of noise levels, as a function of its seed: a virtual Brownian tree (Li et
/// al. 2020, arXiv:2001.01328), which halves the range until it reaches the requested points, to 1e-6. Numbers are
/// those of torchsde 0.2.6, BrownianInterval with halfway_tree and a pool of 24 words, which diffusers'
/// BrownianTreeNoiseSampler draws from.
///
/// An increment takes at most two draws for each of about 25 halvings. Those of the last increment are kept, because
/// the spans of consecutive evaluations share an end, and with it one of their two chains of halvings: at most about 50
/// tensors of the shape of an increment, which copies of the tree share. They do not change the numbers. Not
/// thread-safe.
class BrownianTree {
 public:
  /// @param t0, t1  the range, t0 < t1 @param shape  of an increment
  BrownianTree(double t0, double t1, std::vector<std::int64_t> shape, std::uint64_t seed);

  /// W(to) - W(from): normal numbers of variance to - from. Points outside the range count as its ends.
  /// @param from, to  from <= to @return float32 of `shape`, on the CPU
  at::Tensor increment(double from, double to);

  /// Whether it is the path of this seed, in increments of this shape.
  bool is_of(std::uint64_t seed, at::IntArrayRef shape) const { return seed == seed_ && shape == shape_; }

 private:
  // A piece of the range; `key` is its number among the 2^depth pieces of its depth.
  struct Interval {
    double start, end;
    std::uint64_t key, depth;
  };
  using Halves = std::map<std::pair<std::uint64_t, std::uint64_t>, at::Tensor>;  // left halves by depth and key
  void collect(const Interval& interval, const at::Tensor& increment, double from, double to,
               std::vector<at::Tensor>& found);
  at::Tensor draw_left_half(const Interval& interval, double middle, const at::Tensor& increment) const;

  double start_, end_;  // rounded
  double length_;       // not rounded
  std::vector<std::int64_t> shape_;
  std::uint64_t seed_;
  at::Tensor whole_;             // increment over the range, once it has been drawn
  Halves last_halves_, halves_;  // of the last increment, and of the one that is being computed
};

}  // namespace easel
