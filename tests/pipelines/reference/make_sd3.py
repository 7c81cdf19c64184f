"""Stable Diffusion 3 and 3.5: see checkpoints.py. Usage: make_sd3.py OUT

sd3           as SD 3 medium: no normalisation of queries and keys, no dual attention, and no T5
sd35          as SD 3.5 medium: with all three
sd35_dynamic  the same with a schedule that depends on the size
sd3_inpaint   a model of 33 channels
sd35_file.safetensors, split/   sd35 in the layout of its makers
"""
import json
import pathlib
import sys

import torch
from diffusers import (FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Img2ImgPipeline,
                       StableDiffusion3InpaintPipeline, StableDiffusion3Pipeline)
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
sys.dont_write_bytecode = True
import checkpoints  # noqa: E402
from checkpoints import OPEN_CLIP_PAD, PROMPT, Writer, draw, source_image, text_encoder_with_projection  # noqa: E402
from original_layout import UNET, original_sd3, original_vae  # noqa: E402
from reference_vectors import randomize  # noqa: E402
from t5_folder import t5_tokenizer  # noqa: E402
from transformer_checkpoints import (attention_of, flow_vae, of_mode, save_random_lora, scale_encoder, scale_outputs,  # noqa: E402
                                     with_loras, with_other_rounding)

FOLDER = pathlib.Path(sys.argv[1])
MODES = {"text": StableDiffusion3Pipeline, "image": StableDiffusion3Img2ImgPipeline, "inpaint": StableDiffusion3InpaintPipeline}
T5_WIDTH = 128  # more than both of CLIP's widths together, which are filled up with zeros
LONG = "a fox and a whale on a green background, "


def transformer(**config):
    base = dict(sample_size=16, patch_size=2, in_channels=16, num_layers=3, attention_head_dim=32, num_attention_heads=3,
                joint_attention_dim=T5_WIDTH, caption_projection_dim=96, pooled_projection_dim=72, out_channels=16, pos_embed_max_size=28)
    return SD3Transformer2DModel(**{**base, **config})


def t5(out, generator):
    tok = t5_tokenizer(out / "t5_files")
    model = T5EncoderModel(T5Config(vocab_size=len(tok) + 28, d_model=T5_WIDTH, d_kv=16, d_ff=96, num_layers=3, num_heads=4,
                                    feed_forward_proj="gated-gelu", dropout_rate=0.0))
    return dict(tokenizer_3=tok, text_encoder_3=randomize(model, generator))


def clip():
    first, second = checkpoints.tokenizer(), checkpoints.tokenizer(pad_token=OPEN_CLIP_PAD)
    return dict(tokenizer=first, text_encoder=text_encoder_with_projection(first),
                tokenizer_2=second,
                text_encoder_2=text_encoder_with_projection(second, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
                                                            hidden_act="gelu", projection_dim=40, eos_token_id=2, pad_token_id=1))


def calibrate(pipe):
    """Predictions of unit variance, images of natural contrast, latents of images of about unit variance."""
    scale_encoder(pipe.vae)
    inpaints = pipe.transformer.config.in_channels == 33
    pipe = MODES["inpaint"](**pipe.components) if inpaints else pipe
    pipe.set_progress_bar_config(disable=True)
    given = dict(image=source_image(1), mask_image=source_image(2), strength=1.0) if inpaints else {}
    base = dict(prompt=PROMPT, height=128, width=128, guidance_scale=1.0, **given)
    scale_outputs(pipe, pipe.transformer.proj_out, base)


def make_checkpoint(out, name, generator, scheduler, third, **config):
    vae = flow_vae(latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609)
    parts = dict(scheduler=scheduler, vae=vae, transformer=randomize(transformer(**config), generator), **clip(), **third)
    pipe = StableDiffusion3Pipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(out / name)
    return pipe


def make_checkpoints(out):
    generator = torch.Generator().manual_seed(41)
    torch.manual_seed(41)
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
    without = dict(tokenizer_3=None, text_encoder_3=None)
    make_checkpoint(out, "sd3", generator, flow, without, qk_norm=None)
    make_checkpoint(out, "sd3_inpaint", generator, flow, without, qk_norm=None, in_channels=33)
    pipe = make_checkpoint(out, "sd35", generator, flow, t5(out, generator), qk_norm="rms_norm", dual_attention_layers=(0, 1))
    make_files(out, pipe)
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.6, max_shift=1.3)
    pipe.save_pretrained(out / "sd35_dynamic")


def make_files(out, pipe):
    """The model in the layout of its makers: in one file, and as ComfyUI's split files. Configs and tokenizers are those of the folder."""
    denoiser = original_sd3(pipe.transformer.state_dict(), pipe.transformer.config.num_layers)
    encoders = {"clip_l": pipe.text_encoder, "clip_g": pipe.text_encoder_2, "t5xxl": pipe.text_encoder_3}
    texts = {name: {key: t.contiguous() for key, t in encoder.state_dict().items() if key != "encoder.embed_tokens.weight"}
             for name, encoder in encoders.items()}
    vae = original_vae(pipe.vae.state_dict(), pipe.vae.config, prefix="")
    whole = {**denoiser, **{f"first_stage_model.{name}": t for name, t in vae.items()}}
    for name, state in texts.items():
        whole |= {f"text_encoders.{name}.transformer.{key}": t for key, t in state.items()}
    save_file({name: t.contiguous() for name, t in whole.items()}, out / "sd35_file.safetensors")
    (out / "sd35_file.easel.json").write_text(json.dumps({"configs": "sd35"}))
    split = out / "split"
    split.mkdir()
    save_file({name.removeprefix(UNET): t for name, t in denoiser.items()}, split / "sd35.safetensors")
    save_file({name: t.contiguous() for name, t in vae.items()}, split / "ae.safetensors")
    for name, state in texts.items():
        save_file(state, split / f"{name}.safetensors")
    components = {"clip_l": "clip_l.safetensors", "clip_g": "clip_g.safetensors", "t5": "t5xxl.safetensors", "vae": "ae.safetensors"}
    (split / "sd35.easel.json").write_text(json.dumps({"configs": "../sd35", "components": components}))


def make_adapters(out):
    """LoRA with the names of diffusers, which are the only ones for this family there."""
    generator = torch.Generator().manual_seed(78)
    (out / "adapters").mkdir()

    def save(name, modules):
        save_random_lora(out / "adapters" / f"{name}.safetensors", modules, generator)

    save("blocks", [(f"transformer.transformer_blocks.{layer}", rows, columns) for layer, rows, columns in (
        ("0.attn.to_q", 96, 96), ("0.attn.add_k_proj", 96, 96), ("0.attn2.to_v", 96, 96), ("1.attn.to_add_out", 96, 96),
        ("1.ff.net.0.proj", 384, 96), ("1.ff_context.net.2", 96, 384), ("2.norm1.linear", 576, 96), ("2.norm1_context.linear", 192, 96),
        ("2.attn.to_out.0", 96, 96))])
    save("ends", [("transformer.context_embedder", 96, T5_WIDTH), ("transformer.norm_out.linear", 192, 96),
                  ("transformer.proj_out", 64, 96), ("transformer.time_text_embed.text_embedder.linear_1", 96, 72)])
    save("text", [("text_encoder.text_model.encoder.layers.0.self_attn.q_proj", 48, 48),
                  ("text_encoder_2.text_model.encoder.layers.1.self_attn.v_proj", 64, 64),
                  ("transformer.transformer_blocks.1.attn.to_k", 96, 96)])


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=5, guidance_scale=3.0, width=128, height=128, folder="sd35")
    image = dict(base, mode="image", image=source_image(1))
    inpaint = dict(base, mode="inpaint", image=source_image(1), mask_image=source_image(2))
    cases = {
        "all_encoders": base,
        "one_call": dict(base, guidance_scale=1.0, steps=4, seed=2**40 + 3),
        "guidance_0": dict(base, guidance_scale=0.0, steps=2),
        "negative": dict(base, negative_prompt="a cat on a red background, " * 3),
        "not_square": dict(base, width=208, height=112, steps=4),
        "long_prompt": dict(base, prompt=LONG * 40),
        "longer_than_clip": dict(base, prompt=LONG * 12, negative_prompt=LONG * 40, steps=3),
        "special_tokens": dict(base, prompt="a</s> fox <extra_id_0> ﬁsh", steps=3),
        "empty_prompt": dict(base, prompt="", seed=0, steps=3),
        "clip_skip": dict(base, clip_skip=1, negative_prompt="a cat", steps=3),
        "karras": dict(base, scheduler="flow_euler_karras", steps=4),
        "dynamic": dict(base, folder="sd35_dynamic", steps=4),
        "dynamic_not_square": dict(base, folder="sd35_dynamic", width=80, height=144, steps=4),
        "without_t5": dict(base, folder="sd3"),
        "without_t5_not_square": dict(base, folder="sd3", width=112, height=208, negative_prompt="a cat", steps=3),
        "image": dict(image, strength=0.6, steps=9),  # of 9 steps, 3 are skipped and 6 done
        "image_without_t5": dict(image, folder="sd3", strength=0.8, guidance_scale=1.0, width=144, height=96),
        "image_dynamic": dict(image, strength=0.5, folder="sd35_dynamic", guidance_scale=1.0),
        "inpaint": dict(inpaint, strength=0.7, steps=7),
        "inpaint_whole": dict(inpaint, strength=1.0, guidance_scale=1.0, folder="sd3"),
        "inpaint_channels": dict(inpaint, strength=0.7, folder="sd3_inpaint"),
        "inpaint_channels_whole": dict(inpaint, strength=1.0, folder="sd3_inpaint", width=144, height=96, steps=3),
        **{f"lora_{name}": dict(base, steps=3, loras=[dict(name=name, weight=0.8)]) for name in ("blocks", "ends", "text")},
    }
    return cases, base


def draw_case(pipe, case, generator=None):
    pipe_of_case = of_mode(pipe, MODES[case.get("mode", "text")])
    with with_loras(pipe_of_case, case, FOLDER / "adapters"), attention_of(pipe):
        return draw(pipe_of_case, case, generator)


def load(folder):
    third = {} if (folder / "text_encoder_3").exists() else dict(tokenizer_3=None, text_encoder_3=None)
    return with_other_rounding(StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.float32, **third))


def check_sensitivity(writer, pipes, cases, base):
    pipe, _ = pipes["sd35"]
    writer.check_sensitivity("sd35", pipe, base, guidance_scale=1.0, negative_prompt="a whale", clip_skip=1)
    writer.check_changes("sd3", pipes["sd3"][0], cases["without_t5"], prompt="a whale")
    for name in ("blocks", "ends", "text"):
        writer.check_changes(name, pipe, base, loras=[dict(name=name, weight=0.8)])
    # Each encoder by itself.
    for name in ("prompt_2", "prompt_3"):
        writer.check_changes(name, pipe, base, **{name: "a whale"})


def main():
    writer = Writer(FOLDER, draw=draw_case)
    make_checkpoints(writer.out)
    make_adapters(writer.out)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case)
    check_sensitivity(writer, pipes, cases, base)
    writer.finish()


if __name__ == "__main__":
    main()
