"""Image to image, inpainting, and SDXL's refiner, by itself and after the base; timesteps and sigmas of the caller's choice: see
checkpoints.py. Usage: make_image_to_image.py OUT

A case's `mode` is image, inpaint, text (from noise) or refine, in which the refiner takes over from the base at `denoising_end`;
refine_image and refine_inpaint start from an image.
"""
import json
import pathlib
import sys

import torch
from PIL import Image, ImageDraw, ImageFilter
from diffusers import (DDIMScheduler, EulerDiscreteScheduler, LatentConsistencyModelImg2ImgPipeline, LatentConsistencyModelPipeline, LCMScheduler,
                       PNDMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline,
                       StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline, StableDiffusionXLPipeline)

sys.dont_write_bytecode = True
from checkpoints import (FURTHER_SCHEDULERS, OPEN_CLIP, OPEN_CLIP_PAD, PROMPT, SD2_UNET, SD_BETAS, Writer, calibrate, channels_last, draw,  # noqa: E402
                         source_image, text_encoder, tokenizer, unet, vae)
from sdxl_checkpoints import sdxl_parts, sdxl_unet  # noqa: E402

SOURCE_IMAGE, MASK = source_image(1), source_image(2)
SD_MODES = {"text": StableDiffusionPipeline, "image": StableDiffusionImg2ImgPipeline, "inpaint": StableDiffusionInpaintPipeline}
XL_MODES = {"image": StableDiffusionXLImg2ImgPipeline, "inpaint": StableDiffusionXLInpaintPipeline}
# Of the base and of the refiner.
REFINED_MODES = {"refine": (StableDiffusionXLPipeline, StableDiffusionXLImg2ImgPipeline),
                 "refine_image": (StableDiffusionXLImg2ImgPipeline, StableDiffusionXLImg2ImgPipeline),
                 "refine_inpaint": (StableDiffusionXLInpaintPipeline, StableDiffusionXLInpaintPipeline)}
REFINER = dict(requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False)


def part_mask(box, width=128, height=128):
    """Selects the pixels of a box, with soft edges."""
    mask = Image.new("RGB", (width, height))
    ImageDraw.Draw(mask).rectangle(box, fill="white")
    return mask.filter(ImageFilter.GaussianBlur(1))


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_sd(out, name, seed, scheduler, cls=StableDiffusionPipeline, pad_token="<|endoftext|>", text=None, **config):
    torch.manual_seed(seed)
    tok = tokenizer(pad_token=pad_token)
    pipe = quiet(cls(vae(), text_encoder(tok, **(text or {})), tok, unet(**{"attention_head_dim": 4, **config}), scheduler, None, None,
                     requires_safety_checker=False))
    calibrate(pipe, **(dict(image=SOURCE_IMAGE, mask_image=MASK) if cls is StableDiffusionInpaintPipeline else {}))
    pipe.save_pretrained(out / name)


def make_outdated(out):
    """Inpainting checkpoints with schedulers that the reference's pipeline corrects, and does not."""
    old = dict(SD_BETAS, prediction_type="v_prediction", steps_offset=0)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(out / "sd_inpainting", safety_checker=None)
    for name, scheduler in (("sd_inpainting_clipped", DDIMScheduler(**old, clip_sample=True)), ("sd_inpainting_prk", PNDMScheduler(**old))):
        pipe.scheduler = scheduler
        pipe.save_pretrained(out / name)


def make_xl(out):
    euler = EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading")
    torch.manual_seed(23)
    base = quiet(StableDiffusionXLPipeline(**sdxl_parts(euler), add_watermarker=False))
    calibrate(base)
    base.save_pretrained(out / "xl")
    parts = dict(sdxl_parts(euler), text_encoder=None, tokenizer=None, unet=sdxl_unet(5, cross_attention_dim=64))
    refiner = quiet(StableDiffusionXLImg2ImgPipeline(**parts, **REFINER))
    calibrate(refiner, image=SOURCE_IMAGE, strength=1.0)
    refiner.save_pretrained(out / "refiner")
    base.save_pretrained(out / "xl_with_refiner")
    (out / "xl_with_refiner" / "easel.json").write_text(json.dumps({"refiner": "../refiner", "defaults": {"denoising_end": 0.5}}))
    torch.manual_seed(25)
    parts = dict(sdxl_parts(euler, dict(latents_mean=[0.3, -0.2, 0.1, 0.4], latents_std=[1.2, 0.8, 1.1, 0.9])), unet=sdxl_unet(6, in_channels=9))
    inpainting = quiet(StableDiffusionXLInpaintPipeline(**parts, add_watermarker=False))
    calibrate(inpainting, image=SOURCE_IMAGE, mask_image=MASK)
    inpainting.save_pretrained(out / "xl_inpainting")


def make_checkpoints(out):
    make_sd(out, "sd", 21, PNDMScheduler(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1))
    ddim_v = DDIMScheduler(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    make_sd(out, "sd_inpainting", 22, ddim_v, cls=StableDiffusionInpaintPipeline, in_channels=9)
    make_outdated(out)
    make_sd(out, "sd2", 26, ddim_v, pad_token=OPEN_CLIP_PAD, text=OPEN_CLIP, **SD2_UNET)
    make_lcm(out)
    make_xl(out)


def make_lcm(out):
    torch.manual_seed(24)
    tok = tokenizer()
    pipe = quiet(LatentConsistencyModelPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4, time_cond_proj_dim=32),
                                                LCMScheduler(**SD_BETAS), None, None, requires_safety_checker=False))
    calibrate(pipe)
    pipe.save_pretrained(out / "lcm")


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=8, guidance_scale=3.0, image=SOURCE_IMAGE, strength=0.6)
    sd, masked = dict(base, folder="sd", mode="image"), dict(base, folder="sd", mode="inpaint", mask_image=MASK, width=128, height=128)
    special = dict(masked, folder="sd_inpainting")
    xl, xl_masked = dict(sd, folder="xl"), dict(masked, folder="xl")
    refiner, refined = dict(sd, folder="refiner"), dict(prompt=PROMPT, seed=7, steps=8, guidance_scale=3.0, width=128, height=128,
                                                        folder="xl_with_refiner", mode="refine")
    sd2, sd2_masked = dict(sd, folder="sd2"), dict(masked, folder="sd2")
    refined_image = dict(xl, folder="xl_with_refiner", mode="refine_image", strength=0.8, denoising_end=0.5)
    refined_masked = dict(xl_masked, folder="xl_with_refiner", mode="refine_inpaint", strength=0.8, denoising_end=0.5)
    xl_special = dict(xl_masked, folder="xl_inpainting")
    sizes = dict(original_size=(768, 1024), crops_coords_top_left=(32, 200), target_size=(512, 640))
    negative_sizes = dict(negative_original_size=(256, 300), negative_crops_coords_top_left=(5, 6))
    few = dict(steps=5, timesteps=[951, 801, 601, 401, 201, 1])
    wide = dict(image=source_image(3, 21 * 8, 13 * 8))
    wide_masked = dict(wide, mask_image=source_image(4, 21 * 8, 13 * 8), width=21 * 8, height=13 * 8)
    cropped = dict(mask_image=part_mask((30, 50, 70, 80)), padding_mask_crop=8)
    # Wider than the image is high, so that the part has to be continued above and below.
    cropped_wide = dict(wide_masked, mask_image=part_mask((4, 40, 160, 60), 21 * 8, 13 * 8), padding_mask_crop=4, width=128, height=128)
    return {
        **{f"image_{name}": dict(sd, scheduler=name) for name in ("pndm", "ddim", "euler", "euler_ancestral", "dpmpp_2m", "dpmpp_2m_karras")},
        "image_all": dict(sd, strength=1.0),
        "image_little": dict(sd, strength=0.13, scheduler="ddim"),
        "image_wide": dict(sd, scheduler="dpmpp_2m", **wide),
        **{f"masked_{name}": dict(masked, scheduler=name) for name in ("pndm", "ddim", "euler_ancestral", "dpmpp_2m")},
        "masked_all": dict(masked, strength=1.0, scheduler="euler"),
        "masked_wide": dict(masked, scheduler="euler", **wide_masked),
        "masked_cropped": dict(masked, scheduler="euler", **cropped),
        "masked_cropped_wide": dict(masked, scheduler="euler", **cropped_wide),
        "special_cropped": dict(special, **cropped),
        "xl_masked_cropped": dict(xl_masked, **cropped),
        "special": special,
        "special_all": dict(special, strength=1.0, scheduler="euler_ancestral"),
        "special_wide": dict(special, **wide_masked),
        "special_clipped": dict(special, folder="sd_inpainting_clipped"),
        "special_clipped_ddpm": dict(special, folder="sd_inpainting_clipped", scheduler="ddpm"),
        "special_prk": dict(special, folder="sd_inpainting_prk"),
        "sd2_image": sd2,
        "sd2_image_euler": dict(sd2, scheduler="euler", negative_prompt="a dog!"),
        "sd2_masked": sd2_masked,
        "sd2_masked_all": dict(sd2_masked, strength=1.0, scheduler="dpmpp_2m"),
        "xl_image": xl,
        "xl_image_sizes": dict(xl, **sizes, **negative_sizes, negative_target_size=(900, 800)),
        "xl_image_half_negative_sizes": dict(xl, **sizes, **negative_sizes),
        "xl_image_ancestral": dict(xl, scheduler="euler_ancestral", negative_prompt="a dog"),
        "xl_masked": xl_masked,
        "xl_masked_all": dict(xl_masked, strength=1.0, scheduler="dpmpp_2m"),
        "xl_masked_sizes": dict(xl_masked, **sizes, **negative_sizes),
        "xl_special": xl_special,
        "xl_special_all": dict(xl_special, strength=1.0, scheduler="euler_ancestral", negative_prompt="a dog"),
        "refiner": refiner,
        "refiner_scores": dict(refiner, aesthetic_score=3.0, negative_aesthetic_score=7.5, original_size=(300, 500),
                               crops_coords_top_left=(10, 20)),
        "refiner_masked": dict(refiner, mode="inpaint", mask_image=MASK, width=128, height=128),
        "refined": dict(refined, denoising_end=0.5),
        "refined_sizes": dict(refined, denoising_end=0.5, **sizes, **negative_sizes),
        "refined_image": refined_image,
        "refined_image_all": dict(refined_image, strength=1.0, scheduler="euler_ancestral"),
        "refined_masked": refined_masked,
        "refined_masked_all": dict(refined_masked, strength=1.0, scheduler="euler_ancestral"),
        "refined_late": dict(refined, denoising_end=0.8, negative_prompt="a cat", scheduler="dpmpp_2m"),
        "refined_ancestral": dict(refined, denoising_end=0.4, scheduler="euler_ancestral"),
        **{f"image_{name}": dict(sd, scheduler=name, steps=5) for name in FURTHER_SCHEDULERS},
        **{f"masked_{name}": dict(masked, scheduler=name, steps=4) for name in FURTHER_SCHEDULERS},
        "lcm": dict(prompt=PROMPT, seed=7, steps=4, guidance_scale=8.5, width=128, height=128, folder="lcm", mode="text"),
        "lcm_image": dict(sd, folder="lcm", steps=4, guidance_scale=8.5, strength=0.5),
        "lcm_image_little": dict(sd, folder="lcm", steps=3, guidance_scale=2.0, strength=0.21),
        "lcm_masked": dict(masked, folder="lcm", steps=4, guidance_scale=8.5),
        "image_timesteps": dict(sd, **few, scheduler="euler"),
        "image_timesteps_heun": dict(sd, **few, scheduler="heun"),
        "image_sigmas": dict(sd, steps=5, sigmas=[14.6, 6.5, 2.7, 1.4, 0.65, 0.15, 0.0], scheduler="euler"),
        "masked_timesteps": dict(masked, **few, scheduler="dpmpp_2m"),
        "text_timesteps": dict(prompt=PROMPT, seed=7, guidance_scale=3.0, width=128, height=128, folder="sd", mode="text", scheduler="dpmpp_2s", **few),
        "refined_timesteps": dict(refined, **few, denoising_end=0.5),
        "refined_pndm": dict(refined, denoising_end=0.6, scheduler="pndm"),
    }


class Artist:
    """The pipelines of one memory format."""

    def __init__(self, out, convert=lambda pipe: pipe):
        load = lambda cls, name, **arguments: convert(quiet(cls.from_pretrained(out / name, dtype=torch.float32, **arguments)))
        sd = load(StableDiffusionPipeline, "sd", safety_checker=None)
        special = load(StableDiffusionInpaintPipeline, "sd_inpainting", safety_checker=None)
        xl = load(StableDiffusionXLPipeline, "xl", add_watermarker=False)
        refiner = load(StableDiffusionXLImg2ImgPipeline, "refiner", add_watermarker=False)
        outdated = {name: load(StableDiffusionInpaintPipeline, name, safety_checker=None) for name in ("sd_inpainting_clipped", "sd_inpainting_prk")}
        self.pipes = {(name, "inpaint"): pipe for name, pipe in outdated.items()}
        self.pipes |= {("sd_inpainting", "inpaint"): special, ("refiner", "image"): refiner,
                      ("refiner", "inpaint"): quiet(StableDiffusionXLInpaintPipeline(**refiner.components, **REFINER)),
                      ("xl_inpainting", "inpaint"): load(StableDiffusionXLInpaintPipeline, "xl_inpainting", add_watermarker=False)}
        for name, pipe in (("sd", sd), ("sd2", load(StableDiffusionPipeline, "sd2", safety_checker=None))):
            self.pipes |= {(name, mode): quiet(cls(**pipe.components, requires_safety_checker=False)) for mode, cls in SD_MODES.items()}
        self.pipes |= {("xl", mode): quiet(cls(**xl.components, add_watermarker=False)) for mode, cls in XL_MODES.items()}
        lcm = load(LatentConsistencyModelPipeline, "lcm", safety_checker=None)
        lcm_modes = {"image": LatentConsistencyModelImg2ImgPipeline, "inpaint": StableDiffusionInpaintPipeline}
        self.pipes |= {("lcm", mode): quiet(cls(**lcm.components, requires_safety_checker=False)) for mode, cls in lcm_modes.items()}
        self.pipes["lcm", "text"] = lcm
        # As diffusers' documentation combines the two.
        shared = dict(refiner.components, text_encoder_2=xl.text_encoder_2, tokenizer_2=xl.tokenizer_2, vae=xl.vae)
        self.refined = {mode: (quiet(base(**xl.components, add_watermarker=False)), quiet(second(**shared, **REFINER)))
                        for mode, (base, second) in REFINED_MODES.items()}


def draw_case(artist, case):
    mode = case["mode"]
    if mode not in REFINED_MODES:
        return draw(artist.pipes[case["folder"], mode], case)
    base, refiner = artist.refined[mode]
    arguments = {key: value for key, value in case.items() if key != "denoising_end"}
    generator, handed_over = torch.Generator("cpu").manual_seed(case["seed"]), case["denoising_end"]
    first, latents = draw(base, dict(arguments, denoising_end=handed_over, output_type="latent"), generator)
    own = {key: value for key, value in arguments.items() if mode == "refine_inpaint" or key not in ("width", "height")}
    second, pixels = draw(refiner, dict(own, denoising_start=handed_over, image=latents.unsqueeze(0)), generator)
    return torch.cat([first, second]), pixels


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw_case)
    make_checkpoints(writer.out)
    artist, artist_channels_last = Artist(writer.out), Artist(writer.out, channels_last)
    cases = make_cases()
    for name, case in cases.items():
        # Most pixels of a cropped case are the source's own.
        writer.add(name, artist, artist_channels_last, case, contrast="padding_mask_crop" not in case)
    for name in ("image_ddim", "special", "xl_image", "refined"):
        writer.check_sensitivity(name, artist, cases[name])
    for name in ("image_ddim", "xl_image", "refiner"):
        writer.check_changes(name, artist, dict(cases[name], strength=0.25), image=source_image(9), strength=0.9)
    for name in ("masked_ddim", "special", "xl_masked"):
        writer.check_changes(name, artist, cases[name], image=source_image(9), mask_image=source_image(10))
    for name in ("masked_cropped", "xl_masked_cropped"):
        writer.check_changes(name, artist, cases[name], least=0.5, padding_mask_crop=40)
    writer.check_changes("refiner_scores", artist, cases["refiner_scores"], least=0.5, aesthetic_score=9.0, negative_aesthetic_score=1.0)
    writer.check_changes("special_clipped", artist, cases["special_clipped"], folder="sd_inpainting")
    writer.check_changes("refined", artist, cases["refined"], denoising_end=0.8)
    writer.check_changes("xl_image_half_negative_sizes", artist, cases["xl_image_half_negative_sizes"], least=0.5, crops_coords_top_left=(900, 700),
                         negative_original_size=(1500, 40))
    writer.check_changes("image_timesteps", artist, cases["image_timesteps"], timesteps=[951, 801, 500, 300, 100, 1])
    writer.check_changes("image_sigmas", artist, cases["image_sigmas"], sigmas=[14.6, 6.5, 2.7, 1.9, 0.9, 0.3, 0.0])
    writer.finish()


main()
