// How many pictures a step may have before memory runs out.
#pragma once

namespace easel {

/// Of one model: what the device was said to take, less when memory ran out.
class BatchLimit {
 public:
  explicit BatchLimit(int most) : most_(most < 1 ? 1 : most), current_(most_) {}

  int current() const { return current_; }
  /// A step of `tried` pictures, 2 or more, ran out of memory: half as many from now on.
  void ran_out(int tried);
  /// A step of `count` pictures went well. After many that were as large as may be, twice as many are tried again.
  void went_well(int count);

 private:
  int most_;
  int current_;
  int well_ = 0;
};

}  // namespace easel
