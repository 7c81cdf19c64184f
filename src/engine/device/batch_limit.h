// How many images a step may have before memory runs out.
#pragma once

namespace easel {

/// For one model on one device: the pipeline's own limit, reduced when memory runs out.
class BatchLimit {
 public:
  explicit BatchLimit(int max) : max_(max < 1 ? 1 : max), current_(max_) {}

  int current() const { return current_; }
  /// A step of `tried` images, 2 or more, ran out of memory: half as many from now on.
  void record_out_of_memory(int tried);
  /// A step of `count` images succeeded. After many of the largest size, the limit is doubled again.
  void record_success(int count);

 private:
  int max_;
  int current_;
  int successes_ = 0;
};

}  // namespace easel
