"""Interleaved rounds, medians, and their confidence intervals.

Machines are shared, and their noise comes in bursts. In every round each peer is measured once, in a new
random order, so that a burst affects all of them. Ratios are computed within a round.
"""

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from scipy.stats import binom
from tqdm import tqdm

from benchmarks.problem import Problem
from benchmarks.wired import WiredProblem
from benchmarks.worker import Worker

LEAST_ROUNDS = 3
PAUSE = 0.03  # seconds, so that the busy-waiting threads of one peer sleep before the next one starts


@dataclass(frozen=True)
class Median:
    """A median and its 95 % interval from order statistics, which need no assumption about the noise."""

    median: float
    low: float
    high: float
    rounds: int

    def to_dict(self) -> dict[str, float]:
        """Return the numbers for a JSON file."""
        return asdict(self)


def median(values: Sequence[float]) -> Median:
    """Return the median, and an interval that contains the true median with a probability of at least 0.95.

    The number of values below the true median is binomial(n, ½), whatever their distribution.

    >>> median([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])
    Median(median=3.5, low=1.0, high=6.0, rounds=6)
    """
    ranked, n = sorted(values), len(values)
    below = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    return Median(statistics.median(ranked), ranked[below], ranked[n - 1 - below], n)


def ratio(over: Sequence[float], under: Sequence[float]) -> Median:
    """Return the median of the ratios within rounds."""
    return median([a / b for a, b in zip(over, under, strict=True)])


def interleave(
    runs: Mapping[str, tuple[str, Problem | WiredProblem, str]],
    *,
    rounds: int,
    seconds: float,
    budget: float = inf,
    title: str = "",
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Measure runs in turn, each in a separate process.

    Args:
        runs: peer, problem and method, by label.
        rounds: number of measurements of each run.
        seconds: minimum duration of a measurement, after one step that is not measured.
        budget: seconds after which no new round begins, provided that there have been three.
        title: title of the progress bar.

    Returns:
        the seconds per step in every round, and the environment of the process, both by label.
    """
    order = random.Random(0)  # noqa: S311 - an order of turns, no secret
    times: dict[str, list[float]] = {label: [] for label in runs}
    with ExitStack() as stack:
        workers = {label: stack.enter_context(Worker(peer)) for label, (peer, _, _) in runs.items()}
        found = {
            label: workers[label].prepare(problem, method) for label, (_, problem, method) in runs.items()
        }
        started = time.perf_counter()
        for number in tqdm(range(rounds), desc=title, unit="round", disable=None, leave=False):
            if number >= LEAST_ROUNDS and time.perf_counter() - started > budget:
                break
            turns = list(runs)
            order.shuffle(turns)
            for label in turns:
                time.sleep(PAUSE)
                times[label].append(workers[label].measure(seconds))
    return times, found
