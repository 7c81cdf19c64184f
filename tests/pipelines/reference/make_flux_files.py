"""FLUX.1 in files of its components with the names of the original code, as ComfyUI's folders have them.

Writes OUT/flux_dev (the folder), OUT/split (denoiser, text encoders and autoencoder, each in a file; whole.safetensors has all of them), and
checks the names with diffusers' own conversion. Usage: make_flux_files.py OUT
"""
import inspect
import pathlib
import re
import shutil
import sys

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.loaders import single_file_utils
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import make_flux  # noqa: E402
from original_layout import original_vae  # noqa: E402

OUTSIDE = {"x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear"}
EMBEDDERS = {"timestep": "time_in", "text": "vector_in", "guidance": "guidance_in"}
DOUBLE = {"norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "attn.to_out.0": "img_attn.proj", "attn.to_add_out": "txt_attn.proj",
          "attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm", "attn.norm_added_q": "txt_attn.norm.query_norm",
          "attn.norm_added_k": "txt_attn.norm.key_norm", "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2",
          "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2"}
SINGLE = {"norm.linear": "modulation.lin", "proj_out": "linear2", "attn.norm_q": "norm.query_norm", "attn.norm_k": "norm.key_norm"}
FUSED = {("double", "attn.to_q"): ("img_attn.qkv", ("attn.to_q", "attn.to_k", "attn.to_v")),
         ("double", "attn.add_q_proj"): ("txt_attn.qkv", ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")),
         ("single", "attn.to_q"): ("linear1", ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"))}


def in_block(state, stack, number, layer, kind):
    """The original name of a layer of a block and its tensor; none for layers that are part of another."""
    if fused := FUSED.get((stack, layer)):
        block = f"{'single_' if stack == 'single' else ''}transformer_blocks.{number}"
        return fused[0], torch.cat([state[f"{block}.{part}.{kind}"] for part in fused[1]])
    name = (DOUBLE if stack == "double" else SINGLE).get(layer)
    return name, None


def original_transformer(state):
    out = {}
    for name, tensor in state.items():
        layer, kind = name.rsplit(".", 1)
        if match := re.match(r"(single_)?transformer_blocks\.(\d+)\.(.*)", layer):
            stack = "single" if match[1] else "double"
            renamed, fused = in_block(state, stack, match[2], match[3], kind)
            if renamed:
                kind = "scale" if "_norm" in renamed else kind
                out[f"{stack}_blocks.{match[2]}.{renamed}.{kind}"] = tensor if fused is None else fused
        elif match := re.match(r"time_text_embed\.(\w+)_embedder\.linear_([12])", layer):
            out[f"{EMBEDDERS[match[1]]}.{'in' if match[2] == '1' else 'out'}_layer.{kind}"] = tensor
        elif layer == "norm_out.linear":  # scale, shift; the original has shift, scale
            out[f"final_layer.adaLN_modulation.1.{kind}"] = torch.cat(tensor.chunk(2)[::-1])
        else:
            out[f"{OUTSIDE[layer]}.{kind}"] = tensor
    return {name: tensor.clone() for name, tensor in out.items()}


def check_names(original, state):
    """diffusers' conversion, which knows the published width only, with that of this model."""
    source = inspect.getsource(single_file_utils.convert_flux_transformer_checkpoint_to_diffusers)
    assert "inner_dim = 3072" in source
    scope = dict(vars(single_file_utils))
    exec(source.replace("inner_dim = 3072", f"inner_dim = {make_flux.WIDTH}"), scope)
    converted = scope["convert_flux_transformer_checkpoint_to_diffusers"](dict(original))
    assert converted.keys() == state.keys(), converted.keys() ^ state.keys()
    assert all(torch.equal(converted[name], tensor) for name, tensor in state.items())


def main():
    out = make_flux.FOLDER
    shutil.rmtree(out, ignore_errors=True)
    (out / "split").mkdir(parents=True)
    torch.manual_seed(51)
    pipe = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
                        **make_flux.parts(out, torch.Generator().manual_seed(51), guidance_embeds=True))
    pipe.set_progress_bar_config(disable=True)
    make_flux.calibrate(pipe)
    pipe.save_pretrained(out / "flux_dev")
    state = pipe.transformer.state_dict()
    denoiser = original_transformer(state)
    check_names(denoiser, state)
    clip = {"text_model." + name: tensor for name, tensor in pipe.text_encoder.state_dict().items()}
    t5 = {name: tensor for name, tensor in pipe.text_encoder_2.state_dict().items() if name != "encoder.embed_tokens.weight"}
    vae = {name: tensor.contiguous() for name, tensor in original_vae(pipe.vae.state_dict(), pipe.vae.config, "").items()}
    for name, tensors in {"flux": denoiser, "clip_l": clip, "t5xxl": t5, "ae": vae}.items():
        save_file(tensors, out / "split" / f"{name}.safetensors")
    whole = {f"model.diffusion_model.{name}": tensor for name, tensor in denoiser.items()}
    whole |= {f"text_encoders.clip_l.transformer.{name}": tensor for name, tensor in clip.items()}
    whole |= {f"text_encoders.t5xxl.transformer.{name}": tensor for name, tensor in t5.items()}
    whole |= {f"vae.{name}": tensor for name, tensor in vae.items()}
    save_file(whole, out / "split" / "whole.safetensors")


main()
