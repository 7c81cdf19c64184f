"""Small random checkpoints that can fail, and what diffusers draws with them: shared by the reference scripts of each family.

A case is a dict: `folder` of its checkpoint, `scheduler` (a key of SCHEDULERS or FURTHER_SCHEDULERS; absent: the checkpoint's own), `prompt`, `seed`, `steps`,
`width`, `height`, and any further argument of the pipeline by diffusers' name. `request_scheduler` is what easel's request must name
where a manifest prefers another scheduler than the checkpoint's own. For each the file OUT/<name>.safetensors gets `latents`
[steps, 1, C, h, w] after every step, images of the case under their argument's name, further ones of a list under "name.1" and so on, `pixels` [H, W, 3] uint8 and `tolerance` [steps]: the reference's own relative error between
contiguous and channels-last memory. OUT/cases.json lists the cases. Weights are scaled until prompt, timestep and seed all matter and
the images have contrast; the scripts fail when they do not.
"""
import copy
import functools
import json
import pathlib
import shutil

import numpy as np
import torch
from diffusers import (AutoencoderKL, DDIMScheduler, DDPMScheduler, DEISMultistepScheduler, DPMSolverMultistepScheduler,
                       DPMSolverSDEScheduler, DPMSolverSinglestepScheduler, EDMEulerScheduler, EulerAncestralDiscreteScheduler,
                       EulerDiscreteScheduler, HeunDiscreteScheduler, KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler,
                       LCMScheduler, LMSDiscreteScheduler, PNDMScheduler, TCDScheduler, UNet2DConditionModel,
                       UniPCMultistepScheduler)
from PIL import Image
from diffusers.utils.logging import disable_progress_bar, set_verbosity_error
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

EMOJI = pathlib.Path(__file__).resolve().parents[3] / "models" / "emoji"
SD_BETAS = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
SCHEDULERS = {"pndm": (PNDMScheduler, {}), "ddim": (DDIMScheduler, {}), "euler": (EulerDiscreteScheduler, {}),
              "euler_ancestral": (EulerAncestralDiscreteScheduler, {}), "dpmpp_2m": (DPMSolverMultistepScheduler, {}),
              "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True})}
# The rest, of which fewer images are drawn.
FURTHER_SCHEDULERS = {
    "dpmpp_2m_sde": (DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}), "dpmpp_2s": (DPMSolverSinglestepScheduler, {}),
    # Left to itself, the class takes a seed from torch's global generator; easel takes the image's, 7 in all cases.
    "dpmpp_sde": (DPMSolverSDEScheduler, {"noise_sampler_seed": 7}), "heun": (HeunDiscreteScheduler, {}), "lms": (LMSDiscreteScheduler, {}),
    "dpm2": (KDPM2DiscreteScheduler, {}), "dpm2_ancestral": (KDPM2AncestralDiscreteScheduler, {}), "unipc": (UniPCMultistepScheduler, {}),
    "deis": (DEISMultistepScheduler, {}), "ddpm": (DDPMScheduler, {}), "lcm": (LCMScheduler, {}), "tcd": (TCDScheduler, {}),
    "edm_euler": (EDMEulerScheduler, {})}
PROMPT = "a fox on a blue background"
# Keys of a case that are not arguments of the pipeline.
OWN_KEYS = {"name", "folder", "mode", "scheduler", "steps", "seed", "request_scheduler", "loras"}
# OpenCLIP's encoder as SD 2.x has it: GELU, the old end-of-text id, one layer left out of a file that never had it; "!" pads.
OPEN_CLIP_PAD = "!"
OPEN_CLIP = dict(hidden_act="gelu", hidden_size=64, intermediate_size=128, num_hidden_layers=5, eos_token_id=2, pad_token_id=1)
SD2_UNET = dict(cross_attention_dim=64, attention_head_dim=(1, 2, 4), use_linear_projection=True, upcast_attention=True)
IMAGE_DEVIATION = 0.32  # of -1..1: lively, and seldom saturated

torch.set_grad_enabled(False)
torch.set_num_threads(1)
disable_progress_bar()
set_verbosity_error()
# transformers 5 dropped the inner module that this diffusers reaches for when clip_skip is given; its layers are the model's own now.
CLIPTextModel.text_model = property(lambda self: self)


def tokenizer(**special_tokens):
    return CLIPTokenizer.from_pretrained(EMOJI / "tokenizer", **special_tokens)


def text_encoder(tok, cls=CLIPTextModel, **config):
    base = dict(vocab_size=len(tok), hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                hidden_act="quick_gelu", bos_token_id=tok.bos_token_id, eos_token_id=tok.eos_token_id,
                pad_token_id=tok.pad_token_id, projection_dim=32)
    model = cls(CLIPTextConfig(**{**base, **config}))
    for name, p in model.named_parameters():
        if "embedding" in name or "weight" in name and p.ndim == 2:
            p.mul_(6)
    return model


def text_encoder_with_projection(tok, **config):
    return text_encoder(tok, CLIPTextModelWithProjection, **config)


def unet(**config):
    base = dict(sample_size=16, layers_per_block=1, block_out_channels=(32, 32, 64), norm_num_groups=8, cross_attention_dim=48,
                down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"))
    model = UNet2DConditionModel(**{**base, **config})
    for name, p in model.named_parameters():
        if "attn2.to_v" in name or "attn2.to_out" in name or "time_emb_proj" in name:
            p.mul_(5)
    return model


def vae(**config):
    base = dict(block_out_channels=(16, 16, 32, 32), layers_per_block=1, norm_num_groups=8, latent_channels=4,
                down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=128,
                scaling_factor=0.18215)
    return AutoencoderKL(**{**base, **config})


def calibrate(pipe, deviation=IMAGE_DEVIATION, **arguments):
    """Noise predictions of unit variance; images of mean 0 and a natural deviation; latents of images of about unit variance.
    Pipelines for images need an `image`."""
    calibrate_encoder(pipe.vae)
    size = {} if "image" in arguments else dict(height=128, width=128)
    base = dict(prompt=PROMPT, **size, **arguments)
    outputs = []
    hook = pipe.unet.register_forward_hook(lambda module, args, out: outputs.append(out[0]))
    pipe(**base, num_inference_steps=2, output_type="latent", generator=torch.Generator().manual_seed(5))
    hook.remove()
    pipe.unet.conv_out.weight.mul_(1 / outputs[0].std())
    pipe.unet.conv_out.bias.mul_(0)
    scale_images(pipe, base, deviation)


def scale_images(pipe, base, deviation=IMAGE_DEVIATION):
    """Images of mean 0 and a natural deviation, where the pipeline is called with `base`."""
    images = []
    hook = pipe.vae.decoder.register_forward_hook(lambda module, args, out: images.append(out))
    pipe(**base, num_inference_steps=4, output_type="pt", generator=torch.Generator().manual_seed(5))
    hook.remove()
    pipe.vae.decoder.conv_out.weight.mul_(deviation / images[0].std())
    pipe.vae.decoder.conv_out.bias.copy_(-images[0].mean((0, 2, 3)) * deviation / images[0].std())


def calibrate_encoder(vae):
    pixels = torch.from_numpy(np.array(source_image(0))).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    gain = 1 / (vae.encode(pixels).latent_dist.mean.std() * vae.config.scaling_factor)
    vae.quant_conv.weight[:vae.config.latent_channels].mul_(gain)
    vae.quant_conv.bias[:vae.config.latent_channels].mul_(gain)


def source_image(seed, width=128, height=128):
    """Soft blots of colour."""
    coarse = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return Image.fromarray((fine[0].permute(1, 2, 0) * 255).round().byte().numpy())


def channels_last(pipe):
    pipe = copy.deepcopy(pipe)
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    return pipe


def draw(pipe, case, generator=None):
    """Latents after every step, and what the pipeline gives for `output_type`: 8-bit pixels by default. `image` and `mask_image` are
    PIL images. Only as PIL images does the reference put drawn parts back (padding_mask_crop)."""
    own = pipe.scheduler
    if case.get("scheduler"):
        cls, extra = (SCHEDULERS | FURTHER_SCHEDULERS)[case["scheduler"]]
        pipe.scheduler = cls.from_config(own.config, **extra)
    steps = []
    keep = lambda p, i, t, kw: steps.append(kw["latents"].clone()) or {}
    arguments = {"output_type": "pil" if "padding_mask_crop" in case else "np", **{key: value for key, value in case.items() if key not in OWN_KEYS}}
    image = pipe(**arguments, num_inference_steps=case["steps"],
                 generator=generator or torch.Generator("cpu").manual_seed(case["seed"]), callback_on_step_end=keep).images[0]
    pipe.scheduler = own
    if arguments["output_type"] == "np":
        image = torch.from_numpy((image * 255).round().astype("uint8"))
    elif arguments["output_type"] == "pil":
        image = torch.from_numpy(np.array(image))
    return torch.stack(steps), image


def draw_upscaled(pipe, case):
    """These two pipelines have no callback at the end of a step; so their scheduler is listened to."""
    own = pipe.scheduler
    cls, extra = SCHEDULERS[case["scheduler"]] if "scheduler" in case else (type(own), {})
    pipe.scheduler = cls.from_config(own.config, **extra)
    steps, step = [], pipe.scheduler.step

    @functools.wraps(step)
    def listen(*arguments, **named):
        result = step(*arguments, **named)
        steps.append(result[0].clone())
        return result

    pipe.scheduler.step = listen
    arguments = {key: value for key, value in case.items() if key not in OWN_KEYS}
    image = pipe(**arguments, output_type="np", num_inference_steps=case["steps"],
                 generator=torch.Generator("cpu").manual_seed(case["seed"])).images[0]
    pipe.scheduler = own
    return torch.stack(steps), torch.from_numpy((image * 255).round().astype("uint8"))


def holds_images(value):
    return isinstance(value[0] if isinstance(value, list) and value else value, Image.Image)


def relative(a, b):
    return ((a - b).flatten(1).norm(dim=1) / a.flatten(1).norm(dim=1)).float()


class Writer:
    """Draws cases and writes what came of them."""

    def __init__(self, out, draw=draw):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        self.out, self.draw, self.cases = out, draw, []

    def add(self, name, pipe, pipe_channels_last, case, contrast=True, most_apart=1e-3):
        """`most_apart` is the share of 8-bit values in which the two memory formats may differ. With a larger one than usual, the case
        says in `equal_pixels` which share easel's image must have."""
        latents, pixels = self.draw(pipe, case)
        latents_cl, pixels_cl = self.draw(pipe_channels_last, case)
        error = relative(latents, latents_cl)
        deviation, saturated = pixels.float().std(), ((pixels == 0) | (pixels == 255)).float().mean()
        itself = (pixels != pixels_cl).float().mean()
        if contrast:
            assert deviation >= 20 and saturated < 0.05, f"{name}: deviation {deviation:.1f}, saturated {saturated:.3f}"
        # An image whose reference does not agree with itself could not be held to 99.9 %.
        assert itself < most_apart, f"{name}: the reference differs from itself in {itself:.2e} of its pixels"
        images = {key: value if isinstance(value, list) else [value] for key, value in case.items() if holds_images(value)}
        tensors = {f"{key}.{i}" if i else key: torch.from_numpy(np.array(image))
                   for key, several in images.items() for i, image in enumerate(several)}
        save_file({"latents": latents.contiguous(), "pixels": pixels.contiguous(), "tolerance": error, **tensors},
                  self.out / f"{name}.safetensors")
        self.cases.append(dict({key: value for key, value in case.items() if key not in images}, name=name, images=list(images)))
        if most_apart > 1e-3:
            self.cases[-1]["equal_pixels"] = 1 - 2 * most_apart
        print(f"{name}: {len(latents)} steps, deviation {deviation:.1f}, reference differs from itself by {error[-1]:.1e}, "
              f"{itself:.2e} of its pixels", flush=True)

    def check_sensitivity(self, name, pipe, case, **changes):
        """A changed prompt, seed, timestep list, and each further argument given, must change the image."""
        changes = {"prompt": case["prompt"] + " in front of a red wall", "seed": case["seed"] + 1, "steps": case["steps"] // 2, **changes}
        self.check_changes(name, pipe, case, **changes)

    def check_changes(self, name, pipe, case, least=1.0, **changes):
        """Each of these arguments must change the image, by `least` of 255 on average: most of its pixels."""
        _, pixels = self.draw(pipe, case)
        for key, value in changes.items():
            moved = (self.draw(pipe, {**case, key: value})[1].int() - pixels.int()).abs().float().mean()
            assert moved > least, f"{name}: another {key} moved the image by only {moved:.3f}"

    def finish(self):
        (self.out / "cases.json").write_text(json.dumps(self.cases, indent=1))
