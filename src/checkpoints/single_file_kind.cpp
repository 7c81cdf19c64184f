#include "checkpoints/single_file_kind.h"

#include <algorithm>
#include <span>

#include "checkpoints/assembled.h"
#include "checkpoints/layouts/component_layout.h"
#include "checkpoints/single_file_configs.h"
#include "core/text.h"
#include "weights/stores/adapter_file.h"

namespace easel {
namespace {

struct KindPrefix {
  const char* prefix;  // of a tensor's name that only this kind has
  const char* kind;
};

/// Other families of models, from CHECKPOINT_KEY_NAMES of diffusers 0.42.1. The first match counts.
constexpr KindPrefix kFamilies[] = {{"joint_blocks.", "Stable Diffusion 3"},
                                    {"distilled_guidance_layer.", "Chroma"},
                                    {"double_blocks.0.img_attn.", "FLUX.1"},
                                    {"clip_txt_mapper.", "Stable Cascade"},
                                    {"down_blocks.1.0.channelwise.", "Stable Cascade"},
                                    {"encoder_hid_proj.", "Kandinsky"},
                                    {"add_embedding.image_", "Kandinsky"},
                                    {"double_layers.0.attn.", "AuraFlow"},
                                    {"t_block.", "PixArt"},
                                    {"blocks.0.cross_attn.q_linear.", "Sana"},
                                    {"cap_embedder.", "Lumina"},
                                    {"double_stream_blocks.", "HiDream"},
                                    {"txt_in.individual_token_refiner.", "HunyuanVideo"},
                                    {"txt_in.text_norm.", "Qwen-Image"},
                                    {"transformer_blocks.0.img_mod.", "Qwen-Image"},
                                    {"patchify_proj.", "LTX-Video"},
                                    {"vace_blocks.", "Wan"},
                                    {"head.modulation", "Wan"},
                                    {"blocks.0.attn.qkv_x.", "Mochi"},
                                    {"early_stream_modulations.", "FLUX.3"},
                                    {"ref_time_in.", "FLUX.3"},
                                    {"txtfusion.projector.", "Krea 2"},
                                    {"token_refiner.blocks.", "MiniMax-H3"},
                                    {"net.x_embedder.", "Cosmos"},
                                    {"down_blocks.0.motion_modules.", "AnimateDiff"}};
/// Models that are used along with others, which easel does not support.
constexpr KindPrefix kAuxiliaryModels[] = {{"control_model.", "ControlNet"},
                                           {"controlnet_cond_embedding.", "ControlNet"},
                                           {"input_hint_block.", "ControlNet"},
                                           {"decoder.layers.", "tiny autoencoder (TAESD)"}};

const char* kind_of(const NameSet& names, std::span<const KindPrefix> marks) {
  for (const auto& mark : marks) {
    for (const char* before : {"", kUNetPrefix}) {
      if (names.has_prefix(concat(before, mark.prefix))) return mark.kind;
    }
  }
  return nullptr;
}

}  // namespace

SingleFileKind find_single_file_kind(const NameSet& names) {
  using Use = SingleFileKind::Use;
  const auto unet = concat(kUNetPrefix, "input_blocks.");
  if (names.has_prefix(unet)) return {.use = Use::kCheckpoint, .what = {}};
  const auto other = [](const auto&... what) { return SingleFileKind{.use = Use::kOther, .what = concat(what...)}; };
  if (std::any_of(names.begin(), names.end(), is_adapter_tensor)) {
    return other("is an adapter (LoRA or the like), not a checkpoint; put it into the folder that --lora-dir names");
  }
  if (is_denoiser_file(names)) {
    return {.use = Use::kDenoiser,
            .what = "holds only the denoising model of its family; name the other components in a manifest"};
  }
  if (const char* family = kind_of(names, kFamilies)) {
    return other("is of ", family, "; easel supports Stable Diffusion 1, 2 and XL");
  }
  if (const char* kind = kind_of(names, kAuxiliaryModels)) return other("is a ", kind, ", which easel does not use");
  if (names.has("emb_params") || (names.has("clip_l") && names.has("clip_g"))) {
    return other("is a textual inversion, not a checkpoint; put it into the folder that --embeddings-dir names");
  }
  if (find_vae(names) || names.has_prefix("encoder.down_blocks.")) {
    return {
        .use = Use::kComponentOnly,
        .what =
            "holds an autoencoder and no model that generates images; pass it with --vae, or as `vae` in a manifest"};
  }
  const auto layouts = component_layouts();
  const bool is_encoder = std::ranges::any_of(layouts, [&](const auto& layout) { return layout.fits(names, ""); });
  if (is_encoder || find_text_encoder(names, "")) {
    return {.use = Use::kComponentOnly,
            .what = "holds a text encoder and no model that generates images; a checkpoint's manifest may name it"};
  }
  if (names.has_prefix("down_blocks.0.resnets.") && names.has("conv_in.weight")) {
    return other(
        "holds only a UNet, with diffusers' names; in a checkpoint folder it is "
        "unet/diffusion_pytorch_model.safetensors");
  }
  if (names.has_prefix("input_blocks.0.0.")) {
    return other("holds only a UNet, whose names lack `", kUNetPrefix, "`, so that it is not a checkpoint");
  }
  return other("is not a Stable Diffusion checkpoint in the original layout: it has no tensors `", unet, "..`");
}

}  // namespace easel
