"""Tiles of diffusers, and SDXL with its refiner at full size in files without content. Usage: make_memory.py FOLDER

FOLDER/tiled.*: a small autoencoder whose tiles are 64 pixels, and what it makes of images larger than that.
FOLDER/sdxl, FOLDER/refiner: checkpoint folders whose weight files have true headers and then nothing: their bytes are
never written, so they take no room on the disk.
"""
import copy
import json
import pathlib
import shutil
import struct
import sys

import torch
from diffusers import AutoencoderKL

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TESTS / "support"))
sys.dont_write_bytecode = True
from published_models import hollow_model  # noqa: E402
from reference_vectors import must_matter, output_folder, randomize, save, to_channels_last, tolerance  # noqa: E402

CONFIGS = TESTS / "models" / "configs"
SCHEDULER = {"_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
             "num_train_timesteps": 1000, "steps_offset": 1, "timestep_spacing": "leading"}


def call(model, inputs):
    with torch.no_grad():
        moments = model.encode(inputs["x"]).latent_dist
        return {"decoded": model.decode(inputs["z"]).sample, "mean": moments.mean, "logvar": moments.logvar}


def make_tiles(folder):
    generator = torch.Generator().manual_seed(11)
    config = dict(block_out_channels=[8, 8, 12, 12], down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                  layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=64)
    model = randomize(AutoencoderKL.from_config(config), generator)
    model.quant_conv.weight[4:].data.mul_(30)  # some moments beyond the limits of logvar: tiles are blended before they are cut there
    # 20 and 13 cells: two whole tiles and rests of either kind, the last of them a single cell wide.
    inputs = {"z": torch.randn((1, 4, 20, 13), generator=generator), "x": torch.rand((1, 3, 160, 104), generator=generator) * 2 - 1}
    whole = call(model, inputs)
    model.enable_tiling()
    tiled = call(model, inputs)
    other = call(copy.deepcopy(model).to(memory_format=torch.channels_last), {k: to_channels_last(v) for k, v in inputs.items()})
    tolerances = {key: tolerance(tiled[key], other[key]) for key in tiled}
    assert tiled["logvar"].max() == 20
    for key in ("decoded", "mean"):
        must_matter("tiling", whole[key], tiled[key], tolerances[key])
    half = copy.deepcopy(model).to(torch.bfloat16)
    tiled["decoded_bfloat16"] = call(half, {k: v.to(torch.bfloat16) for k, v in inputs.items()})["decoded"].float()
    save(folder, "tiled", {"config": config, "tolerances": tolerances}, model.state_dict(), {**inputs, **tiled})


def write_hollow_weights(path, model):
    """A float16 safetensors file of the model's names and shapes, as long as it must be, with a hole for its numbers."""
    header, end = {}, 0
    for name, tensor in model.state_dict().items():
        begin, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def make_checkpoint(folder, configs, class_name, components):
    shutil.rmtree(folder, ignore_errors=True)
    index = {"_class_name": class_name, "scheduler": ["diffusers", "EulerDiscreteScheduler"]}
    for component in components:
        config = json.loads((CONFIGS / configs / f"{component}.json").read_text())
        model = hollow_model(component, config)
        index[component] = ["library", type(model).__name__]
        if component.startswith("text_encoder"):
            index[component.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
        (folder / component).mkdir(parents=True)
        (folder / component / "config.json").write_text(json.dumps(config))
        stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        write_hollow_weights(folder / component / f"{stem}.safetensors", model)
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    (folder / "model_index.json").write_text(json.dumps(index))


def main():
    folder = output_folder()
    make_tiles(folder)
    make_checkpoint(folder / "sdxl", "sdxl-base", "StableDiffusionXLPipeline", ["text_encoder", "text_encoder_2", "unet", "vae"])
    make_checkpoint(folder / "refiner", "sdxl-refiner", "StableDiffusionXLImg2ImgPipeline", ["text_encoder_2", "unet"])
    (folder / "sdxl" / "easel.json").write_text(json.dumps({"refiner": "../refiner"}))


if __name__ == "__main__":
    main()
