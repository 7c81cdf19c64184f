"""FLUX.1: see checkpoints.py. Usage: make_flux.py OUT"""
import functools
import pathlib
import random
import sys

import torch
from diffusers import (FlowMatchEulerDiscreteScheduler, FluxImg2ImgPipeline, FluxInpaintPipeline,
                       FluxKontextInpaintPipeline, FluxKontextPipeline, FluxPipeline, FluxTransformer2DModel)
from safetensors.torch import save_file
from transformers import T5Config, T5EncoderModel, T5Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "support"), str(HERE.parents[1] / "tokenizers")]
sys.dont_write_bytecode = True
import checkpoints  # noqa: E402
from checkpoints import PROMPT, Writer, draw, source_image  # noqa: E402
from make_text_tokenizers import train_sentencepiece  # noqa: E402
from reference_vectors import randomize  # noqa: E402
from transformer_checkpoints import (attention_of, flow_vae, of_mode, random_low_rank, save_lora, scale_encoder,  # noqa: E402
                                     scale_outputs, with_loras, with_other_rounding)

FOLDER = pathlib.Path(sys.argv[1])
MODES = {"text": FluxPipeline, "image": FluxImg2ImgPipeline, "inpaint": FluxInpaintPipeline, "kontext": FluxKontextPipeline,
         "kontext_inpaint": FluxKontextInpaintPipeline}
# Of the sentences from which the vocabulary is made.
VOCABULARY_SEED = 1808


def parts(out, generator, channels=(16, 16, 32, 32), **transformer):
    train_sentencepiece(out / "t5_files", random.Random(VOCABULARY_SEED))
    tok, tok2 = checkpoints.tokenizer(), T5Tokenizer.from_pretrained(out / "t5_files")
    clip = checkpoints.text_encoder(tok)
    t5 = T5EncoderModel(T5Config(vocab_size=len(tok2) + 3, d_model=40, d_kv=8, d_ff=48, num_layers=3, num_heads=5,
                                 feed_forward_proj="gated-gelu", tie_word_embeddings=False))
    model = FluxTransformer2DModel(in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=24, num_attention_heads=3,
                                   joint_attention_dim=40, pooled_projection_dim=48, axes_dims_rope=[4, 8, 12], **transformer)
    return dict(tokenizer=tok, text_encoder=randomize(clip, generator), tokenizer_2=tok2, text_encoder_2=randomize(t5, generator),
                transformer=randomize(model, generator), vae=flow_vae(channels))


def calibrate(pipe):
    """Predictions of unit variance, images of natural contrast, latents of images of about unit variance."""
    scale_encoder(pipe.vae)
    base = dict(prompt=PROMPT, height=16 * pipe.vae_scale_factor, width=16 * pipe.vae_scale_factor)
    scale_outputs(pipe, pipe.transformer.proj_out, base)


def make_checkpoints(out):
    generator = torch.Generator().manual_seed(41)
    torch.manual_seed(41)
    # As schnell is published: a static schedule, no guidance input.
    schnell = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0), **parts(out, generator))
    schnell.set_progress_bar_config(disable=True)
    calibrate(schnell)
    schnell.save_pretrained(out / "flux_schnell")
    # As dev is: dynamic shift, and the guidance scale as an input.
    dev = FluxPipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
                       **{**parts(out / "dev", generator, guidance_embeds=True), "vae": schnell.vae})
    dev.set_progress_bar_config(disable=True)
    calibrate(dev)
    dev.save_pretrained(out / "flux_dev")
    # Its images have a megapixel, so that they have few tokens only with an autoencoder of more levels.
    kontext = FluxPipeline(scheduler=dev.scheduler, **parts(out / "kontext", generator, channels=(16, 16, 16, 32, 32, 32), guidance_embeds=True))
    kontext.set_progress_bar_config(disable=True)
    calibrate(kontext)
    FluxKontextPipeline(**kontext.components).save_pretrained(out / "flux_kontext")


WIDTH, MLP = 72, 288  # of the transformers
ADAPTERS = ("peft", "kohya", "linear1", "comfy", "xlabs", "base_model")


def make_adapters(out):
    """One LoRA in each of the spellings of FLUX.1's trainers. What diffusers reads only at the published size is also written in its own
    names, in the folder as_peft, for the reference."""
    generator = torch.Generator().manual_seed(78)
    (out / "adapters").mkdir()
    (out / "as_peft").mkdir()

    low_rank = functools.partial(random_low_rank, generator)

    def save(name, modules, *spelling, folder="adapters"):
        save_lora(out / folder / f"{name}.safetensors", modules, *spelling)

    double, single = "transformer.transformer_blocks", "transformer.single_transformer_blocks"
    save("peft", {f"{double}.0.attn.to_q": low_rank(WIDTH, WIDTH), f"{double}.1.ff_context.net.2": low_rank(WIDTH, MLP),
                  f"{double}.0.norm1.linear": low_rank(6 * WIDTH, WIDTH), f"{double}.1.attn.to_add_out": low_rank(WIDTH, WIDTH),
                  f"{single}.0.proj_mlp": low_rank(MLP, WIDTH), f"{single}.1.proj_out": low_rank(WIDTH, WIDTH + MLP),
                  "transformer.x_embedder": low_rank(WIDTH, 16), "transformer.time_text_embed.text_embedder.linear_1": low_rank(WIDTH, 48)})
    kohya = {"double_blocks_0_img_attn_qkv": low_rank(3 * WIDTH, WIDTH), "double_blocks_1_txt_attn_qkv": low_rank(3 * WIDTH, WIDTH),
             "double_blocks_0_img_attn_proj": low_rank(WIDTH, WIDTH), "double_blocks_1_txt_mlp_0": low_rank(MLP, WIDTH),
             "double_blocks_1_img_mod_lin": low_rank(6 * WIDTH, WIDTH), "single_blocks_0_linear2": low_rank(WIDTH, WIDTH + MLP),
             "single_blocks_1_modulation_lin": low_rank(3 * WIDTH, WIDTH)}
    save("kohya", {f"lora_unet_{name}": pair for name, pair in kohya.items()}, "lora_down.weight", "lora_up.weight", 4.0)
    # diffusers converts the names outside the blocks, and then does not find the layers.
    fused, final = low_rank(3 * WIDTH + MLP, WIDTH), low_rank(2 * WIDTH, WIDTH)
    guidance, last = low_rank(WIDTH, 256), low_rank(16, WIDTH)
    save("linear1", {"lora_unet_single_blocks_1_linear1": fused, "lora_unet_final_layer_adaLN_modulation_1": final,
                     "lora_unet_guidance_in_in_layer": guidance, "lora_unet_final_layer_linear": last},
         "lora_down.weight", "lora_up.weight", 4.0)
    query, key, value, mlp = fused[1].split([WIDTH, WIDTH, WIDTH, MLP])
    shift, scale = final[1].chunk(2)
    save("linear1", {f"{single}.1.attn.to_q": (fused[0], query), f"{single}.1.attn.to_k": (fused[0], key), f"{single}.1.attn.to_v": (fused[0], value),
                     f"{single}.1.proj_mlp": (fused[0], mlp), "transformer.norm_out.linear": (final[0], torch.cat([scale, shift])),
                     "transformer.time_text_embed.guidance_embedder.linear_1": guidance, "transformer.proj_out": last}, folder="as_peft")
    save("comfy", {"diffusion_model.double_blocks.1.img_attn.qkv": low_rank(3 * WIDTH, WIDTH),
                   "diffusion_model.single_blocks.0.linear2": low_rank(WIDTH, WIDTH + MLP)}, "lora_down.weight", "lora_up.weight", 2.0)
    save("xlabs", {"double_blocks.0.processor.qkv_lora1": low_rank(3 * WIDTH, WIDTH), "double_blocks.0.processor.proj_lora2": low_rank(WIDTH, WIDTH),
                   "double_blocks.1.processor.qkv_lora2": low_rank(3 * WIDTH, WIDTH), "single_blocks.0.processor.qkv_lora": low_rank(3 * WIDTH, WIDTH),
                   "single_blocks.1.processor.proj_lora": low_rank(WIDTH, WIDTH + MLP)}, "down.weight", "up.weight")
    text, proj = low_rank(3 * WIDTH, WIDTH), low_rank(WIDTH, WIDTH)
    save("base_model", {"base_model.model.double_blocks.0.txt_attn.qkv": text, "base_model.model.double_blocks.0.img_attn.proj": proj})
    query, key, value = text[1].chunk(3)
    save("base_model", {f"{double}.0.attn.add_q_proj": (text[0], query), f"{double}.0.attn.add_k_proj": (text[0], key),
                        f"{double}.0.attn.add_v_proj": (text[0], value), f"{double}.0.attn.to_out.0": proj}, folder="as_peft")


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=5, guidance_scale=3.5, width=128, height=128, folder="flux_dev")
    schnell = dict(base, folder="flux_schnell", steps=4)
    true_cfg = dict(base, true_cfg_scale=3.0, negative_prompt="a cat on a red background, " * 3)
    image = dict(base, mode="image", image=source_image(1))
    inpaint = dict(base, mode="inpaint", image=source_image(1), mask_image=source_image(2))
    kontext = dict(base, folder="flux_kontext", mode="kontext", width=320, height=192, steps=4)
    edit = dict(kontext, image=source_image(1, 200, 120))
    redraw = dict(edit, mode="kontext_inpaint", mask_image=source_image(2, 90, 110))
    del redraw["width"], redraw["height"]
    cases = {
        "dev": base,
        "schnell": schnell,
        "guidance_1": dict(base, guidance_scale=1.0),
        "guidance_0": dict(base, guidance_scale=0.0),
        "true_cfg": true_cfg,
        "true_cfg_schnell": dict(true_cfg, folder="flux_schnell"),
        "true_cfg_1": dict(true_cfg, true_cfg_scale=1.0),
        "not_square": dict(base, width=208, height=112, steps=4),
        "rounded_down": dict(base, width=150, height=127, steps=4),
        "long_prompt": dict(base, prompt="a fox and a whale on a green background, " * 40),
        "typed_tokens": dict(base, prompt="a fox</s> on <extra_id_0> a <unk> blue background"),
        "empty_prompt": dict(base, prompt="", seed=0),
        "one_step": dict(schnell, steps=1),
        "many_steps": dict(base, steps=12, seed=2**40 + 3),
        "karras": dict(base, scheduler="flow_euler_karras"),
        "image": dict(image, strength=0.6, steps=9),  # of 9 steps, 3 are skipped and 6 done
        "image_schnell": dict(image, strength=0.75, folder="flux_schnell", steps=4),
        "image_true_cfg": dict(image, strength=0.8, true_cfg_scale=2.5, negative_prompt="a cat"),
        "image_not_square": dict(image, strength=0.7, width=96, height=144),
        "inpaint": dict(inpaint, strength=0.6, steps=9),
        "inpaint_all_steps": dict(inpaint, strength=1.0),
        "inpaint_true_cfg": dict(inpaint, strength=0.85, true_cfg_scale=2.5, negative_prompt="a cat"),
        **{f"lora_{name}": dict(base, loras=[dict(name=name, weight=0.8)]) for name in ADAPTERS},
        "kontext_text": kontext,
        "kontext_edit": edit,
        "kontext_narrow": dict(edit, image=source_image(3, 70, 200), width=330, height=390),
        "kontext_ratio_of_cells": dict(edit, image=source_image(4, 127, 128)),  # 64 x 128 in whole cells
        "kontext_true_cfg": dict(edit, true_cfg_scale=1.5, negative_prompt="a cat"),
        "kontext_inpaint": redraw,
        "kontext_inpaint_reference": dict(redraw, steps=2, image_reference=source_image(3, 70, 200)),
        "kontext_inpaint_part": dict(redraw, strength=0.55, true_cfg_scale=1.5, negative_prompt="a cat"),
    }
    return cases, base


def unpack(tokens, rows, columns):
    """[steps, 1, tokens, channels] as latents [steps, 1, C, h, w]."""
    patches = tokens.reshape(*tokens.shape[:2], rows, columns, tokens.shape[-1] // 4, 2, 2).permute(0, 1, 4, 2, 5, 3, 6)
    return patches.reshape(*tokens.shape[:2], tokens.shape[-1] // 4, rows * 2, columns * 2)


def draw_case(pipe, case, generator=None):
    pipe_of_case = of_mode(pipe, MODES[case.get("mode", "text")])
    area = {"max_area": case["width"] * case["height"]} if case.get("mode") == "kontext" else {}
    with with_loras(pipe_of_case, case, FOLDER / "as_peft", FOLDER / "adapters"), attention_of(pipe):
        latents, pixels = draw(pipe_of_case, {**case, **area}, generator)
    cell = 2 * pipe_of_case.vae_scale_factor
    return unpack(latents, pixels.shape[0] // cell, pixels.shape[1] // cell), pixels


def load(folder):
    cls = FluxKontextPipeline if folder.name == "flux_kontext" else FluxPipeline
    pipe, other = with_other_rounding(cls.from_pretrained(folder, torch_dtype=torch.float32))
    # Images come from PIL in channels-last layout, in which torch's GroupNorm loses digits.
    encode = pipe.vae.encode
    pipe.vae.encode = lambda pixels, *rest, **named: encode(pixels.contiguous(), *rest, **named)
    return pipe, other


def measure_bfloat16(out, folder):
    """How far the reference's own latents in bfloat16 are from those in float32: its timesteps are rounded, too."""
    case = dict(prompt="a fox", seed=1, steps=3, width=128, height=128)
    wide, half = (FluxPipeline.from_pretrained(folder, torch_dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    for pipe in (wide, half):
        pipe.set_progress_bar_config(disable=True)
    a, b = (draw_case(pipe, case)[0][-1].float() for pipe in (wide, half))
    save_file({"distance": (a - b).norm() / a.norm()}, out / "bfloat16.safetensors")
    print(f"bfloat16 is {((a - b).norm() / a.norm()).item():.3f} from float32", flush=True)


def main():
    writer = Writer(FOLDER, draw=draw_case)
    make_checkpoints(writer.out)
    make_adapters(writer.out)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in sorted({case["folder"] for case in cases.values()})}
    for name, case in cases.items():
        # At a megapixel, torch's GroupNorm loses digits in channels-last layout, in which easel decodes.
        most_apart = 4e-2 if case.get("mode") == "kontext_inpaint" else 1e-3
        writer.add(name, *pipes[case["folder"]], case, contrast=name != "one_step", most_apart=most_apart)
    writer.check_sensitivity("flux_dev", pipes["flux_dev"][0], base, guidance_scale=7.0)
    writer.check_changes("true_cfg", pipes["flux_dev"][0], cases["true_cfg"], true_cfg_scale=1.0, negative_prompt="a whale")
    writer.check_changes("kontext", pipes["flux_kontext"][0], cases["kontext_edit"], least=0.5, image=source_image(5, 200, 120))
    writer.check_changes("kontext_inpaint", pipes["flux_kontext"][0], cases["kontext_inpaint_reference"], least=0.3,
                         image_reference=source_image(4, 70, 200))
    measure_bfloat16(writer.out, writer.out / "flux_dev")
    for name in ADAPTERS:
        writer.check_changes(name, pipes["flux_dev"][0], base, loras=[dict(name=name, weight=0.8)])
    writer.finish()


if __name__ == "__main__":
    main()
