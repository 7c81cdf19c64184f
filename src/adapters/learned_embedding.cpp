#include "adapters/learned_embedding.h"

#include <ATen/ops/isfinite.h>

#include <memory>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message.h"
#include "weights/stores/safetensors.h"
#include "weights/stores/torch_checkpoint.h"

namespace easel {
namespace {

constexpr std::int64_t kMostVectors = 1024;
constexpr std::int64_t kLargestWidth = 1 << 16;

std::unique_ptr<TensorStore> open(const std::string& path) {
  if (path.ends_with(".safetensors")) return std::make_unique<SafetensorsFile>(path);
  return std::make_unique<TorchCheckpoint>(path, &learned_vectors_of);
}

/// One vector may be stored as a row or by itself. @return [n, D]
at::Tensor read_vectors(const TensorStore& store, const std::string& name, const std::string& file) {
  const auto& info = *store.find(name);
  const auto& shape = info.shape;
  const std::int64_t count = shape.size() == 1 ? 1 : shape.empty() ? 0 : shape[0];
  const std::int64_t width = shape.empty() ? 0 : shape.back();
  const bool fits = shape.size() <= 2 && count >= 1 && count <= kMostVectors && width >= 1 && width <= kLargestWidth;
  if (!fits || !c10::isFloatingType(info.dtype)) {
    throw Error(ErrorCode::kUnsupported, concat(file, ": tensor ", name_text(name), " of shape ", shape_text(shape),
                                                " is no vector of a word, nor up to ", kMostVectors, " of them"));
  }
  const auto vectors = store.read(name).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).reshape({count, width});
  if (!at::isfinite(vectors).all().item<bool>()) {
    throw Error(ErrorCode::kCorruptData,
                concat(file, ": tensor ", name_text(name), " has numbers that are not finite"));
  }
  return vectors;
}

}  // namespace

LearnedEmbedding::LearnedEmbedding(const std::string& path) : file_(path.substr(path.rfind('/') + 1)) {
  const auto store = open(path);
  const auto names = store->names();
  if (names.empty()) throw Error(ErrorCode::kUnsupported, file_ + " holds no tensor");
  for (const auto& name : names) {
    const bool meant = names.size() == 1 || name == "clip_l" || name == "clip_g";
    if (meant) tensors_[name] = read_vectors(*store, name, file_);
  }
  if (tensors_.empty()) {
    throw Error(ErrorCode::kUnsupported,
                concat(file_, " holds ", names.size(), " tensors; a textual inversion has one, or clip_l and clip_g"));
  }
}

const at::Tensor& LearnedEmbedding::vectors(EmbeddingPart part) const {
  if (tensors_.size() == 1) return tensors_.begin()->second;
  if (part == EmbeddingPart::kOnly) {
    throw Error(ErrorCode::kUnsupported, file_ + " was made for a model with two text encoders, which this one is not");
  }
  return tensors_.at(part == EmbeddingPart::kClipL ? "clip_l" : "clip_g");
}

}  // namespace easel
