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

SD3_ENDS = {"pos_embed.proj": "x_embedder.proj", "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
            "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2", "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
            "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2", "proj_out": "final_layer.linear"}
SD3_BLOCK = {"norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1",
             "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj", "attn2.to_out.0": "x_block.attn2.proj",
             "attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k", "attn.norm_added_q": "context_block.attn.ln_q",
             "attn.norm_added_k": "context_block.attn.ln_k", "attn2.norm_q": "x_block.attn2.ln_q", "attn2.norm_k": "x_block.attn2.ln_k",
             "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2", "ff_context.net.0.proj": "context_block.mlp.fc1",
             "ff_context.net.2": "context_block.mlp.fc2"}
SD3_FUSED = {"x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"), "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
             "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")}


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


def swapped(tensor):
    """(scale, shift) as (shift, scale)."""
    return torch.cat(tensor.chunk(2)[::-1])


def original_sd3(state, layers, prefix=UNET):
    """Stable Diffusion 3's transformer: queries, keys and values are fused; norms without gates have the shift first."""
    out = {"pos_embed": state["pos_embed.pos_embed"]}
    for end in ("weight", "bias"):
        out |= {f"{now}.{end}": state[f"{then}.{end}"] for then, now in {**SD3_ENDS, "context_embedder": "context_embedder"}.items()}
        out[f"final_layer.adaLN_modulation.1.{end}"] = swapped(state[f"norm_out.linear.{end}"])
    for i in range(layers):
        block = f"transformer_blocks.{i}."
        for name in [name for name in state if name.startswith(block)]:
            layer, end = split_end(name.removeprefix(block))
            if layer in SD3_BLOCK:
                without_gates = layer == "norm1_context.linear" and i == layers - 1
                out[f"joint_blocks.{i}.{SD3_BLOCK[layer]}.{end}"] = swapped(state[name]) if without_gates else state[name]
        for fused, parts in SD3_FUSED.items():
            for end in ("weight", "bias"):
                if f"{block}{parts[0]}.{end}" in state:
                    out[f"joint_blocks.{i}.{fused}.{end}"] = torch.cat([state[f"{block}{part}.{end}"] for part in parts])
    return {prefix + name: tensor.contiguous() for name, tensor in out.items()}
