#include "engine/device/cost_model.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <tuple>
#include <utility>

namespace easel {

namespace {

// The mean covers about this many of the latest samples.
constexpr int kMeanWindow = 8;
// A sample above this many times the mean counts as this many times: it may be a single slow call.
constexpr double kOutlierFactor = 4;
// The first call of a cold device loads kernels and chooses algorithms. If the second one takes less than this part of
// its time, the first says nothing about later ones.
constexpr double kDisprovingPart = 0.25;
// A prompt of 77 tokens is encoded in a fraction of a UNet row's time, and often cached.
constexpr double kBeginRows = 1;
// A decode takes about as long as two to three steps with guidance, of two rows each.
constexpr double kDecodeRows = 5;
// Used until the first step has been measured; lies between a laptop's processor and a large GPU.
constexpr double kGuessedSecondsPerUnit = 1e-15;
// Clients choose sizes, so the number of keys must be bounded; this is more than are in use at any one time.
constexpr std::size_t kMaxCurves = 512;

double units(const ModelDescription& model, const CostModel::Shape& shape) {
  const auto pixels = static_cast<double>(shape.width) * shape.height + static_cast<double>(shape.reference_pixels);
  return std::max(pixels, 1.0) * static_cast<double>(std::max<std::int64_t>(model.parameters, 1));
}

/// A decode sees no references.
CostModel::Shape decoded(CostModel::Shape shape) {
  shape.reference_pixels = 0;
  return shape;
}

/// The pixels that a model makes of an input image that it sees along with the sample.
std::int64_t reference_pixels(const Image& image, const ModelDescription& model) {
  return std::clamp(std::int64_t{image.width} * image.height, model.min_reference_pixels, model.max_reference_pixels);
}

/// The size of a result whose size follows from the request's first image. For estimates: not in whole cells.
std::pair<int, int> size_like(const Image& image, const ModelDescription& model) {
  const auto area = static_cast<double>(std::max(std::int64_t{image.width} * image.height, std::int64_t{1}));
  const auto scale = std::sqrt(static_cast<double>(reference_pixels(image, model)) / area);
  return {static_cast<int>(std::lround(image.width * scale)), static_cast<int>(std::lround(image.height * scale))};
}

}  // namespace

void RunningMean::add(double sample) {
  if (!(sample >= 0)) return;
  if (samples_ == 1 && sample < kDisprovingPart * value_) samples_ = 0;
  if (samples_ > 1 && value_ > 0) sample = std::min(sample, kOutlierFactor * value_);
  samples_ = std::min(samples_ + 1, kMeanWindow);
  value_ += (sample - value_) / samples_;
}

CostModel::CostModel(const std::vector<ModelDescription>& models, CostModel* shared) : shared_(shared) {
  for (ModelId id = 0; id < models.size(); ++id) add(id, models[id]);
}

void CostModel::add(ModelId model, const ModelDescription& description) {
  auto kept = std::make_shared<const ModelDescription>(description);
  const MutexLock lock(mutex_);
  models_.insert_or_assign(model, std::move(kept));
}

std::shared_ptr<const ModelDescription> CostModel::description_of(ModelId model) const {
  const MutexLock lock(mutex_);
  return models_.at(model);
}

CostModel::Shape CostModel::shape_of(ModelId model, const GenerationRequest& request) const {
  const auto description = description_of(model);
  const bool native = description->native_size_only || !request.width || !request.height;
  Shape shape{model, native ? description->native_width : *request.width,
              native ? description->native_height : *request.height};
  if (description->max_reference_pixels == 0 || !request.image) return shape;
  if (request.mask || !request.width) std::tie(shape.width, shape.height) = size_like(*request.image, *description);
  for (const auto& image : request.more_images) shape.reference_pixels += reference_pixels(*image, *description);
  const bool sees_first = !description->second_image_needs_mask || request.more_images.empty();
  if (sees_first) shape.reference_pixels += reference_pixels(*request.image, *description);
  return shape;
}

CostModel::Shape CostModel::second_shape_of(ModelId model, const GenerationRequest& request) const {
  if (!request.hires) return shape_of(model, request);
  GenerationRequest second;
  second.width = request.hires->width;
  second.height = request.hires->height;
  return shape_of(model, second);
}

void CostModel::add_begin(const Shape& shape, double seconds) {
  if (shared_) shared_->add_begin(shape, seconds);
  const MutexLock lock(mutex_);
  measured_[shape].begin.add(seconds);
}

void CostModel::add_decode(const Shape& shape, double seconds) {
  if (shared_) shared_->add_decode(shape, seconds);
  const MutexLock lock(mutex_);
  measured_[decoded(shape)].decode.add(seconds);
}

void CostModel::add_step(const Shape& shape, std::string_view batch_key, int rows, double seconds) {
  if (shared_) shared_->add_step(shape, batch_key, rows, seconds);
  const MutexLock lock(mutex_);
  rows = std::max(rows, 1);
  if (measured_.size() >= kMaxCurves && !measured_.contains(shape)) measured_.clear();
  auto& curves = curves_[shape.model];
  if (curves.size() >= kMaxCurves && !curves.contains(batch_key)) curves.clear();
  measured_[shape].row.add(seconds / rows);
  curves[std::string(batch_key)][rows].add(seconds);
  seconds_per_unit_.add(seconds / rows / units(*models_.at(shape.model), shape));
}

CostModel::Measured CostModel::measured(const Shape& shape) const {
  const MutexLock lock(mutex_);
  const auto found = measured_.find(shape);
  return found == measured_.end() ? Measured{} : found->second;
}

std::optional<double> CostModel::seconds_per_unit() const {
  const MutexLock lock(mutex_);
  return seconds_per_unit_.known() ? std::optional(seconds_per_unit_.value()) : std::nullopt;
}

double CostModel::guess_row_seconds(const Shape& shape) const {
  auto per_unit = seconds_per_unit();
  if (!per_unit && shared_) per_unit = shared_->seconds_per_unit();
  return per_unit.value_or(kGuessedSecondsPerUnit) * units(*description_of(shape.model), shape);
}

CostModel::PerImage CostModel::of(const Shape& shape) const {
  const auto known = [&](RunningMean Measured::* which, const Shape& of_shape) {
    const auto here = measured(of_shape), anywhere = shared_ ? shared_->measured(of_shape) : Measured{};
    const auto& estimate = (here.*which).known() ? here.*which : anywhere.*which;
    return estimate.known() ? std::optional(estimate.value()) : std::nullopt;
  };
  const auto row = known(&Measured::row, shape).value_or(guess_row_seconds(shape));
  const auto description = description_of(shape.model);
  const auto share = units(*description, decoded(shape)) / units(*description, shape);
  return {.begin = known(&Measured::begin, shape).value_or(kBeginRows * row),
          .row = row,
          .decode = known(&Measured::decode, decoded(shape)).value_or(kDecodeRows * share * row)};
}

double CostModel::between_passes(const Shape& first, const Shape& second) const {
  return of(first).decode + of(second).begin;
}

double CostModel::request_seconds(ModelId model, const GenerationRequest& request) const {
  const auto description = description_of(model);
  const auto each = of(shape_of(model, request));
  const int guided_rows = is_guided(request, *description) ? 2 : 1;
  const auto rows_of = [&](std::int64_t steps) {
    return static_cast<double>(rows_from(0, steps, guided_rows, request.guidance_interval));
  };
  auto image = rows_of(request.requested_steps(description->default_steps)) * each.row;
  const auto last = second_shape_of(model, request);
  if (request.hires) {
    image += between_passes(shape_of(model, request), last);
    image += rows_of(request.second_pass_steps(description->default_steps)) * of(last).row;
  }
  image += of(last).decode;
  return each.begin + image * static_cast<double>(request.num_images);
}

std::optional<double> CostModel::step(ModelId model, std::string_view batch_key, int rows) const {
  const MutexLock lock(mutex_);
  const auto curves = curves_.find(model);
  if (curves == curves_.end()) return std::nullopt;
  const auto found = curves->second.find(batch_key);
  if (found == curves->second.end()) return std::nullopt;
  const auto& curve = found->second;
  const auto above = curve.lower_bound(rows);
  if (above == curve.end() || above == curve.begin()) {
    const auto& [nearest_rows, nearest] = above == curve.end() ? *curve.rbegin() : *above;
    return nearest.value() * rows / nearest_rows;
  }
  const auto& [low, cost_low] = *std::prev(above);
  const auto& [high, cost_high] = *above;
  const auto part = static_cast<double>(rows - low) / (high - low);
  return cost_low.value() + part * (cost_high.value() - cost_low.value());
}

}  // namespace easel
