"""Checkpoints that are one file: see checkpoints.py and original_layout.py. Usage: make_single_file.py OUT

NAME.safetensors is a small random checkpoint in the original layout, tensors/NAME/PART is what diffusers' from_single_file makes of it,
and the cases are images of that checkpoint. published/NAME.safetensors has a published model's names and shapes, with a hole in place of the numbers.
"""
import copy
import json
import pathlib
import shutil
import sys

import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionInpaintPipeline,
                       StableDiffusionPipeline, StableDiffusionUpscalePipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline,
                       UNet2DConditionModel)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

sys.dont_write_bytecode = True
from checkpoints import (PROMPT, SD_BETAS, Writer, calibrate, channels_last, draw, draw_upscaled, source_image, text_encoder,  # noqa: E402
                         text_encoder_with_projection, tokenizer, unet, vae)
from original_layout import original_clip, original_open_clip, original_unet, original_vae  # noqa: E402

# checkpoints.py gives this to diffusers for clip_skip; from_single_file would take it for the module of older releases.
del CLIPTextModel.text_model

REPO = pathlib.Path(__file__).resolve().parents[3]
MERGES = REPO / "src/tokenizers/clip_vocabulary/merges.txt"
CONFIGS = REPO / "tests/models/configs"
# Models that share components with another published model because they have no config of their own.
KIN = {"sd15-inpainting": ["sd15"], "sdxl-refiner": ["sdxl-base"]}
PNDM = dict(**SD_BETAS, skip_prk_steps=True, set_alpha_to_one=False, steps_offset=1)
EULER = dict(**SD_BETAS, steps_offset=1, timestep_spacing="leading")
DDIM_V = dict(**SD_BETAS, prediction_type="v_prediction", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
X4_BETAS = dict(beta_start=0.0001, beta_end=0.02, beta_schedule="scaled_linear")
FIRST, SECOND, ONLY = "conditioner.embedders.0.", "conditioner.embedders.1.", "cond_stage_model."
# What training leaves in such files, and no model takes.
LEFTOVERS = {"model_ema.decay": torch.tensor(0.5), "model_ema.diffusion_modelout2bias": torch.ones(4), "betas": torch.ones(1000),
             "alphas_cumprod": torch.ones(1000), f"{ONLY}transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
             f"{ONLY}model.logit_scale": torch.tensor(4.6)}


def clip_tokenizer(out, pad_token):
    folder = out / "vocabulary"
    if not folder.exists():
        folder.mkdir()
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        alphabet = [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]
        merged = [line.replace(" ", "") for line in MERGES.read_text().splitlines()[1:]]
        tokens = alphabet + [c + "</w>" for c in alphabet] + merged + ["<|startoftext|>", "<|endoftext|>"]
        (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
        shutil.copy(MERGES, folder / "merges.txt")
    return CLIPTokenizer.from_pretrained(folder, pad_token=pad_token, model_max_length=77)


def small_unet(**config):
    return unet(**{**dict(block_out_channels=(32, 64, 64), norm_num_groups=32, cross_attention_dim=64, attention_head_dim=8), **config})


def small_vae(**config):
    return vae(**{**dict(block_out_channels=(32, 32, 64, 64), norm_num_groups=32), **config})


def clip(tok, **config):
    return text_encoder(tok, **{**dict(hidden_size=64, num_attention_heads=1, intermediate_size=128, eos_token_id=2), **config})


def open_clip(tok, cls=text_encoder, **config):
    return cls(tok, **{**dict(hidden_size=64, num_attention_heads=1, intermediate_size=192, hidden_act="gelu", eos_token_id=2), **config})


def xl_unet(ids, **config):
    model = small_unet(**{**dict(
        block_out_channels=(64, 64, 128), attention_head_dim=(1, 1, 2), transformer_layers_per_block=(1, 2, 3), cross_attention_dim=192,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=256, projection_class_embeddings_input_dim=ids * 256 + 48), **config})
    for name, p in model.named_parameters():
        if "attn2.to_k" in name or "attn2.to_v" in name:
            p.mul_(0.1)
    return model


def parts_of(pipe):
    return {name: part for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)}


def original_state(pipe, scopes):
    """All tensors of a pipeline. @param scopes  of each text encoder, and whether OpenCLIP named it"""
    state = original_unet(pipe.unet.state_dict(), pipe.unet.config) | original_vae(pipe.vae.state_dict(), pipe.vae.config)
    for name, (scope, is_open) in scopes.items():
        state |= (original_open_clip if is_open else original_clip)(getattr(pipe, name).state_dict(), scope)
    return {name: tensor.contiguous() for name, tensor in state.items()}


def quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


class Checkpoints:
    """Writes single files, and has diffusers read them."""

    def __init__(self, out):
        self.out, self.pipes = out, {}

    def add(self, name, pipe, scopes, dtype=torch.float32, extra=None, **arguments):
        torch.manual_seed(0)
        for part in parts_of(pipe).values():
            for p in part.parameters():
                if p.ndim == 1:  # biases and norms, which are constant in a fresh model: swapped ones could not be distinguished
                    p.add_(0.02 * torch.randn_like(p))
        calibrate(quiet(pipe), **arguments)
        self.write(name, type(pipe), pipe, {**original_state(pipe, scopes), **(extra or {})}, dtype)

    def write(self, name, cls, pipe, state, dtype):
        path, configs = self.out / f"{name}.safetensors", self.out / "configs" / name
        state = {key: t.to(dtype) if t.is_floating_point() else t for key, t in state.items()}
        save_file(state, path)
        pipe.save_pretrained(configs)
        for weights in configs.rglob("*.safetensors"):
            weights.unlink()
        self.pipes[name] = quiet(cls.from_single_file(str(path), config=str(configs), torch_dtype=torch.float32))
        for part, module in parts_of(self.pipes[name]).items():
            (self.out / "tensors" / name).mkdir(parents=True, exist_ok=True)
            save_file({key: t.contiguous().clone() for key, t in module.state_dict().items()}, self.out / "tensors" / name / f"{part}.safetensors")


def make_checkpoints(out):
    made = Checkpoints(out)
    tok, tok_2 = clip_tokenizer(out, "<|endoftext|>"), clip_tokenizer(out, "!")
    torch.manual_seed(41)
    sd1 = lambda cls=StableDiffusionPipeline, **config: cls(small_vae(), clip(tok), tok, small_unet(**config), PNDMScheduler(**PNDM), None, None,
                                                            requires_safety_checker=False)
    v1_scopes = {"text_encoder": (ONLY, False)}
    made.add("sd1", sd1(), v1_scopes, extra=LEFTOVERS)
    made.add("sd1_half", sd1(layers_per_block=2), v1_scopes, dtype=torch.float16)
    made.add("sd1_brain", sd1(), v1_scopes, dtype=torch.bfloat16)
    made.add("sd1_inpainting", sd1(StableDiffusionInpaintPipeline, in_channels=9), v1_scopes, image=source_image(1), mask_image=source_image(2))
    # As tiny-sd: three levels, attention in all of them, and nothing in the middle.
    cross = dict(down_block_types=("CrossAttnDownBlock2D",) * 3, up_block_types=("CrossAttnUpBlock2D",) * 3)
    made.add("tiny", sd1(mid_block_type=None, **cross), v1_scopes)
    # Widths that tell neither heads nor groups, and another vocabulary: only a folder of configs does.
    own = tokenizer()
    odd = StableDiffusionPipeline(vae(), text_encoder(own), own, unet(attention_head_dim=4), PNDMScheduler(**PNDM), None, None,
                                  requires_safety_checker=False)
    made.add("odd", odd, v1_scopes)
    (out / "odd.easel.json").write_text(json.dumps({"configs": "configs/odd"}))
    (out / "odd_alone.safetensors").symlink_to("odd.safetensors")
    # 24 layers, of which diffusers leaves the last one out.
    encoder = open_clip(tok_2, num_hidden_layers=23)
    sd2 = StableDiffusionPipeline(small_vae(), encoder, tok_2, small_unet(block_out_channels=(64, 64, 128), attention_head_dim=(1, 1, 2),
                                                                         use_linear_projection=True, upcast_attention=True, sample_size=96),
                                  DDIMScheduler(**DDIM_V), None, None, requires_safety_checker=False)
    unused = original_open_clip(open_clip(tok_2, num_hidden_layers=24).state_dict(), ONLY)
    unused = {key: t.contiguous() for key, t in unused.items() if ".resblocks.23." in key}
    made.add("sd2_v", sd2, {"text_encoder": (ONLY, True)}, extra={**unused, f"{ONLY}model.text_projection": torch.ones(64, 64), **LEFTOVERS})
    # As SDXL's code names the same parts.
    turbo = original_state(sd2, {"text_encoder": (FIRST, True)}) | {key.replace(ONLY, FIRST): t for key, t in unused.items()}
    made.write("sd2_turbo", StableDiffusionPipeline, sd2, turbo | {f"{FIRST}model.text_projection": torch.ones(64, 64)}, torch.float32)
    # Two widths, so that a block's keys show whether it attends only to the prompt.
    upscaler = StableDiffusionUpscalePipeline(
        vae(block_out_channels=(32, 32, 64), norm_num_groups=32, down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.08333, sample_size=256),
        open_clip(tok_2, hidden_size=128, num_attention_heads=2, num_hidden_layers=23), tok_2,
        small_unet(in_channels=7, num_class_embeds=1000, only_cross_attention=(True, True, False), use_linear_projection=True,
                   cross_attention_dim=128, sample_size=128, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                   up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")),
        DDPMScheduler(**X4_BETAS), DDIMScheduler(**{**DDIM_V, **X4_BETAS}), max_noise_level=350)
    # Larger ones would magnify the last bits: the reference would not agree with itself.
    upscaler.unet.class_embedding.weight.mul_(0.5)
    for name, p in upscaler.unet.named_parameters():
        if p.ndim == 2 and p.shape[1] == 128 and ("to_k" in name or "to_v" in name):
            p.mul_(0.2)
    made.add("x4", upscaler, {"text_encoder": (ONLY, True)}, image=source_image(1, 32, 32))
    xl_vae = lambda: small_vae(scaling_factor=0.13025, force_upcast=True)
    # Of another width than the first, by which diffusers tells them apart.
    second = open_clip(tok_2, text_encoder_with_projection, hidden_size=128, num_attention_heads=2, num_hidden_layers=4, projection_dim=48)
    second.text_projection.weight.mul_(0.1)
    xl = StableDiffusionXLPipeline(xl_vae(), clip(tok), second, tok, tok_2, xl_unet(6), EulerDiscreteScheduler(**EULER), add_watermarker=False)
    made.add("xl", xl, {"text_encoder": (FIRST, False), "text_encoder_2": (SECOND, True)})
    # As SSD-1B: transformers of several depths in a level, deeper ones on the way up, and one block in the middle.
    pruned = xl_unet(6, layers_per_block=2, transformer_layers_per_block=(1, (1, 2), (2, 1)), mid_block_type="UNetMidBlock2D",
                     reverse_transformer_layers_per_block=((1, 1, 3), (2, 1, 1), 1))
    ssd = StableDiffusionXLPipeline(xl_vae(), clip(tok), second, tok, tok_2, pruned, EulerDiscreteScheduler(**EULER), add_watermarker=False)
    made.add("ssd", ssd, {"text_encoder": (FIRST, False), "text_encoder_2": (SECOND, True)})
    refiner_unet = xl_unet(5, block_out_channels=(64, 64, 64, 64), attention_head_dim=1, transformer_layers_per_block=2, cross_attention_dim=128,
                           down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                           up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"))
    refiner = StableDiffusionXLImg2ImgPipeline(xl_vae(), None, second, None, tok_2, refiner_unet, EulerDiscreteScheduler(**EULER),
                                               requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False)
    made.add("refiner", refiner, {"text_encoder_2": (FIRST, True)}, image=source_image(1), strength=1.0)
    return made


def make_other_vaes(made):
    """sd1 with another autoencoder: from a folder, from a file, and from a file with diffusers' names."""
    torch.manual_seed(44)
    other, out = small_vae(scaling_factor=0.3, layers_per_block=2), made.out
    images = other.decode(torch.randn(1, 4, 16, 16) / other.config.scaling_factor).sample
    other.decoder.conv_out.weight.mul_(0.3 / images.std())
    other.save_pretrained(out / "other_vae")
    (out / "vae_in_original").mkdir()
    shutil.copy(out / "other_vae" / "config.json", out / "vae_in_original")
    original = original_vae(other.state_dict(), other.config, prefix="")
    save_file({k: t.contiguous() for k, t in original.items()}, out / "vae_in_original" / "vae.safetensors")
    negative = copy.deepcopy(made.pipes["sd1"].vae)
    negative.decoder.conv_out.weight.neg_()
    save_file(negative.state_dict(), out / "vae_alone.safetensors")
    paths = {"vae_folder": ("other_vae", other), "vae_file": ("vae_in_original/vae.safetensors", other),
             "vae_no_config": ("vae_alone.safetensors", negative)}
    for name, (path, module) in paths.items():
        (out / f"{name}.safetensors").symlink_to("sd1.safetensors")
        (out / f"{name}.easel.json").write_text(json.dumps({"vae": path}))
        made.pipes[name] = quiet(StableDiffusionPipeline(**{**made.pipes["sd1"].components, "vae": module}, requires_safety_checker=False))


def make_unfinished(out):
    """A file with only a UNet of eight channels, and a file without a text encoder, whose manifest names one."""
    torch.manual_seed(44)
    model = small_unet(in_channels=8)
    save_file(original_unet(model.state_dict(), model.config), out / "pix2pix.safetensors")
    state = load_file(out / "sd1.safetensors")
    save_file({k: t for k, t in state.items() if not k.startswith((ONLY, "first_stage_model."))}, out / "unet_alone.safetensors")
    text = {k.removeprefix(ONLY + "transformer."): t for k, t in state.items() if k.startswith(ONLY + "transformer.text_model")}
    save_file(text, out / "text.safetensors")
    (out / "parts").mkdir()
    (out / "parts" / "with_manifest.safetensors").symlink_to("../unet_alone.safetensors")
    (out / "parts" / "with_manifest.easel.json").write_text(json.dumps({"vae": "../sd1.safetensors", "text_encoder": "../text.safetensors"}))


def make_published(out):
    """Names and shapes of the published models."""
    (out / "published").mkdir()
    one, two = {"text_encoder": (ONLY, False)}, {"text_encoder": (FIRST, False), "text_encoder_2": (SECOND, True)}
    sd2 = {"text_encoder": (ONLY, True)}
    for name, texts in {"sd15": one, "sd15-inpainting": one, "sd21": sd2, "x4-upscaler": sd2, "sdxl-base": two,
                        "sdxl-refiner": {"text_encoder_2": (FIRST, True)}}.items():
        config = lambda part, name=name: json.loads(next(f for kin in (name, *KIN.get(name, ())) if (f := CONFIGS / kin / f"{part}.json").exists()).read_text())
        with torch.device("meta"):
            models = {"unet": UNet2DConditionModel.from_config(config("unet")), "vae": AutoencoderKL.from_config(config("vae"))}
            for part in texts:
                cls = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
                models[part] = cls(CLIPTextConfig(**config(part)))
            states = {part: model.state_dict() for part, model in models.items()}
            state = original_unet(states["unet"], config("unet")) | original_vae(states["vae"], config("vae"))
            for part, (scope, is_open) in texts.items():
                state |= (original_open_clip if is_open else original_clip)(states[part], scope)
            if texts is sd2:
                state |= {k.replace(".22.", ".23."): t for k, t in state.items() if ".resblocks.22." in k}
        write_hollow(out / "published" / f"{name}.safetensors", state)
        shapes = {part: {k: list(t.shape) for k, t in s.items()} for part, s in states.items()}
        (out / "published" / f"{name}.json").write_text(json.dumps({"shapes": shapes, "configs": {part: config(part) for part in states}}))


def write_hollow(path, state):
    header, offset = {}, 0
    for name, tensor in state.items():
        header[name] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [offset, offset + 2 * tensor.numel()]}
        offset += 2 * tensor.numel()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)


def make_cases():
    base = dict(prompt=PROMPT, seed=7, steps=4, guidance_scale=1.5, width=128, height=128)
    images = dict(image=source_image(1))
    plain = ("sd1", "tiny", "sd2_turbo", "odd", "sd1_half", "sd1_brain", "vae_folder", "vae_file", "vae_no_config", "xl", "ssd")
    return {
        **{name: dict(base, folder=f"{name}.safetensors") for name in plain},
        "sd2_v": dict(base, folder="sd2_v.safetensors", prompt="a cat! on a red background", negative_prompt="a dog"),
        "sd1_inpainting": dict(base, folder="sd1_inpainting.safetensors", mask_image=source_image(2), strength=1.0, **images),
        "x4": dict({k: v for k, v in base.items() if k not in ("width", "height")}, folder="x4.safetensors", mode="x4",
                   image=source_image(3, 32, 32), noise_level=200),
        "refiner": dict({k: v for k, v in base.items() if k not in ("width", "height")}, folder="refiner.safetensors", strength=0.6, **images),
    }


def draw_case(pipe, case):
    return (draw_upscaled if isinstance(pipe, StableDiffusionUpscalePipeline) else draw)(pipe, case)


def main():
    writer = Writer(pathlib.Path(sys.argv[1]), draw_case)
    made = make_checkpoints(writer.out)
    make_other_vaes(made)
    make_unfinished(writer.out)
    make_published(writer.out)
    for name, case in make_cases().items():
        pipe = made.pipes[name]
        writer.add(f"image_{name}", pipe, channels_last(pipe), case, contrast=False)
    writer.check_changes("vae_folder", made.pipes["vae_folder"], make_cases()["vae_folder"], prompt="a red wall", seed=8)
    writer.finish()


main()
