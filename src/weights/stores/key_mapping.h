// One spelling for tensors whose names have changed over the years.
#pragma once

#include <memory>

#include "weights/loading/tensor_store.h"

namespace easel {

/// The attention layers of old diffusers models (mainly AutoencoderKL's mid block) under today's names, as diffusers'
/// _fix_state_dict_keys_on_load renames them: in any `...attentions.N`, query, key, value and proj_attn become to_q,
/// to_k, to_v and to_out.0. Weights of these layers that are stored as 1 x 1 convolutions, [C, C, 1, 1], become [C, C].
/// A store without old names is returned unchanged.
/// @throws Error(kCorruptData)  a tensor is stored under both names
std::shared_ptr<const TensorStore> with_attention_names(std::shared_ptr<const TensorStore> store);

/// CLIP text encoders under the names of SD 1.5's published files: "text_model.embeddings...", "text_model.encoder...",
/// "text_model.final_layer_norm...". transformers 5 saves CLIPTextModel without "text_model." and reads both.
/// @throws Error(kCorruptData)  a tensor is stored under both names
std::shared_ptr<const TensorStore> with_clip_text_names(std::shared_ptr<const TensorStore> store);

}  // namespace easel
