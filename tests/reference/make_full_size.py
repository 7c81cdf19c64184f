"""A checkpoint with a published architecture's true sizes and random float16 weights: SD 2.1 (2.6 GB) or SDXL base (7 GB).

usage: make_full_size.py sd21|sdxl FOLDER

Configs are those of tests/models/configs. Weights are scaled so that signals neither fade nor grow on their way, so nothing has to be
run to make them; memory stays near the largest component's float16 size. Numbers repeat after some millions.
"""
import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))
sys.dont_write_bytecode = True
from make_sd15 import write_tokenizer  # noqa: E402
from published_models import hollow_model  # noqa: E402

CONFIGS = TESTS / "models" / "configs"
SCHEDULER = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1,
                 clip_sample=False, set_alpha_to_one=False)
MODELS = {
    "sd21": dict(configs="sd21", class_name="StableDiffusionPipeline", components=["text_encoder", "unet", "vae"],
                 scheduler=dict(SCHEDULER, _class_name="DDIMScheduler", prediction_type="v_prediction")),
    "sdxl": dict(configs="sdxl-base", class_name="StableDiffusionXLPipeline", components=["text_encoder", "text_encoder_2", "unet", "vae"],
                 scheduler=dict(SCHEDULER, _class_name="EulerDiscreteScheduler", prediction_type="epsilon", timestep_spacing="leading")),
}
CROSS_ATTENTION_GAIN = 5.0  # or the prompt would be lost in the residual stream
EMBEDDING_DEVIATION = 0.05
RESIDUAL_GAIN = 0.3         # of what each block adds to its input; seventy blocks follow each other
PICTURE_GAIN = 0.7          # of -1..1: lively, and seldom saturated


class RandomNumbers:
    """Standard normal numbers, quick: pieces of one block of them, begun at another place each time."""

    def __init__(self):
        self.block = torch.randn(2**24 + 7, generator=torch.Generator().manual_seed(0)).half()
        self.offset = 0

    def take(self, shape):
        count = shape.numel()
        self.offset = (self.offset * 31 + 100_003) % self.block.numel()
        room = self.block.numel() - count
        if room > 0:
            begin = self.offset % room
            return self.block[begin:begin + count].reshape(shape)
        return self.block.repeat(count // self.block.numel() + 1)[:count].reshape(shape)


def gain_of(name):
    if "attn2.to_out" in name:
        return CROSS_ATTENTION_GAIN * RESIDUAL_GAIN
    last_of_a_residual = ("attn1.to_out", "ff.net.2", "conv2.", "proj_out", "out_proj", "fc2", "to_out")
    if any(part in name for part in last_of_a_residual):
        return RESIDUAL_GAIN
    return PICTURE_GAIN if name == "decoder.conv_out.weight" else 1.0


def random_weight(name, shape, numbers):
    if name.endswith("bias"):
        return numbers.take(shape) * 0.05
    if len(shape) < 2:  # a norm's scale
        return 1 + numbers.take(shape) * 0.1
    if "embedding" in name and "time" not in name and "add" not in name:
        return numbers.take(shape) * EMBEDDING_DEVIATION
    return numbers.take(shape) * (gain_of(name) / shape[1:].numel() ** 0.5)


def write_component(folder, component, configs, numbers):
    """@return the class's name"""
    config = json.loads((CONFIGS / configs / f"{component}.json").read_text())
    model = hollow_model(component, config)
    (folder / component).mkdir(parents=True, exist_ok=True)
    (folder / component / "config.json").write_text(json.dumps(config, indent=1))
    is_text = component.startswith("text_encoder")
    weights = {name: random_weight(name, value.shape, numbers) for name, value in model.state_dict().items()}
    save_file(weights, folder / component / ("model.safetensors" if is_text else "diffusion_pytorch_model.safetensors"))
    if is_text:
        suffix = component.removeprefix("text_encoder")
        # OpenCLIP's tokenizers pad with the token 0, which is an exclamation mark.
        open_clip = configs == "sd21" or suffix == "_2"
        place = folder / f"tokenizer{suffix}"
        write_tokenizer(place).save_pretrained(place)
        if open_clip:
            settings = json.loads((place / "tokenizer_config.json").read_text())
            (place / "tokenizer_config.json").write_text(json.dumps(dict(settings, pad_token="!")))
    return type(model).__name__


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=pathlib.Path)
    options = parser.parse_args()
    model, folder = MODELS[options.model], options.folder
    numbers = RandomNumbers()
    index = {"_class_name": model["class_name"], "_diffusers_version": "0.42.1",
             "scheduler": ["diffusers", model["scheduler"]["_class_name"]]}
    for component in model["components"]:
        library = "transformers" if component.startswith("text_encoder") else "diffusers"
        index[component] = [library, write_component(folder, component, model["configs"], numbers)]
        if library == "transformers":
            index[component.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
    if options.model == "sd21":
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    else:
        index["force_zeros_for_empty_prompt"] = True
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(model["scheduler"], indent=1))
    # Last, for it says that the rest is there.
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    main()
