#include "weights/stores/quantization.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/stores/tensor_table.h"

namespace easel {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 2> kScales = {".scale_weight", ".weight_scale"};
constexpr std::array<std::string_view, 2> kInputScales = {".scale_input", ".input_scale"};
constexpr std::string_view kMarker = "scaled_fp8";
constexpr std::string_view kLayerFormat = ".comfy_quant";
constexpr char kFormats[] = "_quantization_metadata";
constexpr std::array<std::string_view, 2> kReadFormats = {"float8_e4m3fn", "float8_e5m2"};

struct KnownFormat {
  std::string_view ending;  // of a tensor's name that only this format has
  const char* name;
};
/// The first match counts.
constexpr KnownFormat kUnreadFormats[] = {{".quant_state.bitsandbytes__nf4", "NF4 (bitsandbytes)"},
                                          {".quant_state.bitsandbytes__fp4", "FP4 (bitsandbytes)"},
                                          {".SCB", "int8 (bitsandbytes)"},
                                          {".wscales", "SVDQuant (Nunchaku)"},
                                          {".smooth_factor", "SVDQuant (Nunchaku)"},
                                          {".weight_scale_2", "NVFP4"},
                                          {".qzeros", "GPTQ or AWQ"},
                                          {".absmax", "4 bits (bitsandbytes)"}};

/// The name without this ending, if it has it.
std::optional<std::string> before(const std::string& name, std::string_view ending) {
  if (name.size() <= ending.size() || !name.ends_with(ending)) return std::nullopt;
  return name.substr(0, name.size() - ending.size());
}

template <std::size_t N>
std::optional<std::string> before_any(const std::string& name, const std::array<std::string_view, N>& endings) {
  for (const auto ending : endings) {
    if (auto layer = before(name, ending)) return layer;
  }
  return std::nullopt;
}

bool is_marker(const std::string& name) {
  return name == kMarker || name.ends_with(concat('.', kMarker));
}

Error unread_format(const TensorStore& store, const std::string& format, const std::string& tensor) {
  return {ErrorCode::kUnsupported,
          concat(store.where(), " is quantised to ", format, " (", quote_name(tensor),
                 "), which easel cannot read; use the file in float16, or in 8-bit floating point")};
}

/// What a file says about the weights of its layers.
class ScaleTable {
 public:
  explicit ScaleTable(const SafetensorsFile& file) : file_(file) {
    for (const auto& name : file_.names()) read_name(name);
    read_metadata();
    for (const auto& layer : marked_) {
      if (!scales_.contains(layer + ".weight")) {
        throw corrupt(layer + ".weight", "is marked as scaled and has no scale (`...weight_scale`)");
      }
    }
    for (const auto& [weight, scale] : scales_) check(weight, scale);
  }

  bool empty() const { return hidden_.empty(); }
  bool hides(const std::string& name) const { return hidden_.contains(name); }
  const std::map<std::string, std::string>& scales() const { return scales_; }  // by weight

 private:
  Error corrupt(const std::string& name, const std::string& what) const {
    return {ErrorCode::kCorruptData, concat(file_.where(), ": tensor ", quote_name(name), ' ', what)};
  }

  void read_name(const std::string& name) {
    if (const auto layer = before_any(name, kScales)) {
      if (!scales_.emplace(*layer + ".weight", name).second) throw corrupt(name, "is a second scale of its layer");
    } else if (const auto marked = before(name, kLayerFormat)) {
      const auto bytes = file_.read(name).contiguous();
      const std::string text(static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes());
      read_format(*marked, json::parse(text, nullptr, /*allow_exceptions=*/false), name);
    } else if (!before_any(name, kInputScales) && !is_marker(name)) {
      return;
    }
    hidden_.insert(name);
  }

  void read_metadata() {
    const auto found = file_.metadata().find(kFormats);
    if (found == file_.metadata().end()) return;
    const auto formats = json::parse(found->second, nullptr, /*allow_exceptions=*/false);
    const auto layers = formats.is_object() ? formats.find("layers") : formats.end();
    if (!formats.is_object() || layers == formats.end() || !layers->is_object()) {
      throw Error(ErrorCode::kCorruptData,
                  concat(file_.where(), ": the metadata `", kFormats, "` is not a JSON object with `layers`"));
    }
    for (const auto& [layer, format] : layers->items()) read_format(layer, format, kFormats);
  }

  void read_format(const std::string& layer, const json& format, const std::string& where) {
    const auto name = format.is_object() ? format.find("format") : format.end();
    if (!format.is_object() || name == format.end() || !name->is_string()) {
      throw Error(ErrorCode::kCorruptData, concat(file_.where(), ": ", quote_name(where), " does not name a format"));
    }
    const auto text = name->get<std::string>();
    if (std::find(kReadFormats.begin(), kReadFormats.end(), text) == kReadFormats.end()) {
      throw unread_format(file_, text, where);
    }
    marked_.insert(layer);
  }

  void check(const std::string& weight, const std::string& scale) const {
    const auto* info = file_.find(weight);
    if (info == nullptr) throw corrupt(scale, "has no weight " + quote_name(weight));
    const auto& scales = *file_.find(scale);
    std::int64_t count = 1;
    for (const auto extent : scales.shape) count *= extent;
    const bool by_row =
        !info->shape.empty() && !scales.shape.empty() && scales.shape[0] == info->shape[0] && count == info->shape[0];
    if (!c10::isFloatingType(scales.dtype)) throw corrupt(scale, "is not of floating point");
    if (count != 1 && !by_row) {
      throw corrupt(scale, concat("is ", format_shape(scales.shape), ", expected one number, or one for each row of ",
                                  quote_name(weight), ", ", format_shape(info->shape)));
    }
  }

  const SafetensorsFile& file_;
  std::map<std::string, std::string> scales_;
  std::set<std::string> hidden_;  // tensors that are not weights
  std::set<std::string> marked_;  // layers that are said to be scaled
};

class ScaledStore : public TensorStore {
 public:
  ScaledStore(std::shared_ptr<const SafetensorsFile> file, const ScaleTable& table)
      : file_(std::move(file)), scales_(table.scales()) {
    for (auto& name : file_->names()) {
      if (table.hides(name)) continue;
      auto info = *file_->find(name);
      if (scales_.contains(name)) {
        info.blocks = find_block_format(c10::toString(info.dtype));
        info.dtype = c10::kFloat;
      }
      tensors_.add(std::move(name), std::move(info));
    }
  }

  std::vector<std::string> names() const override { return tensors_.names(); }
  const TensorInfo* find(const std::string& name) const override { return tensors_.find(name); }
  at::Tensor read(const std::string& name) const override {
    if (find(name) == nullptr) throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
    const auto found = scales_.find(name);
    if (found == scales_.end()) return file_->read(name);
    auto weight = file_->read(name).to(c10::kFloat, /*non_blocking=*/false, /*copy=*/true);
    auto scale = file_->read(found->second).to(c10::kFloat);
    std::vector<std::int64_t> by_row(static_cast<std::size_t>(weight.dim()), 1);
    if (scale.numel() != 1) by_row[0] = scale.numel();
    return weight.mul_(scale.reshape(by_row));
  }
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override {
    const auto* info = find(name);
    if (info == nullptr || info->blocks == nullptr || info->shape.size() != 2) return std::nullopt;
    const auto scale = file_->read(scales_.at(name)).to(c10::kFloat);
    return QuantizedWeight{.format = info->blocks,
                           .blocks = file_->read(name).view(c10::kByte),
                           .scale = scale.numel() == 1 ? scale.reshape({1}) : scale.reshape({-1, 1}),
                           .shape = info->shape};
  }
  void release(const std::string& name) const override { file_->release(name); }
  std::string where() const override { return file_->where(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return file_->mapped_files(); }

 private:
  std::shared_ptr<const SafetensorsFile> file_;
  std::map<std::string, std::string> scales_;  // by weight
  TensorTable tensors_;
};

}  // namespace

bool changes_weights(const std::string& name) {
  if (name.ends_with(".bias") || name.find("norm") != std::string::npos || name.find("scale") != std::string::npos) {
    return true;
  }
  for (const std::string_view part : {".comfy_quant", ".quant_state", ".quant_map", ".absmax", ".SCB", ".smooth_factor",
                                      ".zero_point", ".qzeros", ".g_idx", "v_pred", "ztsnr"}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

void refuse_unknown_quantization(const TensorStore& store) {
  const auto names = store.names();
  for (const auto& format : kUnreadFormats) {
    for (const auto& name : names) {
      if (name.ends_with(format.ending)) throw unread_format(store, format.name, name);
    }
  }
  for (const auto& name : names) {
    const auto& info = *store.find(name);
    const bool matrix = name.ends_with(".weight") && info.shape.size() > 1;
    if (matrix && info.dtype == c10::ScalarType::Undefined) throw unread_format(store, "less than 8 bits", name);
    if (matrix && c10::isIntegralType(info.dtype, /*includeBool=*/false)) {
      throw unread_format(store, concat(info.dtype == c10::kByte ? "uint" : "int", 8 * c10::elementSize(info.dtype)),
                          name);
    }
  }
}

std::shared_ptr<const TensorStore> with_scales(std::shared_ptr<const SafetensorsFile> file) {
  const ScaleTable table(*file);
  if (table.empty()) return file;
  return std::make_shared<ScaledStore>(std::move(file), table);
}

}  // namespace easel
