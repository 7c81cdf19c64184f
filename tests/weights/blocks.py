"""A GGUF file as the gguf package writes it, with the float32 values that its formulas give. Imported by make_weights.py."""

import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

TYPES = gguf.GGMLQuantizationType
SIMPLE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")  # the package quantises to these
LARGE = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")  # and only reads these
HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}  # where scales are in a block
ROWS, COLUMNS = 6, 1024


def random_blocks(rng, name):
    """Every bit is random; the scales are float16 numbers of both signs, some of them subnormal."""
    size = gguf.GGML_QUANT_SIZES[TYPES[name]][1]
    blocks = rng.integers(0, 256, (ROWS * COLUMNS // 256, size), dtype=np.uint8)
    for at in HALVES[name]:
        scales = (rng.standard_normal(len(blocks)) * 10.0 ** rng.integers(-6, 1, len(blocks))).astype(np.float16)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.reshape(ROWS, -1)


def save_blocks(folder):
    folder = pathlib.Path(folder)
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(folder / "blocks.gguf", "flux")
    writer.add_string("general.name", "blocks")
    writer.add_array("tokenizer.ggml.tokens", [f"t{i}" for i in range(40)])
    values = {}
    weights = (rng.standard_normal((ROWS, COLUMNS)) * 10.0 ** rng.integers(-3, 1, (ROWS, 1))).astype(np.float32)
    weights[2, :64] = 0
    values["weights"] = weights
    for name in SIMPLE + LARGE:
        blocks = gguf.quants.quantize(weights, TYPES[name]) if name in SIMPLE else random_blocks(rng, name)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=TYPES[name])
        values[f"{name}.weight"] = gguf.quants.dequantize(blocks, TYPES[name]).reshape(ROWS, COLUMNS)
    for name, dtype in (("F32", np.float32), ("F16", np.float16)):
        writer.add_tensor(f"{name}.weight", weights.astype(dtype))
        values[f"{name}.weight"] = weights.astype(dtype).astype(np.float32)
    bfloat16 = gguf.quants.quantize(weights, TYPES.BF16)
    writer.add_tensor("BF16.weight", bfloat16, raw_dtype=TYPES.BF16)
    values["BF16.weight"] = gguf.quants.dequantize(bfloat16, TYPES.BF16).reshape(ROWS, COLUMNS)
    cube = rng.standard_normal((3, 4, 5)).astype(np.float32)
    writer.add_tensor("cube", cube)
    values["cube"] = cube
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: torch.from_numpy(value.copy()) for name, value in values.items()}, folder / "blocks.safetensors")
