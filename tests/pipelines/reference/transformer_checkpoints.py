"""What the reference scripts of families with a transformer have in common: see checkpoints.py."""
import contextlib
import copy
import functools
import pickle

import checkpoints
import numpy as np
import torch
from checkpoints import scale_images, source_image
from diffusers import FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

checkpoints.SCHEDULERS.update({"flow_euler_karras": (FlowMatchEulerDiscreteScheduler, {"use_karras_sigmas": True})})


def flow_vae(channels=(16, 16, 32, 32), scaling_factor=0.3611, shift_factor=0.1159, **config):
    """An autoencoder of the kind that models of flow matching have."""
    return checkpoints.vae(block_out_channels=channels, down_block_types=("DownEncoderBlock2D",) * len(channels),
                           up_block_types=("UpDecoderBlock2D",) * len(channels), scaling_factor=scaling_factor, shift_factor=shift_factor,
                           use_quant_conv=False, use_post_quant_conv=False, **config)


def scale_encoder(vae):
    """Latents of images of about unit variance, of an autoencoder without quant_conv."""
    pixels = torch.from_numpy(np.array(source_image(0))).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    gain = 1 / (vae.encode(pixels).latent_dist.mean.std() * vae.config.scaling_factor)
    vae.encoder.conv_out.weight[: vae.config.latent_channels].mul_(gain)
    vae.encoder.conv_out.bias[: vae.config.latent_channels].mul_(gain)


def scale_outputs(pipe, last, base, prediction=lambda out: out[0]):
    """Predictions of unit variance, and images of natural contrast. `last` is the transformer's last layer, `base` are arguments of the
    pipeline, and `prediction` takes that from what the transformer returns."""
    outputs = []
    hook = pipe.transformer.register_forward_hook(lambda module, args, out: outputs.append(prediction(out)))
    pipe(**base, num_inference_steps=2, output_type="latent", generator=torch.Generator().manual_seed(5))
    hook.remove()
    last.weight.mul_(1 / outputs[0].std())
    if last.bias is not None:
        last.bias.mul_(0.2)
    scale_images(pipe, base)


def with_other_rounding(pipe):
    """The pipeline, and a copy that decodes in channels-last memory and attends by another kernel: see attention_of."""
    pipe.set_progress_bar_config(disable=True)
    other = copy.deepcopy(pipe)
    other.vae.to(memory_format=torch.channels_last)
    other.other_rounding = True
    return pipe, other


def remember(module):
    """From now on, the module returns again what it returned for the same tensors and arguments. For a large text encoder without
    adapters, which the reference calls anew for every image and every check."""
    forward, known = module.forward, {}

    @functools.wraps(forward)
    def remembering(*arguments, **named):
        key = pickle.dumps([list(named), *(value.numpy() if isinstance(value, torch.Tensor) else value for value in (*arguments, *named.values()))])
        if key not in known:
            known[key] = forward(*arguments, **named)
        return known[key]

    module.forward = remembering


def attention_of(pipe):
    return sdpa_kernel([SDPBackend.MATH] if getattr(pipe, "other_rounding", False) else [SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])


def of_mode(pipe, cls, **config):
    """The pipeline as one of another class."""
    pipe = pipe if isinstance(pipe, cls) else cls(**pipe.components, **config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@contextlib.contextmanager
def with_loras(pipe, case, *folders):
    """Each of the case's adapters is read from the first of the folders that has it."""
    for lora in case.get("loras", []):
        file = f"{lora['name']}.safetensors"
        folder = next(folder for folder in folders if (folder / file).exists())
        pipe.load_lora_weights(folder, weight_name=file, adapter_name=lora["name"])
        pipe.set_adapters([lora["name"]], [lora["weight"]])
    yield
    if case.get("loras"):
        pipe.unload_lora_weights()


def random_low_rank(generator, rows, columns, rank=4):
    """The matrices of a LoRA: down, and up."""
    return torch.randn((rank, columns), generator=generator) / columns**0.5, torch.randn((rows, rank), generator=generator) * 0.3


def save_lora(file, modules, down="lora_A.weight", up="lora_B.weight", alpha=None):
    """`modules` are names and the matrices of each."""
    tensors = {}
    for module, (low, high) in modules.items():
        tensors |= {f"{module}.{down}": low.clone(), f"{module}.{up}": high.clone()}
        if alpha is not None:
            tensors[f"{module}.alpha"] = torch.tensor(alpha)
    save_file(tensors, file)


def save_random_lora(file, modules, generator, down="lora_A.weight", up="lora_B.weight", alpha=None):
    """`modules` are names, rows and columns."""
    save_lora(file, {module: random_low_rank(generator, rows, columns) for module, rows, columns in modules}, down, up, alpha)
