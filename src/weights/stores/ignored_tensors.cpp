#include "weights/stores/ignored_tensors.h"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

#include "weights/stores/quantization.h"

namespace easel {
namespace {

class FilteredStore : public TensorStore {
 public:
  FilteredStore(std::shared_ptr<const TensorStore> store, std::vector<std::string> names)
      : store_(std::move(store)), names_(std::move(names)) {}

  std::vector<std::string> names() const override { return names_; }
  const TensorInfo* find(const std::string& name) const override { return store_->find(name); }
  at::Tensor read(const std::string& name) const override { return store_->read(name); }
  std::optional<QuantizedWeight> read_blocks(const std::string& name) const override {
    return store_->read_blocks(name);
  }
  void release(const std::string& name) const override { store_->release(name); }
  std::string where() const override { return store_->where(); }
  std::string stored_name(const std::string& name) const override { return store_->stored_name(name); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return store_->mapped_files(); }

 private:
  std::shared_ptr<const TensorStore> store_;
  std::vector<std::string> names_;
};

}  // namespace

bool is_ignored(const std::string& name, const std::vector<std::string>& patterns) {
  const auto matches = [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0; };
  return !changes_weights(name) && std::any_of(patterns.begin(), patterns.end(), matches);
}

std::shared_ptr<const TensorStore> without_ignored(std::shared_ptr<const TensorStore> store,
                                                   const std::vector<std::string>& patterns) {
  auto names = store->names();
  const auto removed =
      std::erase_if(names, [&](const auto& name) { return is_ignored(store->stored_name(name), patterns); });
  return removed == 0 ? store : std::make_shared<FilteredStore>(std::move(store), std::move(names));
}

}  // namespace easel
