#include "weights/stores/key_mapping.h"

#include <functional>
#include <map>
#include <string_view>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"

namespace easel {
namespace {

/// Another store's tensors under other names, some of them without trailing dimensions of 1.
class RenamedStore : public TensorStore {
 public:
  struct SourceTensor {
    std::string source;
    TensorInfo info;
  };
  RenamedStore(std::shared_ptr<const TensorStore> store, std::map<std::string, SourceTensor> source_tensors)
      : store_(std::move(store)), source_tensors_(std::move(source_tensors)) {}

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, source_tensor] : source_tensors_) names.push_back(name);
    return names;
  }
  const TensorInfo* find(const std::string& name) const override {
    const auto found = source_tensors_.find(name);
    return found == source_tensors_.end() ? nullptr : &found->second.info;
  }
  at::Tensor read(const std::string& name) const override {
    const auto& found = source_tensor(name);
    return store_->read(found.source).view(found.info.shape);
  }
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override {
    const auto& found = source_tensor(name);
    if (found.info.shape != store_->find(found.source)->shape) return std::nullopt;
    return store_->read_blocks(found.source);
  }
  void release(const std::string& name) const override { store_->release(source_tensor(name).source); }
  std::string where() const override { return store_->where(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return store_->mapped_files(); }

 private:
  const SourceTensor& source_tensor(const std::string& name) const {
    const auto found = source_tensors_.find(name);
    if (found == source_tensors_.end())
      throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
    return found->second;
  }
  std::shared_ptr<const TensorStore> store_;
  std::map<std::string, SourceTensor> source_tensors_;
};

/// The store with each name passed through `rename`, and the shape of each tensor through `reshape`, which gets the new
/// name. Returns the store itself if nothing changes.
std::shared_ptr<const TensorStore> renamed(
    std::shared_ptr<const TensorStore> store, const std::function<std::string(const std::string&)>& rename,
    const std::function<void(const std::string&, std::vector<std::int64_t>&)>& reshape) {
  std::map<std::string, RenamedStore::SourceTensor> source_tensors;
  bool changed = false;
  for (const auto& source : store->names()) {
    const auto& stored = *store->find(source);
    const std::string name = rename(source);
    RenamedStore::SourceTensor source_tensor{source, stored};
    reshape(name, source_tensor.info.shape);
    changed = changed || name != source || source_tensor.info.shape != stored.shape;
    const auto [other, is_new] = source_tensors.emplace(name, std::move(source_tensor));
    if (!is_new) {
      throw Error(ErrorCode::kCorruptData,
                  concat(store->where(), ": ", quote_name(other->second.source), " and ", quote_name(source),
                         " are the same tensor under an old and a new name"));
    }
  }
  if (!changed) return store;
  return std::make_shared<RenamedStore>(std::move(store), std::move(source_tensors));
}

/// The part of a tensor's name after "...attentions.N."; empty if the name has no such part.
std::string_view after_attention_block(std::string_view name) {
  constexpr std::string_view kBlocks = "attentions.";
  const std::size_t begin = name.rfind(kBlocks);
  if (begin == std::string_view::npos || (begin > 0 && name[begin - 1] != '.')) return {};
  const std::size_t number = begin + kBlocks.size();
  const std::size_t end = name.find_first_not_of("0123456789", number);
  if (end == std::string_view::npos || end == number || name[end] != '.') return {};
  return name.substr(end + 1);
}

struct Spelling {
  std::string_view before, now;
};
constexpr Spelling kAttentionLayers[] = {
    {"query.", "to_q."}, {"key.", "to_k."}, {"value.", "to_v."}, {"proj_attn.", "to_out.0."}};

std::string attention_name(const std::string& name) {
  const std::string_view rest = after_attention_block(name);
  for (const auto& layer : kAttentionLayers) {
    if (!rest.starts_with(layer.before)) continue;
    return concat(name.substr(0, name.size() - rest.size()), layer.now, rest.substr(layer.before.size()));
  }
  return name;
}

bool is_attention_weight(const std::string& name) {
  const std::string_view rest = after_attention_block(name);
  for (const auto& layer : kAttentionLayers) {
    if (rest == concat(layer.now, "weight")) return true;
  }
  return false;
}

}  // namespace

std::shared_ptr<const TensorStore> with_attention_names(std::shared_ptr<const TensorStore> store) {
  return renamed(std::move(store), attention_name, [](const std::string& name, std::vector<std::int64_t>& shape) {
    if (shape.size() == 4 && shape[2] == 1 && shape[3] == 1 && is_attention_weight(name)) shape.resize(2);
  });
}

std::shared_ptr<const TensorStore> with_clip_text_names(std::shared_ptr<const TensorStore> store) {
  const auto rename = [](const std::string& name) {
    for (const char* stage : {"embeddings.", "encoder.", "final_layer_norm."}) {
      if (name.starts_with(stage)) return "text_model." + name;
    }
    return name;
  };
  return renamed(std::move(store), rename, [](const std::string&, std::vector<std::int64_t>&) {});
}

}  // namespace easel
