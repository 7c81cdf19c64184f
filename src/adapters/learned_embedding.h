// Files of textual inversion (Gal et al. 2022, arXiv:2208.01618).
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace easel {

/// Which of a model's text encoders a vector is for.
enum class EmbeddingTarget {
  kOnly,   ///< of Stable Diffusion 1 and 2
  kClipL,  ///< the first of SDXL
  kClipG,  ///< the second of SDXL
};

/// The vectors that one word stands for, in memory of their own: the file may change or go. Immutable, thread-safe.
///
/// Reads .safetensors, and .pt and .bin of torch.save, of which nothing is run: one tensor under any name (diffusers,
/// emb_params), that under string_to_param (AUTOMATIC1111's web UI), or clip_l and clip_g (SDXL).
class LearnedEmbedding {
 public:
  /// @throws Error(kNotFound)                   cannot be opened
  /// @throws Error(kCorruptData, kUnsupported)  names the file and what is wrong with it
  explicit LearnedEmbedding(const std::string& path);

  /// float [n, D], n from 1 to 1024: what was stored for this part, or the only tensor of the file; on the CPU.
  /// @throws Error(kUnsupported)  the file holds several tensors, none for this part; names it
  const at::Tensor& vectors(EmbeddingTarget part) const;

  /// Without its folder.
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, at::Tensor> tensors_;
};

}  // namespace easel
