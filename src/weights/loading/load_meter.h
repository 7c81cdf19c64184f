// How far the loading of a model is, by the bytes of weights given out.
#pragma once

#include <cstdint>
#include <functional>

namespace easel {

/// While it lives, hears of every tensor that Weights give out on its thread, as ATen's guards do of what is done on
/// theirs: so the models between need not pass it on. One at a time on a thread.
class LoadMeter {
 public:
  /// @param total_bytes  of the model's files; a number too small ends in 1 too early
  /// @param progress     told the part that is done, 0 to 1; may be empty
  LoadMeter(std::int64_t total_bytes, std::function<void(double)> progress);
  ~LoadMeter();
  LoadMeter(const LoadMeter&) = delete;
  LoadMeter& operator=(const LoadMeter&) = delete;

  /// For Weights: a tensor of so many stored bytes was given out. Nothing happens where nobody listens.
  static void add(std::int64_t bytes);

 private:
  const std::int64_t total_bytes_;
  const std::function<void(double)> progress_;
  std::int64_t bytes_ = 0;
};

}  // namespace easel
