"""The second pass over a larger version of an image ("hires fix"): see checkpoints.py. Usage: make_hires.py OUT

Text to image at `width` x `height`; then the decoded image resized by Pillow, or the final latents by torch.nn.functional.interpolate;
then image to image with `strength`, the same seed, prompt and scheduler. `latents` are those after each step of the second pass, and
`first_pass_steps` says how many steps come before.
"""
import pathlib
import sys

import torch
from diffusers import (DDIMScheduler, EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline,
                       StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline)
from PIL import Image

sys.dont_write_bytecode = True
from checkpoints import PROMPT, SD_BETAS, Writer, calibrate, channels_last, draw, text_encoder, tokenizer, unet, vae  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402

HIRES_KEYS = ("hires_width", "hires_height", "hires_steps", "hires_strength", "hires_upscaler", "first_pass_steps")
LATENT_WAYS = {"Latent": dict(mode="bilinear"), "Latent (antialiased)": dict(mode="bilinear", antialias=True),
               "Latent (bicubic)": dict(mode="bicubic"), "Latent (bicubic antialiased)": dict(mode="bicubic", antialias=True),
               "Latent (nearest)": dict(mode="nearest"), "Latent (nearest-exact)": dict(mode="nearest-exact")}
PIXEL_WAYS = {"Lanczos": Image.Resampling.LANCZOS, "Nearest": Image.Resampling.NEAREST}
MODES = {"sd": (StableDiffusionPipeline, StableDiffusionImg2ImgPipeline), "xl": (StableDiffusionXLPipeline, StableDiffusionXLImg2ImgPipeline)}


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_checkpoints(out):
    torch.manual_seed(31)
    tok = tokenizer()
    ddim = DDIMScheduler(**SD_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    sd = quiet(StableDiffusionPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4), ddim, None, None, requires_safety_checker=False))
    calibrate(sd)
    sd.save_pretrained(out / "sd")
    torch.manual_seed(32)
    xl = quiet(StableDiffusionXLPipeline(**sdxl_parts(EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading")),
                                         add_watermarker=False))
    calibrate(xl)
    xl.save_pretrained(out / "xl")


class Artist:
    """The pipelines of both passes in one memory format."""

    def __init__(self, out, convert=lambda pipe: pipe):
        self.pipes = {}
        for folder, (text, image) in MODES.items():
            extra = dict(safety_checker=None) if folder == "sd" else dict(add_watermarker=False)
            first = convert(quiet(text.from_pretrained(out / folder, dtype=torch.float32, **extra)))
            own = dict(requires_safety_checker=False) if folder == "sd" else dict(add_watermarker=False)
            self.pipes[folder] = first, quiet(image(**first.components, **own))


def enlarge(first, case, way):
    """What the second pass begins from."""
    size = case["hires_width"], case["hires_height"]
    if way in PIXEL_WAYS:
        return Image.fromarray(first.numpy()).resize(size, PIXEL_WAYS[way])
    return torch.nn.functional.interpolate(first.unsqueeze(0), size=(size[1] // 8, size[0] // 8), **LATENT_WAYS[way])


def draw_case(artist, case):
    text, image = artist.pipes[case["folder"]]
    way = case["hires_upscaler"]
    own = {key: value for key, value in case.items() if key not in HIRES_KEYS}
    _, first = draw(text, dict(own, output_type="np" if way in PIXEL_WAYS else "latent"))
    second = {key: value for key, value in own.items() if key not in ("width", "height")}
    return draw(image, dict(second, steps=case.get("hires_steps", case["steps"]), strength=case["hires_strength"],
                            image=enlarge(first, case, way)))


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=3.0, width=96, height=64, folder="sd", hires_width=192, hires_height=128,
                hires_strength=0.75, first_pass_steps=6)
    name = lambda way: way.lower().replace(" ", "_").replace("(", "").replace(")", "").replace("-", "_")
    ways = [*LATENT_WAYS, *PIXEL_WAYS]
    return {
        **{name(way): dict(base, hires_upscaler=way) for way in ways},
        **{f"xl_{name(way)}": dict(base, folder="xl", hires_upscaler=way) for way in ("Latent", "Lanczos")},
        "ancestral": dict(base, hires_upscaler="Latent", scheduler="euler_ancestral", hires_steps=4, hires_strength=0.5),
        "ancestral_lanczos": dict(base, hires_upscaler="Lanczos", scheduler="euler_ancestral", hires_steps=8, hires_strength=0.4),
        "by_half": dict(base, hires_upscaler="Latent (nearest-exact)", hires_width=144, hires_height=96, negative_prompt="a dog"),
        "by_half_nearest": dict(base, hires_upscaler="Nearest", hires_width=144, hires_height=96, scheduler="dpmpp_2m"),
    }


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw_case)
    make_checkpoints(writer.out)
    artist, artist_channels_last = Artist(writer.out), Artist(writer.out, channels_last)
    cases = make_cases()
    for name, case in cases.items():
        # Between the passes the image is rounded to 8 bits. Values that lie between two of them are rounded differently by another order
        # of additions, and the second pass makes more of the difference.
        apart = dict(most_apart=0.05) if case["hires_upscaler"] in PIXEL_WAYS else {}
        writer.add(name, artist, artist_channels_last, case, contrast=False, **apart)
    for name in ("latent", "lanczos"):
        writer.check_changes(name, artist, cases[name], hires_strength=0.4, hires_steps=10, seed=8)
    writer.check_changes("latent", artist, cases["latent"], hires_upscaler="Latent (nearest)")
    writer.check_changes("lanczos", artist, cases["lanczos"], hires_upscaler="Nearest")
    writer.finish()


main()
