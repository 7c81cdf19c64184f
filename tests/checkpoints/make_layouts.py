"""Denoisers in the names of their original code, and what diffusers' converters make of them. The tensors are random and narrow:
only names and rows matter. Usage: make_layouts.py FOLDER
"""
import pathlib
import shutil
import sys

import torch
from diffusers.loaders.single_file_utils import (convert_flux2_transformer_checkpoint_to_diffusers,
                                                 convert_flux_transformer_checkpoint_to_diffusers,
                                                 convert_sd3_transformer_checkpoint_to_diffusers,
                                                 convert_z_image_transformer_checkpoint_to_diffusers)
from safetensors.torch import save_file

FOLDER = pathlib.Path(sys.argv[1])
FLUX_DIM = 3072  # the converter knows no other width


class Layers:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.tensors = {}

    def tensor(self, name, *shape):
        self.tensors[name] = torch.randn(shape, generator=self.generator).to(torch.float16)

    def linear(self, name, rows=6, columns=4, bias=True):
        self.tensor(f"{name}.weight", rows, columns)
        if bias:
            self.tensor(f"{name}.bias", rows)


def flux(guidance):
    layers = Layers(1)
    for name in ("img_in", "txt_in", "time_in.in_layer", "time_in.out_layer", "vector_in.in_layer", "vector_in.out_layer",
                 "final_layer.linear", "final_layer.adaLN_modulation.1", *(["guidance_in.in_layer", "guidance_in.out_layer"] if guidance else [])):
        layers.linear(name)
    for i in range(2):
        for side in ("img", "txt"):
            block = f"double_blocks.{i}.{side}"
            for name in ("mod.lin", "attn.qkv", "attn.proj", "mlp.0", "mlp.2"):
                layers.linear(f"{block}_{name}")
            layers.tensor(f"{block}_attn.norm.query_norm.scale", 4)
            layers.tensor(f"{block}_attn.norm.key_norm.scale", 4)
        single = f"single_blocks.{i}"
        layers.linear(f"{single}.modulation.lin")
        layers.linear(f"{single}.linear1", 7 * FLUX_DIM, 2)
        layers.linear(f"{single}.linear2", FLUX_DIM, 2)
        layers.tensor(f"{single}.norm.query_norm.scale", 4)
        layers.tensor(f"{single}.norm.key_norm.scale", 4)
    return layers.tensors


def flux2():
    layers = Layers(2)
    for name in ("img_in", "txt_in", "time_in.in_layer", "time_in.out_layer", "double_stream_modulation_img.lin",
                 "double_stream_modulation_txt.lin", "single_stream_modulation.lin", "final_layer.linear", "final_layer.adaLN_modulation.1"):
        layers.linear(name, bias=False)
    for i in range(2):
        for side in ("img", "txt"):
            for name in ("attn.qkv", "attn.proj", "mlp.0", "mlp.2"):
                layers.linear(f"double_blocks.{i}.{side}_{name}", bias=False)
            layers.tensor(f"double_blocks.{i}.{side}_attn.norm.query_norm.scale", 4)
            layers.tensor(f"double_blocks.{i}.{side}_attn.norm.key_norm.scale", 4)
        layers.linear(f"single_blocks.{i}.linear1", bias=False)
        layers.linear(f"single_blocks.{i}.linear2", bias=False)
        layers.tensor(f"single_blocks.{i}.norm.query_norm.scale", 4)
        layers.tensor(f"single_blocks.{i}.norm.key_norm.scale", 4)
    return layers.tensors


def sd3(blocks, qk_norm, dual):
    layers = Layers(3)
    layers.tensor("pos_embed", 1, 16, 4)
    layers.tensor("x_embedder.proj.weight", 6, 4, 2, 2)
    layers.tensor("x_embedder.proj.bias", 6)
    for name in ("t_embedder.mlp.0", "t_embedder.mlp.2", "y_embedder.mlp.0", "y_embedder.mlp.2", "context_embedder", "final_layer.linear",
                 "final_layer.adaLN_modulation.1"):
        layers.linear(name)
    for i in range(blocks):
        last = i == blocks - 1
        for side in ("x_block", "context_block"):
            block = f"joint_blocks.{i}.{side}"
            layers.linear(f"{block}.attn.qkv")
            layers.linear(f"{block}.adaLN_modulation.1")
            if not (last and side == "context_block"):
                for name in ("attn.proj", "mlp.fc1", "mlp.fc2"):
                    layers.linear(f"{block}.{name}")
            if qk_norm:
                layers.tensor(f"{block}.attn.ln_q.weight", 4)
                layers.tensor(f"{block}.attn.ln_k.weight", 4)
        if i in dual:
            layers.linear(f"joint_blocks.{i}.x_block.attn2.qkv")
            layers.linear(f"joint_blocks.{i}.x_block.attn2.proj")
            layers.tensor(f"joint_blocks.{i}.x_block.attn2.ln_q.weight", 4)
            layers.tensor(f"joint_blocks.{i}.x_block.attn2.ln_k.weight", 4)
    return layers.tensors


def z_image():
    layers = Layers(4)
    for name in ("x_embedder", "final_layer.linear", "final_layer.adaLN_modulation.1", "t_embedder.mlp.0", "t_embedder.mlp.2", "cap_embedder.1"):
        layers.linear(name)
    for name in ("cap_embedder.0.weight", "x_pad_token", "cap_pad_token", "norm_final.weight"):
        layers.tensor(name, 4)
    for block in ("layers.0", "layers.1", "noise_refiner.0", "context_refiner.0"):
        for name in ("attention.qkv", "attention.out", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"):
            layers.linear(f"{block}.{name}", bias=False)
        for name in ("attention.q_norm", "attention.k_norm", "attention_norm1", "attention_norm2", "ffn_norm1", "ffn_norm2"):
            layers.tensor(f"{block}.{name}.weight", 4)
        layers.linear(f"{block}.adaLN_modulation.0")
    return layers.tensors


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    cases = {"flux_dev": (flux(True), convert_flux_transformer_checkpoint_to_diffusers),
             "flux_schnell": (flux(False), convert_flux_transformer_checkpoint_to_diffusers),
             "flux2": (flux2(), convert_flux2_transformer_checkpoint_to_diffusers),
             "sd3": (sd3(3, False, []), convert_sd3_transformer_checkpoint_to_diffusers),
             "sd35": (sd3(4, True, [0, 1]), convert_sd3_transformer_checkpoint_to_diffusers),
             "z_image": (z_image(), convert_z_image_transformer_checkpoint_to_diffusers)}
    for name, (original, convert) in cases.items():
        save_file(original, FOLDER / f"{name}.safetensors")
        converted = {key: tensor.contiguous() for key, tensor in convert(dict(original)).items()}
        save_file({key: tensor.clone() for key, tensor in converted.items()}, FOLDER / f"{name}.diffusers.safetensors")


main()
