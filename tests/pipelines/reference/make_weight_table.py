"""The published models in their folders, with true headers and no content: their files take no room on the disk. Each denoiser
comes in bfloat16 and as the variant q4_k, a GGUF. Usage: make_weight_table.py FOLDER
"""
import json
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
FAMILIES = ["z-image-turbo"]
TYPES = gguf.GGMLQuantizationType
BLOCK, BLOCK_BYTES = gguf.GGML_QUANT_SIZES[TYPES.Q4_K]


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
    """Q4_K where the rule of `--quantize` and the length of the rows allow it."""
    writer = gguf.GGUFWriter(path, "easel")
    end = 0
    for name, shape in shapes.items():
        in_block = len(shape) == 2 and name.endswith(".weight") and re.search(r"(^|\.)\d+\.", name) and "embed" not in name
        count = 1
        for extent in shape:
            count *= extent
        small = in_block and shape[-1] % BLOCK == 0
        kind, size = (TYPES.Q4_K, count // BLOCK * BLOCK_BYTES) if small else (TYPES.BF16, 2 * count)
        # The writer takes the shape of the bytes for types that numpy does not have.
        stored = (*shape[:-1], shape[-1] // BLOCK * BLOCK_BYTES) if small else (*shape[:-1], 2 * shape[-1])
        writer.add_tensor_info(name, stored, gguf.gguf_writer.np.dtype("uint8"), size, raw_dtype=kind)
        end += size + -size % 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    size = path.stat().st_size
    truncate(path, size + -size % 32 + end)


def make_folder(folder, name):
    shutil.rmtree(folder, ignore_errors=True)
    index = json.loads((CONFIGS / name / "model_index.json").read_text())
    for component in index:
        config_file = CONFIGS / name / f"{component}.json"
        if component.startswith("_") or not config_file.exists():
            continue
        config = json.loads(config_file.read_text())
        (folder / component).mkdir(parents=True)
        if component == "scheduler":
            (folder / component / "scheduler_config.json").write_text(json.dumps(config))
            continue
        (folder / component / "config.json").write_text(json.dumps(config))
        stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        shapes = {key: tuple(tensor.shape) for key, tensor in hollow_model(component, config).state_dict().items()}
        write_safetensors(folder / component / f"{stem}.safetensors", shapes)
        if component == "transformer":
            write_gguf(folder / component / f"{stem}.q4_k.gguf", shapes)
    (folder / "model_index.json").write_text(json.dumps(index))


def main():
    folder = output_folder()
    for name in FAMILIES:
        make_folder(folder / name, name)
    (folder / "families.json").write_text(json.dumps(FAMILIES))


main()
