"""Random combinations of settings, for make_schedulers.py."""

import math

SPACINGS = ["linspace", "leading", "trailing"]
# randn uses another code path below 16 numbers, and another one for the tail of a longer tensor.
SMALL, TINY, ODD, BATCH = [1, 2, 3, 3], [1, 1, 3, 5], [1, 4, 3, 5], [2, 4, 2, 3]


def random_config(rng):
    """Fields of all classes, each present or absent at random."""
    any_class = {
        "num_train_timesteps": lambda: rng.choice([1000, 1000, 1000, 500, 100, 37, 1200]),
        "beta_start": lambda: rng.choice([0.00085, 0.0001, 0.001, round(rng.uniform(0.0001, 0.002), 6)]),
        "beta_end": lambda: rng.choice([0.012, 0.02, round(rng.uniform(0.005, 0.03), 6)]),
        "beta_schedule": lambda: rng.choice(["linear", "scaled_linear", "scaled_linear", "squaredcos_cap_v2"]),
        "rescale_betas_zero_snr": lambda: rng.random() < 0.3,
        "timestep_spacing": lambda: rng.choice(SPACINGS),
        "steps_offset": lambda: rng.choice([0, 1, 1, 3]),
        "set_alpha_to_one": lambda: rng.random() < 0.5,
        "skip_prk_steps": lambda: rng.random() < 0.6,
        "clip_sample": lambda: rng.random() < 0.5,
        "clip_sample_range": lambda: rng.choice([1.0, 2.5]),
        "thresholding": lambda: rng.random() < 0.2,
        "dynamic_thresholding_ratio": lambda: rng.choice([0.995, 0.8, 0.5, 1.0]),
        "sample_max_value": lambda: rng.choice([1.0, 3.0, 0.5]),
        "interpolation_type": lambda: rng.choice(["linear", "log_linear"]),
        "timestep_type": lambda: rng.choice(["discrete", "discrete", "continuous"]),
        "final_sigmas_type": lambda: rng.choice(["zero", "zero", "sigma_min"]),
        "sigma_min": lambda: rng.choice([None, 0.03, 0.1]),
        "sigma_max": lambda: rng.choice([None, 14.0, 80.0]),
        "algorithm_type": lambda: rng.choice(["dpmsolver++"] * 3 + ["sde-dpmsolver++", "dpmsolver", "sde-dpmsolver"]),
        "solver_type": lambda: rng.choice(["midpoint", "heun", "bh2"]),
        "solver_order": lambda: rng.choice([1, 2, 2, 3, 3]),
        "lower_order_final": lambda: rng.random() < 0.6,
        "euler_at_final": lambda: rng.random() < 0.4,
        "use_lu_lambdas": lambda: rng.random() < 0.2,
        "use_flow_sigmas": lambda: rng.random() < 0.15,
        "flow_shift": lambda: rng.choice([1.0, 3.0]),
        "lambda_min_clipped": lambda: rng.choice([-math.inf, -5.1, -3.0]),
        "variance_type": lambda: rng.choice([None, "fixed_small"]),
        "predict_x0": lambda: rng.random() < 0.7,
        "disable_corrector": lambda: rng.choice([[], [0], [1, 3]]),
        "original_inference_steps": lambda: rng.choice([50, 40, 37]),
        "use_dynamic_shifting": lambda: rng.random() < 0.5,
        "unheard_of": lambda: rng.choice([None, 3, "x", [1, 2]]),
        "_class_name": lambda: rng.choice(["DDIMScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]),
    }
    return {key: value() for key, value in any_class.items() if rng.random() < 0.6}


def random_run(rng):
    """The settings of a case other than its config."""
    steps = rng.randint(1, 17)
    return {
        "steps": steps,
        "begin": rng.randrange(steps) if rng.random() < 0.3 else None,
        "shape": rng.choice([SMALL, TINY, ODD, BATCH]),
        "dtype": rng.choice(["float32"] * 4 + ["float16"]),
        "eta": rng.choice([0.0, 0.0, 1.0, 0.3]),
    }
