"""Z-Image: see checkpoints.py. Usage: make_z_image.py OUT"""
import copy
import pathlib
import sys

import numpy as np
import torch
from diffusers import (AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageImg2ImgPipeline, ZImageInpaintPipeline,
                       ZImagePipeline, ZImageTransformer2DModel)
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import Qwen3Config, Qwen3Model

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
sys.dont_write_bytecode = True
import checkpoints  # noqa: E402
from checkpoints import IMAGE_DEVIATION, PROMPT, Writer, draw, source_image  # noqa: E402
from qwen_files import tokenizer  # noqa: E402
from reference_vectors import randomize  # noqa: E402

FOLDER = pathlib.Path(sys.argv[1])
MODES = {"text": ZImagePipeline, "image": ZImageImg2ImgPipeline, "inpaint": ZImageInpaintPipeline}
checkpoints.SCHEDULERS.update({"flow_euler_karras": (FlowMatchEulerDiscreteScheduler, {"use_karras_sigmas": True})})


def parts(out, generator):
    tok = tokenizer(out / "tokenizer_files")
    text = Qwen3Model(Qwen3Config(
        vocab_size=len(tok) + 3, hidden_size=24, intermediate_size=40, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2,
        head_dim=8, max_position_embeddings=1024, rope_parameters={"rope_theta": 1e4, "rope_type": "default"}))
    transformer = ZImageTransformer2DModel(in_channels=4, dim=96, n_layers=2, n_refiner_layers=2, n_heads=3, n_kv_heads=3, cap_feat_dim=24,
                                           axes_dims=[8, 12, 12], axes_lens=[1024, 64, 64])
    vae = AutoencoderKL(block_out_channels=(16, 16, 32, 32), layers_per_block=1, norm_num_groups=8, latent_channels=4,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=128,
                        scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    return dict(tokenizer=tok, text_encoder=randomize(text, generator), transformer=randomize(transformer, generator), vae=vae)


def calibrate(pipe):
    """Predictions of unit variance, images of natural contrast, latents of images of about unit variance."""
    pixels = torch.from_numpy(np.array(source_image(0))).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    gain = 1 / (pipe.vae.encode(pixels).latent_dist.mean.std() * pipe.vae.config.scaling_factor)
    pipe.vae.encoder.conv_out.weight[: pipe.vae.config.latent_channels].mul_(gain)
    pipe.vae.encoder.conv_out.bias[: pipe.vae.config.latent_channels].mul_(gain)
    base = dict(prompt=PROMPT, height=128, width=128, guidance_scale=0.0)
    outputs, images = [], []
    hook = pipe.transformer.register_forward_hook(lambda module, args, out: outputs.append(out[0][0]))
    pipe(**base, num_inference_steps=2, output_type="latent", generator=torch.Generator().manual_seed(5))
    hook.remove()
    pipe.transformer.all_final_layer["2-1"].linear.weight.mul_(1 / outputs[0].std())
    pipe.transformer.all_final_layer["2-1"].linear.bias.mul_(0.2)
    hook = pipe.vae.decoder.register_forward_hook(lambda module, args, out: images.append(out))
    pipe(**base, num_inference_steps=4, output_type="pt", generator=torch.Generator().manual_seed(5))
    hook.remove()
    pipe.vae.decoder.conv_out.weight.mul_(IMAGE_DEVIATION / images[0].std())
    pipe.vae.decoder.conv_out.bias.copy_(-images[0].mean((0, 2, 3)) * IMAGE_DEVIATION / images[0].std())


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

    def pair(rank, rows, columns, down, up):
        return {down: torch.randn((rank, columns), generator=generator) / columns**0.5, up: torch.randn((rows, rank), generator=generator) * 0.3}

    def save(name, modules, down, up, alpha=None):
        tensors = {}
        for module, rows, columns in modules:
            tensors |= pair(4, rows, columns, f"{module}.{down}.weight", f"{module}.{up}.weight")
            if alpha is not None:
                tensors[f"{module}.alpha"] = torch.tensor(alpha)
        save_file(tensors, out / "adapters" / f"{name}.safetensors")

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
    cls = MODES[case.get("mode", "text")]
    of_mode = pipe if isinstance(pipe, cls) else cls(**pipe.components)
    of_mode.set_progress_bar_config(disable=True)
    arguments = {key: value for key, value in case.items() if not ("image" in case and key in ("width", "height"))}
    backends = [SDPBackend.MATH] if getattr(pipe, "other_rounding", False) else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
    for lora in case.get("loras", []):
        of_mode.load_lora_weights(FOLDER / "adapters", weight_name=f"{lora['name']}.safetensors", adapter_name=lora["name"])
        of_mode.set_adapters([lora["name"]], [lora["weight"]])
    with sdpa_kernel(backends):
        drawn = draw(of_mode, arguments, generator)
    if case.get("loras"):
        of_mode.unload_lora_weights()
    return drawn


def load(folder):
    pipe = ZImagePipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    other = copy.deepcopy(pipe)
    other.vae.to(memory_format=torch.channels_last)
    other.other_rounding = True
    return pipe, other


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
