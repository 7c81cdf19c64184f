"""Makes a checkpoint with the sizes of a published architecture and random float16 weights.

usage: make_full_size.py sd21|sdxl|refiner|x4|x2|ip2p FOLDER

The sizes on disk: SD 2.1 2.6 GB, SDXL base 7, its refiner 6.1, the x4 upscaler 1.8, the latent x2 upscaler 1.2,
InstructPix2Pix 2.2.

The configs come from tests/models/configs. Weights are scaled so that activations neither vanish nor explode, so no model has to
be run to make them, and memory stays near the float16 size of the largest component. The random numbers repeat after some millions.
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
LOW_RES_SCHEDULER = dict(_class_name="DDPMScheduler", beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear",
                         num_train_timesteps=1000, clip_sample=True, variance_type="fixed_small")
UNCHECKED = {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
# components: the folder of configs of each one. index: the further content of model_index.json.
MODELS = {
    "sd21": dict(class_name="StableDiffusionPipeline", components=dict.fromkeys(["text_encoder", "unet", "vae"], "sd21"),
                 schedulers=dict(scheduler=dict(SCHEDULER, _class_name="DDIMScheduler", prediction_type="v_prediction")),
                 index=UNCHECKED),
    "sdxl": dict(class_name="StableDiffusionXLPipeline",
                 components=dict.fromkeys(["text_encoder", "text_encoder_2", "unet", "vae"], "sdxl-base"),
                 schedulers=dict(scheduler=dict(SCHEDULER, _class_name="EulerDiscreteScheduler", prediction_type="epsilon",
                                                timestep_spacing="leading")),
                 index=dict(force_zeros_for_empty_prompt=True)),
    "refiner": dict(class_name="StableDiffusionXLImg2ImgPipeline",
                    components={"text_encoder_2": "sdxl-refiner", "unet": "sdxl-refiner", "vae": "sdxl-base"},
                    schedulers=dict(scheduler=dict(SCHEDULER, _class_name="EulerDiscreteScheduler", prediction_type="epsilon",
                                                   timestep_spacing="leading")),
                    index=dict(text_encoder=[None, None], tokenizer=[None, None], requires_aesthetics_score=True,
                               force_zeros_for_empty_prompt=False)),
    "x4": dict(class_name="StableDiffusionUpscalePipeline",
               components=dict.fromkeys(["text_encoder", "unet", "vae"], "x4-upscaler"),
               schedulers=dict(scheduler=dict(SCHEDULER, _class_name="DDIMScheduler", prediction_type="v_prediction"),
                               low_res_scheduler=LOW_RES_SCHEDULER),
               index=dict(max_noise_level=350)),
    "x2": dict(class_name="StableDiffusionLatentUpscalePipeline",
               components=dict.fromkeys(["text_encoder", "unet", "vae"], "x2-latent-upscaler"),
               schedulers=dict(scheduler=dict(SCHEDULER, _class_name="EulerDiscreteScheduler", prediction_type="original_sample")),
               index={}),
    "ip2p": dict(class_name="StableDiffusionInstructPix2PixPipeline",
                 components=dict.fromkeys(["text_encoder", "unet", "vae"], "instruct-pix2pix"),
                 schedulers=dict(scheduler=dict(SCHEDULER, _class_name="EulerAncestralDiscreteScheduler")), index=UNCHECKED),
}
OPEN_CLIP_WIDTHS = (1024, 1280)
CROSS_ATTENTION_GAIN = 5.0  # or the prompt would be lost in the residual stream
EMBEDDING_DEVIATION = 0.05
RESIDUAL_GAIN = 0.3         # of what each block adds to its input; seventy blocks follow each other
IMAGE_GAIN = 0.7          # of -1..1: lively, and seldom saturated


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
    return IMAGE_GAIN if name == "decoder.conv_out.weight" else 1.0


def random_weight(name, shape, numbers):
    if name == "time_proj.weight":  # frequencies
        return numbers.take(shape)
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
        place = folder / f"tokenizer{suffix}"
        write_tokenizer(place).save_pretrained(place)
        # OpenCLIP's tokenizers pad with the token 0, which is an exclamation mark.
        if config["hidden_size"] in OPEN_CLIP_WIDTHS:
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
    index = {"_class_name": model["class_name"], "_diffusers_version": "0.42.1", **model["index"]}
    for component, configs in model["components"].items():
        library = "transformers" if component.startswith("text_encoder") else "diffusers"
        index[component] = [library, write_component(folder, component, configs, numbers)]
        if library == "transformers":
            index[component.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
    for name, config in model["schedulers"].items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "scheduler_config.json").write_text(json.dumps(config, indent=1))
        index[name] = ["diffusers", config["_class_name"]]
    # Last, for it says that the rest is there.
    (folder / "model_index.json").write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    main()
