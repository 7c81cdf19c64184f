"""Makes a checkpoint with the size and layout of Stable Diffusion 1.5, random weights and CLIP's real vocabulary: about 4 GB.

usage: make_sd15.py FOLDER

Weights straight from the initialiser would hide faults: the denoiser would return values near zero for any input, and the
decoder one shade of gray. So the output layers are scaled until noise has its natural size before and after them, and
cross-attention is scaled until a different prompt gives a different image.
"""
import gzip
import importlib.util
import json
import pathlib
import sys

import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

VOCABULARY = 49408
TEXT_WIDTH = 768
PROMPT_LENGTH = 77
# Without this factor, the cross-attention of an untrained UNet is lost in the residual stream.
CROSS_ATTENTION_GAIN = 20.0
NOISE_DEVIATION = 1.0    # of the output of a trained denoiser: noise
IMAGE_DEVIATION = 0.4  # in -1..1: visible contrast, and rarely saturated


def byte_letters():
    """The printable stand-ins of CLIP's 256 byte values, in the order in which its vocabulary lists them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def write_tokenizer(folder):
    """vocab.json and merges.txt, from the list of merges that the package open_clip_torch carries."""
    package = importlib.util.find_spec("open_clip").submodule_search_locations[0]
    lines = gzip.decompress((pathlib.Path(package) / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode().split("\n")
    letters = byte_letters()
    merges = lines[1:1 + VOCABULARY - 2 * len(letters) - 2]  # the first line is a comment, and two tokens are special
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(pair.split()) for pair in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=PROMPT_LENGTH,
                         pad_token="<|endoftext|>")


def make_text_encoder():
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=VOCABULARY, hidden_size=TEXT_WIDTH, intermediate_size=4 * TEXT_WIDTH, num_hidden_layers=12,
        num_attention_heads=12, max_position_embeddings=PROMPT_LENGTH, hidden_act="quick_gelu", projection_dim=TEXT_WIDTH,
        bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1, pad_token_id=1)).eval()


def make_unet():
    unet = UNet2DConditionModel(
        sample_size=64, cross_attention_dim=TEXT_WIDTH, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3).eval()
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if name.endswith("attn2.to_out.0.weight"):
                weight.mul_(CROSS_ATTENTION_GAIN)
        answer = unet(torch.randn(1, 4, 16, 16), 500, torch.randn(1, PROMPT_LENGTH, TEXT_WIDTH)).sample
        unet.conv_out.weight.mul_(NOISE_DEVIATION / answer.std())
    return unet


def make_autoencoder():
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4, sample_size=512).eval()
    with torch.no_grad():
        image = vae.decode(torch.randn(1, 4, 16, 16) / vae.config.scaling_factor).sample
        vae.decoder.conv_out.weight.mul_(IMAGE_DEVIATION / image.std())
    return vae


def make_scheduler():
    return PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                         skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False)


def main(folder):
    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(make_autoencoder(), make_text_encoder(), write_tokenizer(folder / "tokenizer"), make_unet(),
                                       make_scheduler(), None, None, requires_safety_checker=False)
    pipeline.save_pretrained(folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
