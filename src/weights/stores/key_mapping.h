// One spelling for tensors whose names have changed over the years.
#pragma once

#include <memory>

#include "weights/loading/weights.h"

namespace easel {

/// The attention of old diffusers models (AutoencoderKL's mid block above all) under today's names, as diffusers'
/// _fix_state_dict_keys_on_load has it: in any `...attentions.N`, query, key, value and proj_attn become to_q, to_k,
/// to_v and to_out.0. Weights of these layers that are stored as 1 x 1 convolutions, [C, C, 1, 1], become [C, C].
/// Stores without old names are given back as they are.
/// @throws Error(kCorruptData)  a tensor is there under both names
std::shared_ptr<const TensorStore> with_attention_names(std::shared_ptr<const TensorStore> store);

/// CLIP text encoders under the names of SD 1.5's published files: "text_model.embeddings...", "text_model.encoder...",
/// "text_model.final_layer_norm...". transformers 5 saves CLIPTextModel without "text_model." and reads both.
/// @throws Error(kCorruptData)  a tensor is there under both names
std::shared_ptr<const TensorStore> with_clip_text_names(std::shared_ptr<const TensorStore> store);

}  // namespace easel
