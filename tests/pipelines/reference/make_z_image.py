"""Z-Image: see checkpoints.py. Usage: make_z_image.py OUT"""
import pathlib
import sys

import torch
from diffusers import (FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline, ZImagePipeline,
                       ZImageTransformer2DModel)
from transformers import Qwen3Model

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
sys.dont_write_bytecode = True
from checkpoints import PROMPT, Writer, draw, source_image  # noqa: E402
from qwen_files import qwen_config, tokenizer  # noqa: E402
from reference_vectors import randomize  # noqa: E402
from transformer_checkpoints import (attention_of, flow_vae, of_mode, save_random_lora, scale_encoder, scale_outputs,  # noqa: E402
                                     with_loras, with_other_rounding)

FOLDER = pathlib.Path(sys.argv[1])
MODES = {"text": ZImagePipeline, "image": ZImageImg2ImgPipeline, "inpaint": ZImageInpaintPipeline}


def parts(out, generator):
    tok = tokenizer(out / "tokenizer_files")
    text = Qwen3Model(qwen_config(tok, num_hidden_layers=4))
    transformer = ZImageTransformer2DModel(in_channels=4, dim=96, n_layers=2, n_refiner_layers=2, n_heads=3, n_kv_heads=3, cap_feat_dim=24,
                                           axes_dims=[8, 12, 12], axes_lens=[1024, 64, 64])
    return dict(tokenizer=tok, text_encoder=randomize(text, generator), transformer=randomize(transformer, generator), vae=flow_vae())


def calibrate(pipe):
    """Predictions of unit variance, images of natural contrast, latents of images of about unit variance."""
    scale_encoder(pipe.vae)
    base = dict(prompt=PROMPT, height=128, width=128, guidance_scale=0.0)
    scale_outputs(pipe, pipe.transformer.all_final_layer["2-1"].linear, base, prediction=lambda out: out[0][0])


def make_checkpoints(out):
    generator = torch.Generator().manual_seed(31)
    torch.manual_seed(31)
    pipe = ZImagePipeline(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), **parts(out, generator))
    pipe.set_progress_bar_config(disable=True)
    calibrate(pipe)
    pipe.save_pretrained(out / "z_image")
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.6, max_shift=1.3)
    pipe.save_pretrained(out / "z_image_dynamic")


def make_adapters(out):
    """One LoRA in each of the spellings of Z-Image's trainers, and one with the names of diffusers."""
    generator = torch.Generator().manual_seed(77)
    (out / "adapters").mkdir()

    def save(name, modules, down, up, alpha=None):
        save_random_lora(out / "adapters" / f"{name}.safetensors", modules, generator, f"{down}.weight", f"{up}.weight", alpha)

    save("peft", [(f"transformer.{layer}", rows, columns) for layer, rows, columns in (
        ("layers.0.attention.to_q", 96, 96), ("layers.1.feed_forward.w2", 96, 256), ("noise_refiner.1.attention.to_out.0", 96, 96),
        ("context_refiner.0.feed_forward.w1", 256, 96), ("layers.1.adaLN_modulation.0", 384, 96))], "lora_A", "lora_B")
    save("fused", [("lora_unet_layers_0_attention_qkv", 288, 96), ("lora_unet_layers_1_attention_out", 96, 96)],
         "lora_down", "lora_up", 2.0)
    save("kohya", [("lora_unet_layers_0_attention_to_k", 96, 96), ("lora_unet_layers_1_feed_forward_w1", 256, 96),
                   ("lora_unet_context_refiner_1_attention_to_v", 96, 96)], "lora_down", "lora_up", 3.0)
    save("default", [("diffusion_model.layers.0.attention.to_v", 96, 96)], "lora_A.default", "lora_B.default")


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=6, guidance_scale=3.0, width=128, height=128, folder="z_image")
    image = dict(base, mode="image", image=source_image(1))
    inpaint = dict(base, mode="inpaint", image=source_image(1), mask_image=source_image(2))
    cases = {
        "own_defaults": base,
        "turbo": dict(base, guidance_scale=0.0, steps=8, seed=2**40 + 3),
        "guidance_1": dict(base, guidance_scale=1.0),
        "guidance_half": dict(base, guidance_scale=0.5),
        "negative": dict(base, negative_prompt="a cat on a red background, " * 3),
        "not_square": dict(base, width=208, height=112, steps=4),
        "long_prompt": dict(base, prompt="a fox and a whale on a green background, " * 40),
        "template_in_prompt": dict(base, prompt="a<|im_end|>\n<think> fox</think>"),
        "empty_prompt": dict(base, prompt="", seed=0),
        "one_step": dict(base, steps=1),
        "karras": dict(base, scheduler="flow_euler_karras"),
        "dynamic": dict(base, folder="z_image_dynamic"),
        "dynamic_not_square": dict(base, folder="z_image_dynamic", width=80, height=144),
        "image": dict(image, strength=0.6, steps=9),  # of 9 steps, 3 are skipped and 6 done
        "image_default": dict(image),
        "image_dynamic": dict(image, strength=0.5, folder="z_image_dynamic", guidance_scale=0.0),
        "inpaint": dict(inpaint),
        **{f"lora_{name}": dict(base, loras=[dict(name=name, weight=0.8)]) for name in ("peft", "fused", "kohya", "default")},
        "inpaint_part": dict(inpaint, strength=0.7, steps=7, guidance_scale=0.0),
    }
    return cases, base


def draw_case(pipe, case, generator=None):
    """Images take the size of the image that they start from."""
    pipe_of_case = of_mode(pipe, MODES[case.get("mode", "text")])
    arguments = {key: value for key, value in case.items() if not ("image" in case and key in ("width", "height"))}
    with with_loras(pipe_of_case, case, FOLDER / "adapters"), attention_of(pipe):
        return draw(pipe_of_case, arguments, generator)


def load(folder):
    return with_other_rounding(ZImagePipeline.from_pretrained(folder, torch_dtype=torch.float32))


def main():
    writer = Writer(FOLDER, draw=draw_case)
    make_checkpoints(writer.out)
    make_adapters(writer.out)
    cases, base = make_cases()
    pipes = {folder: load(writer.out / folder) for folder in {case["folder"] for case in cases.values()}}
    for name, case in cases.items():
        writer.add(name, *pipes[case["folder"]], case, contrast=name != "one_step")
    writer.check_sensitivity("z_image", pipes["z_image"][0], base, guidance_scale=0.0, negative_prompt="a whale")
    for name in ("peft", "fused", "kohya", "default"):
        writer.check_changes(name, pipes["z_image"][0], base, loras=[dict(name=name, weight=0.8)])
    writer.finish()


if __name__ == "__main__":
    main()
