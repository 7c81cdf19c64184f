"""FLUX.2 klein: see checkpoints.py. Usage: make_flux2_klein.py OUT

Cases of mode "edit" have a list of images as `image`; those of mode "inpaint" may have one image or several as `image_reference`.
"""
import pathlib
import sys

import numpy as np
import torch
from diffusers import (AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler, Flux2KleinInpaintPipeline, Flux2KleinPipeline,
                       Flux2Transformer2DModel)
from transformers import Qwen3ForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
sys.dont_write_bytecode = True
from checkpoints import PROMPT, Writer, draw, source_image  # noqa: E402
from original_flux2 import write_files  # noqa: E402
from qwen_files import qwen_config, tokenizer  # noqa: E402
from reference_vectors import randomize  # noqa: E402
from transformer_checkpoints import (attention_of, of_mode, remember, save_random_lora, scale_outputs,  # noqa: E402
                                     with_loras, with_other_rounding)

FOLDER = pathlib.Path(sys.argv[1])
MODES = {"text": Flux2KleinPipeline, "edit": Flux2KleinPipeline, "inpaint": Flux2KleinInpaintPipeline}
LATENT_CHANNELS = 4


def make_vae(levels):
    channels = (16, 16, 32, 32)[-levels:]
    return AutoencoderKLFlux2(block_out_channels=channels, layers_per_block=1, norm_num_groups=8, latent_channels=LATENT_CHANNELS,
                              down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
                              sample_size=128, batch_norm_eps=0.02)


def parts(out, generator):
    tok = tokenizer(out / "tokenizer_files")
    text = Qwen3ForCausalLM(qwen_config(tok, num_hidden_layers=29, tie_word_embeddings=True))
    transformer = Flux2Transformer2DModel(
        in_channels=4 * LATENT_CHANNELS, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=3,
        joint_attention_dim=72, timestep_guidance_channels=256, mlp_ratio=3.0, axes_dims_rope=(4, 8, 12, 8), rope_theta=2000,
        guidance_embeds=False)
    text, transformer = randomize(text, generator), randomize(transformer, generator)
    return dict(tokenizer=tok, text_encoder=text, transformer=transformer, vae=make_vae(levels=4))


def calibrate(pipe, generator):
    """Predictions of unit variance, images of natural contrast, latents of images of about unit variance."""
    vae = pipe.vae
    pixels = torch.from_numpy(np.array(source_image(0))).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    gain = 1 / vae.encode(pixels).latent_dist.mean.std()
    vae.quant_conv.weight[:LATENT_CHANNELS].mul_(gain)
    vae.quant_conv.bias[:LATENT_CHANNELS].mul_(gain)
    patches = pipe._patchify_latents(vae.encode(pixels).latent_dist.mean)
    vae.bn.running_mean.copy_(patches.mean((0, 2, 3)) + 0.2 * torch.randn(4 * LATENT_CHANNELS, generator=generator))
    vae.bn.running_var.copy_(patches.var((0, 2, 3)) * (0.5 + torch.rand(4 * LATENT_CHANNELS, generator=generator)))
    base = dict(prompt=PROMPT, height=128, width=128, guidance_scale=1.0)
    scale_outputs(pipe, pipe.transformer.proj_out, base)


def make_checkpoints(out):
    generator = torch.Generator().manual_seed(41)
    torch.manual_seed(41)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15)
    pipe = Flux2KleinPipeline(scheduler=scheduler, **parts(out, generator))
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe, generator)
    pipe.save_pretrained(out / "flux2_klein_base")
    pipe.register_to_config(is_distilled=True)
    pipe.save_pretrained(out / "flux2_klein")
    write_files(pipe, out / "split")
    # Cells of 4 pixels, so that an image of many tokens is small.
    fine = Flux2KleinPipeline(**{**pipe.components, "vae": make_vae(levels=2)}, is_distilled=True)
    fine.set_progress_bar_config(disable=True)
    calibrate(fine, generator)
    fine.save_pretrained(out / "flux2_klein_fine")


LORAS = ("peft", "original", "renamed", "kohya")


def make_adapters(out):
    """One LoRA in each of the spellings of klein's trainers, and one with the names of diffusers."""
    generator = torch.Generator().manual_seed(77)
    (out / "adapters").mkdir()

    def save(name, modules, down, up, alpha=None):
        save_random_lora(out / "adapters" / f"{name}.safetensors", modules, generator, f"{down}.weight", f"{up}.weight", alpha)

    save("peft", [("transformer.transformer_blocks.0.attn.to_q", 96, 96), ("transformer.transformer_blocks.1.attn.add_v_proj", 96, 96),
                  ("transformer.transformer_blocks.0.ff.linear_in", 576, 96),
                  ("transformer.single_transformer_blocks.1.attn.to_out", 96, 384)], "lora_A", "lora_B")
    save("original", [("diffusion_model.double_blocks.0.img_attn.qkv", 288, 96), ("diffusion_model.double_blocks.1.txt_attn.qkv", 288, 96),
                      ("diffusion_model.double_blocks.1.img_attn.proj", 96, 96), ("diffusion_model.double_blocks.0.txt_mlp.2", 96, 288),
                      ("diffusion_model.single_blocks.0.linear1", 864, 96), ("diffusion_model.img_in", 96, 16)], "lora_A", "lora_B")
    save("renamed", [("base_model.model.double_blocks.0.txt_attn.proj", 96, 96), ("base_model.model.double_blocks.0.img_mlp.0", 576, 96),
                     ("base_model.model.single_blocks.1.linear2", 96, 384)], "lora_A", "lora_B")
    save("kohya", [("lora_unet_double_blocks_0_img_attn_qkv", 288, 96), ("lora_unet_double_blocks_1_img_mlp_2", 96, 288),
                   ("lora_unet_single_blocks_0_linear1", 864, 96), ("lora_unet_single_blocks_1_linear2", 96, 384)],
         "lora_down", "lora_up", 2.0)


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=3.0, width=128, height=128, folder="flux2_klein_base")
    distilled = dict(base, folder="flux2_klein", steps=4, guidance_scale=1.0)
    edit = dict(base, mode="edit", image=[source_image(1, 112, 80)], steps=4)
    own_size = {key: value for key, value in edit.items() if key not in ("width", "height")}
    inpaint = dict(own_size, mode="inpaint", image=source_image(1, 135, 121), mask_image=source_image(2, 135, 121), strength=0.8)
    cases = {
        "own_defaults": base,
        "distilled": distilled,
        "distilled_ignores_guidance": dict(distilled, guidance_scale=4.0, seed=2**40 + 3),
        "guidance_1": dict(base, guidance_scale=1.0),
        "negative": dict(base, negative_prompt="a cat on a red background, " * 3),
        "not_square": dict(base, width=208, height=112, steps=4),
        "rounded_down": dict(distilled, width=143, height=110),
        "long_prompt": dict(base, prompt="a fox and a whale on a green background, " * 40),
        "template_in_prompt": dict(base, prompt="a<|im_end|>\n<think> fox</think>"),
        "empty_prompt": dict(base, prompt="", seed=0),
        "one_step": dict(base, steps=1),
        "many_steps": dict(distilled, steps=30),
        "many_tokens": dict(distilled, folder="flux2_klein_fine", width=272, height=256, steps=1),  # more than 4300
        "fewer_tokens": dict(distilled, folder="flux2_klein_fine", width=100, height=80, steps=3),
        "edit": edit,
        "edit_own_size": own_size,
        "edit_two": dict(edit, image=[source_image(1, 112, 80), source_image(2, 90, 131)], width=160, height=96),
        "edit_three": dict(distilled, mode="edit", image=[source_image(3, 64, 100), source_image(4, 99, 64), source_image(5)]),
        "edit_large": dict(distilled, mode="edit", steps=2, image=[source_image(6, 1500, 730)]),
        **{f"lora_{name}": dict(base, loras=[dict(name=name, weight=0.8)]) for name in LORAS},
        "inpaint": inpaint,
        "inpaint_all_steps": dict(inpaint, strength=1.0, guidance_scale=1.0),
        "inpaint_part": dict(inpaint, strength=0.5, steps=7, folder="flux2_klein"),
        "inpaint_reference": dict(inpaint, image_reference=source_image(3, 100, 90)),
        "inpaint_two_references": dict(inpaint, image_reference=[source_image(3, 101, 90), source_image(4, 70, 150)]),
    }
    return cases, base


def unpacked(latents, height, width):
    """[S, 1, L, C] -> [S, 1, C, h, w]"""
    steps, rows, _, channels = latents.shape
    return latents.transpose(2, 3).reshape(steps, rows, channels, height, width)


def draw_case(pipe, case, generator=None):
    pipe_of_case = of_mode(pipe, MODES[case.get("mode", "text")], is_distilled=pipe.config.is_distilled)
    arguments = {key: value for key, value in case.items() if key != "negative_prompt"}
    if "negative_prompt" in case:
        arguments["negative_prompt_embeds"] = pipe_of_case.encode_prompt(case["negative_prompt"])[0]
    with with_loras(pipe_of_case, case, FOLDER / "adapters"), attention_of(pipe):
        latents, pixels = draw(pipe_of_case, arguments, generator)
    cell = 2 * pipe_of_case.vae_scale_factor
    return unpacked(latents, pixels.shape[0] // cell, pixels.shape[1] // cell), pixels


def load(folder):
    pipes = with_other_rounding(Flux2KleinPipeline.from_pretrained(folder, torch_dtype=torch.float32))
    for pipe in pipes:
        remember(pipe.text_encoder)
    return pipes


def main():
    writer = Writer(FOLDER, draw=draw_case)
    make_checkpoints(writer.out)
    make_adapters(writer.out)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case, contrast=case["steps"] > 1)
    whole = pipes["flux2_klein_base"][0]
    writer.check_sensitivity("flux2_klein", whole, base, guidance_scale=1.0, negative_prompt="a whale")
    for name in LORAS:
        writer.check_changes(name, whole, base, loras=[dict(name=name, weight=0.8)])
    two = cases["edit_two"]
    # One of two references is a third of what an image attends to.
    writer.check_changes("edit_two", whole, two, least=0.3, image=[two["image"][0], source_image(3, 90, 131)])
    writer.check_changes("edit_order", whole, two, least=0.15, image=two["image"][::-1])
    writer.check_changes("inpaint", whole, cases["inpaint_reference"], least=0.3, strength=0.4, image_reference=source_image(4, 100, 90))
    writer.finish()


main()
