"""What the tests of K-FAC and of FOOF share: eight steps, how far they may differ, and bad input."""

from math import inf

import numpy as np
import pytest
from bridge import CASES, draw, lists, stacked_arrays, stacked_lists
from numpy.testing import assert_allclose

from locoprop_ref import initialize

LINEAR, TANH = CASES[0], CASES[3]
SIGMOID_OUT, SOFTMAX_OUT = CASES[9 + 3], CASES[18 + 3]
LOSSES = [TANH, SIGMOID_OUT, SOFTMAX_OUT]
every_loss = pytest.mark.parametrize("case", LOSSES, ids="-".join)

# nothing is off or 1, so that every rule is seen within eight steps
BUSY = {
    "learning_rate": 0.05, "damping": 0.1, "momentum": 0.8, "factor_decay": 0.6, "factor_interval": 2,
    "inverse_interval": 3, "kl_clip": 3e-5,
}  # fmt: skip
ALONE = {"momentum": 0.0, "factor_decay": 0.0, "inverse_interval": 1}
RATES = (0.0, 0.3, 1.0, 0.7, 1.0, 0.1, 1.0, 0.5)


def batches(backend, case, dtype="float64", batch=5):
    return [
        (rate, *draw(backend, case, seed=k, dtype=dtype, batch=batch)[1:]) for k, rate in enumerate(RATES)
    ]


def as_lists(backend, some):
    return [(rate, lists(backend, x), lists(backend, t)) for rate, x, t in some]


def run(method, network, some, seed=0):
    state = method.init(network, seed)
    for rate, x, t in some:
        network, state, info = method.step(network, state, x, t, rate=rate)
        assert info == {}
    return network, state


def assert_moved_alike(backend, network, start, layers, *, dtype="float64", units=200):
    """To 200 roundings of the weights and of what they moved.

    Every step rounds the weights once. The inverses enlarge the roundings of a gradient by their conditions,
    below 100 each (damping 0.1), and the rate, 0.05 at most, shrinks them again.
    """
    for ours, wanted, old in zip(
        stacked_arrays(backend, network), stacked_lists(layers), stacked_arrays(backend, start), strict=True
    ):
        assert ours.dtype == np.dtype(dtype)
        size = np.abs(old).max() + np.abs(wanted - old).max()
        assert np.abs(wanted - old).max() > 1e-4  # something has moved
        assert_allclose(ours, wanted, rtol=0, atol=units * np.finfo(dtype).eps * size)


SETTINGS = {
    "learning rate": ({"learning_rate": 0}, ValueError, "learning_rate must be a positive number, got 0"),
    "learning rate string": ({"learning_rate": "1"}, TypeError, "learning_rate must be a number, got '1'"),
    "damping": ({"damping": 0.0}, ValueError, "damping must be a positive number, got 0.0"),
    "damping inf": ({"damping": inf}, ValueError, "damping must be a positive number, got inf"),
    "momentum": ({"momentum": 1.0}, ValueError, "momentum must be at least 0 and below 1, got 1.0"),
    "fisher": (
        {"fisher": "empirical "},
        ValueError,
        r"fisher must be one of sampled, empirical, got 'empirical ' \(did you mean 'empirical'\?\)",
    ),
    "decay": ({"factor_decay": -0.1}, ValueError, "factor_decay must be at least 0 and below 1, got -0.1"),
    "factor interval": (
        {"factor_interval": 0},
        ValueError,
        "factor_interval must be an integer of at least 1, got 0",
    ),
    "inverse interval": (
        {"inverse_interval": 2.0},
        TypeError,
        "inverse_interval must be an integer, got 2.0",
    ),
    "clip": ({"kl_clip": 0}, ValueError, "kl_clip must be a positive number or inf, got 0"),
    "parallel": ({"parallel_layers": "no"}, TypeError, "parallel_layers must be True or False, got 'no'"),
}
NET = initialize((3, 2), transfers="tanh")
X, T = np.ones((4, 3)), np.zeros((4, 2))
