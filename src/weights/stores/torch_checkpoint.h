// Reading torch.save's files: .bin weights for conversion only, and textual inversions.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weights/format/mapped_file.h"
#include "weights/format/pickle.h"
#include "weights/loading/weights.h"

namespace easel {

/// The state dict of a file that torch.save wrote, zip or the format before 1.6, mapped. Nothing in it is run: see
/// read_pickle.
///
/// Thread-safe. Tensors outlive the store: each keeps the mapping alive.
class TorchCheckpoint : public TensorStore {
 public:
  /// Which tensors of a pickle are meant: state_dict_of or textual_inversion_of.
  using TensorsOf = std::map<std::string, const PickledTensor*> (*)(const Pickle& pickle, const std::string& where);

  /// @throws Error(kNotFound)     cannot be opened
  /// @throws Error(kCorruptData)  contradicts itself; names the tensor or the storage
  /// @throws Error(kUnsupported)  no state dict, names a function that no state dict needs, or the tar format of 2016
  explicit TorchCheckpoint(const std::string& path, TensorsOf tensors_of = &state_dict_of);

  std::vector<std::string> names() const override;
  const TensorInfo* find(const std::string& name) const override;
  /// A view on the mapping with the strides it was saved with.
  /// @throws Error(kNotFound, kCorruptData)  no such tensor; the file has shrunk
  at::Tensor read(const std::string& name) const override;
  void release(const std::string& name) const override;
  std::string where() const override { return file_->path(); }
  std::optional<std::int64_t> global_step() const { return global_step_; }  ///< as global_step_of

 private:
  void read_zip();
  void read_legacy();
  void bind_tensors(const Pickle& pickle);
  void check_total_size() const;

  struct BoundTensor {
    PickledTensor tensor;
    std::span<const std::byte> bytes;  ///< from its first element used to its last
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
