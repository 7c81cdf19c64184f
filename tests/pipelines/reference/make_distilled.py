"""Checkpoints for few steps: LCM, Turbo, Lightning, Hyper: see checkpoints.py. Usage: make_distilled.py OUT"""
import pathlib
import sys

import torch
from diffusers import (DDIMScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, LatentConsistencyModelPipeline, LCMScheduler,
                       StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline,
                       StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline, TCDScheduler)

sys.dont_write_bytecode = True
from checkpoints import PROMPT, SD_BETAS, Writer, calibrate, channels_last, draw, source_image, text_encoder, tokenizer, unet, vae  # noqa: E402
from sdxl_checkpoints import sdxl_parts, sdxl_unet  # noqa: E402

GUIDANCE_DIM = 24
LCM = LCMScheduler(**SD_BETAS, steps_offset=1)
TRAILING = dict(SD_BETAS, steps_offset=1, timestep_spacing="trailing")
XL_SCHEDULERS = {
    "xl_turbo": EulerAncestralDiscreteScheduler(**TRAILING),
    "xl_lightning": EulerDiscreteScheduler(**TRAILING),
    "xl_lightning_1": EulerDiscreteScheduler(**TRAILING, prediction_type="sample"),
    "xl_hyper": TCDScheduler(**SD_BETAS, steps_offset=1),
    "xl_hyper_ddim": DDIMScheduler(**TRAILING, clip_sample=False, set_alpha_to_one=False),
}
MODES = {StableDiffusionPipeline: ({"image": StableDiffusionImg2ImgPipeline, "inpaint": StableDiffusionInpaintPipeline},
                                   {"requires_safety_checker": False}),
         StableDiffusionXLPipeline: ({"image": StableDiffusionXLImg2ImgPipeline, "inpaint": StableDiffusionXLInpaintPipeline},
                                     {"add_watermarker": False})}


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def louder_guidance(model):
    """Or the scale's embedding would drown in the timestep's."""
    model.time_embedding.cond_proj.weight.mul_(6)
    return model


def make_sd(out):
    torch.manual_seed(41)
    tok = tokenizer()
    model = louder_guidance(unet(attention_head_dim=4, time_cond_proj_dim=GUIDANCE_DIM))
    pipe = quiet(StableDiffusionPipeline(vae(), text_encoder(tok), tok, model, LCM, None, None, requires_safety_checker=False))
    calibrate(pipe)
    pipe.save_pretrained(out / "sd_lcm")
    quiet(LatentConsistencyModelPipeline(**pipe.components, requires_safety_checker=False)).save_pretrained(out / "lcm")
    torch.manual_seed(42)
    pipe = quiet(StableDiffusionPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4), EulerDiscreteScheduler(**TRAILING), None,
                                         None, requires_safety_checker=False))
    calibrate(pipe)
    pipe.save_pretrained(out / "sd_turbo")


def make_xl(out):
    torch.manual_seed(43)
    pipe = quiet(StableDiffusionXLPipeline(**sdxl_parts(XL_SCHEDULERS["xl_turbo"]), add_watermarker=False))
    calibrate(pipe)
    for name, scheduler in XL_SCHEDULERS.items():
        pipe.scheduler = scheduler
        pipe.save_pretrained(out / name)
    torch.manual_seed(44)
    parts = dict(sdxl_parts(LCM), unet=louder_guidance(sdxl_unet(6, time_cond_proj_dim=GUIDANCE_DIM)))
    pipe = quiet(StableDiffusionXLPipeline(**parts, add_watermarker=False))
    calibrate(pipe)
    pipe.save_pretrained(out / "xl_lcm")


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=4, width=64, height=64, guidance_scale=0.0)
    masked = dict(base, mode="inpaint", image=source_image(1, 64, 64), mask_image=source_image(2, 64, 64), strength=0.75)
    img2img = {key: value for key, value in base.items() if key not in ("width", "height")} | dict(mode="image", image=masked["image"], strength=0.5)
    lcm = dict(base, guidance_scale=8.5)
    return {
        "lcm": dict(lcm, folder="lcm"),
        "lcm_guidance": dict(lcm, folder="lcm", guidance_scale=1.5, steps=2),
        "lcm_8": dict(lcm, folder="lcm", steps=8),
        "sd_lcm": dict(lcm, folder="sd_lcm"),
        "sd_lcm_image": dict(img2img, folder="sd_lcm", guidance_scale=8.5),
        "sd_lcm_masked": dict(masked, folder="sd_lcm", guidance_scale=8.5),
        "xl_lcm": dict(lcm, folder="xl_lcm"),
        "xl_lcm_image": dict(img2img, folder="xl_lcm", guidance_scale=2.0),
        "xl_lcm_masked": dict(masked, folder="xl_lcm", guidance_scale=2.0),
        "sd_turbo_1": dict(base, folder="sd_turbo", steps=1),
        "sd_turbo_4": dict(base, folder="sd_turbo"),
        "sd_turbo_image": dict(img2img, folder="sd_turbo"),
        "sd_turbo_masked": dict(masked, folder="sd_turbo"),
        "xl_turbo_1": dict(base, folder="xl_turbo", steps=1),
        "xl_turbo_image": dict(img2img, folder="xl_turbo"),
        "xl_turbo_image_1": dict(img2img, folder="xl_turbo", steps=2),
        "xl_turbo_masked": dict(masked, folder="xl_turbo"),
        "xl_lightning_2": dict(base, folder="xl_lightning", steps=2),
        "xl_lightning_4": dict(base, folder="xl_lightning"),
        "xl_lightning_image": dict(img2img, folder="xl_lightning"),
        "xl_lightning_masked": dict(masked, folder="xl_lightning", strength=1.0),
        "xl_lightning_1": dict(base, folder="xl_lightning_1", steps=1),
        "xl_hyper_1": dict(base, folder="xl_hyper", steps=1, eta=1.0),
        "xl_hyper_8": dict(base, folder="xl_hyper", steps=8, eta=0.5),
        "xl_hyper_image": dict(img2img, folder="xl_hyper", eta=0.3),
        "xl_hyper_masked": dict(masked, folder="xl_hyper", eta=0.5),
        "xl_hyper_ddim": dict(base, folder="xl_hyper_ddim", steps=2),
        "xl_hyper_ddim_image": dict(img2img, folder="xl_hyper_ddim"),
        "xl_hyper_ddim_masked": dict(masked, folder="xl_hyper_ddim"),
    }


def load(folder):
    cls = LatentConsistencyModelPipeline if folder.name == "lcm" else StableDiffusionXLPipeline if folder.name.startswith("xl") else StableDiffusionPipeline
    arguments = {"add_watermarker": False} if cls is StableDiffusionXLPipeline else {"safety_checker": None}
    pipe = quiet(cls.from_pretrained(folder, dtype=torch.float32, **arguments))
    return pipe, channels_last(pipe)


def draw_case(pipe, case):
    if "mode" in case:
        classes, arguments = MODES[type(pipe)]
        pipe = quiet(classes[case["mode"]](**pipe.components, **arguments))
    return draw(pipe, case)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw_case)
    make_sd(writer.out)
    make_xl(writer.out)
    cases = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case, contrast=False)
    for name in ("lcm", "xl_lcm", "sd_turbo_4", "xl_lightning_4", "xl_hyper_8"):
        writer.check_sensitivity(name, pipes[cases[name]["folder"]][0], cases[name])
    for name in ("lcm", "xl_lcm"):
        writer.check_changes(name, pipes[name][0], cases[name], guidance_scale=1.5)
    writer.finish()


main()
