"""Stable Diffusion 1.x and 2.x: see checkpoints.py. Usage: make_stable_diffusion.py OUT"""
import pathlib
import sys

import torch
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline

sys.dont_write_bytecode = True
from checkpoints import (EMOJI, OPEN_CLIP, OPEN_CLIP_PAD, IMAGE_DEVIATION, PROMPT, SCHEDULERS, SD2_UNET, SD_BETAS, Writer, calibrate,  # noqa: E402
                         channels_last, text_encoder, tokenizer, unet, vae)


def checkpoint(out, name, seed, scheduler, deviation=IMAGE_DEVIATION, pad_token="<|endoftext|>", text=None, gain=1.0, **config):
    torch.manual_seed(seed)
    tok = tokenizer(pad_token=pad_token)
    pipe = StableDiffusionPipeline(vae(), text_encoder(tok, **(text or {})), tok, unet(**config), scheduler, None, None,
                                   requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe, deviation)
    if gain != 1:
        pipe.vae.decoder.conv_in.weight.mul_(gain)
        pipe.vae.decoder.conv_in.bias.mul_(gain)
        calibrate(pipe, deviation)
    pipe.save_pretrained(out / name)


def make_checkpoints(out):
    pndm = PNDMScheduler(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    ddim_v = DDIMScheduler(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    zero_snr = DDIMScheduler(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, rescale_betas_zero_snr=True,
                             timestep_spacing="trailing", steps_offset=1)
    checkpoint(out, "sd1", 1, pndm, attention_head_dim=4)
    checkpoint(out, "sd1_overflowing", 6, pndm, gain=3e5, attention_head_dim=4)  # such activations are infinite in float16
    checkpoint(out, "sd1_v", 2, ddim_v, text=dict(hidden_act="gelu"), attention_head_dim=(2, 4, 8), use_linear_projection=True,
               layers_per_block=2)
    checkpoint(out, "sd1_zero_snr", 3, zero_snr, deviation=0.25, attention_head_dim=8, transformer_layers_per_block=2, upcast_attention=True)
    sd2 = dict(SD2_UNET, pad_token=OPEN_CLIP_PAD, text=OPEN_CLIP)
    checkpoint(out, "sd2_base", 4, pndm, **sd2)
    checkpoint(out, "sd2_v", 5, ddim_v, **sd2, sample_size=24)


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=4.0, width=128, height=128)
    cases = {f"{folder}_{name}": dict(base, folder=folder, scheduler=name) for folder in ("sd1", "sd1_v") for name in SCHEDULERS}
    cases["sd1_ddim"]["guidance_scale"] = 1.5  # with more, rounding changes more pixels than the comparison allows
    cases |= {f"sd1_zero_snr_{n}": dict(base, folder="sd1_zero_snr", scheduler=n) for n in ("ddim", "dpmpp_2m", "euler")}
    cases |= {f"sd2_v_{n}": dict(base, folder="sd2_v", scheduler=n) for n in ("pndm", "euler_ancestral", "dpmpp_2m_karras")}
    cases |= {
        "own_scheduler": dict(base, folder="sd1"),
        "overflowing": dict(base, folder="sd1_overflowing", seed=9),
        "negative": dict(base, folder="sd1", negative_prompt="a cat on a red background"),
        "unguided": dict(base, folder="sd1", guidance_scale=1.0, seed=2**40 + 3),
        "clip_skip": dict(base, folder="sd1_v", scheduler="ddim", clip_skip=1, negative_prompt="a dog"),
        "clip_skip_0": dict(base, folder="sd1", clip_skip=0),
        "eta": dict(base, folder="sd1_v", scheduler="ddim", eta=0.7),
        "long_prompt": dict(base, folder="sd1", prompt="a fox and a whale on a green background, " * 20),
        "empty_prompt": dict(base, folder="sd1", prompt="", seed=0),
        "odd": dict(base, folder="sd1", width=65 * 8, height=37 * 8, steps=3),
        "odd_linear": dict(base, folder="sd1_v", width=37 * 8, height=65 * 8, steps=2, scheduler="euler"),
        "one_step": dict(base, folder="sd1", scheduler="ddim", steps=1),
        "rescale": dict(base, folder="sd1_zero_snr", scheduler="ddim", guidance_rescale=0.7),
        "rescale_off_with_guidance": dict(base, folder="sd1", guidance_scale=1.0, guidance_rescale=0.7),
        "sd2_base": dict(base, folder="sd2_base"),
        "sd2_exclaimed": dict(base, folder="sd2_base", prompt="a cat! a dog!! on a red background !", negative_prompt="! a whale"),
        "sd2_odd": dict(base, folder="sd2_base", width=21 * 8, height=13 * 8, scheduler="euler"),
        "sd2_v": dict(base, folder="sd2_v", guidance_rescale=1.0, width=192, height=192),
        "sd2_clip_skip": dict(base, folder="sd2_v", clip_skip=2, guidance_rescale=0.3),
        "emoji": dict(base, folder=str(EMOJI), scheduler="dpmpp_2m", steps=15, guidance_scale=3.0),
        "emoji_own": dict(base, folder=str(EMOJI), steps=20, guidance_scale=4.0, seed=42, prompt="a cat", request_scheduler="ddim"),
    }
    return cases, base


def load(folder):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe, channels_last(pipe)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]))
    make_checkpoints(writer.out)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case, contrast="emoji" not in name and name != "one_step")
    for folder in ("sd1", "sd1_v", "sd1_zero_snr", "sd2_base", "sd2_v"):
        writer.check_sensitivity(folder, pipes[folder][0], dict(base, folder=folder))
    rescaled = dict(base, folder="sd1_zero_snr", guidance_rescale=0.7)
    writer.check_sensitivity("rescale", pipes["sd1_zero_snr"][0], rescaled, guidance_rescale=0.0)
    writer.finish()


main()
