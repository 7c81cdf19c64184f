"""Images of a checkpoint whose autoencoder is an AutoencoderTiny, and that autoencoder by itself: see checkpoints.py.
Usage: make_tiny_autoencoder.py OUT

sd1 is a checkpoint with an AutoencoderKL, and sd1_tiny the same with an AutoencoderTiny. taesd_encoder.safetensors and
taesd_decoder.safetensors have its tensors under the names of TAESD's author: his decoder has a layer more at the beginning, the limit.
"""
import pathlib
import sys

import numpy as np
import torch
from diffusers import AutoencoderTiny, PNDMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from safetensors.torch import save_file

sys.dont_write_bytecode = True
from checkpoints import PROMPT, SD_BETAS, Writer, calibrate, channels_last, draw, relative, source_image, text_encoder, tokenizer, unet, vae  # noqa: E402

SIZES = dict(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(24,) * 4, num_encoder_blocks=(1, 2, 1, 2),
             num_decoder_blocks=(2, 1, 2, 1))
IMAGE_DEVIATION = 0.2  # of 0..1


def tiny(**config):
    model = AutoencoderTiny(**{**SIZES, **config}).eval()
    decoded = model.decoder.layers(torch.randn(1, model.config.latent_channels, 16, 16))
    last = model.decoder.layers[-1]
    last.weight.mul_(IMAGE_DEVIATION / decoded.std())
    last.bias.copy_(0.5 - (decoded.mean((0, 2, 3)) - last.bias) * IMAGE_DEVIATION / decoded.std())
    encoded = model.encode(torch.from_numpy(np.array(source_image(0))).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1).latents
    mean = encoded.mean((0, 2, 3))
    gain = 1 / (encoded - mean.view(1, -1, 1, 1)).std()
    last = model.encoder.layers[-1]
    last.bias.copy_((last.bias - mean) * gain)
    last.weight.mul_(gain)
    return model


def author_names(half, offset):
    tensors = {}
    for name, value in half.state_dict().items():
        number, rest = name.removeprefix("layers.").split(".", 1)
        tensors[f"{int(number) + offset}.{rest}"] = value.contiguous()
    return tensors


def make_checkpoints(out):
    torch.manual_seed(31)
    tok = tokenizer()
    pndm = PNDMScheduler(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
    pipe = StableDiffusionPipeline(vae(), text_encoder(tok), tok, unet(attention_head_dim=4), pndm, None, None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(out / "sd1")
    pipe.register_modules(vae=tiny())
    pipe.save_pretrained(out / "sd1_tiny")
    save_file(author_names(pipe.vae.encoder, 0), out / "taesd_encoder.safetensors")
    save_file(author_names(pipe.vae.decoder, 1), out / "taesd_decoder.safetensors")
    save_file({name: value.contiguous() for name, value in pipe.vae.state_dict().items()}, out / "tiny.safetensors")
    tiny(latent_channels=16).save_pretrained(out / "tiny16")
    shallow = dict(encoder_block_out_channels=(16,) * 3, decoder_block_out_channels=(16,) * 3, num_encoder_blocks=(1, 1, 1),
                   num_decoder_blocks=(1, 1, 1))
    AutoencoderTiny(**shallow).save_pretrained(out / "tiny_shallow")


def write_tensors(out):
    """What the autoencoder makes of pixels and of latents, and how far two memory formats differ in it."""
    model = AutoencoderTiny.from_pretrained(out / "sd1_tiny" / "vae")
    inputs = {"x": torch.rand(2, 3, 72, 104) * 2 - 1, "z": torch.randn(2, 4, 9, 13) * 3}
    results = lambda: {"encoded": model.encode(inputs["x"]).latents, "decoded": model.decode(inputs["z"]).sample}
    first = results()
    model.to(memory_format=torch.channels_last)
    inputs = {name: value.to(memory_format=torch.channels_last) for name, value in inputs.items()}
    second = results()
    error = torch.stack([relative(first[name], second[name]).max() for name in first])
    save_file({**{name: value.contiguous() for name, value in {**inputs, **first}.items()}, "tolerance": error}, out / "tensors.safetensors")


class Artist:
    def __init__(self, out, convert=lambda pipe: pipe):
        pipe = StableDiffusionPipeline.from_pretrained(out / "sd1_tiny", torch_dtype=torch.float32, safety_checker=None)
        self.pipes = {"text": convert(pipe)}
        self.pipes["image"] = StableDiffusionImg2ImgPipeline(**self.pipes["text"].components, requires_safety_checker=False)
        for pipe in self.pipes.values():
            pipe.set_progress_bar_config(disable=True)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), lambda artist, case: draw(artist.pipes[case["mode"]], case))
    make_checkpoints(writer.out)
    write_tensors(writer.out)
    artists = Artist(writer.out), Artist(writer.out, channels_last)
    base = dict(prompt=PROMPT, seed=7, steps=4, guidance_scale=2.0, folder="sd1_tiny", scheduler="euler")
    text = dict(base, mode="text", width=128, height=128)
    image = dict(base, mode="image", image=source_image(1), strength=0.6, scheduler="euler_ancestral")
    writer.add("tiny_text", *artists, text, contrast=False)
    writer.add("tiny_image", *artists, image, contrast=False)
    writer.check_sensitivity("tiny_text", artists[0], text)
    writer.check_changes("tiny_image", artists[0], image, image=source_image(9))
    writer.finish()


main()
