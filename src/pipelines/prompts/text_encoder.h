// A text encoder that may leave memory between prompts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "models/clip_text_model.h"
#include "tensor/free_memory.h"

namespace easel {

/// Called as the CLIPTextModel is. Not thread-safe.
class TextEncoder {
 public:
  /// @param reload  builds the same model again, with the same layer table. With it, the model leaves after each call
  /// and is built for the next
  TextEncoder(CLIPTextModel model, std::function<CLIPTextModel()> reload = {})
      : config_(model.config()), layer_table_(model.layer_table()), reload_(std::move(reload)) {
    if (!reload_) model_ = std::move(model);
  }

  const CLIPTextConfig& config() const { return config_; }
  const std::shared_ptr<LayerTable>& layer_table() const { return layer_table_; }
  bool in_memory() const { return model_.has_value(); }

  /// @throws Error  as CLIPTextModel; as loading does
  CLIPTextOutput operator()(const at::Tensor& input_ids, std::int64_t clip_skip, const RunContext& ctx,
                            const TokenEmbeddingOverrides& learned = {}) const {
    if (model_) return (*model_)(input_ids, clip_skip, ctx, learned);
    auto output = reload_()(input_ids, clip_skip, ctx, learned);
    release_cached_host_memory();
    return output;
  }

 private:
  CLIPTextConfig config_;
  std::shared_ptr<LayerTable> layer_table_;
  std::optional<CLIPTextModel> model_;
  std::function<CLIPTextModel()> reload_;
};

}  // namespace easel
