// What work costs on this device: measured while it runs, guessed before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "easel/generation.h"

namespace easel {

/// The running mean of the latest few samples: a first call warms up and counts little after a while, and a device that
/// others slow down is noticed.
class RunningMean {
 public:
  void add(double sample);
  bool known() const { return samples_ > 0; }
  double value() const { return value_; }

 private:
  int samples_ = 0;
  double value_ = 0;
};

/// Seconds of device time. Thread-safe.
///
/// Before a model was ever drawn with at a size, its costs are those on another device, where it was; else they are
/// guessed from pixels and parameters, at the speed that this device has shown with others.
class CostModel {
 public:
  /// The images of one model that cost the same.
  struct Shape {
    std::size_t model = 0;
    int width = 0;  ///< pixels drawn
    int height = 0;
    auto operator<=>(const Shape&) const = default;
  };
  struct PerImage {
    double begin = 0;  ///< of a request, or of a part of it
    double row = 0;    ///< a UNet row of a step, as it was in the latest steps, shared or not
    double decode = 0;
  };

  /// @param shared  what all devices measure together, told of everything this one is; may be null, else outlives it
  explicit CostModel(const std::vector<ModelDescription>& models, CostModel* shared = nullptr);

  Shape shape_of(std::size_t model, const GenerationRequest& request) const;

  void add_begin(const Shape& shape, double seconds);
  void add_decode(const Shape& shape, double seconds);
  /// @param rows  UNet rows of the whole step, whose images are all of this shape or cost the same
  void add_step(const Shape& shape, std::string_view batch_key, int rows, double seconds);

  PerImage of(const Shape& shape) const;
  /// A whole request, drawn alone.
  double request_seconds(std::size_t model, const GenerationRequest& request) const;
  /// A step of so many rows: measured, on the line between its measured neighbours, or in proportion to the nearest
  /// measured one; none where nothing was measured with this key.
  std::optional<double> step(std::size_t model, std::string_view batch_key, int rows) const;

 private:
  using Curve = std::map<int, RunningMean>;  // by rows
  struct Measured {
    RunningMean begin, row, decode;
  };

  Measured measured(const Shape& shape) const;
  std::optional<double> seconds_per_unit() const;
  double guess_row_seconds(const Shape& shape) const;

  const std::vector<ModelDescription> models_;
  CostModel* const shared_;
  mutable std::mutex mutex_;  // guards what follows
  std::map<Shape, Measured> measured_;
  std::vector<std::map<std::string, Curve, std::less<>>> curves_;  // by model, by batch key
  RunningMean seconds_per_unit_;                                   // a unit: a pixel times a parameter
};

}  // namespace easel
