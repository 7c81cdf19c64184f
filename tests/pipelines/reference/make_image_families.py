"""InstructPix2Pix, the two upscalers, inpainting of SD 2.x and of XL with statistics: see checkpoints.py. Usage: make_image_families.py OUT"""
import json
import pathlib
import sys

import torch
from diffusers import (DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler, PNDMScheduler,
                       StableDiffusionInpaintPipeline, StableDiffusionInstructPix2PixPipeline, StableDiffusionLatentUpscalePipeline,
                       StableDiffusionUpscalePipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline,
                       StableDiffusionXLPipeline)

sys.dont_write_bytecode = True
import checkpoints  # noqa: E402
from checkpoints import (PROMPT, SD_BETAS, Writer, calibrate, channels_last, source_image, text_encoder, tokenizer, unet, vae)  # noqa: E402
from sdxl_checkpoints import sdxl_parts  # noqa: E402

SOURCE_IMAGE, MASK = source_image(1, 64, 64), source_image(2, 64, 64)
DDIM_V = dict(SD_BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
WORDS_OFF = dict(requires_safety_checker=False)


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def small_vae(**config):
    return vae(block_out_channels=(16, 16, 32), down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
               **config)


def make_pix2pix(out):
    torch.manual_seed(31)
    tok = tokenizer()
    pipe = quiet(StableDiffusionInstructPix2PixPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4, in_channels=8),
                                                        EulerAncestralDiscreteScheduler(**SD_BETAS), None, None, **WORDS_OFF))
    calibrate(pipe, image=SOURCE_IMAGE)
    pipe.save_pretrained(out / "pix2pix")


def make_x4(out):
    torch.manual_seed(32)
    tok = tokenizer(pad_token="!")
    text = text_encoder(tok, hidden_act="gelu", hidden_size=64, intermediate_size=128, eos_token_id=2, pad_token_id=1)
    model = unet(in_channels=7, num_class_embeds=1000, only_cross_attention=(True, True, False), use_linear_projection=True,
                 attention_head_dim=4, cross_attention_dim=64)
    model.class_embedding.weight.mul_(3)
    # The pipeline sets the factor to 0.08333, whatever the file says; so the file says something else.
    pipe = quiet(StableDiffusionUpscalePipeline(small_vae(scaling_factor=0.08333), text, tok, model, DDPMScheduler(beta_schedule="scaled_linear"),
                                                DDIMScheduler(**DDIM_V), max_noise_level=350))
    calibrate(pipe, image=source_image(1, 32, 32))
    pipe.save_pretrained(out / "x4")
    file = out / "x4" / "vae" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"scaling_factor": 0.2}))


def make_x2(out):
    torch.manual_seed(33)
    tok = tokenizer()
    model = unet(block_out_channels=(32, 32, 64, 64), layers_per_block=2, attention_head_dim=16, norm_num_groups=None, in_channels=8,
                 out_channels=5, conv_in_kernel=1, conv_out_kernel=1, act_fn="gelu", timestep_post_act="gelu", mid_block_type=None,
                 time_embedding_type="fourier", time_cond_proj_dim=128 + 48, resnet_time_scale_shift="scale_shift",
                 down_block_types=("KDownBlock2D",) + ("KCrossAttnDownBlock2D",) * 3,
                 up_block_types=("KCrossAttnUpBlock2D",) * 3 + ("KUpBlock2D",))
    for name, p in model.named_parameters():
        if "cond_proj" in name or ("norm" in name and "linear.weight" in name):
            p.mul_(3)
    pipe = quiet(StableDiffusionLatentUpscalePipeline(vae(), text_encoder(tok), tok, model,
                                                      EulerDiscreteScheduler(**SD_BETAS, prediction_type="original_sample")))
    calibrate(pipe, image=SOURCE_IMAGE)
    pipe.save_pretrained(out / "x2")


def make_sd2_inpainting(out):
    torch.manual_seed(34)
    tok = tokenizer(pad_token="!")
    text = text_encoder(tok, hidden_act="gelu", hidden_size=64, intermediate_size=128, num_hidden_layers=5, eos_token_id=2, pad_token_id=1)
    model = unet(in_channels=9, cross_attention_dim=64, attention_head_dim=(1, 2, 4), use_linear_projection=True, upcast_attention=True)
    pipe = quiet(StableDiffusionInpaintPipeline(vae(), text, tok, model, PNDMScheduler(**SD_BETAS, skip_prk_steps=True, steps_offset=1), None,
                                                None, **WORDS_OFF))
    calibrate(pipe, image=SOURCE_IMAGE, mask_image=MASK, width=64, height=64)
    pipe.save_pretrained(out / "sd2_inpainting")


def make_xl(out):
    torch.manual_seed(35)
    euler = EulerDiscreteScheduler(**SD_BETAS, steps_offset=1, timestep_spacing="leading")
    statistics = dict(latents_mean=[0.3, -0.2, 0.1, 0.4], latents_std=[1.2, 0.8, 1.1, 0.9])
    pipe = quiet(StableDiffusionXLPipeline(**sdxl_parts(euler, statistics), add_watermarker=False))
    calibrate(pipe, deviation=0.25)
    pipe.save_pretrained(out / "xl_statistics")


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=5, guidance_scale=3.0)
    pix2pix = dict(base, folder="pix2pix", mode="pix2pix", image=SOURCE_IMAGE)
    x4 = dict(base, folder="x4", mode="x4", image=source_image(3, 32, 32))
    x2 = dict(base, folder="x2", mode="x2", image=source_image(4, 64, 64))
    masked = dict(base, width=64, height=64, image=SOURCE_IMAGE, mask_image=MASK, strength=0.7, mode="inpaint")
    sd2, xl = dict(masked, folder="sd2_inpainting"), dict(masked, folder="xl_statistics", mode="xl_inpaint")
    # Neither the size drawn nor the mask's.
    other_sizes = dict(image=source_image(5, 90, 51), mask_image=source_image(6, 33, 100))
    return {
        "pix2pix": pix2pix,
        **{f"pix2pix_{name}": dict(pix2pix, scheduler=name) for name in ("pndm", "ddim", "dpmpp_2m")},
        "pix2pix_image_scale": dict(pix2pix, image_guidance_scale=2.5, negative_prompt="a dog"),
        "pix2pix_low_image_scale": dict(pix2pix, image_guidance_scale=0.8),
        "pix2pix_unguided": dict(pix2pix, guidance_scale=1.0),
        "pix2pix_wide": dict(pix2pix, image=source_image(3, 13 * 8, 7 * 8)),
        "x4": x4,
        "x4_noisy": dict(x4, noise_level=350, negative_prompt="a dog"),
        "x4_clean": dict(x4, noise_level=0, scheduler="euler"),
        "x4_unguided": dict(x4, guidance_scale=1.0, scheduler="dpmpp_2m"),
        "x4_odd": dict(x4, image=source_image(3, 37, 23)),
        "x2": x2,
        "x2_negative": dict(x2, negative_prompt="a dog"),
        "x2_unguided": dict(x2, guidance_scale=1.0),
        "x2_wordless": dict(x2, guidance_scale=0.0),
        "x2_odd": dict(x2, image=source_image(4, 70, 101)),
        "sd2_inpainting": sd2,
        "sd2_inpainting_all": dict(sd2, strength=1.0, scheduler="ddim"),
        "sd2_inpainting_other_sizes": dict(sd2, **other_sizes),
        "xl_statistics_image": dict(base, folder="xl_statistics", mode="xl_image", image=SOURCE_IMAGE, strength=0.7),
        "xl_statistics_masked": xl,
        "xl_statistics_other_sizes": dict(xl, **other_sizes),
    }


class Artist:
    """The pipelines of one memory format."""

    def __init__(self, out, convert=lambda pipe: pipe):
        load = lambda cls, name, **arguments: convert(quiet(cls.from_pretrained(out / name, dtype=torch.float32, **arguments)))
        xl = load(StableDiffusionXLPipeline, "xl_statistics", add_watermarker=False)
        self.pipes = {"pix2pix": load(StableDiffusionInstructPix2PixPipeline, "pix2pix", safety_checker=None),
                      "x4": load(StableDiffusionUpscalePipeline, "x4"), "x2": load(StableDiffusionLatentUpscalePipeline, "x2"),
                      "inpaint": load(StableDiffusionInpaintPipeline, "sd2_inpainting", safety_checker=None),
                      "xl_image": quiet(StableDiffusionXLImg2ImgPipeline(**xl.components, add_watermarker=False)),
                      "xl_inpaint": quiet(StableDiffusionXLInpaintPipeline(**xl.components, add_watermarker=False))}


def draw_case(artist, case):
    arguments = {key: value for key, value in case.items() if key != "mode"}
    draw = checkpoints.draw_upscaled if case["mode"] in ("x4", "x2") else checkpoints.draw
    return draw(artist.pipes[case["mode"]], arguments)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw_case)
    for make in (make_pix2pix, make_x4, make_x2, make_sd2_inpainting, make_xl):
        make(writer.out)
    artist, artist_channels_last = Artist(writer.out), Artist(writer.out, channels_last)
    cases = make_cases()
    for name, case in cases.items():
        writer.add(name, artist, artist_channels_last, case)
    for name in ("pix2pix", "x4", "x2"):
        size = cases[name]["image"].size
        writer.check_sensitivity(name, artist, cases[name], image=source_image(9, *size), negative_prompt="a cat", guidance_scale=5.0)
    writer.check_changes("pix2pix", artist, cases["pix2pix"], image_guidance_scale=3.0)
    writer.check_changes("x4", artist, cases["x4"], least=0.5, noise_level=200)
    for name in ("sd2_inpainting", "xl_statistics_masked"):
        writer.check_changes(name, artist, cases[name], image=source_image(9, 64, 64), mask_image=source_image(10, 64, 64))
    writer.finish()


main()
