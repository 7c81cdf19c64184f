"""Runs one of diffusers' schedulers as make_schedulers.py describes it.

The numbers of a run are, in this order: init_noise_sigma; the timesteps; then for each step the scaled model input, the
next sample, and the predicted x0 where the class returns it. A "light" run ends after the timesteps, and a "final" run
keeps only the last sample. A run that begins in its middle has the noised image before its first step, and after each
step except the last the same image with the noise of the next step.
"""

import inspect
import json
import warnings

import diffusers
import numpy as np
import torch
from diffusers.schedulers import (
    scheduling_ddim,
    scheduling_ddpm,
    scheduling_dpmsolver_multistep,
    scheduling_dpmsolver_sde,
    scheduling_dpmsolver_singlestep,
    scheduling_euler_ancestral_discrete,
    scheduling_flow_match_euler_discrete,
    scheduling_flow_match_lcm,
    scheduling_k_dpm_2_ancestral_discrete,
    scheduling_lcm,
    scheduling_sasolver,
    scheduling_tcd,
)

warnings.simplefilter("ignore")
diffusers.logging.set_verbosity(diffusers.logging.CRITICAL)
torch.set_num_threads(1)

# Request name -> diffusers class, and what its from_config is given besides the config.
PLAIN = {
    "pndm": (diffusers.PNDMScheduler, {}),
    "ddim": (diffusers.DDIMScheduler, {}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "euler_ancestral": (diffusers.EulerAncestralDiscreteScheduler, {}),
    "dpmpp_2m": (diffusers.DPMSolverMultistepScheduler, {}),
    "dpmpp_2m_sde": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2s": (diffusers.DPMSolverSinglestepScheduler, {}),
    "dpmpp_sde": (diffusers.DPMSolverSDEScheduler, {}),
    "heun": (diffusers.HeunDiscreteScheduler, {}),
    "lms": (diffusers.LMSDiscreteScheduler, {}),
    "dpm2": (diffusers.KDPM2DiscreteScheduler, {}),
    "dpm2_ancestral": (diffusers.KDPM2AncestralDiscreteScheduler, {}),
    "unipc": (diffusers.UniPCMultistepScheduler, {}),
    "deis": (diffusers.DEISMultistepScheduler, {}),
    "sa_solver": (diffusers.SASolverScheduler, {"algorithm_type": "data_prediction"}),
    "ddpm": (diffusers.DDPMScheduler, {}),
    "lcm": (diffusers.LCMScheduler, {}),
    "tcd": (diffusers.TCDScheduler, {}),
    "edm_euler": (diffusers.EDMEulerScheduler, {}),
    "flow_euler": (diffusers.FlowMatchEulerDiscreteScheduler, {}),
    "flow_heun": (diffusers.FlowMatchHeunDiscreteScheduler, {}),
    "flow_lcm": (diffusers.FlowMatchLCMScheduler, {}),
}
SUFFIXES = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}


def takes(cls, argument):
    return argument in inspect.signature(cls.__init__).parameters


NAMES = dict(PLAIN)
for plain, (cls, overrides) in PLAIN.items():
    for suffix, flag in SUFFIXES.items() if takes(cls, "use_beta_sigmas") else ():
        NAMES[f"{plain}_{suffix}"] = (cls, {**overrides, flag: True})

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def class_of(case):
    name = case["name"] or case["config"]["_class_name"]
    return NAMES[name] if name in NAMES else (getattr(diffusers, name), {})


def model(sample, timestep, channel_factor):
    """Takes the place of the network: bounded, depends on every element and on the timestep, given in float32."""
    output = torch.sin(sample * 0.7 + float(np.float32(float(timestep))) * 0.01)
    return torch.cat([output] * channel_factor, dim=1) if channel_factor > 1 else output


def float32_noise(shape, generator=None, device=None, dtype=None, layout=None):
    """easel draws noise in float32 whatever the dtype; diffusers draws it in the dtype of the sample."""
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(dtype)


class Float32BrownianTree(scheduling_dpmsolver_sde.BrownianTreeNoiseSampler):
    """The same for the tree: float32 inside, whatever the sample's dtype."""

    def __init__(self, x, *args, **kwargs):
        super().__init__(x.float(), *args, **kwargs)
        self.dtype = x.dtype

    def __call__(self, *args):
        return super().__call__(*args).to(self.dtype)


DRAWING_MODULES = (
    scheduling_ddim, scheduling_ddpm, scheduling_dpmsolver_multistep, scheduling_dpmsolver_singlestep,
    scheduling_euler_ancestral_discrete, scheduling_flow_match_euler_discrete, scheduling_flow_match_lcm,
    scheduling_k_dpm_2_ancestral_discrete, scheduling_lcm, scheduling_sasolver, scheduling_tcd,
)  # fmt: skip
DIFFUSERS_NOISE = scheduling_ddim.randn_tensor
scheduling_dpmsolver_sde.BrownianTreeNoiseSampler = Float32BrownianTree


def draw_noise_with(function):
    for module in DRAWING_MODULES:
        module.randn_tensor = function


def construct(cls, config, overrides):
    """cls.from_config. Some constructors begin a run of a thousand steps, which is discarded; here it has two."""
    original = cls.set_timesteps

    def short(self, num_inference_steps, *args):
        original(self, 2, *args)

    cls.set_timesteps = short
    try:
        return cls.from_config(config, **overrides)
    finally:
        cls.set_timesteps = original


def original_sample(scheduler, result):
    """The predicted x0, or None where the class does not return it."""
    for field in ("pred_original_sample", "denoised"):
        if getattr(result, field, None) is not None:
            return getattr(result, field)
    if isinstance(scheduler, (diffusers.UniPCMultistepScheduler, diffusers.SASolverScheduler)):
        return scheduler.model_outputs[-1] if scheduler.predict_x0 else None
    if isinstance(scheduler, (diffusers.DPMSolverMultistepScheduler, diffusers.DPMSolverSinglestepScheduler)):
        return scheduler.model_outputs[-1] if scheduler.config.algorithm_type.endswith("dpmsolver++") else None
    return None


def add_noise(scheduler, image, noise, timestep):
    """The FlowMatch classes have another name for it."""
    function = scheduler.add_noise if hasattr(scheduler, "add_noise") else scheduler.scale_noise
    return function(image, noise=noise, **{"timesteps" if hasattr(scheduler, "add_noise") else "timestep": timestep})


def begin(scheduler, case):
    if case["mu"] is not None:
        arguments = {"sigmas": case["sigmas"]} if case["sigmas"] else {"num_inference_steps": case["steps"]}
        scheduler.set_timesteps(mu=case["mu"], **arguments)
    elif case["timesteps"]:
        scheduler.set_timesteps(timesteps=case["timesteps"])
    elif case["sigmas"]:
        values = np.array(case["sigmas"])
        edm = isinstance(scheduler, diffusers.EDMEulerScheduler)
        scheduler.set_timesteps(sigmas=torch.from_numpy(values) if edm else values)
    elif case["strength"] < 1:
        scheduler.set_timesteps(case["steps"], strength=case["strength"])
    else:
        scheduler.set_timesteps(case["steps"])
    if isinstance(scheduler, diffusers.LMSDiscreteScheduler) and (scheduler.sigmas.diff() == 0).any():
        raise ValueError("easel rejects equal noise levels, from which LMS integrates infinities")
    timesteps = scheduler.timesteps
    if case["begin"] is not None:
        # As get_timesteps of the pipelines for image to image.
        first = case["begin"] * scheduler.order
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        return timesteps[first:]
    if (timesteps[1:] == timesteps[0]).any() and hasattr(scheduler, "set_begin_index"):
        # From the timestep only, the class would find the second of two equal ones, and then run past the end of its
        # sigmas or use noise levels that do not belong to its timesteps.
        scheduler.set_begin_index(0)
    return timesteps


def run(case):
    """The numbers of one case, as a list of tensors."""
    cls, overrides = class_of(case)
    config = json.loads(json.dumps(case["config"]))
    if cls is diffusers.DPMSolverSDEScheduler:
        # By default the class takes a seed from torch's global generator; easel takes the image's.
        if config.get("noise_sampler_seed") is None:
            config["noise_sampler_seed"] = case["seed"]
    scheduler = construct(cls, config, overrides)
    timesteps = begin(scheduler, case)
    numbers = [torch.tensor([float(getattr(scheduler, "init_noise_sigma", 1.0))]), timesteps]
    if case["kind"] == "light":
        return numbers, len(timesteps), False

    dtype = DTYPES[case["dtype"]]
    draw_noise_with(DIFFUSERS_NOISE if dtype == torch.float32 else float32_noise)
    generator = torch.Generator("cpu").manual_seed(case["seed"])
    sample = torch.randn(case["shape"], generator=generator).to(dtype)
    if case["begin"] is None:
        sample = sample * getattr(scheduler, "init_noise_sigma", 1.0)
    else:
        image, noise = sample, torch.randn(case["shape"], generator=generator).to(dtype)
        sample = add_noise(scheduler, image, noise, timesteps[:1])
        numbers.append(sample)
    parameters = inspect.signature(scheduler.step).parameters
    arguments = {"generator": generator} if "generator" in parameters else {}
    if "eta" in parameters:
        arguments["eta"] = case["eta"]
    has_original_sample = False
    for i, timestep in enumerate(timesteps):
        scaled = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
        result = scheduler.step(model(scaled, timestep, case["channel_factor"]), timestep, sample, **arguments)
        sample = result.prev_sample
        numbers += [scaled, sample]
        original = original_sample(scheduler, result)
        if original is not None:
            has_original_sample = True
            numbers.append(original)
        if case["begin"] is not None and i + 1 < len(timesteps):
            numbers.append(add_noise(scheduler, image, noise, timesteps[i + 1 : i + 2]))
    if case["kind"] == "final":
        numbers = numbers[:2] + [sample]
    return numbers, len(timesteps), has_original_sample
