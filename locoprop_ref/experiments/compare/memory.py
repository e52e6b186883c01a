r"""Memory of a step: what it allocates at its peak, what the state holds, and what the method must hold.

The count by formula, in numbers of the dtype, for layers d_in → d_out with d̃ = d_in + 1 (the bias):

    parameters   2·Σ d̃·d_out                 old and new: nothing is changed in place
    state        2·(state)                    old and new, see `state_numbers`
    batch        B·(d_0 + Σ 3·d_out)          x, then â, ŷ, g of every layer; LocoProp has y* too: 4·d_out

Whatever a solver needs besides (gradients, Gram matrices, local steps under way) is in the peak alone.
"""

import math
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from locoprop_ref.backend import device_bytes, dtype_name, free_device_reserve
from locoprop_ref.training.build import layer_sizes
from locoprop_ref.training.options import Config

# arrays as large as the parameters that a first-order rule keeps
BUFFERS = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 2, "adam": 2}


def parameter_numbers(config: Config) -> int:
    """Return the number of parameters, biases included."""
    return sum((d_in + config.bias) * d_out for d_in, d_out in pairwise(layer_sizes(config)))


def state_numbers(config: Config) -> int:
    r"""Return the numbers in a method's state by formula.

    A first-order rule keeps 0, 1 or 2 arrays as large as the parameters, and so do LocoProp's local steps.
    Second-order methods keep Kronecker factors and their inverses or roots: Σ 2(d̃² + d_out²), with FOOF
    Σ 2d̃²; and as many numbers as the parameters for momentum (Shampoo: only where it is not 0), and for the
    mean square and buffer of Shampoo's RMSProp grafting.

    Raises:
        ValueError: a method without a formula.
    """
    if config.optimizer is not None:
        return BUFFERS[config.optimizer] * parameter_numbers(config)
    pairs = [(d_in + config.bias, d_out) for d_in, d_out in pairwise(layer_sizes(config))]
    both, inputs = sum(2 * (d * d + e * e) for d, e in pairs), sum(2 * d * d for d, _ in pairs)
    if config.method == "shampoo":
        buffers = bool(config.momentum) + 2 * (getattr(config, "grafting", "none") == "rmsprop")
        return both + buffers * parameter_numbers(config)
    if config.method in ("kfac", "foof"):
        return (both if config.method == "kfac" else inputs) + parameter_numbers(config)
    if config.method.startswith("locoprop-"):
        return 0
    raise ValueError(f"method must be one whose state has a formula, got {config.method!r}")


def counted_numbers(config: Config) -> dict[str, int]:
    """Return the numbers that a step must hold at once, by what they are."""
    outputs = 4 if config.method.startswith("locoprop-") else 3
    first, *others = layer_sizes(config)
    return {
        "parameters": 2 * parameter_numbers(config),
        "state": 2 * state_numbers(config),
        "batch": config.batch_size * (first + outputs * sum(others)),
    }


def array_bytes(nest: Any) -> int:
    """Return the bytes of all arrays in a nest of dicts, tuples, arrays and numbers.

    >>> array_bytes({"count": 3, "layers": (np.zeros((2, 3), np.float32),)})
    24
    """
    if isinstance(nest, dict):
        return sum(map(array_bytes, nest.values()))
    if isinstance(nest, tuple | list):
        return sum(map(array_bytes, nest))
    if not hasattr(nest, "shape"):
        return 0
    return math.prod(nest.shape) * np.dtype(dtype_name(nest)).itemsize


def peak_bytes(step: Callable[[], Callable[[], None]], first: int, steps: int, xp: Any) -> int | None:
    """Return the largest peak over `steps` steps, after `first` others, of everything allocated for them.

    Args:
        step: builds network and state, and returns a function that takes one step.
        first: steps before those that count.
        steps: those that count.
        xp: array namespace: on CuPy it is by how much the pool grows, all steps included, elsewhere what
            Python traces, which NumPy tells of its arrays and other libraries do not (nor LAPACK of its
            workspace for an eigendecomposition: Shampoo's peak is a lower bound).
    """
    before = free_device_reserve(xp)
    tracemalloc.start()
    try:
        take = step()
        for _ in range(first):
            take()
        peaks = []
        for _ in range(steps):
            tracemalloc.reset_peak()
            take()
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    if before is not None:
        return (device_bytes(xp) or 0) - before
    return max(peaks) if xp.__name__.rpartition(".")[2] in ("numpy", "array_api_strict") else None
