#include "adapters/learned_embedding.h"

#include <ATen/ops/isfinite.h>

#include <memory>
#include <vector>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/message_format.h"
#include "weights/stores/safetensors.h"
#include "weights/stores/torch_checkpoint.h"

namespace easel {
namespace {

constexpr std::int64_t kMaxVectors = 1024;
constexpr std::int64_t kMaxWidth = 1 << 16;

std::unique_ptr<TensorStore> open(const std::string& path) {
  if (path.ends_with(".safetensors")) return std::make_unique<SafetensorsFile>(path);
  return std::make_unique<TorchCheckpoint>(path, &textual_inversion_of);
}

}  // namespace

at::Tensor read_embedding(const TensorStore& store, const std::string& name, const std::string& file) {
  const auto& info = *store.find(name);
  const auto& shape = info.shape;
  const std::int64_t count = shape.size() == 1 ? 1 : shape.empty() ? 0 : shape[0];
  const std::int64_t width = shape.empty() ? 0 : shape.back();
  const bool fits = shape.size() <= 2 && count >= 1 && count <= kMaxVectors && width >= 1 && width <= kMaxWidth;
  if (!fits || !c10::isFloatingType(info.dtype)) {
    throw Error(ErrorCode::kUnsupported, concat(file, ": tensor ", quote_name(name), " of shape ", format_shape(shape),
                                                " must be one embedding vector or a list of at most ", kMaxVectors));
  }
  const auto vectors = store.read(name).to(at::kFloat, /*non_blocking=*/false, /*copy=*/true).reshape({count, width});
  if (!at::isfinite(vectors).all().item<bool>()) {
    throw Error(ErrorCode::kCorruptData,
                concat(file, ": tensor ", quote_name(name), " holds numbers that are not finite"));
  }
  return vectors;
}

LearnedEmbedding::LearnedEmbedding(const std::string& path) : file_(path.substr(path.rfind('/') + 1)) {
  const auto store = open(path);
  const auto names = store->names();
  if (names.empty()) throw Error(ErrorCode::kUnsupported, file_ + " does not hold any tensors");
  for (const auto& name : names) {
    const bool meant = names.size() == 1 || name == "clip_l" || name == "clip_g";
    if (meant) tensors_[name] = read_embedding(*store, name, file_);
  }
  if (tensors_.empty()) {
    throw Error(ErrorCode::kUnsupported,
                concat(file_, " holds ", names.size(), " tensors; a textual inversion has one, or clip_l and clip_g"));
  }
}

const at::Tensor& LearnedEmbedding::vectors(EmbeddingTarget part) const {
  if (tensors_.size() == 1) return tensors_.begin()->second;
  if (part == EmbeddingTarget::kOnly) {
    throw Error(ErrorCode::kUnsupported, file_ + " was made for a model with two text encoders, which this one is not");
  }
  return tensors_.at(part == EmbeddingTarget::kClipL ? "clip_l" : "clip_g");
}

}  // namespace easel
