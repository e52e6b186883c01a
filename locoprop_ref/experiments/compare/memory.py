r"""Memory of a step: what it allocates at its peak, what the state holds, and what the method must hold.

The count by formula, in numbers of the dtype, for layers d_in → d_out with d̃ = d_in + 1 (the bias):

    parameters   2·Σ d̃·d_out                 old and new: nothing is changed in place
    state        2·(numbers in the state)     old and new
    batch        B·Σ(d_in + d_out)            BackProp, K-FAC, FOOF, Shampoo: the inputs and g of every
                                              layer; with P positions P·d_in and P·d_out
                 B·(d_0 + Σ 4·d_out)          LocoProp and its relatives: x, then â, ŷ, g, y* of every
                                              layer; the other methods have no y*: 3·d_out.
                                              With P positions: 4·P·d_out, and the layer's rows, P·d_in

A first-order rule keeps 0, 1 or 2 arrays as large as the parameters, and so do LocoProp's local steps.
Second-order methods keep Kronecker factors and their inverses or roots: Σ 2(d̃² + d_out²), with FOOF Σ 2d̃²;
and as many numbers as the parameters for momentum (Shampoo: only where it is not 0), and for the mean square
and buffer of Shampoo's RMSProp grafting. The methods of gradients have forgotten â and ŷ before the new
parameters are there; BackProp works on a large convolution in microbatches, so that its peak can be below the
count. Whatever a solver needs besides (gradients, Gram matrices, local steps under way) is in the peak alone.
"""

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from locoprop_ref.backend import device_bytes, dtype_name, free_device_reserve, namespace
from locoprop_ref.data import Dataset
from locoprop_ref.experiments.compare.timing import Training, interval
from locoprop_ref.methods.gradient import GradientMethod
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.training import examples
from locoprop_ref.training.build import build_method, layer_plans, layer_sizes
from locoprop_ref.training.options import Config


def memory_of(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Return "memory" of a clock file: of a whole interval of steps, after the first."""
    xp = namespace(config.backend)
    data = examples(dataset, config, xp)
    training = Training(config, data, xp)
    training.step()  # the first step imports SciPy, megabytes that are not the step's
    state_bytes, size = array_bytes(training.state), np.dtype(config.dtype).itemsize
    del training
    peak = peak_bytes(lambda: Training(config, data, xp).step, 1, interval(config) + 1, xp)
    counted = counted_numbers(config, state_bytes // size)
    return {
        "parameters": parameter_numbers(config),
        "parameter_bytes": size * parameter_numbers(config),
        "state_bytes": state_bytes,
        "peak_bytes": peak,
        "counted": counted,
        "counted_bytes": size * sum(counted.values()),
    }


def parameter_numbers(config: Config) -> int:
    """Return the number of parameters, biases included."""
    return sum((plan.d_in + config.bias) * plan.d_out for plan in layer_plans(config))


def counted_numbers(config: Config, state_numbers: int) -> dict[str, int]:
    """Return the numbers that a step has to do with, by what they are.

    A step that takes all examples copies none of them, and what it keeps of them is its state.
    """
    return {
        "parameters": 2 * parameter_numbers(config),
        "state": 2 * state_numbers,
        "batch": (config.batch_size or 0) * _numbers_of_an_example(config),
    }


def _numbers_of_an_example(config: Config) -> int:
    """Return the numbers that a step keeps of each example of its batch."""
    method, plans = build_method(config), layer_plans(config)
    first, *outputs = layer_sizes(config)
    if isinstance(method, GradientMethod):  # the inputs and g
        return sum(plan.positions * plan.d_in for plan in plans) + sum(outputs)
    rows = sum(plan.positions * plan.d_in for plan in plans if plan.wiring is not None)
    return first + rows + (4 if isinstance(method, LocoProp) else 3) * sum(outputs)


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
