"""LocoProp-S with the Gram matrix: the ratio of the counted products, and the ratio of the measured times.

One layer alone takes K inner steps of the local RMSProp, for the shapes of the standard autoencoder's layers
and some similar ones.
"""

import time
from collections import deque

import numpy as np
from tqdm import tqdm

from benchmarks.measure import Median, ratio
from benchmarks.problem import Problem, to_dict
from benchmarks.results import interval, save
from locoprop_ref import LocalProblem, transfer
from locoprop_ref.optimizers import RMSProp
from locoprop_ref.solvers import local_steps, prefers_gram

SHAPES = [  # (B, d_in, d_out)
    (1000, 784, 1000), (1000, 1000, 500), (1000, 500, 250), (1000, 250, 30), (1000, 30, 250),
    (1000, 250, 500), (1000, 500, 1000), (1000, 1000, 784),
    (300, 250, 500), (300, 500, 500), (3000, 500, 500), (3000, 1000, 1000), (1000, 1000, 100),
]  # fmt: skip


def counted_ratio(B: int, d: int, d_out: int, K: int) -> float:
    """Return the ratio of the products of the Gram and the plain form, given the first pre-activation."""
    gram = B * d / 2 + B * d_out + (K - 1) * d * d_out  # BLAS computes half of a Gram matrix
    return gram / ((2 * K - 1) * B * d_out)


def measured_ratio(B: int, d: int, d_out: int, problem: Problem, rounds: int) -> Median:
    """Return the ratio of the times of the Gram form and the plain form, from ratios within rounds."""
    rng, rule = np.random.default_rng(3), RMSProp("tf1", problem.decay, problem.momentum, problem.epsilon)
    x, W, y = (rng.random(s, dtype=problem.dtype) for s in ((B, d), (d, d_out), (B, d_out)))
    local = LocalProblem(x, y, transfer("identity"), W, a_hat0=x @ W)
    state = rule.init(W)
    seconds: dict[str, list[float]] = {"plain": [], "gram": []}
    for _ in range(rounds + 1):
        for form, found in seconds.items():
            start = time.perf_counter()
            deque(local_steps(local, rule, state, problem.rates, form), maxlen=0)
            found.append(time.perf_counter() - start)
    return ratio(seconds["gram"][1:], seconds["plain"][1:])


def run(*, rounds: int = 20) -> None:
    """Measure every shape, and save and print the results."""
    problem, rows = Problem(), []
    for B, d_in, d_out in tqdm(SHAPES, unit="shape", disable=None, leave=False):
        d, K = d_in + 1, problem.num_local_steps
        row = {"batch": B, "d": d, "d_out": d_out, "counted": counted_ratio(B, d, d_out, K)}
        row |= {"measured": measured_ratio(B, d, d_out, problem, rounds).to_dict()}
        rows.append(row | {"chosen": "gram" if prefers_gram(B, d, d_out, K) else "plain"})
    lines = [
        f"LocoProp-S, one layer, K = {problem.num_local_steps}: Gram form over plain form",
        f"{'B':>6}{'d + 1':>7}{'d_out':>7}{'by count':>10}{'by the clock':>22}   chosen",
    ]
    for row in rows:
        clock = interval(Median(**row["measured"]), 1, 2)
        sizes = f"{row['batch']:>6}{row['d']:>7}{row['d_out']:>7}"
        lines.append(f"{sizes}{row['counted']:>10.2f}{clock:>22}   {row['chosen']}")
    save("gram", {"problem": to_dict(problem), "rows": rows}, "\n".join(lines))
