"""Stable Diffusion XL: see checkpoints.py. Usage: make_stable_diffusion_xl.py OUT"""
import pathlib
import sys

import torch
from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline

sys.dont_write_bytecode = True
from checkpoints import PROMPT, SD_BETAS, Writer, calibrate, channels_last  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402

# In float16 such activations are infinite.
OVERFLOWING_GAIN = 3e5


def checkpoint(out, name, seed, scheduler, overflowing=False, vae_config=None, **settings):
    torch.manual_seed(seed)
    pipe = StableDiffusionXLPipeline(**sdxl_parts(scheduler, vae_config), add_watermarker=False, **settings)
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    if overflowing:
        pipe.vae.decoder.conv_in.weight.mul_(OVERFLOWING_GAIN)
        pipe.vae.decoder.conv_in.bias.mul_(OVERFLOWING_GAIN)
        calibrate(pipe)
    pipe.save_pretrained(out / name)


def make_checkpoints(out):
    euler = EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading")
    turbo = EulerAncestralDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="trailing")
    checkpoint(out, "xl", 11, euler)
    checkpoint(out, "xl_statistics", 12, euler, force_zeros_for_empty_prompt=False,
               vae_config=dict(latents_mean=[0.3, -0.2, 0.1, 0.4], latents_std=[1.2, 0.8, 1.1, 0.9]))
    checkpoint(out, "xl_turbo", 13, turbo)
    checkpoint(out, "xl_overflowing", 14, euler, overflowing=True)


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=4.0, width=128, height=128, folder="xl")
    sizes = dict(original_size=(768, 1024), crops_coords_top_left=(32, 200), target_size=(512, 640))
    negative_sizes = dict(negative_original_size=(256, 300), negative_crops_coords_top_left=(5, 6), negative_target_size=(900, 800))
    return {
        "xl": base,
        "xl_dpmpp": dict(base, scheduler="dpmpp_2m_karras"),
        "xl_ddim": dict(base, scheduler="ddim", guidance_scale=2.0),
        "xl_pndm": dict(base, scheduler="pndm"),
        "xl_negative": dict(base, negative_prompt="a cat! on a red background"),
        "xl_unguided": dict(base, guidance_scale=1.0, seed=2**33),
        "xl_sizes": dict(base, **sizes),
        "xl_negative_sizes": dict(base, **sizes, **negative_sizes),
        "xl_half_negative_sizes": dict(base, negative_original_size=(256, 300), negative_crops_coords_top_left=(5, 6)),
        "xl_clip_skip": dict(base, clip_skip=1, negative_prompt="a dog"),
        "xl_rescale": dict(base, guidance_rescale=0.7),
        "xl_long": dict(base, prompt="a fox and a whale on a green background! " * 20),
        "xl_odd": dict(base, width=33 * 8, height=17 * 8, steps=3),
        "xl_statistics": dict(base, folder="xl_statistics"),
        "xl_statistics_negative": dict(base, folder="xl_statistics", negative_prompt="a whale"),
        "xl_turbo_1": dict(base, folder="xl_turbo", guidance_scale=0.0, steps=1),
        "xl_turbo_4": dict(base, folder="xl_turbo", guidance_scale=0.0, steps=4),
        "xl_overflowing": dict(base, folder="xl_overflowing"),
    }


def load(folder):
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe, channels_last(pipe)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]))
    make_checkpoints(writer.out)
    cases = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case, contrast=name != "xl_turbo_1")
    sized = cases["xl_negative_sizes"]
    others = {key: (value[0] // 2, value[1] + 300) for key, value in sized.items() if "size" in key or "crops" in key}
    writer.check_sensitivity("xl", pipes["xl"][0], sized, negative_prompt="a cat", **others)
    writer.check_sensitivity("xl_turbo", pipes["xl_turbo"][0], cases["xl_turbo_4"])
    writer.finish()


main()
