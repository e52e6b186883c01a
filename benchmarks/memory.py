"""Peak memory of a step, as traced by Python, and the count of the numbers that the method needs."""

import tracemalloc
from collections.abc import Callable
from itertools import pairwise

from benchmarks.peers import PEERS, Run
from benchmarks.problem import Problem

STATE = {"locoprop-m": 2, "locoprop-s": 2, "locoprop-s-closed": 0, "backprop-rmsprop": 2, "backprop-sgd": 0}


def counted_bytes(problem: Problem, method: str) -> int:
    """Return the bytes of old and new parameters and states, and of x, â, ŷ, g and y* of every layer.

    ŷ and the x of the layer above are the same array, which is counted twice.
    """
    pairs = list(pairwise(problem.layer_sizes))
    parameters = sum((d_in + 1) * d_out for d_in, d_out in pairs)
    outputs = 3 if method.startswith("backprop") else 4
    examples = sum(d_in + outputs * d_out for d_in, d_out in pairs)
    numbers = 2 * (1 + STATE[method]) * parameters + problem.batch * examples
    return numbers * (4 if problem.dtype == "float32" else 8)


def peak_bytes(problem: Problem, method: str, peer: str = "ours") -> int:
    """Return the peak memory of this package in the second step, including the network and the batch."""
    return second_step_peak(lambda: PEERS[peer].prepare(problem, method))


def second_step_peak(prepare: Callable[[], Run]) -> int:
    """Return the peak memory in the second step of a run, including all that was made to prepare it."""
    tracemalloc.start()
    try:
        run = prepare()
        run.step()
        tracemalloc.reset_peak()
        run.step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
