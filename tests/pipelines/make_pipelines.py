"""Small random SD 1.x checkpoints that can fail, and what diffusers draws with them.

usage: make_pipelines.py OUT

Writes OUT/<checkpoint>/ (diffusers' layout) and, for each case, OUT/<case>.safetensors with `latents` [steps, 1, C, h, w] after
every step, `pixels` [H, W, 3] uint8 and `tolerance` [steps]: the reference's own relative error between contiguous and
channels-last memory. OUT/cases.json lists the cases. Weights are scaled until prompt, timestep and seed all matter and the
pictures have contrast; the script fails when they do not.
"""
import copy
import json
import pathlib
import shutil
import sys

import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel)
from diffusers.utils.logging import disable_progress_bar
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

OUT = pathlib.Path(sys.argv[1])
EMOJI = pathlib.Path(__file__).resolve().parents[2] / "models" / "emoji"
SD_BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
SCHEDULERS = {"pndm": (PNDMScheduler, {}), "ddim": (DDIMScheduler, {}), "euler": (EulerDiscreteScheduler, {}),
              "euler_ancestral": (EulerAncestralDiscreteScheduler, {}), "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
              "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True})}

torch.set_grad_enabled(False)
torch.set_num_threads(1)
disable_progress_bar()
# transformers 5 dropped the inner module that this diffusers reaches for when clip_skip is given; its layers are the model's own now.
CLIPTextModel.text_model = property(lambda self: self)


def tokenizer():
    return CLIPTokenizer.from_pretrained(EMOJI / "tokenizer")


def text_encoder(act, width=48):
    tok = tokenizer()
    model = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tok), hidden_size=width, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, hidden_act=act,
        bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id, pad_token_id=tok.pad_token_id, projection_dim=32))
    for name, p in model.named_parameters():
        if "embedding" in name or "weight" in name and p.ndim == 2:
            p.mul_(6)
    return model


def unet(**config):
    base = dict(sample_size=16, layers_per_block=1, block_out_channels=(32, 32, 64), norm_num_groups=8, cross_attention_dim=48,
                down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
    model = UNet2DConditionModel(**{**base, **config})
    for name, p in model.named_parameters():
        if "attn2.to_v" in name or "attn2.to_out" in name or "time_emb_proj" in name:
            p.mul_(5)
    return model


def vae():
    return AutoencoderKL(block_out_channels=(16, 16, 32, 32), layers_per_block=1, norm_num_groups=8, latent_channels=4,
                         down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=128,
                         scaling_factor=0.18215)


def calibrate(pipe):
    """Noise predictions of unit variance; pictures of mean 0 and deviation 0.35 in -1..1."""
    g = torch.Generator().manual_seed(5)
    embeds = pipe.encode_prompt("a fox on a blue background", "cpu", 1, False)[0]
    x = torch.randn(1, 4, 16, 16, generator=g)
    out = pipe.unet(x, torch.tensor(500), embeds).sample
    pipe.unet.conv_out.weight.mul_(1 / out.std())
    pipe.unet.conv_out.bias.mul_(0)
    latents = pipe("a fox on a blue background", num_inference_steps=4, output_type="latent", generator=g, height=128, width=128).images
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pipe.vae.decoder.conv_out.weight.mul_(0.35 / decoded.std())
    pipe.vae.decoder.conv_out.bias.copy_(-decoded.mean((0, 2, 3)) * 0.35 / decoded.std())


def checkpoint(name, seed, scheduler, act="quick_gelu", **config):
    torch.manual_seed(seed)
    pipe = StableDiffusionPipeline(vae(), text_encoder(act), tokenizer(), unet(**config), scheduler, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(OUT / name)


def load(folder):
    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, case, channels_last=False):
    if channels_last:
        pipe = copy.deepcopy(pipe)
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    own = pipe.scheduler
    if case.get("scheduler"):
        cls, extra = SCHEDULERS[case["scheduler"]]
        pipe.scheduler = cls.from_config(own.config, **extra)
    steps = []
    keep = lambda p, i, t, kw: steps.append(kw["latents"].clone()) or {}
    image = pipe(case["prompt"], negative_prompt=case.get("negative_prompt"), num_inference_steps=case["steps"],
                 guidance_scale=case["guidance_scale"], generator=torch.Generator("cpu").manual_seed(case["seed"]), eta=case.get("eta", 0.0),
                 clip_skip=case.get("clip_skip"), width=case["width"], height=case["height"], output_type="np", callback_on_step_end=keep).images[0]
    pipe.scheduler = own
    return torch.stack(steps), torch.from_numpy((image * 255).round().astype("uint8"))


def relative(a, b):
    return ((a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)).float()


def check_contrast(name, pixels):
    x = pixels.float()
    saturated = ((pixels == 0) | (pixels == 255)).float().mean()
    assert x.std() >= 20 and saturated < 0.05, f"{name}: deviation {x.std():.1f}, saturated {saturated:.3f}"


def check_sensitivity(name, pipe, case):
    """A changed prompt, seed or timestep list must change the picture."""
    _, pixels = draw(pipe, case)
    for change in ({"prompt": case["prompt"] + " in front of a red wall"}, {"seed": case["seed"] + 1}, {"steps": case["steps"] // 2}):
        other = draw(pipe, {**case, **change})[1]
        moved = (other.int() - pixels.int()).abs().float().mean()
        assert moved > 1, f"{name}: {change} moved the picture by only {moved:.3f}"


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    sd_pndm = PNDMScheduler(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    checkpoint("sd1", 1, sd_pndm, attention_head_dim=4)
    checkpoint("sd1_v", 2, DDIMScheduler(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1),
               act="gelu", attention_head_dim=(2, 4, 8), use_linear_projection=True, layers_per_block=2)
    checkpoint("sd1_zero_snr", 3, DDIMScheduler(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, rescale_betas_zero_snr=True,
                                                timestep_spacing="trailing", steps_offset=1), attention_head_dim=8,
               transformer_layers_per_block=2, upcast_attention=True)

    base = dict(prompt="a fox on a blue background", seed=7, steps=6, guidance_scale=4.0, width=128, height=128)
    cases = {f"{folder}_{name}": dict(base, folder=folder, scheduler=name) for folder in ("sd1", "sd1_v") for name in SCHEDULERS}
    cases["sd1_ddim"]["guidance_scale"] = 1.5  # with more, rounding alone moves more pixels than the comparison allows
    cases |= {f"sd1_zero_snr_{n}": dict(base, folder="sd1_zero_snr", scheduler=n) for n in ("ddim", "dpmpp_2m", "euler")}
    cases |= {
        "own_scheduler": dict(base, folder="sd1"),
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
        "emoji": dict(base, folder=str(EMOJI), scheduler="dpmpp_2m", steps=15, guidance_scale=3.0),
        "emoji_own": dict(base, folder=str(EMOJI), steps=20, guidance_scale=4.0, seed=42, prompt="a cat"),
    }
    pipes = {}
    for name, case in cases.items():
        if case["folder"] not in pipes:
            pipes[case["folder"]] = load(OUT / case["folder"])
        pipe = pipes[case["folder"]]
        latents, pixels = draw(pipe, case)
        latents_cl, pixels_cl = draw(pipe, case, channels_last=True)
        if "emoji" not in name and name != "one_step":
            check_contrast(name, pixels)
        save_file({"latents": latents.contiguous(), "pixels": pixels.contiguous(), "tolerance": relative(latents, latents_cl)}, OUT / f"{name}.safetensors")
        itself = (pixels != pixels_cl).float().mean()
        # A picture whose reference does not agree with itself could not be held to 99.9 %.
        assert itself < 1e-3, f"{name}: the reference differs from itself in {itself:.2e} of its pixels"
        print(f"{name}: {len(latents)} steps, deviation {pixels.float().std():.1f}, reference differs from itself by {relative(latents, latents_cl)[-1]:.1e}, "
              f"{itself:.2e} of its pixels")
    for folder in ("sd1", "sd1_v", "sd1_zero_snr"):
        check_sensitivity(folder, pipes[folder], dict(base, folder=folder))
    json.dump([dict(c, name=n) for n, c in cases.items()], open(OUT / "cases.json", "w"), indent=1)


main()
