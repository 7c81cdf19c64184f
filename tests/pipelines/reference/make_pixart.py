"""PixArt-Sigma: see checkpoints.py. Usage: make_pixart.py OUT

pixart          sizes from the list for 256 x 256 pixels, eight channels of output
pixart_plain    no variance in the output, no scale of the positions, and the class name of the published folder
"""
import json
import pathlib
import sys

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtSigmaPipeline, PixArtTransformer2DModel
from transformers import T5Config, T5EncoderModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
sys.dont_write_bytecode = True
import checkpoints  # noqa: E402
from checkpoints import PROMPT, Writer, draw_upscaled  # noqa: E402
from reference_vectors import randomize  # noqa: E402
from t5_folder import t5_tokenizer  # noqa: E402
from transformer_checkpoints import attention_of, scale_outputs, with_other_rounding  # noqa: E402

FOLDER = pathlib.Path(sys.argv[1])
T5_WIDTH = 40
LONG = "a fox and a whale on a green background, "


def parts(out, generator, **config):
    tok = t5_tokenizer(out / f"t5_files_{len(config)}")
    text = T5EncoderModel(T5Config(vocab_size=len(tok) + 28, d_model=T5_WIDTH, d_kv=8, d_ff=64, num_layers=3, num_heads=3,
                                   feed_forward_proj="gated-gelu", dropout_rate=0.0))
    transformer = PixArtTransformer2DModel(**{**dict(
        sample_size=32, patch_size=2, in_channels=4, out_channels=8, num_layers=2, attention_head_dim=16, num_attention_heads=3,
        cross_attention_dim=48, caption_channels=T5_WIDTH, interpolation_scale=2, use_additional_conditions=False), **config})
    vae = checkpoints.vae(sample_size=256, scaling_factor=0.13025, force_upcast=True)
    scheduler = DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    return dict(tokenizer=tok, text_encoder=randomize(text, generator), transformer=randomize(transformer, generator), vae=vae,
                scheduler=scheduler)


def calibrate(pipe):
    """Predictions of unit variance, images of natural contrast."""
    base = dict(prompt=PROMPT, height=256, width=256, guidance_scale=1.0)
    scale_outputs(pipe, pipe.transformer.proj_out, base, prediction=lambda out: out[0][:, :4])


def make_checkpoint(out, name, generator, **config):
    pipe = PixArtSigmaPipeline(**parts(out, generator, **config))
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(out / name)


def name_as_published(folder):
    """Under this class name PixArt-Sigma was published."""
    for file, key, value in (("model_index.json", "transformer", ["diffusers", "Transformer2DModel"]),
                             ("transformer/config.json", "_class_name", "Transformer2DModel")):
        fields = json.loads((folder / file).read_text())
        fields[key] = value
        (folder / file).write_text(json.dumps(fields))


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=5, guidance_scale=4.5, width=256, height=256, folder="pixart")
    cases = {
        "native": base,
        "one_call": dict(base, guidance_scale=1.0, steps=4, seed=2**40 + 3),
        "negative": dict(base, negative_prompt="a cat on a red background, " * 3, steps=4),
        "both_long": dict(base, prompt=LONG * 40, negative_prompt=LONG * 50, steps=3),
        "empty_prompt": dict(base, prompt="", seed=0, steps=3),
        "upper_case": dict(base, prompt=" \t A FOX and İSTANBUL\n", negative_prompt=" THE CAT ", steps=3),
        "special_tokens": dict(base, prompt="a</s> fox <extra_id_0>", steps=3),
        "larger": dict(base, width=320, height=296, steps=3),
        "smaller": dict(base, width=176, height=200, steps=3),
        "wide": dict(base, width=600, height=104, steps=3),
        "tall": dict(base, width=136, height=248, steps=3),
        "karras": dict(base, scheduler="dpmpp_2m_karras", steps=4),
        "euler": dict(base, scheduler="euler", steps=4),
        "eta": dict(base, scheduler="ddim", eta=0.5, steps=4),
        "plain": dict(base, folder="pixart_plain", steps=4),
        "plain_wide": dict(base, folder="pixart_plain", width=320, height=192, steps=3),
    }
    return cases, base


def draw_case(pipe, case, generator=None):
    with attention_of(pipe):
        return draw_upscaled(pipe, case)


def load(folder):
    return with_other_rounding(PixArtSigmaPipeline.from_pretrained(folder, torch_dtype=torch.float32))


def main():
    writer = Writer(FOLDER, draw=draw_case)
    generator = torch.Generator().manual_seed(51)
    torch.manual_seed(51)
    make_checkpoint(writer.out, "pixart", generator)
    make_checkpoint(writer.out, "pixart_plain", generator, out_channels=4, interpolation_scale=None)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in ("pixart", "pixart_plain")}
    name_as_published(writer.out / "pixart_plain")
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case)
    writer.check_sensitivity("pixart", pipes["pixart"][0], base, guidance_scale=1.0, negative_prompt="a whale")
    writer.check_changes("upper_case", pipes["pixart"][0], dict(base, prompt="A FOX"), prompt="A FOXES")
    writer.finish()


main()
