"""Z-Image in files of its components: GGUF, and split files with the names of the original code.

Writes OUT/z_image (the folder), OUT/split (denoiser, autoencoder and text encoder, each in files), and for each case what
diffusers draws with the folder or with the quantised denoiser. Usage: make_quantized.py OUT
"""
import json
import pathlib
import re
import sys

import gguf
import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, GGUFQuantizationConfig, ZImagePipeline, ZImageTransformer2DModel
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import make_z_image  # noqa: E402
from original_layout import original_vae  # noqa: E402

TYPES = gguf.GGMLQuantizationType
CASES = [dict(name="text", prompt="a fox on a blue background", seed=7, steps=4, guidance_scale=3.0, width=128, height=128),
         dict(name="wide", prompt="", negative_prompt="a cat", seed=3, steps=3, guidance_scale=2.0, width=144, height=80)]
LLAMA = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "input_layernorm": "attn_norm",
         "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def original_transformer(state):
    """The names of Z-Image's own code; query, key and value are one tensor there."""
    out = {}
    for name, tensor in state.items():
        name = name.replace("all_x_embedder.2-1", "x_embedder").replace("all_final_layer.2-1", "final_layer")
        name = name.replace("attention.to_out.0", "attention.out").replace("norm_q", "q_norm").replace("norm_k", "k_norm")
        if match := re.match(r"(.*attention\.)to_q(\..*)", name):
            parts = [state[f"{match[1]}to_{part}{match[2]}"] for part in "qkv"]
            out[f"{match[1]}qkv{match[2]}"] = torch.cat(parts)
        elif not re.search(r"attention\.to_[kv]\.", name):
            out[name] = tensor
    out["norm_final.weight"] = torch.ones(state["x_pad_token"].shape[1])  # in published files; no model uses it
    return out


def llama_text_encoder(state):
    out = {}
    for name, tensor in state.items():
        name = name.removeprefix("model.").replace("embed_tokens", "token_embd").replace("layers.", "blk.")
        name = "output_norm.weight" if name == "norm.weight" else name
        for before, after in LLAMA.items():
            name = name.replace(before, after)
        out[name] = tensor
    return out


def in_block(name, tensor):
    """The rule of `--quantize`: matrices of the numbered blocks, with rows of whole blocks."""
    return (tensor.ndim == 2 and name.endswith(".weight") and re.search(r"(^|\.)\d+\.", name) and "embed" not in name
            and tensor.shape[1] % 32 == 0)


def write_gguf(path, architecture, state, quantized=lambda name, tensor: False):
    writer = gguf.GGUFWriter(path, architecture)
    for name, tensor in state.items():
        values = np.ascontiguousarray(tensor.float().numpy())
        if quantized(name, tensor):
            writer.add_tensor(name, gguf.quants.quantize(values, TYPES.Q8_0), raw_dtype=TYPES.Q8_0)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_split(out, pipe):
    split = out / "split"
    split.mkdir()
    denoiser = original_transformer(pipe.transformer.state_dict())
    text = load_file(out / "z_image" / "text_encoder" / "model.safetensors")
    text = {"model." + name.removeprefix("model."): tensor for name, tensor in text.items()}
    save_file(denoiser, split / "denoiser.safetensors")
    save_file({"model.diffusion_model." + name: tensor for name, tensor in denoiser.items()}, split / "prefixed.safetensors")
    save_file({name: t.contiguous() for name, t in original_vae(pipe.vae.state_dict(), pipe.vae.config, "").items()}, split / "ae.safetensors")
    save_file(text, split / "qwen.safetensors")
    write_gguf(split / "denoiser.q8_0.gguf", "lumina2", denoiser, in_block)
    write_gguf(split / "qwen.gguf", "qwen3", llama_text_encoder(text))


def draw(pipe, case):
    return np.array(pipe(prompt=case["prompt"], negative_prompt=case.get("negative_prompt"), width=case["width"], height=case["height"],
                         num_inference_steps=case["steps"], guidance_scale=case["guidance_scale"],
                         generator=torch.Generator().manual_seed(case["seed"])).images[0])


def main():
    out = make_z_image.FOLDER
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(31)
    generator = torch.Generator().manual_seed(31)
    pipe = ZImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **make_z_image.parts(out, generator))
    pipe.set_progress_bar_config(disable=True)
    make_z_image.calibrate(pipe)
    pipe.save_pretrained(out / "z_image")
    write_split(out, pipe)
    plain = {case["name"]: draw(pipe, case) for case in CASES}
    pipe.transformer = ZImageTransformer2DModel.from_single_file(
        str(out / "split" / "denoiser.q8_0.gguf"), config=str(out / "z_image"), subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32), torch_dtype=torch.float32)
    for case in CASES:
        image = draw(pipe, case)
        assert (image != plain[case["name"]]).any(), "the quantised denoiser draws another image"
        save_file({"pixels": torch.from_numpy(image.copy())}, out / f"{case['name']}.safetensors")
    (out / "cases.json").write_text(json.dumps(CASES))


main()
