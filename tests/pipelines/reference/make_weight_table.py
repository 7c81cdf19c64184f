"""The published models in their folders, with true headers and no content: their files take no room on the disk. Each denoiser
comes in bfloat16 and as the variant q4_k, a GGUF. Usage: make_weight_table.py FOLDER
"""
import json
import math
import pathlib
import re
import shutil
import struct
import sys

import gguf

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "support"))
sys.dont_write_bytecode = True
from published_models import hollow_model  # noqa: E402
from reference_vectors import output_folder  # noqa: E402

CONFIGS = TESTS / "models" / "configs"
# The folder of configs, that of the denoiser's config, and components that a model goes without.
NO_T5 = ("text_encoder_3", "tokenizer_3")
FAMILIES = {"z-image-turbo": ("z-image-turbo", "z-image-turbo", ()),
            "flux2-klein-4b": ("flux2-klein-4b", "flux2-klein-4b", ()),
            "flux1-dev": ("flux1-dev", "flux1-dev", ()),
            "sd35-medium": ("sd35-medium", "sd35-medium", ()),
            "sd35-medium, no T5": ("sd35-medium", "sd35-medium", NO_T5),
            "sd35-large": ("sd35-medium", "sd35-large", ()),
            "pixart-sigma": ("pixart-sigma", "pixart-sigma", ())}
TYPES = gguf.GGMLQuantizationType
# Q4_0 stands in where the length of the rows does not allow Q4_K; both have 4.5 bits a value.
FOUR_BITS = (TYPES.Q4_K, TYPES.Q4_0)


def truncate(path, size):
    with open(path, "ab") as file:
        file.truncate(size)


def write_safetensors(path, shapes):
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2
        for extent in shape:
            size *= extent
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    truncate(path, 8 + len(text) + end)


def write_gguf(path, shapes):
    """4 bits where the rule of `--quantize` and the length of the rows allow it."""
    writer = gguf.GGUFWriter(path, "easel")
    end = 0
    for name, shape in shapes.items():
        in_block = len(shape) == 2 and name.endswith(".weight") and re.search(r"(^|\.)\d+\.", name) and "embed" not in name
        kinds = [kind for kind in FOUR_BITS if in_block and shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0]
        kind = kinds[0] if kinds else TYPES.BF16
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        # The writer takes the shape of the bytes for types that numpy does not have.
        stored = (*shape[:-1], shape[-1] // block * block_bytes)
        size = math.prod(stored)
        writer.add_tensor_info(name, stored, gguf.gguf_writer.np.dtype("uint8"), size, raw_dtype=kind)
        end += size + -size % 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    size = path.stat().st_size
    truncate(path, size + -size % 32 + end)


def make_folder(folder, configs, denoiser, absent):
    shutil.rmtree(folder, ignore_errors=True)
    index = json.loads((CONFIGS / configs / "model_index.json").read_text()) | dict.fromkeys(absent, [None, None])
    for component in index:
        config_file = CONFIGS / (denoiser if component == "transformer" else configs) / f"{component}.json"
        if component.startswith("_") or component in absent or not config_file.exists():
            continue
        config = json.loads(config_file.read_text())
        (folder / component).mkdir(parents=True)
        if component == "scheduler":
            (folder / component / "scheduler_config.json").write_text(json.dumps(config))
            continue
        (folder / component / "config.json").write_text(json.dumps(config))
        stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        shapes = {key: tuple(tensor.shape) for key, tensor in hollow_model(component, config).state_dict().items()}
        for repeated in ("lm_head.weight", "encoder.embed_tokens.weight"):
            shapes.pop(repeated, None)  # published files do not repeat the embeddings
        write_safetensors(folder / component / f"{stem}.safetensors", shapes)
        if component == "transformer":
            write_gguf(folder / component / f"{stem}.q4_k.gguf", shapes)
    (folder / "model_index.json").write_text(json.dumps(index))


def main():
    folder = output_folder()
    for name, parts in FAMILIES.items():
        make_folder(folder / name, *parts)
    (folder / "families.json").write_text(json.dumps(list(FAMILIES)))


main()
