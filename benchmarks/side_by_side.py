"""From which size on layers side by side are quicker than in order: the measurement behind `WORTH_THREADS`.

Networks of growing size take the same step side by side, whatever their size, and in order, in turn. The size
that decides is the number of multiplications that are left beside the largest layer, which is all that a
second thread could take over.
"""

import time
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from benchmarks.measure import Median, ratio
from benchmarks.results import interval, save
from locoprop_ref import Network, initialize, method
from locoprop_ref import parallel as threads

METHODS = ("locoprop-m", "locoprop-s", "locoprop-s-closed", "kfac", "foof", "backprop")
NETWORKS = [  # (layer sizes, batch)
    ((20, 10, 20), 32), ((50, 30, 10, 30, 50), 64), ((100, 64, 32, 64, 100), 100),
    ((200, 100, 50, 100, 200), 100), ((200, 100, 50, 100, 200), 500), ((400, 200, 100, 200, 400), 500),
]  # fmt: skip


def left_beside_the_largest(network: Network, batch: int) -> int:
    """Return the multiplications of all layers but the largest."""
    costs = [batch * layer.W.shape[0] * layer.W.shape[1] for layer in network.layers]
    return sum(costs) - max(costs)


def measured_ratio(name: str, network: Network, x: np.ndarray, rounds: int) -> Median:
    """Return the time of a step side by side over that of one in order, from ratios within rounds."""
    together = replace(method(name), parallel_layers=True)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    states = {side: together.init(network) for side in seconds}
    for _ in range(rounds + 1):
        for side, found in seconds.items():
            how = replace(together, parallel_layers=side)
            start = time.perf_counter()
            for _ in range(3):
                how.step(network, states[side], x, x)
            found.append(time.perf_counter() - start)
    return ratio(seconds[True][1:], seconds[False][1:])


def run(*, rounds: int = 20) -> None:
    """Measure every network with every method, and save and print the results."""
    bound, threads.WORTH_THREADS = threads.WORTH_THREADS, 0  # side by side whatever the size
    rows = []
    try:
        for sizes, batch in tqdm(NETWORKS, unit="network", disable=None, leave=False):
            network = initialize(sizes, transfers="tanh", dtype="float32")
            x = np.random.default_rng(3).random((batch, sizes[0]), dtype="float32")
            row = {"layers": "-".join(map(str, sizes)), "batch": batch}
            row |= {"left": left_beside_the_largest(network, batch)}
            measured = {name: measured_ratio(name, network, x, rounds).to_dict() for name in METHODS}
            rows.append(row | {"measured": measured})
    finally:
        threads.WORTH_THREADS = bound
    lines = [
        "A step with its layers side by side, over a step in order; threads are used from "
        f"{bound:.2g} multiplications beside the largest layer on",
        f"{'layers':22}{'B':>5}{'beside':>9}" + "".join(f"{name:>24}" for name in METHODS),
    ]
    for row in rows:
        cells = "".join(f"{interval(Median(**row['measured'][name]), 1, 2):>24}" for name in METHODS)
        lines.append(f"{row['layers']:22}{row['batch']:5}{row['left']:9.2g}{cells}")
    save("side_by_side", {"rows": rows, "bound": bound, "rounds": rounds}, "\n".join(lines))
