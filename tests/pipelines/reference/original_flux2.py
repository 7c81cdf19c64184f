"""FLUX.2 klein in files of its components with the names of the original code, as ComfyUI's folders have them."""
import re

import torch
from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file

from original_layout import original_vae

OUTSIDE = {"x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear",
           "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
           "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer"}
DOUBLE = {"attn.to_out.0": "img_attn.proj", "attn.to_add_out": "txt_attn.proj", "attn.norm_q": "img_attn.norm.query_norm",
          "attn.norm_k": "img_attn.norm.key_norm", "attn.norm_added_q": "txt_attn.norm.query_norm",
          "attn.norm_added_k": "txt_attn.norm.key_norm", "ff.linear_in": "img_mlp.0", "ff.linear_out": "img_mlp.2",
          "ff_context.linear_in": "txt_mlp.0", "ff_context.linear_out": "txt_mlp.2"}
SINGLE = {"attn.to_qkv_mlp_proj": "linear1", "attn.to_out": "linear2", "attn.norm_q": "norm.query_norm", "attn.norm_k": "norm.key_norm"}
FUSED = {"attn.to_q": ("img_attn.qkv", ("to_q", "to_k", "to_v")), "attn.add_q_proj": ("txt_attn.qkv", ("add_q_proj", "add_k_proj", "add_v_proj"))}


def in_double_block(state, block, layer):
    """The original name of a layer and its tensor; none for layers that are part of another."""
    if fused := FUSED.get(layer):
        return fused[0], torch.cat([state[f"transformer_blocks.{block}.attn.{part}.weight"] for part in fused[1]])
    return DOUBLE.get(layer), state[f"transformer_blocks.{block}.{layer}.weight"]


def original_transformer(state):
    out = {}
    for name, tensor in state.items():
        layer = name.removesuffix(".weight")
        if match := re.match(r"transformer_blocks\.(\d+)\.(.*)", layer):
            stack, (renamed, tensor) = f"double_blocks.{match[1]}.", in_double_block(state, *match.groups())
        elif match := re.match(r"single_transformer_blocks\.(\d+)\.(.*)", layer):
            stack, renamed = f"single_blocks.{match[1]}.", SINGLE[match[2]]
        elif layer == "norm_out.linear":  # scale, shift; the original has shift, scale
            stack, renamed, tensor = "", "final_layer.adaLN_modulation.1", torch.cat(tensor.chunk(2)[::-1])
        else:
            stack, renamed = "", OUTSIDE.get(layer) or layer.replace(".linear", ".lin")
        if renamed:
            out[f"{stack}{renamed}.{'scale' if '_norm' in renamed else 'weight'}"] = tensor.clone()
    return out


def original_flux2_vae(vae):
    state = {name: tensor for name, tensor in vae.state_dict().items() if not name.startswith("bn.")}
    out = {}
    for name, tensor in original_vae(state, vae.config, "").items():
        half = "decoder." if name.startswith("post_quant_conv.") else "encoder." if name.startswith("quant_conv.") else ""
        out[half + name] = tensor.contiguous().clone()
    return out | {f"bn.{name}": tensor.clone() for name, tensor in vae.bn.state_dict().items()}


def write_files(pipe, folder):
    folder.mkdir(parents=True)
    state = pipe.transformer.state_dict()
    denoiser = original_transformer(state)
    converted = convert_flux2_transformer_checkpoint_to_diffusers(dict(denoiser))
    assert converted.keys() == state.keys(), converted.keys() ^ state.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())
    text = {name: tensor.clone() for name, tensor in pipe.text_encoder.state_dict().items() if name != "lm_head.weight"}
    for name, tensors in {"klein": denoiser, "qwen": text, "vae": original_flux2_vae(pipe.vae)}.items():
        save_file(tensors, folder / f"{name}.safetensors")
