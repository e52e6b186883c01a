"""Peak memory of a step, traced by Python, beside the count of the numbers that the method needs."""

import tracemalloc
from itertools import pairwise

from benchmarks.peers import PEERS
from benchmarks.problem import Problem

STATE = {"locoprop-m": 2, "locoprop-s": 2, "locoprop-s-closed": 0, "backprop-rmsprop": 2, "backprop-sgd": 0}


def counted_bytes(problem: Problem, method: str) -> int:
    """Return the bytes of old and new parameters and state, and x, â, ŷ, g and y* of every layer.

    ŷ and the x of the layer above are one array, which counts for both.
    """
    pairs = list(pairwise(problem.layer_sizes))
    parameters = sum((d_in + 1) * d_out for d_in, d_out in pairs)
    outputs = 3 if method.startswith("backprop") else 4
    examples = sum(d_in + outputs * d_out for d_in, d_out in pairs)
    numbers = 2 * (1 + STATE[method]) * parameters + problem.batch * examples
    return numbers * (4 if problem.dtype == "float32" else 8)


def peak_bytes(problem: Problem, method: str, peer: str = "ours") -> int:
    """Return the peak of what this package's arrays hold in the second step, network and batch included."""
    tracemalloc.start()
    try:
        run = PEERS[peer].prepare(problem, method)
        run.step()
        tracemalloc.reset_peak()
        run.step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
