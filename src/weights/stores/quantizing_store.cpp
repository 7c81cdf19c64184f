#include "weights/stores/quantizing_store.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "core/text.h"
#include "easel/error.h"

namespace easel {
namespace {

constexpr char kFloat8Name[] = "fp8", kQ8Name[] = "q8_0";

const BlockFormat& format_of(WeightQuantization quantization) {
  return *find_block_format(quantization == WeightQuantization::kFloat8 ? "Float8_e4m3fn" : "Q8_0");
}

bool has_number(std::string_view name) {
  while (!name.empty()) {
    const auto part = name.substr(0, name.find('.'));
    if (!part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos) return true;
    name.remove_prefix(std::min(name.size(), part.size() + 1));
  }
  return false;
}

class QuantizingStore : public TensorStore {
 public:
  QuantizingStore(std::shared_ptr<const TensorStore> store, WeightQuantization quantization)
      : store_(std::move(store)), quantization_(quantization) {
    for (const auto& name : store_->names()) {
      auto info = *store_->find(name);
      if (!is_quantizable(store_->stored_name(name), info, quantization)) continue;
      info.dtype = c10::kFloat;
      info.blocks = &format_of(quantization);
      infos_.emplace(name, std::move(info));
    }
  }

  std::vector<std::string> names() const override { return store_->names(); }
  const TensorInfo* find(const std::string& name) const override {
    const auto found = infos_.find(name);
    return found == infos_.end() ? store_->find(name) : &found->second;
  }
  at::Tensor read(const std::string& name) const override {
    return infos_.contains(name) ? encode(name).decode(c10::kFloat) : store_->read(name);
  }
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override {
    if (!infos_.contains(name)) return store_->read_blocks(name);
    auto blocks = encode(name);
    store_->release(name);
    return blocks;
  }
  void release(const std::string& name) const override { store_->release(name); }
  std::string where() const override { return store_->where(); }
  std::string stored_name(const std::string& name) const override { return store_->stored_name(name); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return store_->mapped_files(); }

 private:
  QuantizedWeight encode(const std::string& name) const {
    const auto weight = store_->read(name);
    return quantization_ == WeightQuantization::kFloat8 ? encode_float8(weight) : encode_q8_0(weight);
  }

  std::shared_ptr<const TensorStore> store_;
  WeightQuantization quantization_;
  std::map<std::string, TensorInfo> infos_;  // of the matrices that are quantised
};

}  // namespace

WeightQuantization parse_quantization(const std::string& name) {
  if (name == kFloat8Name) return WeightQuantization::kFloat8;
  if (name == kQ8Name) return WeightQuantization::kQ8_0;
  throw Error(ErrorCode::kInvalidArgument, concat("quantisation `", name, "` is unknown; expected fp8 or q8_0"));
}

const char* quantization_name(WeightQuantization quantization) {
  return quantization == WeightQuantization::kFloat8 ? kFloat8Name : kQ8Name;
}

bool is_quantizable(const std::string& name, const TensorInfo& info, WeightQuantization quantization) {
  if (info.blocks != nullptr || !c10::isFloatingType(info.dtype) || c10::elementSize(info.dtype) < 2) return false;
  if (info.shape.size() != 2 || info.shape[0] == 0 || info.shape[1] == 0) return false;
  if (info.shape[1] % format_of(quantization).values != 0) return false;
  if (!name.ends_with(".weight") || !has_number(name)) return false;
  return name.find("embed") == std::string::npos && name.find("relative_attention_bias") == std::string::npos;
}

std::shared_ptr<const TensorStore> quantizing(std::shared_ptr<const TensorStore> store,
                                              WeightQuantization quantization) {
  return std::make_shared<QuantizingStore>(std::move(store), quantization);
}

}  // namespace easel
