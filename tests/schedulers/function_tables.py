"""Inputs and results of the functions of numpy and scipy that easel implements itself."""

import numpy as np
import scipy.stats


def logarithms():
    """numpy's float32 logarithms: x, log(x)."""
    rng = np.random.default_rng(3)
    x = np.concatenate([np.exp(rng.uniform(-20, 20, 20000)), [1.0, 2.0, 0.5, 2**-0.5, 2**0.5, 1e-38, 1e-42, 3e38]])
    x = x.astype(np.float32)
    return np.stack([x, np.log(x)])


def quantiles():
    """scipy's quantiles of Beta(0.6, 0.6), for every run of up to 200 steps: p, x."""
    p = np.concatenate([1 - np.linspace(0, 1, n) for n in [*range(2, 201), 500, 1000]])
    return np.stack([p, scipy.stats.beta.ppf(p, 0.6, 0.6)])


def seeds():
    """numpy's SeedSequence with a pool of 24 words: entropy's low and high half, spawn key and depth, state."""
    rows = []
    for entropy in (0, 1, 7, 2**32 - 1, 2**32, 2**40 + 3, 2**63 - 1):
        for key, depth in ((0, 0), (1, 1), (5, 3), (2**24 - 1, 24)):
            state = np.random.SeedSequence(entropy, spawn_key=(key, depth), pool_size=24).generate_state(4)
            rows.append([entropy % 2**32, entropy >> 32, key, depth, *state])
    return np.array(rows, dtype=np.uint32)
