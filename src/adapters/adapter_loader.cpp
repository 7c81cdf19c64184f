#include "adapters/adapter_loader.h"

#include <ATen/ops/cat.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "adapters/adapter_scales.h"
#include "adapters/adapter_tensors.h"
#include "adapters/learned_embedding.h"
#include "core/log.h"
#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/stores/adapter_file.h"

namespace easel {
namespace {

using Role = AdapterTensorRole;

/// A change of a weight, and its rank, if alpha has a meaning for this kind of change.
struct Change {
  decltype(LayerAdapter::change) tensors;
  std::optional<std::int64_t> rank;
};

Change take_low_rank(AdapterTensors& file) {
  const auto rank = file.extent(Role::kDown, 0);
  LowRank change;
  if (file.has(Role::kMid)) {
    if (!file.is_convolution()) throw file.corrupt(Role::kMid, "is for convolutions only");
    change.mid = file.take(Role::kMid, file.windowed(rank, rank));
    change.down = file.take(Role::kDown, file.pointwise(rank, file.in()));
  } else {
    change.down = file.take(Role::kDown, file.windowed(rank, file.in()));
  }
  change.up = file.take(Role::kUp, file.pointwise(file.out(), rank));
  change.up_bias = file.take_optional(Role::kUpBias, {file.out()});
  return {std::move(change), rank};
}

Change take_hadamard(AdapterTensors& file) {
  const auto rank = file.extent(Role::kHadaW1B, 0);
  HadamardProduct change;
  if (file.has(Role::kHadaT1)) {
    if (!file.is_convolution()) throw file.corrupt(Role::kHadaT1, "is for convolutions only");
    change.t1 = file.take(Role::kHadaT1, file.windowed(rank, rank));
    change.t2 = file.take(Role::kHadaT2, file.windowed(rank, rank));
    change.w1_a = file.take(Role::kHadaW1A, {rank, file.out()});
    change.w2_a = file.take(Role::kHadaW2A, {rank, file.out()});
    change.w1_b = file.take(Role::kHadaW1B, {rank, file.in()});
    change.w2_b = file.take(Role::kHadaW2B, {rank, file.in()});
  } else {
    const auto columns = file.in() * file.window();
    change.w1_a = file.take(Role::kHadaW1A, {file.out(), rank});
    change.w2_a = file.take(Role::kHadaW2A, {file.out(), rank});
    change.w1_b = file.take_flat(Role::kHadaW1B, rank, columns);
    change.w2_b = file.take_flat(Role::kHadaW2B, rank, columns);
  }
  return {std::move(change), rank};
}

Change take_kronecker(AdapterTensors& file) {
  const bool w1_whole = file.has(Role::kLokrW1), w2_whole = file.has(Role::kLokrW2);
  const auto rows = w1_whole ? file.extent(Role::kLokrW1, 0) : file.extent(Role::kLokrW1A, 0);
  const auto columns = w1_whole ? file.extent(Role::kLokrW1, 1) : file.extent(Role::kLokrW1B, 1);
  if (file.out() % rows != 0 || file.in() % columns != 0) {
    throw file.corrupt(w1_whole ? Role::kLokrW1 : Role::kLokrW1A,
                       concat("makes a factor of ", rows, " x ", columns, ", which does not divide the layer's ",
                              file.out(), " x ", file.in()));
  }
  const auto rows_2 = file.out() / rows, columns_2 = file.in() / columns;
  KroneckerProduct change;
  std::optional<std::int64_t> rank;
  if (w1_whole) {
    change.w1.whole = file.take(Role::kLokrW1, {rows, columns});
  } else {
    rank = file.extent(Role::kLokrW1B, 0);
    change.w1.a = file.take(Role::kLokrW1A, {rows, *rank});
    change.w1.b = file.take(Role::kLokrW1B, {*rank, columns});
  }
  if (w2_whole) {
    change.w2.whole = file.take(Role::kLokrW2, file.windowed(rows_2, columns_2));
    return {std::move(change), rank};
  }
  rank = file.extent(Role::kLokrW2B, 0);
  if (file.has(Role::kLokrT2)) {
    if (!file.is_convolution()) throw file.corrupt(Role::kLokrT2, "is for convolutions only");
    change.w2.t = file.take(Role::kLokrT2, file.windowed(*rank, *rank));
    change.w2.a = file.take(Role::kLokrW2A, {*rank, rows_2});
    change.w2.b = file.take(Role::kLokrW2B, {*rank, columns_2});
  } else {
    change.w2.a = file.take(Role::kLokrW2A, {rows_2, *rank});
    change.w2.b = file.take_flat(Role::kLokrW2B, *rank, columns_2 * file.window());
  }
  return {std::move(change), rank};
}

Change take_difference(AdapterTensors& file) {
  return {Difference{file.take_optional(Role::kDifference, file.windowed(file.out(), file.in()))}, std::nullopt};
}

/// A norm's weight and bias, by LyCORIS' names or as differences.
std::pair<at::Tensor, at::Tensor> take_norm(AdapterTensors& file) {
  const bool named = file.has(Role::kNorm) || file.has(Role::kNormBias);
  const AdapterTensors::Shape features = {file.out()};
  return {file.take_optional(named ? Role::kNorm : Role::kDifference, features),
          file.take_optional(named ? Role::kNormBias : Role::kBiasDifference, features)};
}

Change take_change(AdapterTensors& file) {
  if (file.has(Role::kDown) || file.has(Role::kUp)) return take_low_rank(file);
  if (file.has(Role::kHadaW1A) || file.has(Role::kHadaW1B)) return take_hadamard(file);
  if (file.has(Role::kDifference) || file.has_only(Role::kBiasDifference)) return take_difference(file);
  return take_kronecker(file);
}

Magnitude take_magnitude(AdapterTensors& file, const LayerAdapter& adapter) {
  AdapterTensors::Shape by_output(file.is_convolution() ? 4 : 2, 1), by_input = by_output;
  by_output[0] = file.out();
  by_input[1] = file.in();
  const auto* low_rank = std::get_if<LowRank>(&adapter.change);
  if (low_rank != nullptr && low_rank->up_bias.defined()) {
    throw file.unsupported(Role::kUpBias, "cannot be combined with DoRA's magnitudes");
  }
  if (file.has(Role::kPeftMagnitude)) {
    if (low_rank == nullptr || low_rank->mid.defined()) {
      throw file.unsupported(Role::kPeftMagnitude, "is supported only with a plain down and up");
    }
    // PEFT stores [out] for linear layers and [1, out, 1, 1] for convolutions.
    return {.lengths = file.take_reshaped(Role::kPeftMagnitude, by_output), .rule = Magnitude::Rule::kPeft};
  }
  const bool of_outputs = file.extent(Role::kDoraScale, 0) == file.out();
  return {.lengths = file.take(Role::kDoraScale, of_outputs ? by_output : by_input), .rule = Magnitude::Rule::kLycoris};
}

double take_scale(AdapterTensors& file, const std::optional<std::int64_t>& rank, const LayerNames::LayerRef& ref,
                  const AdapterScales& scales) {
  if (file.has(Role::kAlpha)) {
    const auto alpha = file.take_number(Role::kAlpha);
    // Trainers write 0 for an alpha that equals the rank.
    return rank && alpha != 0 ? alpha / static_cast<double>(*rank) : 1.0;
  }
  return rank ? scales.of(ref.model->component.value(), ref.slot->name, *rank).value_or(1.0) : 1.0;
}

/// The kind of model that a file was trained for, from its header or the width of the text that its cross-attentions
/// take. Empty if unknown.
std::string trained_for(const AdapterFile& file) {
  for (const char* key : {"ss_base_model_version", "modelspec.architecture"}) {
    const auto found = file.metadata().find(key);
    if (found != file.metadata().end() && !found->second.empty()) return quote_name(found->second);
  }
  constexpr std::pair<std::int64_t, const char*> kWidths[] = {
      {768, "SD 1.x"}, {1024, "SD 2.x"}, {2048, "SDXL"}, {1280, "SDXL's refiner"}};
  for (const auto& module : file.modules()) {
    const auto down = module.keys.find(Role::kDown);
    if (!module.name.ends_with("attn2_to_k") && !module.name.ends_with("attn2.to_k")) continue;
    if (down == module.keys.end() || file.info(down->second).shape.size() < 2) continue;
    for (const auto& [width, kind] : kWidths) {
      if (file.info(down->second).shape[1] == width) return kind;
    }
  }
  return {};
}

/// Assigns the tensors of a file to layers.
class AdapterBinding {
 public:
  AdapterBinding(const AdapterFile& file, const std::string& id, const LayerNames& names, const Placement& placement)
      : file_(file), names_(names), placement_(placement), scales_(file.metadata(), file.name()) {
    bound_->id = id;
  }

  std::shared_ptr<const BoundAdapter> bind() {
    for (const auto& [word, tensors] : file_.bundled_words()) bind_word(word, tensors);
    std::size_t left_out = 0;
    for (const auto& module : file_.modules()) {
      if (const auto* ref = names_.find(module.name)) {
        bind_layer(module, *ref);
      } else if (const auto parts = names_.find_fused(module.name); !parts.empty()) {
        bind_fused(module, parts);
      } else if (names_.is_of_language_model(module.name)) {
        ++left_out;
      } else {
        throw Error(
            ErrorCode::kInvalidArgument,
            concat(file_.name(), ": ", quote_name(key_of(module)), " does not belong to any layer of this model"),
            "loras");
      }
    }
    if (bound_->layers.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  concat(file_.name(), ": it adapts the language model only, which easel leaves as it is"), "loras");
    }
    if (left_out > 0) {
      log::warning(concat(file_.name(), ": ", left_out,
                          " layers of the language model are adapted, which easel leaves ", "out, as diffusers does"));
    }
    return bound_;
  }

 private:
  static const std::string& key_of(const AdapterModule& module) { return module.keys.begin()->second; }

  void add(const AdapterModule& module, const LayerNames::LayerRef& ref, LayerAdapter adapter) {
    if (!adapted_.insert(ref.slot.get()).second) {
      throw Error(ErrorCode::kCorruptData, concat(file_.name(), ": ", quote_name(key_of(module)),
                                                  " and another tensor are both for ", ref.slot->name));
    }
    bound_->layers.push_back({ref.model, ref.slot, std::make_shared<const LayerAdapter>(std::move(adapter))});
  }

  void bind_word(const std::string& word, const std::map<std::string, std::string>& tensors) {
    BundledWord bundled{
        .word = word, .vectors = {}, .file = file_.name(), .version = concat(bound_->id, ' ', file_.name(), ' ', word)};
    for (const auto& [part, key] : tensors) {
      const bool is_known = part == "clip_l" || part == "clip_g" || part == "emb_params" || part == "string_to_param.*";
      if (word.empty() || !is_known) {
        throw Error(ErrorCode::kUnsupported, concat(file_.name(), ": ", quote_name(key),
                                                    " is not an embedding for one of CLIP's text encoders"));
      }
      bundled.vectors[part] = read_embedding(file_.store(), key, file_.name());
      bound_->bytes += bundled.vectors[part].nbytes();
    }
    bound_->words.push_back(std::make_shared<const BundledWord>(std::move(bundled)));
  }

  void bind_norm(const AdapterModule& module, const LayerNames::LayerRef& ref) {
    AdapterTensors tensors(file_, module, *ref.slot, placement_);
    auto [weight, bias] = take_norm(tensors);
    tensors.finish();
    bound_->bytes += tensors.bytes();
    add(module, ref, {.change = Difference{std::move(weight)}, .bias = std::move(bias)});
  }

  void bind_layer(const AdapterModule& module, const LayerNames::LayerRef& ref) {
    if (ref.slot->is_norm()) return bind_norm(module, ref);
    AdapterTensors tensors(file_, module, *ref.slot, placement_);
    auto [change, rank] = take_change(tensors);
    if (ref.halves_swapped) swap_halves(change, module);
    LayerAdapter adapter{.change = std::move(change), .scale = take_scale(tensors, rank, ref, scales_)};
    const bool is_difference = std::holds_alternative<Difference>(adapter.change);
    if (!is_difference && (tensors.has(Role::kPeftMagnitude) || tensors.has(Role::kDoraScale))) {
      adapter.magnitude = take_magnitude(tensors, adapter);
    }
    adapter.bias = tensors.take_optional(Role::kBiasDifference, {tensors.out()});
    tensors.finish();
    bound_->bytes += tensors.bytes();
    add(module, ref, std::move(adapter));
  }

  void swap_halves(decltype(LayerAdapter::change)& change, const AdapterModule& module) const {
    auto* low_rank = std::get_if<LowRank>(&change);
    if (low_rank == nullptr) {
      throw Error(ErrorCode::kUnsupported, concat(file_.name(), ": ", quote_name(key_of(module)),
                                                  " is not supported; easel supports a LoRA with down and up there"));
    }
    const auto halves = low_rank->up.chunk(2, /*dim=*/0);
    low_rank->up = at::cat({halves.at(1), halves.at(0)});
  }

  /// The layers share `down`, and each takes its own rows of `up`.
  void bind_fused(const AdapterModule& module, const std::vector<LayerNames::LayerRef>& parts) {
    LayerSlot whole = *parts[0].slot;
    whole.shape[0] = 0;
    for (const auto& part : parts) whole.shape[0] += part.slot->shape[0];
    AdapterTensors tensors(file_, module, whole, placement_);
    if (!tensors.has(Role::kDown) || tensors.has(Role::kMid)) {
      throw Error(ErrorCode::kUnsupported, concat(file_.name(), ": ", quote_name(key_of(module)),
                                                  " changes several layers at once; easel supports that for a LoRA "
                                                  "with down and up"));
    }
    auto [change, rank] = take_low_rank(tensors);
    const auto& low_rank = std::get<LowRank>(change);
    const double scale = take_scale(tensors, rank, parts[0], scales_);
    tensors.finish();
    bound_->bytes += tensors.bytes();
    std::int64_t first = 0;
    for (const auto& part : parts) {
      const auto rows = part.slot->shape[0];
      auto own = low_rank;
      own.up = low_rank.up.narrow(0, first, rows);
      if (low_rank.up_bias.defined()) own.up_bias = low_rank.up_bias.narrow(0, first, rows);
      add(module, part, {.change = std::move(own), .scale = scale});
      first += rows;
    }
  }

  const AdapterFile& file_;
  const LayerNames& names_;
  const Placement& placement_;
  AdapterScales scales_;
  std::shared_ptr<BoundAdapter> bound_ = std::make_shared<BoundAdapter>();
  std::set<const LayerSlot*> adapted_;
};

}  // namespace

std::shared_ptr<const BoundAdapter> load_adapter(const std::string& path, const std::string& id,
                                                 const LayerNames& names, const Placement& placement) {
  const AdapterFile file(path);
  try {
    return AdapterBinding(file, id, names, placement).bind();
  } catch (const Error& e) {
    const auto kind = trained_for(file);
    if (e.code() != ErrorCode::kInvalidArgument || kind.empty()) throw;
    throw Error(e.code(), concat(e.what(), "; the file is for ", kind), e.param());
  }
}

}  // namespace easel
