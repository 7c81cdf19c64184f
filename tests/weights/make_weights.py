"""Writes the files that tests/weights reads, with the libraries that write them in the wild.

Usage: make_weights.py FOLDER
"""

import argparse
import json
import os
import pickle
import random
import shutil
import struct
import sys
import types
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors import deserialize
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

sys.dont_write_bytecode = True
from blocks import save_blocks  # noqa: E402

DTYPES = {
    "bool": torch.bool, "u8": torch.uint8, "i8": torch.int8, "f8_e5m2": torch.float8_e5m2,
    "f8_e4m3": torch.float8_e4m3fn, "i16": torch.int16, "u16": torch.uint16, "f16": torch.float16,
    "bf16": torch.bfloat16, "i32": torch.int32, "u32": torch.uint32, "f32": torch.float32, "f64": torch.float64,
    "i64": torch.int64, "u64": torch.uint64,
}
SHAPES = {"scalar": [], "one": [1], "odd": [3, 5, 7], "none": [2, 0, 3], "flat": [11]}


def save_dtypes(folder):
    """Every dtype in several shapes; the same values as plain numbers in a JSON file next to it."""
    tensors, values = {}, {}
    for dtype_name, dtype in DTYPES.items():
        for shape_name, shape in SHAPES.items():
            name = f"{shape_name}.{dtype_name}"
            count = torch.Size(shape).numel()
            numbers = (torch.arange(count, dtype=torch.float64) * 37 % 101) / 8 - 3
            if not dtype.is_floating_point:
                numbers = numbers.abs().floor() % (2 if dtype == torch.bool else 100)
            tensors[name] = numbers.to(dtype).reshape(shape)
            values[name] = {"shape": shape, "values": tensors[name].double().flatten().tolist()}
    save_file(tensors, f"{folder}/dtypes.safetensors", metadata={"format": "pt"})
    with open(f"{folder}/dtypes.json", "w") as file:
        json.dump(values, file)
    names = {"quote\"s and \\": torch.ones(1), "new\nline\x01": torch.ones(2), "caf\u00e9 \U0001f3a8": torch.ones(3)}
    save_file(names, f"{folder}/names.safetensors")


def tiny_vae():
    torch.manual_seed(3)
    return AutoencoderKL(block_out_channels=(32,), norm_num_groups=8, layers_per_block=1, sample_size=8)


def tiny_text_encoder():
    torch.manual_seed(4)
    return CLIPTextModel(CLIPTextConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, vocab_size=40,
                                        num_attention_heads=2, bos_token_id=38, eos_token_id=39))


def save_components(folder):
    """One VAE in each layout that diffusers writes, and what an fp16 and a full copy hold."""
    vae = tiny_vae()
    vae.save_pretrained(f"{folder}/single")
    vae.save_pretrained(f"{folder}/sharded", max_shard_size="100KB")
    vae.save_pretrained(f"{folder}/both")
    half = tiny_vae().half()
    half.save_pretrained(f"{folder}/both", variant="fp16")
    half.save_pretrained(f"{folder}/half", variant="fp16")
    half.save_pretrained(f"{folder}/sharded_half", variant="fp16", max_shard_size="50KB")
    text_encoder = tiny_text_encoder()
    text_encoder.save_pretrained(f"{folder}/text_encoder")
    text_encoder.save_pretrained(f"{folder}/text_encoder_sharded", max_shard_size="4KB")
    assert os.path.exists(f"{folder}/sharded/diffusion_pytorch_model.safetensors.index.json")
    assert os.path.exists(f"{folder}/sharded_half/diffusion_pytorch_model.safetensors.index.fp16.json")


def old_names(state_dict):
    """The VAE's attention as diffusers spelt it before 0.15."""
    spelling = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    renamed = {}
    for name, tensor in state_dict.items():
        for now, before in spelling.items():
            if ".attentions." in name:
                name = name.replace(now, before)
        renamed[name] = tensor.clone()
    return renamed


def save_old_names(folder):
    os.makedirs(f"{folder}/old_vae")
    renamed = old_names(tiny_vae().state_dict())
    save_file(renamed, f"{folder}/old_vae/diffusion_pytorch_model.safetensors")
    shutil.copy(f"{folder}/single/config.json", f"{folder}/old_vae/config.json")
    loaded = AutoencoderKL.from_pretrained(f"{folder}/old_vae").state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in tiny_vae().state_dict().items())
    for name in list(renamed):
        if ".attentions." in name and renamed[name].ndim == 2:
            renamed[name] = renamed[name][:, :, None, None].clone()
    os.makedirs(f"{folder}/convolution_vae")
    save_file(renamed, f"{folder}/convolution_vae/diffusion_pytorch_model.safetensors")


def tricky_tensors():
    """Strides, offsets and sharing that torch.save keeps."""
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5) / 7
    half = torch.arange(24, dtype=torch.float16)
    return OrderedDict([
        ("transposed", base.permute(2, 0, 1)),
        ("window", base[1:, 1:3, 2:]),
        ("steps", base.flatten()[3::7]),
        ("shared", base),
        ("shared.again", base),
        ("expanded", torch.tensor([[1.5], [2.5]]).expand(2, 6)),
        ("parameter", torch.nn.Parameter(half.reshape(4, 6).t())),
        ("half.tail", half[20:]),
        ("bfloat16", torch.linspace(-1, 1, 9).bfloat16()),
        ("double", torch.linspace(-1, 1, 5, dtype=torch.float64)),
        ("long", torch.arange(7).expand(1, -1)),
        ("int", torch.arange(5, dtype=torch.int32)),
        ("short", torch.arange(5, dtype=torch.int16)),
        ("char", torch.arange(-2, 3, dtype=torch.int8)),
        ("byte", torch.arange(5, dtype=torch.uint8)[1::2]),
        ("bool", torch.tensor([True, False, True])),
        ("scalar", torch.tensor(2.25)),
        ("empty", torch.zeros(0, 3)),
        ("empty.window", base[3:]),
    ])


class Attack:
    """What a hostile checkpoint does: its pickle calls os.system when it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


def lightning_checkpoint(state_dict):
    """What training with PyTorch Lightning 1 leaves, as sd-v1-4.ckpt and similar files were published: a callback's state under its class."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    for parent in ("pytorch_lightning", "pytorch_lightning.callbacks", name):  # pickle looks its classes up
        sys.modules[parent] = module = types.ModuleType(parent)
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": name})
    callback = {"monitor": "val/loss_simple_ema", "best_model_score": torch.tensor(0.1), "current_score": np.float64(0.2), "seen": {1, 2}}
    return {"epoch": 6, "global_step": 875000, "pytorch-lightning_version": "1.4.2", "state_dict": state_dict,
            "callbacks": {module.ModelCheckpoint: callback}, "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}]}


def rezip(source, target, change):
    """Copies a zip; change(name, bytes) gives (bytes, compression) or None to leave the entry out."""
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as write:
        for name in read.namelist():
            changed = change(name, read.read(name))
            if changed is not None:
                write.writestr(name, changed[0], compress_type=changed[1])


def save_checkpoints(folder):
    tricky = tricky_tensors()
    expected = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tricky.items()}
    save_file(expected, f"{folder}/tricky.safetensors")
    torch.save(tricky, f"{folder}/tricky.bin")
    torch.save(tricky, f"{folder}/tricky_legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(tricky, f"{folder}/tricky_protocol_4.bin", pickle_protocol=4)
    torch.save({"epoch": 3, "state_dict": tricky, "lr": 0.5}, f"{folder}/nested.bin")
    torch.save(lightning_checkpoint(tricky), f"{folder}/lightning.ckpt")
    torch.save(lightning_checkpoint(tricky), f"{folder}/lightning_legacy.ckpt", _use_new_zipfile_serialization=False)
    # What torch's restricted loader allows, or can be made to allow, along with the tensors.
    left = dict(device=torch.device("cuda", 0), dtype=torch.bfloat16, counts=Counter("aab"), array=np.arange(6.0).reshape(2, 3),
                number=np.float32(0.5), text=np.array(["a"]), ordered=OrderedDict(a=1), args=argparse.Namespace(lr=1e-4, size=[512, 512]),
                complex=1 + 2j, raw=bytearray(b"abc"), nothing=None, epoch=3)
    torch.save({"state_dict": tricky, **left}, f"{folder}/leftovers.ckpt")
    torch.save({**tricky, **left}, f"{folder}/leftovers_between.ckpt")
    torch.save({**tricky, **left}, f"{folder}/leftovers_legacy.ckpt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 1, "w": torch.ones(2), "optimizer": {"m": torch.ones(2)}}, f"{folder}/two_dicts.bin")
    torch.save(tiny_vae().state_dict(), f"{folder}/with_metadata.bin")  # an OrderedDict with attributes
    torch.save({"w": torch.zeros(2, dtype=torch.complex64)}, f"{folder}/complex.bin")
    torch.save({"w": torch.ones(2).to_sparse()}, f"{folder}/sparse.bin")
    torch.save(torch.nn.Linear(1, 1), f"{folder}/module.bin")
    attack = {"w": torch.ones(2), "x": Attack(f"{folder}/attacked")}
    torch.save(attack, f"{folder}/attack.bin")
    torch.save(attack, f"{folder}/attack_legacy.bin", _use_new_zipfile_serialization=False)
    with open(f"{folder}/attack_plain.bin", "wb") as file:
        pickle.dump(attack["x"], file)
    stored, deflated = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    rezip(f"{folder}/tricky.bin", f"{folder}/deflated.bin", lambda name, data: (data, deflated))
    rezip(f"{folder}/tricky.bin", f"{folder}/big_endian.bin",
          lambda name, data: (b"big" if name.endswith("byteorder") else data, stored))
    rezip(f"{folder}/tricky.bin", f"{folder}/no_storage.bin",
          lambda name, data: None if name.endswith("data/0") else (data, stored))
    rezip(f"{folder}/tricky.bin", f"{folder}/short_storage.bin",
          lambda name, data: (data[:-1] if name.endswith("data/0") else data, stored))
    rezip(f"{folder}/tricky.bin", f"{folder}/no_pickle.bin",
          lambda name, data: None if name.endswith("data.pkl") else (data, stored))
    # One number expanded to more than any disk: 2^40 elements of a one-element storage.
    torch.save({"bomb": torch.ones(1).expand(2**20, 2**20)}, f"{folder}/bomb.bin")


def save_old_checkpoint(folder):
    """A folder as it was published before safetensors; `expected` holds the same tensors."""
    old, expected = f"{folder}/old_checkpoint", f"{folder}/expected"
    vae = tiny_vae()
    vae.save_pretrained(f"{old}/vae", safe_serialization=False)
    tiny_vae().half().save_pretrained(f"{old}/vae", safe_serialization=False, variant="fp16")
    vae.save_pretrained(f"{old}/unet", safe_serialization=False, max_shard_size="100KB")
    vae.save_pretrained(f"{old}/ready", safe_serialization=False)
    vae.save_pretrained(f"{old}/ready")
    assert os.path.exists(f"{old}/unet/diffusion_pytorch_model.bin.index.json")
    vae.save_pretrained(f"{expected}/vae")
    tiny_vae().half().save_pretrained(f"{expected}/vae", variant="fp16")
    text_encoder = tiny_text_encoder().state_dict()
    text_encoder = OrderedDict((f"text_model.{name}", tensor) for name, tensor in text_encoder.items())
    text_encoder["text_model.embeddings.position_ids"] = torch.arange(77).expand(1, -1)
    for name in ["text_encoder", "safety_checker"]:
        os.makedirs(f"{old}/{name}")
        torch.save(text_encoder, f"{old}/{name}/pytorch_model.bin", _use_new_zipfile_serialization=False)
    os.makedirs(f"{expected}/text_encoder")
    save_file({name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in text_encoder.items()},
              f"{expected}/text_encoder/model.safetensors", metadata={"format": "pt"})
    os.makedirs(f"{old}/scheduler")


def damaged(data, rng):
    """One to three changes of a header: bytes, digits, or whole pieces of it."""
    data = bytearray(data)
    pieces = [b'"shape":[', b'"dtype":"F32"', b'"data_offsets":[0,4]', b"{", b"}", b"[", b"]", b",", b":", b" ",
              b"null", b"-1", b"1.0", b"1e2", b"0", b"18446744073709551615", b'"x":', b'"__metadata__":{}', b"\x00",
              b"\xc3", b"\\u0041", b"\\ud800", b"\t", b"true", b"00"]
    for _ in range(rng.choice([1, 1, 1, 1, 2, 3])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1 and at < len(data):
            del data[at:at + rng.randint(1, 6)]
        elif kind == 2:
            data[at:at] = rng.choice(pieces)
        elif kind == 3:
            digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
            if digits:
                data[rng.choice(digits)] = rng.choice(b"0123456789")
        elif kind == 4:
            pieces_end = [i + 1 for i, byte in enumerate(data) if byte in b"{}[],:"]
            if pieces_end:
                at = rng.choice(pieces_end)
                data[at:at] = rng.choice([b" ", b"\t\n", b"\r"])
        else:
            start = rng.randrange(len(data) + 1)
            data[at:at] = data[start:start + rng.randint(1, 40)]
    return bytes(data)


class Stricter(Exception):
    """Something that the reference reads and the format, or this project, does not allow."""


def check_strictly(text):
    def without_repeats(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise Stricter("a key twice")
        return dict(pairs)

    if not text.startswith(b"{"):
        raise Stricter("white space before the brace")
    for name, entry in json.loads(text, object_pairs_hook=without_repeats).items():
        if name == "__metadata__":
            if not isinstance(entry, dict | None):
                raise Stricter("metadata that is not an object")
            continue
        if not isinstance(entry, dict) or not isinstance(entry["dtype"], str):
            raise Stricter("a tensor or dtype as a list or object")
        product = 1
        for dimension in entry["shape"]:
            product *= max(dimension, 1)
        if product >= 2**60:
            raise Stricter("dimensions that fit only because another is zero")


def save_verdicts(folder, count=6000):
    """Damaged files with what the reference reader says of them, one U8 tensor each: "<number>.reads" or ".refuses"."""
    rng = random.Random(5)
    seeds = [
        (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
         b'"b":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]}}', 8),
        (b'{"__metadata__":{"format":"pt"},"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]},'
         b'"e":{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]}}  ', 8),
        (b'{"a":{"data_offsets":[2,4],"shape":[1],"dtype":"BF16","later":{"x":[1,2]}},'
         b'"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}', 4),
    ]
    cases = {}
    for number in range(count):
        header, data_bytes = rng.choice(seeds)
        if number >= len(seeds):
            header = damaged(header, rng)
        file = struct.pack("<Q", len(header)) + header + bytes(data_bytes)
        try:
            deserialize(file)
            check_strictly(header)
            verdict = "reads"
        except Exception:
            verdict = "refuses"
        cases[f"{number}.{verdict}"] = torch.tensor(list(file), dtype=torch.uint8)
    save_file(cases, f"{folder}/verdicts.safetensors")


def main():
    folder = sys.argv[1]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    save_dtypes(folder)
    save_components(folder)
    save_old_names(folder)
    save_checkpoints(folder)
    save_old_checkpoint(folder)
    save_verdicts(folder)
    save_blocks(folder)


main()
