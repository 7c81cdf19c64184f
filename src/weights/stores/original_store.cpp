// A file of the original layout under diffusers' names.
#include <ATen/ops/cat.h>

#include <algorithm>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/stores/original_names.h"
#include "weights/stores/tensor_table.h"

namespace easel {
namespace {

using Form = OriginalTensor::Form;

[[noreturn]] void throw_shape_mismatch(const OriginalTensor& tensor, const TensorInfo& stored,
                                       const std::string& expected) {
  throw Error(ErrorCode::kCorruptData, concat("tensor ", quote_name(tensor.name), " is ", format_shape(stored.shape),
                                              " in ", stored.file, ", expected ", expected));
}

/// The shape of a stored tensor after its form is applied.
std::vector<std::int64_t> shape_in_form(const OriginalTensor& tensor, const TensorInfo& stored) {
  auto shape = stored.shape;
  switch (tensor.form) {
    case Form::kSame:
      break;
    case Form::kMatrix:
      while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
      break;
    case Form::kTransposed:
      if (shape.size() != 2) throw_shape_mismatch(tensor, stored, "a matrix");
      std::reverse(shape.begin(), shape.end());
      break;
    case Form::kQuery:
    case Form::kKey:
    case Form::kValue:
      if (shape.empty() || shape[0] % 3 != 0) throw_shape_mismatch(tensor, stored, "three equal parts");
      shape[0] /= 3;
      break;
    case Form::kRows:
      if (shape.empty() || shape[0] < tensor.first_row + tensor.rows) {
        throw_shape_mismatch(tensor, stored, concat(tensor.first_row + tensor.rows, " rows"));
      }
      shape[0] = tensor.rows;
      break;
    case Form::kSwapped:
      if (shape.empty() || shape[0] % 2 != 0) throw_shape_mismatch(tensor, stored, "two equal parts");
      break;
  }
  return shape;
}

at::Tensor first_half(const at::Tensor& rows) {
  return rows.narrow(0, 0, rows.size(0) / 2);
}
at::Tensor second_half(const at::Tensor& rows) {
  return rows.narrow(0, rows.size(0) / 2, rows.size(0) / 2);
}

/// Of the stored rows, for the forms that take some of them.
std::int64_t first_row(const OriginalTensor& tensor, const TensorInfo& info) {
  if (tensor.form == Form::kRows) return tensor.first_row;
  return tensor.form == Form::kQuery ? 0 : tensor.form == Form::kKey ? info.shape[0] : 2 * info.shape[0];
}

class OriginalStore : public TensorStore {
 public:
  OriginalStore(std::shared_ptr<const TensorStore> store, OriginalNames names)
      : store_(std::move(store)), names_(std::move(names)) {
    for (const auto& [name, original] : names_) {
      const auto* stored = store_->find(original.name);
      if (stored == nullptr) continue;
      auto info = *stored;
      info.shape = shape_in_form(original, *stored);
      tensors_.add(name, std::move(info));
    }
  }

  std::vector<std::string> names() const override { return tensors_.names(); }
  const TensorInfo* find(const std::string& name) const override { return tensors_.find(name); }
  at::Tensor read(const std::string& name) const override {
    const auto* info = find(name);
    if (info == nullptr) throw Error(ErrorCode::kNotFound, concat(where(), " has no tensor ", quote_name(name)));
    const auto& original = names_.at(name);
    auto stored = store_->read(original.name);
    switch (original.form) {
      case Form::kSame:
        return stored;
      case Form::kMatrix:
        return stored.view(info->shape);
      case Form::kTransposed:
        return stored.t().contiguous();
      case Form::kSwapped:
        return at::cat({second_half(stored), first_half(stored)});
      default:
        return stored.narrow(0, first_row(original, *info), info->shape[0]);
    }
  }
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override {
    const auto* info = find(name);
    if (info == nullptr || info->shape.size() != 2) return std::nullopt;
    const auto& original = names_.at(name);
    if (original.form == Form::kMatrix || original.form == Form::kTransposed) return std::nullopt;
    auto stored = store_->read_blocks(original.name);
    if (!stored || original.form == Form::kSame) return stored;
    if (original.form != Form::kSwapped) return stored->narrow(first_row(original, *info), info->shape[0]);
    stored->blocks = at::cat({second_half(stored->blocks), first_half(stored->blocks)});
    if (stored->scale.defined() && stored->scale.numel() > 1) {
      stored->scale = at::cat({second_half(stored->scale), first_half(stored->scale)});
    }
    return stored;
  }
  void release(const std::string& name) const override { store_->release(names_.at(name).name); }
  std::string where() const override { return store_->where(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return store_->mapped_files(); }
  std::string stored_name(const std::string& name) const override {
    const auto found = names_.find(name);
    return found == names_.end() ? name : found->second.name;
  }

 private:
  std::shared_ptr<const TensorStore> store_;
  OriginalNames names_;
  TensorTable tensors_;  // of the tensors that the file holds
};

}  // namespace

std::shared_ptr<const TensorStore> with_diffusers_names(std::shared_ptr<const TensorStore> store, OriginalNames names) {
  return std::make_shared<OriginalStore>(std::move(store), std::move(names));
}

}  // namespace easel
