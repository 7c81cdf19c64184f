"""Runs diffusers' schedulers over a grid of configs and writes their numbers, for parity_test.cpp.

Takes one argument, the folder to write into. The folder gets cases.json (the settings of each run and the position of
its numbers; see scheduler_runs.py), vectors.bin (raw float32), and tables of the functions of numpy and scipy that easel
implements itself.
"""

import functools
import inspect
import itertools
import json
import os
import pathlib
import random
import sys

import diffusers
import numpy as np
import scipy
import torch
from function_tables import logarithms, quantiles, seeds
from random_runs import BATCH, ODD, SMALL, SPACINGS, random_config, random_run
from scheduler_runs import NAMES, PLAIN, class_of, run, takes

# diffusers asks for the same few signatures 16 times for each scheduler that it makes, here 12,000.
inspect.signature = functools.cache(inspect.signature)
PREDICTION_TYPES = {
    "pndm": ["epsilon", "v_prediction"],
    "euler_ancestral": ["epsilon", "v_prediction"],
    "dpm2": ["epsilon", "v_prediction"],
    "dpm2_ancestral": ["epsilon", "v_prediction"],
    "dpmpp_sde": ["epsilon", "v_prediction"],
    "edm_euler": ["epsilon", "v_prediction"],
}
STABLE_DIFFUSION = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DDPM_VARIANCES = ["fixed_small", "fixed_small_log", "fixed_large", "learned", "learned_range", None]
FIRST = ("ddim", "euler", "dpmpp_2m")  # for these, every step count is tried
SLOW = ("lms", "dpmpp_sde", "dpm2", "dpm2_ancestral")  # these are slow in Python


def prediction_types(name):
    for plain, types in PREDICTION_TYPES.items():
        if name == plain or name.removeprefix(plain) in ("_karras", "_exponential", "_beta"):
            return types
    return ["epsilon", "v_prediction", "sample"]


def spacings(name):
    return SPACINGS if takes(NAMES[name][0], "timestep_spacing") else ["linspace"]


def case(group, name, config, steps, **fields):
    return {
        "group": group,
        "name": name,
        "config": config,
        "steps": steps,
        "shape": SMALL,
        "dtype": "float32",
        "seed": 7,
        "eta": 0.0,
        "channel_factor": 1,
        "kind": "full",
        "timesteps": [],
        "sigmas": [],
        "begin": None,
        "strength": 1.0,
        "mu": None,
        **fields,
    }


def prk_variants(name):
    return [{"skip_prk_steps": True}, {"skip_prk_steps": False}] if name == "pndm" else [{}]


def grid():
    """Scheduler x prediction type x spacing x step count."""
    for name in NAMES:
        counts = (1, 2, 3, 5, 10, 33) if name in PLAIN else (1, 6)
        if name in SLOW:
            counts = (1, 2, 5, 16)
        for prediction, spacing, prk in itertools.product(prediction_types(name), spacings(name), prk_variants(name)):
            config = {**STABLE_DIFFUSION, "prediction_type": prediction, "timestep_spacing": spacing, **prk}
            for steps in counts:
                yield case("grid", name, config, steps)


def variants():
    """Noise schedules, and the fields that affect the ends of a run."""
    trained = [round(0.0008 + 0.0113 * (i / 999) ** 1.5, 7) for i in range(1000)]
    betas = [
        {"beta_schedule": "linear"},
        STABLE_DIFFUSION,
        {"beta_schedule": "squaredcos_cap_v2"},
        {"trained_betas": trained},
    ]
    placements = [("linspace", 0), ("leading", 0), ("leading", 1), ("trailing", 1)]  # the offset affects only "leading"
    for name in PLAIN:
        for beta, rescale, (spacing, offset), to_one, prk in itertools.product(
            betas, (False, True), placements, (False, True), prk_variants(name)
        ):
            if spacing not in spacings(name):
                continue
            if to_one and name not in ("pndm", "ddim"):
                continue
            if rescale and not takes(NAMES[name][0], "rescale_betas_zero_snr"):
                continue
            config = {**beta, "rescale_betas_zero_snr": rescale, "timestep_spacing": spacing, "steps_offset": offset}
            config |= {"set_alpha_to_one": to_one, "clip_sample": offset == 1, "clip_sample_range": 1.5, **prk}
            config["prediction_type"] = "v_prediction" if rescale else "epsilon"
            yield case("variants", name, config, 4, shape=ODD)
    for extra in ({"beta_schedule": "exp"}, {"clip_sample": True, "clip_sample_range": 1.2}):
        yield case("variants", "heun", {**STABLE_DIFFUSION, **extra}, 6)
    for predictor, corrector, lower, steps in itertools.product((1, 2, 3, 4), (1, 2, 3, 4), (False, True), (1, 3, 7)):
        config = {**STABLE_DIFFUSION, "predictor_order": predictor, "corrector_order": corrector, "lower_order_final": lower}
        yield case("variants", "sa_solver", config, steps)
        yield case("variants", "", {**config, "_class_name": "SASolverScheduler", "algorithm_type": "noise_prediction"}, steps)
    for beta, variance in itertools.product(("sigmoid", "laplace", "linear"), DDPM_VARIANCES):
        config = {**STABLE_DIFFUSION, "beta_schedule": beta, "variance_type": variance, "clip_sample": False}
        yield case("variants", "ddpm", config, 7, channel_factor=2 if "learned" in str(variance) else 1)
    ends = ("zero", "sigma_min")
    for order, steps, lower, final in itertools.product((1, 2, 3), (1, 2, 3, 4, 6, 13), (False, True), ends):
        config = {**STABLE_DIFFUSION, "solver_order": order, "lower_order_final": lower, "final_sigmas_type": final}
        algorithms = ("dpmsolver", "dpmsolver++", "sde-dpmsolver++")
        for algorithm, solver in itertools.product(algorithms, ("midpoint", "heun")):
            if (order, solver) == (1, "heun"):
                continue  # the first order has one solver
            if steps > 5 or algorithm != "dpmsolver" or final == "sigma_min":
                extra = {"algorithm_type": algorithm, "solver_type": solver}
                yield case("variants", "dpmpp_2s", {**config, **extra}, steps)
        yield case("variants", "deis", config, steps + 4)
        for solver, x0 in itertools.product(("bh1", "bh2"), (False, True)):
            extra = {"solver_type": solver, "predict_x0": x0, "solver_order": order + 1, "disable_corrector": [0, 2]}
            if final == "zero":  # where bh1, and orders above 1, make NaNs of an infinite step
                extra |= {"solver_type": "bh2", "lower_order_final": True}
            yield case("variants", "unipc", {**config, **extra}, steps + order)
    for name in PLAIN:
        if takes(NAMES[name][0], "use_beta_sigmas"):
            # The middle sigma lies halfway between two float32 numbers, so its last float64 bit decides its rounding.
            tie = {"use_beta_sigmas": True, "sigma_min": 2**-5 + 2**-23, "sigma_max": 3.75}
            yield case("variants", name, {**STABLE_DIFFUSION, **tie}, 3)
    for eta, steps, original in itertools.product((0.0, 0.3, 0.77, 1.0), (1, 2, 3, 4, 8, 37), (50, 41, 100)):
        config = {**STABLE_DIFFUSION, "original_inference_steps": original, "timestep_scaling": 9.5}
        yield case("variants", "tcd", config, steps, eta=eta)
        if eta == 0:
            yield case("variants", "lcm", config, steps)
    for seed, steps in itertools.product((0, 1, 2**31 + 5, 2**32 + 7, 2**63 - 1), (2, 9)):
        yield case("variants", "dpmpp_sde_karras", STABLE_DIFFUSION, steps, seed=seed)
        yield case("variants", "dpmpp_sde", {**STABLE_DIFFUSION, "noise_sampler_seed": seed}, steps)
    for sigmas, rho, data, final in itertools.product(
        ("karras", "exponential"), (7.0, 5.5), (0.5, 1.0), ("zero", "sigma_min")
    ):
        config = {"sigma_schedule": sigmas, "rho": rho, "sigma_data": data, "final_sigmas_type": final, "sigma_max": 70}
        yield case("variants", "edm_euler", config, 11)


def all_step_counts():
    """Only timesteps, for many step counts; and the longest runs, of which only the last sample is kept."""
    for name, spacing in itertools.product(NAMES, SPACINGS):
        if spacing not in spacings(name):
            continue
        config = {**STABLE_DIFFUSION, "timestep_spacing": spacing, "skip_prk_steps": True, "steps_offset": 0}
        counts = [*range(1, 131), 150, 199, 250, 333, 500, 501, 750, 998, 999, 1000]
        if name not in FIRST:
            counts = [1, 3, 8, 21, 44, 333]
        if name not in PLAIN:
            counts = (2, 12, 51)
        for steps in counts:
            yield case("step counts", name, config, steps, kind="light")
        if name in FIRST and spacing == "leading":
            yield case("step counts", name, config, 999, kind="final")
    for extra in (
        {"use_exponential_sigmas": True},
        {"use_karras_sigmas": True},
        {"interpolation_type": "log_linear"},
        {"timestep_type": "continuous", "prediction_type": "v_prediction"},
    ):
        for steps in range(1, 61, 3):
            yield case("step counts", "euler", {**STABLE_DIFFUSION, **extra}, steps, kind="light")
    for extra in ({"use_exponential_sigmas": True}, {"use_lu_lambdas": True}, {"use_flow_sigmas": True}):
        for steps in range(1, 61, 7):
            for name in ("dpmpp_2m", "dpmpp_2s", "unipc", "deis", "sa_solver"):
                yield case("step counts", name, {**STABLE_DIFFUSION, **extra}, steps, kind="light")


def custom():
    """Custom timesteps and sigmas, for the classes that support them and for the others."""
    lists = [[999, 850, 736, 645, 545, 455, 343, 233, 124, 24], [999.0, 500.25, 20.5], [700], [999, 979, 459, 0]]
    for name, timesteps, dtype in itertools.product(NAMES, lists, ("float32", "float16")):
        types = prediction_types(name) if dtype == "float32" else ["epsilon"]
        for prediction in types:
            config = {**STABLE_DIFFUSION, "prediction_type": prediction}
            yield case("custom", name, config, 0, timesteps=timesteps, dtype=dtype)
    sigmas = [[14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029, 0.0], [20.0, 1.0, 0.01]]
    for name, values, extra in itertools.product(
        PLAIN, sigmas, ({}, {"timestep_type": "continuous", "prediction_type": "v_prediction"})
    ):
        if name != "edm_euler":  # its `sigmas` are positions on its ramp
            yield case("custom", name, {**STABLE_DIFFUSION, **extra}, 0, sigmas=values)
    for ramp, schedule in itertools.product(([0.0, 0.1, 0.45, 1.0], [0.2], [0.0, 0.7]), ("karras", "exponential")):
        yield case("custom", "edm_euler", {"sigma_schedule": schedule}, 0, sigmas=ramp)
    for values, shift in itertools.product(([1.0, 0.75, 0.5, 0.1], [0.9, 0.3]), (1.0, 3.0)):
        config = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
        yield case("custom", "unipc", config, 0, sigmas=values)


def flow():
    """The config keys and inputs of the FlowMatch classes, and flow sigmas of the DPM-Solver family."""
    extras = [{}, {"shift_terminal": 0.02}, {"invert_sigmas": True}, {"stochastic_sampling": True}]
    shifts = [{"shift": 1.0}, {"shift": 3.0}, {"shift": 6.0}, {"shift": 1.7, "num_train_timesteps": 700}]
    for name, shift, extra, steps in itertools.product(
        ("flow_euler", "flow_euler_karras", "flow_euler_exponential", "flow_euler_beta", "flow_heun", "flow_lcm"),
        shifts, extras, (1, 2, 8, 20, 50),
    ):  # fmt: skip
        if extra.get("shift_terminal") and steps == 1:
            continue  # one sigma of 1 cannot be stretched
        yield case("flow", name, {**shift, **extra}, steps, dtype="bfloat16" if steps == 8 else "float32")
    for kind, mu, name, extra in itertools.product(
        ("exponential", "linear"), (0.3, 0.5, 1.15, 2.0327), ("flow_euler", "flow_lcm", "flow_euler_karras"), extras
    ):
        config = {"use_dynamic_shifting": True, "time_shift_type": kind, "shift": 3.0, **extra}
        for steps in (2, 4, 28):
            yield case("flow", name, config, steps, mu=mu)
            yield case("flow", name, config, 0, mu=mu, sigmas=np.linspace(1, 1 / steps, steps).tolist())
    for name, shift, steps in itertools.product(("flow_euler", "flow_lcm"), (1.0, 3.0), (1, 8, 9, 50)):
        yield case("flow", name, {"shift": shift}, 0, sigmas=np.linspace(1, 1 / steps, steps).tolist())
        yield case("flow", name, {"shift": shift}, 0, timesteps=np.linspace(1000, 1000 / steps, steps).tolist())
    for dtype, begin, name in itertools.product(
        ("float32", "float16", "bfloat16"), range(6), ("flow_euler", "flow_heun", "flow_lcm")
    ):
        yield case("flow", name, {"shift": 3.0}, 6, begin=begin, dtype=dtype, shape=BATCH)
    for name, shift, steps, dtype in itertools.product(
        ("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s", "unipc", "deis", "sa_solver"), (1.0, 3.0, 5.5), (1, 4, 15), ("float32", "bfloat16")
    ):
        config = {"use_flow_sigmas": True, "flow_shift": shift, "prediction_type": "flow_prediction"}
        yield case("flow", name, config, steps, dtype=dtype)
        yield case("flow", name, {**config, "solver_order": 3}, steps, dtype=dtype)


def written_by(cls):
    """The config that save_config of the class writes."""
    return json.loads(cls().to_json_string())


def checkpoints():
    """scheduler_config.json as found in checkpoints, old and new, of our classes and of others."""
    sd = {**STABLE_DIFFUSION, "num_train_timesteps": 1000, "trained_betas": None}
    yield {"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", **sd, "skip_prk_steps": True, "steps_offset": 1,
           "set_alpha_to_one": False, "clip_sample": False}
    yield {"_class_name": "PNDMScheduler", "_diffusers_version": "0.2.2", **sd}
    yield {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", **sd, "clip_sample": False, "steps_offset": 1,
           "set_alpha_to_one": False, "skip_prk_steps": True, "prediction_type": "v_prediction"}
    yield {"_class_name": "EulerDiscreteScheduler", "_diffusers_version": "0.19.0.dev0", **sd, "clip_sample": False,
           "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
           "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "timestep_spacing": "leading",
           "use_karras_sigmas": False}
    yield {"_class_name": "EulerAncestralDiscreteScheduler", "_diffusers_version": "0.24.0.dev0", **sd,
           "timestep_spacing": "trailing", "steps_offset": 1, "prediction_type": "epsilon", "clip_sample": False}
    yield {"_class_name": "EulerDiscreteScheduler", **sd, "sigma_min": 0.002, "sigma_max": 700.0,
           "prediction_type": "v_prediction", "timestep_type": "continuous", "use_karras_sigmas": True}
    yield {"_class_name": "DPMSolverMultistepScheduler", **sd, "algorithm_type": "sde-dpmsolver++", "solver_order": 3,
           "lambda_min_clipped": -5.1, "variance_type": "learned_range", "euler_at_final": True}
    yield {"_class_name": "DEISMultistepScheduler", **sd, "algorithm_type": "deis", "solver_type": "logrho"}
    yield {"_class_name": "DEISMultistepScheduler", **sd, "algorithm_type": "deis", "final_sigmas_type": "sigma_min"}
    yield {"_class_name": "UniPCMultistepScheduler", **sd, "solver_type": "bh2", "predict_x0": True, "solver_order": 2}
    yield {"_class_name": "DDPMScheduler", **sd, "variance_type": "fixed_small", "clip_sample": True}
    yield {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
    yield {"_class_name": "NotInDiffusersScheduler", **sd, "unknown_field": {"a": [1]}}
    yield {"_class_name": "DDIMScheduler", **sd, "_use_default_values": ["beta_schedule", "clip_sample"],
           "clip_sample": False}
    for cls in ("PNDM", "DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "DPMSolverSinglestep",
                "UniPCMultistep", "DEISMultistep", "HeunDiscrete", "DDPM", "KDPM2Discrete",
                "KDPM2AncestralDiscrete", "LCM"):
        yield written_by(getattr(diffusers, cls + "Scheduler"))


def nulls():
    """null is None: false for a flag, an error for a number or a name."""
    keys = sorted({key for cls, _ in NAMES.values() for key in inspect.signature(cls.__init__).parameters} - {"self"})
    keys.remove("solver_p")
    for key in keys:
        yield {**STABLE_DIFFUSION, "skip_prk_steps": True, key: None}


def learns_variance(name):
    return takes(class_of({"name": name})[0], "variance_type") if name else True


def mappings():
    """X.from_config for every class from configs of every class."""
    known = {cls.__name__ for cls, _ in NAMES.values()}
    for config in checkpoints():
        factor = 2 if config.get("variance_type") == "learned_range" else 1
        shape = [1, 3, 3, 2] if factor == 2 else SMALL
        names = [*PLAIN, "dpmpp_2m_karras"] + ([config["_class_name"], ""] if config["_class_name"] in known else [])
        for name in names:
            yield case("mappings", name, config, 4, shape=shape, channel_factor=factor if learns_variance(name) else 1)
    for config, name in itertools.product(nulls(), PLAIN):
        yield case("mappings", name, config, 2)


def refusals():
    """Values that a class rejects, and similar values that it accepts."""
    odd = [
        {"prediction_type": "sample"}, {"prediction_type": "original_sample"}, {"prediction_type": "flow_prediction"},
        {"prediction_type": "epsilom"}, {"timestep_spacing": "karras"}, {"beta_schedule": "cosine"},
        {"beta_schedule": "cosine", "trained_betas": [0.01 + 0.0005 * i for i in range(20)], "num_train_timesteps": 20},
        {"interpolation_type": "cubic"}, {"final_sigmas_type": "sigma_max"}, {"use_beta_sigmas": True},
        {"use_karras_sigmas": True, "use_exponential_sigmas": True}, {"algorithm_type": "dpmsolver"},
        {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, {"algorithm_type": "unipc"},
        {"algorithm_type": "deis", "final_sigmas_type": "sigma_min"}, {"solver_type": "bh3"},
        {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3},
        {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "prediction_type": "flow_prediction"},
        {"skip_prk_steps": False}, {"steps_offset": 600}, {"steps_offset": 1000, "timestep_spacing": "leading"},
        {"trained_betas": [0.01 * i for i in range(1, 30)], "num_train_timesteps": 60},
        {"dynamic_thresholding_ratio": 1.5, "thresholding": True}, {"trained_betas": []}, {"beta_start": "0.1"},
        {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "use_lu_lambdas": True},
        {"timestep_type": "continuous", "prediction_type": "v_prediction", "interpolation_type": "log_linear"},
    ]
    for extra, name, steps in itertools.product(odd, [*PLAIN, "dpmpp_2m_karras"], (5,)):
        yield case("refusals", name, {**STABLE_DIFFUSION, "skip_prk_steps": True, **extra}, steps)


def halves():
    """float16 and bfloat16 samples: where diffusers computes in float32 and where it does not."""
    for name in NAMES:
        for prediction, dtype, prk in itertools.product(
            prediction_types(name), ("float16", "bfloat16"), prk_variants(name)
        ):
            config = {**STABLE_DIFFUSION, "prediction_type": prediction, **prk}
            yield case("halves", name, config, 5, dtype=dtype, shape=ODD, eta=0.5)
            if "thresholding" in inspect.signature(NAMES[name][0].__init__).parameters:
                extra = {"thresholding": True, "sample_max_value": 2.0, "dynamic_thresholding_ratio": 0.9}
                yield case("halves", name, {**config, **extra}, 5, dtype=dtype, shape=BATCH)
    for algorithm, order, prediction in itertools.product(
        ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"), (1, 2, 3), prediction_types("dpmpp_2m")
    ):
        if (algorithm, order) != ("sde-dpmsolver", 3):
            config = {**STABLE_DIFFUSION, "algorithm_type": algorithm, "solver_order": order, "prediction_type": prediction}
            config |= {"final_sigmas_type": "sigma_min"}
            yield case("halves", "dpmpp_2m", config, 8, dtype="float16", shape=ODD)


def begun():
    """Runs that begin in their middle, from an image with noise; with add_noise at each of their steps."""
    for name in NAMES:
        if name not in PLAIN:
            yield case("begun", name, STABLE_DIFFUSION, 9, begin=4)
            continue
        starts = [(8, 0, "float32"), (8, 1, "float32"), (8, 3, "float16"), (8, 7, "float32"), (17, 6, "float32"), (5, 2, "bfloat16")]
        for prediction, prk, (steps, begin, dtype) in itertools.product(prediction_types(name), prk_variants(name), starts):
            config = {**STABLE_DIFFUSION, "prediction_type": prediction, **prk}
            yield case("begun", name, config, steps, begin=begin, dtype=dtype, eta=0.5)
    for name, begin, extra in itertools.product(
        ("dpmpp_2m", "dpmpp_2s", "unipc", "deis", "sa_solver"), range(1, 8),
        ({"solver_order": 1}, {"solver_order": 3, "lower_order_final": False, "final_sigmas_type": "sigma_min"},
         {"algorithm_type": "sde-dpmsolver++"}, {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ):  # fmt: skip
        dtype = "float16" if begin == 4 else "float32"
        yield case("begun", name, {**STABLE_DIFFUSION, **extra}, 8, begin=begin, dtype=dtype)
    for begin in range(1, 8):
        yield case("begun", "lms", {**STABLE_DIFFUSION, "timestep_spacing": "leading", "steps_offset": 1}, 8, begin=begin)
    for name, strength, steps in itertools.product(("lcm", "tcd"), (0.0, 0.05, 0.33, 0.5, 0.8, 1.0), (1, 4, 17)):
        yield case("begun", name, STABLE_DIFFUSION, steps, strength=strength)
        yield case("begun", name, STABLE_DIFFUSION, steps, strength=strength, begin=steps // 2, eta=0.3)


def random_cases(count=800, seed=20240521):
    """Random combinations."""
    rng = random.Random(seed)
    for i in range(count):
        name = rng.choice(list(PLAIN) * 2 + list(NAMES))
        config = random_config(rng)
        config["prediction_type"] = rng.choice(prediction_types(name))
        if name in PLAIN and takes(NAMES[name][0], "use_beta_sigmas"):
            flags = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
            config.update(rng.choice([{}, {}, *({flag: True} for flag in flags)]))
        if name == "dpmpp_2m" and rng.random() < 0.1 and config.get("algorithm_type", "dpmsolver++").endswith("++"):
            config["prediction_type"] = "flow_prediction"
        if config.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver"):
            config["final_sigmas_type"] = "sigma_min"
        if config.get("algorithm_type") == "sde-dpmsolver" and config.get("solver_order") == 3:
            config["solver_order"] = 2
        yield case("random", name, config, seed=i, **random_run(rng))


def code_path():
    """What the last bits of the numbers depend on; the test must run with the same."""
    settings = {name: os.environ.get(name, "") for name in ("MKL_CBWR", "ONEDNN_MAX_CPU_ISA")}
    return {"cpu_capability": torch.backends.cpu.get_cpu_capability(), **settings}


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cases, offset = [], 0
    with open(folder / "vectors.bin", "wb") as vectors:
        for entry in itertools.chain(
            grid(), variants(), all_step_counts(), custom(), flow(), begun(), mappings(), refusals(), halves(), random_cases()
        ):
            try:
                numbers, entry["total_steps"], entry["has_original_sample"] = run(entry)
                entry["raises"] = ""
            except Exception as error:
                numbers, entry["raises"] = [], f"{type(error).__name__}: {error}"[:200]
            flat = b"".join(n.detach().to(torch.float32).numpy().tobytes() for n in numbers)
            vectors.write(flat)
            entry["offset"], entry["count"] = offset, len(flat) // 4
            offset += len(flat) // 4
            cases.append(entry)
    logarithms().tofile(folder / "logarithms.bin")
    quantiles().tofile(folder / "quantiles.bin")
    seeds().tofile(folder / "seeds.bin")
    versions = {module.__name__: module.__version__ for module in (diffusers, torch, np, scipy)}
    with open(folder / "cases.json", "w") as out:
        json.dump({"versions": versions, "code_path": code_path(), "cases": cases}, out)
    groups = {}
    for entry in cases:
        total, raised = groups.get(entry["group"], (0, 0))
        groups[entry["group"]] = (total + 1, raised + bool(entry["raises"]))
    for group, (total, raised) in groups.items():
        print(f"{group}: {total} runs, of which {raised} raise")


if __name__ == "__main__":
    main(sys.argv[1])
