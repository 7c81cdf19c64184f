"""Stable Diffusion 3.5 in one file with the names of its own code, and in split files. Writes OUT/sd35 (the folder),
OUT/split/whole.safetensors (with CLIP's encoders and the autoencoder), transformer.safetensors, and the encoders and the autoencoder
in files. Usage: make_sd3_files.py OUT
"""
import re
import shutil
import sys

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

sys.dont_write_bytecode = True
import make_sd3  # noqa: E402
from original_layout import original_vae, with_text_model  # noqa: E402

LAYERS = {"attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k", "attn.norm_added_q": "context_block.attn.ln_q",
          "attn.norm_added_k": "context_block.attn.ln_k", "attn2.norm_q": "x_block.attn2.ln_q", "attn2.norm_k": "x_block.attn2.ln_k",
          "attn.to_out.0": "x_block.attn.proj", "attn2.to_out.0": "x_block.attn2.proj", "attn.to_add_out": "context_block.attn.proj",
          "norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1",
          "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2", "ff_context.net.0.proj": "context_block.mlp.fc1",
          "ff_context.net.2": "context_block.mlp.fc2"}
ENDS = {"pos_embed.proj": "x_embedder.proj", "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2", "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2", "context_embedder": "context_embedder", "proj_out": "final_layer.linear",
        "norm_out.linear": "final_layer.adaLN_modulation.1"}
FUSED = {"attn.to_q": ("x_block.attn", "attn.to_k", "attn.to_v"), "attn2.to_q": ("x_block.attn2", "attn2.to_k", "attn2.to_v"),
         "attn.add_q_proj": ("context_block.attn", "attn.add_k_proj", "attn.add_v_proj")}


def swapped(tensor):
    return torch.cat(tensor.chunk(2)[::-1])


def original_transformer(state, blocks):
    out = {}
    for name, tensor in state.items():
        if name == "pos_embed.pos_embed":
            out["pos_embed"] = tensor
            continue
        layer, kind = name.rsplit(".", 1)
        match = re.match(r"transformer_blocks\.(\d+)\.(.*)", layer)
        if match is None:
            out[f"{ENDS[layer]}.{kind}"] = swapped(tensor) if layer == "norm_out.linear" else tensor
            continue
        block, layer = match[1], match[2]
        if layer in FUSED:
            target, *others = FUSED[layer]
            parts = [tensor, *(state[f"transformer_blocks.{block}.{other}.{kind}"] for other in others)]
            out[f"joint_blocks.{block}.{target}.qkv.{kind}"] = torch.cat(parts)
        elif layer in LAYERS:
            is_last_text = layer == "norm1_context.linear" and int(block) == blocks - 1
            out[f"joint_blocks.{block}.{LAYERS[layer]}.{kind}"] = swapped(tensor) if is_last_text else tensor
    return out


def main():
    out = make_sd3.FOLDER
    shutil.rmtree(out, ignore_errors=True)
    split = out / "split"
    split.mkdir(parents=True)
    generator = torch.Generator().manual_seed(41)
    torch.manual_seed(41)
    pipe = make_sd3.make_checkpoint(out, "sd35", generator, FlowMatchEulerDiscreteScheduler(shift=3.0), make_sd3.t5(out, generator),
                                    qk_norm="rms_norm", dual_attention_layers=(0, 1))
    transformer = original_transformer(pipe.transformer.state_dict(), pipe.transformer.config.num_layers)
    vae = {name: tensor.contiguous() for name, tensor in original_vae(pipe.vae.state_dict(), pipe.vae.config, "").items()}
    clips = {"clip_l": with_text_model(pipe.text_encoder.state_dict()), "clip_g": with_text_model(pipe.text_encoder_2.state_dict())}
    t5 = {name: tensor for name, tensor in pipe.text_encoder_3.state_dict().items() if name != "encoder.embed_tokens.weight"}
    whole = {"model.diffusion_model." + name: tensor for name, tensor in transformer.items()}
    whole |= {"first_stage_model." + name: tensor for name, tensor in vae.items()}
    for role, state in clips.items():
        whole |= {f"text_encoders.{role}.transformer.{name}": tensor for name, tensor in state.items()}
        save_file(state, split / f"{role}.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in whole.items()}, split / "whole.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in transformer.items()}, split / "transformer.safetensors")
    save_file(vae, split / "vae.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in t5.items()}, split / "t5xxl.safetensors")


main()
