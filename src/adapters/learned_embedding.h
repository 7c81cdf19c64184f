// Textual inversion files (Gal et al. 2022, arXiv:2208.01618).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>

#include "weights/loading/tensor_store.h"

namespace easel {

/// The text encoder that a vector is for.
enum class EmbeddingTarget {
  kOnly,   ///< the only one, of Stable Diffusion 1 and 2
  kClipL,  ///< the first of SDXL
  kClipG,  ///< the second of SDXL
};

/// The vectors that one word stands for, copied from the file. Immutable; thread-safe.
///
/// Reads .safetensors files, and .pt and .bin files of torch.save without running any code in them. The file holds one
/// tensor of any name (diffusers, emb_params), one below string_to_param (AUTOMATIC1111's web UI), or clip_l and clip_g
/// (SDXL).
class LearnedEmbedding {
 public:
  /// @throws Error(kNotFound)                   the file cannot be opened
  /// @throws Error(kCorruptData, kUnsupported)  names the file and what is wrong with it
  explicit LearnedEmbedding(const std::string& path);
  /// @param file     names the file that the vectors are from
  /// @param tensors  as read_embedding() returns them: one of any name, or clip_l and clip_g
  LearnedEmbedding(std::string file, std::map<std::string, at::Tensor> tensors)
      : file_(std::move(file)), tensors_(std::move(tensors)) {}

  /// float32 [n, D] on the CPU, n from 1 to 1024: the tensor for this text encoder, or the only tensor of the file.
  /// @throws Error(kUnsupported)  the file holds several tensors, none for this text encoder; names the file
  const at::Tensor& vectors(EmbeddingTarget part) const;

  /// The file's name without its folder.
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, at::Tensor> tensors_;
};

/// The vectors of one tensor. A single vector may be stored with one or two dimensions.
/// @param file  names the file in messages
/// @return      float32 [n, D] on the CPU, n from 1 to 1024
/// @throws Error(kCorruptData, kUnsupported)  names the file and the tensor
at::Tensor read_embedding(const TensorStore& store, const std::string& name, const std::string& file);

}  // namespace easel
