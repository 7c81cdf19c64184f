// Components in files of their own: denoisers, text encoders and autoencoders, as safetensors or GGUF.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/component.h"
#include "weights/loading/tensor_store.h"
#include "weights/stores/original_names.h"

namespace easel {

/// Opens a file of tensors by its extension: .safetensors with its scales applied, or .gguf.
/// @throws Error(kNotFound, kCorruptData, kUnsupported)  names the file and what is wrong with it
std::shared_ptr<const TensorStore> open_tensor_file(const std::string& path);

/// A component in a file, which may hold others as well. Immutable; thread-safe.
class ComponentFile {
 public:
  /// @param prefix      of the component's names; empty, or with a dot at the end
  /// @param class_name  as in model_index.json, e.g. "AutoencoderKL"
  /// @param vae         fields of an autoencoder's config.json that do not follow from its tensors
  /// @param ignored     patterns of tensors that may be left over; see is_ignored
  /// @throws Error(kCorruptData, kUnsupported)  the file does not hold a component of this class after the prefix
  ComponentFile(std::shared_ptr<const TensorStore> file, const std::string& prefix, const std::string& class_name,
                nlohmann::json vae, std::vector<std::string> ignored);

  /// Under the names of the model.
  /// @throws Error(kCorruptData)  the file has tensors after the prefix that no model of this class uses
  std::shared_ptr<const TensorStore> weights() const;
  /// config.json, as it follows from the tensors. @throws Error(kCorruptData, kUnsupported)
  nlohmann::json config() const;

 private:
  std::shared_ptr<const TensorStore> file_;
  std::string prefix_, class_name_;
  nlohmann::json vae_;
  std::vector<std::string> ignored_;
  bool has_original_vae_ = false;
  bool is_tiny_ = false;
};

/// Whether ComponentFile reads this class.
bool is_read_from_files(const std::string& class_name);

/// The prefix of the component of this class in a file: empty, or a prefix that files of several components have. None
/// if the file does not hold one.
std::optional<std::string> find_in_file(const NameSet& names, const std::string& class_name);

}  // namespace easel
