// What work costs on a device: measured while requests run, estimated before the first measurement.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/mutex.h"
#include "easel/generation.h"
#include "engine/device/model_ids.h"

namespace easel {

/// The running mean of the latest few samples. A first sample that the second one disproves, as that of a cold device,
/// does not count; a device that becomes slower is noticed.
class RunningMean {
 public:
  void add(double sample);
  bool known() const { return samples_ > 0; }
  double value() const { return value_; }

 private:
  int samples_ = 0;
  double value_ = 0;
};

/// Estimates of device time, in seconds. Thread-safe.
///
/// A model that has not run at a size on this device is estimated from its costs on another device. Where no device has
/// run it, the estimate is in proportion to pixels, those of references included, and parameters, at the speed that
/// this device has had with other models.
class CostModel {
 public:
  /// Images of one shape cost the same.
  struct Shape {
    ModelId model = 0;
    int width = 0;  ///< pixels that are generated, before the result is resized
    int height = 0;
    /// Of the input images that the model sees along with the sample at every step, together.
    std::int64_t reference_pixels = 0;
    auto operator<=>(const Shape&) const = default;
  };
  struct PerImage {
    double begin = 0;  ///< one call of Pipeline::begin, whatever the number of its images
    double row = 0;    ///< one UNet row of a step, averaged over the latest steps of any batch size
    double decode = 0;
  };

  /// @param models  ModelId i is models[i]
  /// @param shared  receives everything that is measured here, and estimates what was not measured here; may be null,
  ///                otherwise outlives this object
  explicit CostModel(const std::vector<ModelDescription>& models, CostModel* shared = nullptr);

  /// Estimates a further model from now on.
  void add(ModelId model, const ModelDescription& description);

  Shape shape_of(ModelId model, const GenerationRequest& request) const;
  /// Of the second pass; that of the first where there is none.
  Shape second_shape_of(ModelId model, const GenerationRequest& request) const;

  void add_begin(const Shape& shape, double seconds);
  void add_decode(const Shape& shape, double seconds);
  /// @param rows  UNet rows of the whole step; all its images have this shape, or one that costs the same
  void add_step(const Shape& shape, std::string_view batch_key, int rows, double seconds);

  PerImage of(const Shape& shape) const;
  /// From the last step of the first pass to the first step of the second: a decode and a begin.
  double between_passes(const Shape& first, const Shape& second) const;
  /// A whole request whose steps are shared with no other request.
  double request_seconds(ModelId model, const GenerationRequest& request) const;
  /// A step of so many rows. Measured, interpolated between the nearest two measured row counts, or in proportion to
  /// the nearest one. None where no step with this key was measured.
  std::optional<double> step(ModelId model, std::string_view batch_key, int rows) const;

 private:
  using Curve = std::map<int, RunningMean>;                  // by rows
  using Curves = std::map<std::string, Curve, std::less<>>;  // by batch key
  struct Measured {
    RunningMean begin, row, decode;
  };

  Measured measured(const Shape& shape) const;
  std::optional<double> seconds_per_unit() const;
  double guess_row_seconds(const Shape& shape) const;
  std::shared_ptr<const ModelDescription> description_of(ModelId model) const EASEL_EXCLUDES(mutex_);

  CostModel* const shared_;
  mutable Mutex mutex_;
  std::map<ModelId, std::shared_ptr<const ModelDescription>> models_ EASEL_GUARDED_BY(mutex_);
  std::map<Shape, Measured> measured_ EASEL_GUARDED_BY(mutex_);
  std::map<ModelId, Curves> curves_ EASEL_GUARDED_BY(mutex_);
  RunningMean seconds_per_unit_ EASEL_GUARDED_BY(mutex_);  // a unit is one pixel times one parameter
};

}  // namespace easel
