// Reading files that torch.save wrote: .bin weights, for conversion only, and textual inversions.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weights/format/mapped_file.h"
#include "weights/format/pickle.h"
#include "weights/loading/tensor_store.h"

namespace easel {

/// The state dict of a mapped file that torch.save wrote, as a zip archive or in the format before torch 1.6. No code
/// in the file is run: see read_pickle.
///
/// Thread-safe. Tensors may outlive the store: each keeps the file mapped.
class TorchCheckpoint : public TensorStore {
 public:
  /// Selects the tensors of a pickle: state_dict_of or textual_inversion_of.
  using TensorsOf = std::map<std::string, const PickledTensor*> (*)(const Pickle& pickle, const std::string& where);

  /// @throws Error(kNotFound)     the file cannot be opened
  /// @throws Error(kCorruptData)  the file contradicts itself; names the tensor or the storage
  /// @throws Error(kUnsupported)  it holds no state dict, names a function that no state dict needs, or is a tar file
  /// of
  ///                              2016
  explicit TorchCheckpoint(const std::string& path, TensorsOf tensors_of = &state_dict_of);

  std::vector<std::string> names() const override;
  const TensorInfo* find(const std::string& name) const override;
  /// A view of the mapping with the strides that the tensor was saved with.
  /// @throws Error(kNotFound, kCorruptData)  no such tensor; the file has changed
  at::Tensor read(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where() const override { return file_->path(); }
  std::vector<std::shared_ptr<const MappedFile>> mapped_files() const override { return {file_}; }
  std::optional<std::int64_t> global_step() const { return global_step_; }  ///< as global_step_of

 private:
  void read_zip();
  void read_legacy();
  void bind_tensors(const Pickle& pickle);
  void check_total_size() const;

  struct BoundTensor {
    PickledTensor tensor;
    std::span<const std::byte> bytes;  ///< from the first element of the tensor to its last
    TensorInfo info;
  };
  const BoundTensor& bound_tensor(const std::string& name) const;

  std::shared_ptr<const MappedFile> file_;
  TensorsOf tensors_of_;
  std::optional<std::int64_t> global_step_;
  std::map<std::string, std::span<const std::byte>> storages_;  ///< by key
  std::map<std::string, BoundTensor> bound_tensors_;
};

}  // namespace easel
