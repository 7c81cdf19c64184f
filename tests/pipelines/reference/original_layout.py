"""State dicts of diffusers' models under the names that Stable Diffusion's own code gives them: what from_single_file undoes.

Written from the original modules' structure, block by block, and not from easel's tables, which it is there to test.
"""
import re

import torch

UNET, VAE = "model.diffusion_model.", "first_stage_model."
RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1",
          "conv_shortcut": "skip_connection"}
UNET_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
             "add_embedding.linear_2": "label_emb.0.2", "class_embedding": "label_emb", "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
CLIP_LAYER = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def split_end(name):
    """A layer's name, and "weight" or "bias"."""
    layer, _, end = name.rpartition(".")
    return layer, end


def renamed_layer(rest, table):
    layer, end = split_end(rest)
    return f"{table[layer]}.{end}" if layer in table else rest


def unet_name(name, config):
    layers, attentive = config["layers_per_block"], [kind.startswith("CrossAttn") for kind in config["up_block_types"]]
    if match := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name):
        side, block, part, i, rest = match.groups()
        block, i = int(block), int(i)
        first = block * (layers + 1) + (1 if side == "down" else 0)
        place = f"{'input' if side == 'down' else 'output'}_blocks"
        if part == "resnets":
            return f"{place}.{first + i}.0.{renamed_layer(rest, RESNET)}"
        if part == "attentions":
            return f"{place}.{first + i}.1.{rest}"
        end = rest.removeprefix("conv.")
        if part == "downsamplers":
            return f"{place}.{first + layers}.0.op.{end}"
        return f"{place}.{first + layers}.{2 if attentive[block] else 1}.conv.{end}"
    if match := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", name):
        part, i, rest = match.groups()
        return f"middle_block.1.{rest}" if part == "attentions" else f"middle_block.{2 * int(i)}.{renamed_layer(rest, RESNET)}"
    return renamed_layer(name, UNET_ENDS)


def vae_name(name, levels):
    shortcut = lambda text: text.replace("conv_shortcut", "nin_shortcut")
    if match := re.match(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)", name):
        half, side, block, part, i, rest = match.groups()
        level = int(block) if side == "down" else levels - 1 - int(block)
        return f"{half}.{side}.{level}.block.{i}.{shortcut(rest)}" if part == "resnets" else f"{half}.{side}.{level}.{part[:-2]}.{rest}".replace(
            "downsampl.", "downsample.").replace("upsampl.", "upsample.")
    if match := re.match(r"(encoder|decoder)\.mid_block\.resnets\.(\d)\.(.+)", name):
        return f"{match[1]}.mid.block_{int(match[2]) + 1}.{shortcut(match[3])}"
    if match := re.match(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)", name):
        return f"{match[1]}.mid.attn_1.{renamed_layer(match[2], VAE_ATTENTION)}"
    return name.replace("conv_norm_out", "norm_out")


def original_unet(state, config):
    return {UNET + unet_name(name, config): tensor for name, tensor in state.items()}


def original_vae(state, config, prefix=VAE):
    out = {}
    for name, tensor in state.items():
        is_projection = re.search(r"attentions\.0\.to_.*weight", name)
        out[prefix + vae_name(name, len(config["block_out_channels"]))] = tensor[:, :, None, None] if is_projection else tensor
    return out


def with_text_model(state):
    """transformers 5 saves CLIPTextModel without the module's old name."""
    return {name if name.startswith(("text_model.", "text_projection")) else "text_model." + name: t for name, t in state.items()}


def original_clip(state, prefix):
    return {f"{prefix}transformer.{name}": tensor for name, tensor in with_text_model(state).items()}


def original_open_clip(state, prefix):
    state = {name.removeprefix("text_model."): tensor for name, tensor in with_text_model(state).items()}
    out = {"positional_embedding": state.pop("embeddings.position_embedding.weight"),
           "token_embedding.weight": state.pop("embeddings.token_embedding.weight")}
    if "text_projection.weight" in state:
        out["text_projection"] = state.pop("text_projection.weight").T.contiguous()
    for name, tensor in state.items():
        if not (match := re.match(r"encoder\.layers\.(\d+)\.(.+)", name)):
            out[name.replace("final_layer_norm", "ln_final")] = tensor
            continue
        block, rest = f"transformer.resblocks.{match[1]}.", match[2]
        if rest.startswith("self_attn.q_proj"):
            end = split_end(rest)[1]
            fused = [state[f"encoder.layers.{match[1]}.self_attn.{x}_proj.{end}"] for x in "qkv"]
            out[f"{block}attn.in_proj_{end}"] = torch.cat(fused)
        elif not re.match(r"self_attn\.[kv]_proj", rest):
            out[block + renamed_layer(rest, CLIP_LAYER)] = tensor
    return {f"{prefix}model.{name}": tensor for name, tensor in out.items()}
