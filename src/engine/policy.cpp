#include "engine/policy.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace easel {

namespace {

// A prompt of 77 tokens is encoded in a fraction of a UNet call, and often cached.
constexpr double kBeginRows = 1;
// A decode takes about as long as two to three steps with guidance, of two rows each.
constexpr double kFinishRows = 5;
// Long enough that trying, and failing, a larger step again costs next to nothing.
constexpr int kStepsBeforeGrowing = 200;

auto rank(const Candidate& candidate) {
  return std::tuple(candidate.served, candidate.request, candidate.kind, candidate.steps_done);
}

bool may_join(const Candidate& candidate, const Candidate& leader) {
  return candidate.kind == WorkKind::kStep && !candidate.alone && candidate.model == leader.model &&
         candidate.batch_key == leader.batch_key;
}

}  // namespace

std::vector<std::size_t> choose_work(std::span<const Candidate> candidates) {
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return rank(candidates[a]) < rank(candidates[b]); });
  if (order.empty()) return order;

  const auto& leader = candidates[order.front()];
  if (leader.kind != WorkKind::kStep || leader.alone) return {order.front()};
  std::erase_if(order, [&](std::size_t i) { return !may_join(candidates[i], leader); });
  order.resize(std::min(order.size(), static_cast<std::size_t>(leader.most_at_once)));
  return order;
}

double step_cost(double row_cost, int rows) {
  return row_cost * rows;
}
double begin_cost(double row_cost) {
  return row_cost * kBeginRows;
}
double finish_cost(double row_cost) {
  return row_cost * kFinishRows;
}

double row_cost(const ModelDescription& model, const GenerationRequest& request) {
  const bool native = model.draws_native_size_only || !request.width || !request.height;
  const double width = native ? model.native_width : *request.width;
  const double height = native ? model.native_height : *request.height;
  return std::max(width * height, 1.0) * static_cast<double>(std::max<std::int64_t>(model.parameters, 1));
}

void BatchLimit::ran_out(int tried) {
  current_ = std::max(1, tried / 2);
  well_ = 0;
}

void BatchLimit::went_well(int count) {
  if (count < current_ || current_ == most_) return;
  if (++well_ < kStepsBeforeGrowing) return;
  current_ = std::min(most_, current_ * 2);
  well_ = 0;
}

}  // namespace easel
