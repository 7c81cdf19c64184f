"""Makes a checkpoint with the sizes of a published model whose denoiser is a transformer, and random bfloat16 weights.

usage: make_full_size_transformer.py pixart|sd35|sd35-no-t5|z-image|klein|flux FOLDER [--reuse FOLDER ...] [--q4-k]

The sizes on disk: PixArt-Sigma 11 GB, SD 3.5 medium 16 (without T5 6.7), Z-Image 20, FLUX.2 klein 4B 16, FLUX.1 34; its transformer
takes 6.8 GB with --q4-k, which writes it as a GGUF file in Q4_K. A component that a folder of --reuse has with the same config is
linked to and not written. The configs come from tests/models/configs; PixArt-Sigma is the model for 512 x 512 pixels. Tensors are
written one by one, so that memory stays small. Tokenizers are small ones.
"""
import argparse
import json
import math
import pathlib
import struct
import sys

import gguf
import numpy
import torch

TESTS = pathlib.Path(__file__).resolve().parent.parent
for folder in ("support", "pipelines/reference"):
    sys.path.insert(0, str(TESTS / folder))
sys.dont_write_bytecode = True
import qwen_files  # noqa: E402
from make_full_size import CONFIGS, RandomNumbers  # noqa: E402
from make_sd15 import write_tokenizer  # noqa: E402
from published_models import hollow_model  # noqa: E402
from t5_folder import t5_tokenizer  # noqa: E402

# The folder of configs, the fields that differ from it, and the components that the model goes without.
MODELS = {
    "pixart": ("pixart-sigma", {"transformer": {"sample_size": 64, "interpolation_scale": 1}}, ()),
    "sd35": ("sd35-medium", {}, ()),
    "sd35-no-t5": ("sd35-medium", {}, ("text_encoder_3", "tokenizer_3")),
    "z-image": ("z-image-turbo", {}, ()),
    "klein": ("flux2-klein-4b", {}, ()),
    "flux": ("flux1-dev", {}, ()),
}
# Names of a file that repeat another tensor, which published files leave out.
REPEATED = ("encoder.embed_tokens.weight", "lm_head.weight")
# Layers at the end of what a block adds to its input; dozens of blocks follow each other.
LAST_OF_A_RESIDUAL = (".to_out.", ".to_add_out.", ".ff.net.2.", ".ff_context.net.2.", ".w2.", ".linear_out.", ".proj_out.", ".to_out.weight",
                      ".SelfAttention.o.", ".wo.", ".o_proj.", ".down_proj.", ".out_proj.", ".fc2.", ".conv2.")
RESIDUAL_GAIN = 0.3
T5_HEAD_WIDTH = 64  # T5 does not scale its attention, so its queries are small
BLOCK = 256         # values of Q4_K that share a scale


def random_tensor(name, shape, numbers):
    if name.endswith("running_mean") or name.endswith("bias"):
        return numbers.take(shape) * 0.05
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if len(shape) < 2:  # the scale of a norm, or a variance
        return 1 + numbers.take(shape) * 0.1
    if name in ("shared.weight", "model.embed_tokens.weight") or "pad_token" in name or name == "pos_embed.pos_embed":
        return numbers.take(shape)
    gain = RESIDUAL_GAIN if any(part in name for part in LAST_OF_A_RESIDUAL) else 1
    if name.endswith("SelfAttention.q.weight"):
        gain /= T5_HEAD_WIDTH**0.5
    return numbers.take(shape) * (gain / shape[1:].numel() ** 0.5)


def dtype_of(name):
    return torch.int64 if name.endswith("num_batches_tracked") else torch.bfloat16


def write_safetensors(path, shapes, numbers):
    header, end = {}, 0
    for name, shape in shapes.items():
        size = shape.numel() * dtype_of(name).itemsize
        header[name] = {"dtype": "I64" if dtype_of(name) == torch.int64 else "BF16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            random_tensor(name, shape, numbers).to(dtype_of(name)).reshape(-1).view(torch.uint8).numpy().tofile(file)


def random_q4_k(shape, generator):
    """Blocks of a matrix of unit gain: [rows, bytes]."""
    count, (block, size) = shape.numel(), gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q4_K]
    blocks = generator.integers(0, 256, (1024, size), dtype=numpy.uint8)
    scales = blocks[:, :4].view(numpy.float16)
    scales[:] = (1, 7.5)  # of values from 0 to 15, and of the minimum: the mean is zero
    deviation = gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q4_K).std()
    scales[:] = numpy.array((1, 7.5)) / deviation / math.sqrt(shape[1])
    repeated = numpy.tile(blocks, (count // block // len(blocks) + 1, 1))[:count // block]
    return repeated.reshape(shape[0], -1)


def write_q4_k(path, shapes, numbers):
    """Matrices of blocks whose rows fit are Q4_K, the rest is bfloat16."""
    generator = numpy.random.default_rng(0)
    small = {name for name, shape in shapes.items() if len(shape) == 2 and "blocks." in name and shape[1] % BLOCK == 0}

    def tensors():
        for name, shape in shapes.items():
            if name in small:
                yield name, random_q4_k(shape, generator), gguf.GGMLQuantizationType.Q4_K
            else:
                values = random_tensor(name, shape, numbers).bfloat16().contiguous()
                yield name, values.view(torch.uint8).numpy(), gguf.GGMLQuantizationType.BF16

    writer = gguf.GGUFWriter(path, "easel")
    for name, data, kind in tensors():
        writer.add_tensor_info(name, data.shape, data.dtype, data.nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    generator = numpy.random.default_rng(0)
    for _, data, _ in tensors():
        writer.write_tensor_data(data)
    writer.close()


def write_tokenizer_of(kind, folder):
    if kind.startswith("T5"):
        t5_tokenizer(folder)
    elif kind.startswith("Qwen"):
        qwen_files.tokenizer(folder)
    else:
        write_tokenizer(folder).save_pretrained(folder)


def link_to_other(target, config, folders):
    """@return whether one of the folders has such a component"""
    for other in (path for folder in folders for path in sorted(folder.iterdir())):
        file = other / "config.json"
        if file.exists() and json.loads(file.read_text()) == config:
            target.symlink_to(other.resolve())
            return True
    return False


def write_component(target, component, config, q4_k, numbers):
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config, indent=1))
    shapes = {name: tensor.shape for name, tensor in hollow_model(component, config).state_dict().items() if name not in REPEATED}
    stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
    if q4_k and component == "transformer":
        write_q4_k(target / f"{stem}.q4_k.gguf", shapes, numbers)
    else:
        write_safetensors(target / f"{stem}.safetensors", shapes, numbers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--reuse", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--q4-k", action="store_true")
    options = parser.parse_args()
    configs, changes, absent = MODELS[options.model]
    options.folder.mkdir(parents=True)
    index = json.loads((CONFIGS / configs / "model_index.json").read_text())
    index.update(dict.fromkeys(absent, [None, None]))
    numbers = RandomNumbers()
    for component, kind in index.items():
        target = options.folder / component
        if component.startswith("tokenizer") and component not in absent:
            write_tokenizer_of(kind[1], target)
        file = CONFIGS / configs / f"{component}.json"
        if component in absent or not file.exists() or component == "model_index":
            continue
        config = json.loads(file.read_text()) | changes.get(component, {})
        if component == "scheduler":
            target.mkdir()
            (target / "scheduler_config.json").write_text(json.dumps(config, indent=1))
        elif not link_to_other(target, config, options.reuse):
            write_component(target, component, config, options.q4_k, numbers)
    # Last, for it says that the rest is there.
    (options.folder / "model_index.json").write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    main()
