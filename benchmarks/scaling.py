"""Dependence of a step on width, depth, batch and K: time, share of the floor, peak memory, exponents."""

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.measure import Median, interleave, median
from benchmarks.memory import counted_bytes, peak_bytes
from benchmarks.peers import FLOORS
from benchmarks.problem import Problem, scale, through_gram, to_dict
from benchmarks.results import faster_floor, interval, save, shares

AXES: dict[str, tuple[int, ...]] = {
    "width": (1, 2, 4),
    "depth": (1, 2, 4),
    "batch": (100, 300, 1000, 3000, 10_000),
    "num_local_steps": (1, 2, 5, 10, 20, 50),
}
METHODS = {
    "locoprop-m": tuple(AXES),
    "locoprop-s-closed": ("width", "depth", "batch"),
    "backprop-rmsprop": ("width", "depth", "batch"),
}


def multiplications(problem: Problem, method: str) -> float:
    """Return the number of multiplications in the products of a step, including both passes.

    A Cholesky factorization of a d×d matrix counts as d³/6, its two triangular solves as d²d_out, and a Gram
    matrix as half a product.
    """
    B, K, total = problem.batch, problem.num_local_steps, 0.0
    for m, (d_in, d_out) in enumerate(pairwise(problem.layer_sizes)):
        d = d_in + 1
        total += B * d_in * d_out * (2 if m else 1)  # forward; backward, except to the images
        if method.startswith("backprop"):
            total += B * d * d_out
        elif method == "locoprop-s-closed":
            n = min(B, d)
            total += B * d * n / 2 + n**3 / 6 + n * n * d_out + B * d * d_out
        elif through_gram(problem, method, m):
            total += B * d * d / 2 + B * d * d_out + (K - 1) * d * d * d_out
        else:
            total += (2 * K - 1) * B * d * d_out
    return total


def exponent(sizes: list[float], values: list[float]) -> float:
    """Return the slope of log(value) as a function of log(size), by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def point(axis: str, value: int) -> Problem:
    """Return the standard problem with one of its sizes changed."""
    return scale(Problem(), **{axis: value})


def measure_axis(method: str, axis: str, *, rounds: int, seconds: float, budget: float) -> dict[str, Any]:
    """Return the rows of one method along one axis, and the exponents of time, products and memory."""
    rows = []
    for value in AXES[axis]:
        problem = point(axis, value)
        peers = ("ours", *FLOORS)
        runs = {peer: (peer, problem, method) for peer in peers}
        title = f"{method} {axis} {value}"
        times, _ = interleave(runs, rounds=rounds, seconds=seconds, budget=budget, title=title)
        rows.append(
            {
                axis: value,
                "seconds": median(times["ours"]).to_dict(),
                "floor": faster_floor(times),
                "share_of_floor": shares(times)["ours"].to_dict(),
                "multiplications": multiplications(problem, method),
                "peak_bytes": peak_bytes(problem, method),
                "counted_bytes": counted_bytes(problem, method),
            }
        )
    sizes = [row[axis] for row in rows]
    times = [row["seconds"]["median"] for row in rows]
    exponents = {
        "seconds": exponent(sizes, times),
        "multiplications": exponent(sizes, [row["multiplications"] for row in rows]),
        "peak_bytes": exponent(sizes, [row["peak_bytes"] for row in rows]),
        "counted_bytes": exponent(sizes, [row["counted_bytes"] for row in rows]),
    }
    return {"rows": rows, "exponents": exponents}


def text(result: dict[str, Any]) -> str:
    """Return the tables as text."""
    lines = ["the standard autoencoder with one size changed at a time; medians with 95 % intervals"]
    for method, axes in result["methods"].items():
        for axis, found in axes.items():
            lines += ["", f"{method}: {axis}"]
            lines.append(f"{'':>10}{'ms a step':>26}{'% of the floor':>18}{'peak MB':>10}{'over count':>12}")
            for row in found["rows"]:
                ms = interval(Median(**row["seconds"]), 1e3, 1)
                share = interval(Median(**row["share_of_floor"]), 100)
                peak, over = row["peak_bytes"] / 1e6, row["peak_bytes"] / row["counted_bytes"]
                lines.append(f"{row[axis]:>10}{ms:>26}{share:>18}{peak:>10.0f}{over:>12.2f}")
            e = found["exponents"]
            lines.append(
                f"  exponents: time {e['seconds']:.2f}, products by count {e['multiplications']:.2f}; "
                f"memory {e['peak_bytes']:.2f}, by count {e['counted_bytes']:.2f}"
            )
    return "\n".join(lines)


def run(*, rounds: int = 20, seconds: float = 0.1, budget: float = 20.0) -> None:
    """Measure along every axis, with fewer rounds if a step is slow, and save and print the results."""
    how = {"rounds": rounds, "seconds": seconds, "budget": budget}
    methods = {
        method: {axis: measure_axis(method, axis, **how) for axis in axes} for method, axes in METHODS.items()
    }
    result = {"problem": to_dict(Problem()), "methods": methods}
    save("scaling", result, text(result))
