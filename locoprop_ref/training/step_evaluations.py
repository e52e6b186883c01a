"""The test set within an epoch: evaluated after given steps, for curves that epochs are too coarse for.

`evaluate_steps` names the steps, counted from the beginning of the run. What is found stands in the epoch's
row of the run file; no weight, no state and no random number depends on it, and its seconds are not counted
among those of the steps.
"""

import time
from collections.abc import Mapping
from itertools import pairwise
from math import isfinite
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import synchronize
from locoprop_ref.network import Network
from locoprop_ref.training.options import Config
from locoprop_ref.training.task import Examples, evaluate


def parse_steps(value: object) -> tuple[int, ...]:
    """Return the numbers of "1,2,5", an option as the command line and run files have it; None holds none.

    Raises:
        TypeError, ValueError: not a text of whole numbers with commas between them, one below 1, or numbers
            that do not rise.

    >>> parse_steps("1,2,5"), parse_steps(None)
    ((1, 2, 5), ())
    """
    if value is None:
        return ()
    wanted = "evaluate_steps must be rising numbers of steps from 1 on, as in 1,2,5,10"
    if not isinstance(value, str):
        raise TypeError(f"{wanted}, got {checks.shown(value)}")
    words = [word.strip() for word in value.split(",")]
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise ValueError(f"{wanted}, got {checks.shown(value)}")
    if max(map(len, words)) > 18:  # beyond any run; Python refuses to read a text of thousands of digits
        raise ValueError(f"{wanted}, got one of {max(map(len, words))} digits")
    steps = tuple(int(word) for word in words)
    if steps[0] < 1 or any(later <= before for before, later in pairwise(steps)):
        raise ValueError(f"{wanted}, got {checks.shown(value)}")
    return steps


def check_within_run(config: Config, data: Examples) -> None:
    """Refuse steps beyond the end of a run, which is known once the number of examples is.

    Args:
        config: resolved.
        data: the examples.

    Raises:
        ValueError: a step that the run does not come to.
    """
    steps = parse_steps(config.evaluate_steps)
    # a step without a batch size takes all examples
    batches = 1 if config.batch_size is None else data.x_train.shape[0] // config.batch_size
    last = config.epochs * batches
    if steps and steps[-1] > last:
        raise ValueError(f"evaluate_steps must be at most the {last} steps of the run, got {steps[-1]}")


class StepEvaluations:
    """The evaluations within one epoch.

    Args:
        steps: after which the test set is evaluated, counted from the beginning of the run.
        before: how many steps the run has taken before this epoch.
        data: the examples.

    Attributes:
        found: a row for every step that was evaluated, [{"step", "test": {...}}]; None stands in place of a
            loss that is not finite, which JSON does not have.
        seconds: what the evaluations took.
    """

    def __init__(self, steps: tuple[int, ...], before: int, data: Examples) -> None:
        self.wanted, self.taken, self.data = frozenset(steps), before, data
        self.found: list[dict[str, Any]] = []
        self.seconds = 0.0

    def after(self, network: Network) -> None:
        """Count a step, and evaluate the test set where this step is wanted."""
        self.taken += 1
        if self.taken not in self.wanted:
            return
        synchronize(network.layers[-1].W)  # so that no work of the step is counted here
        started = time.perf_counter()
        test = evaluate(network, self.data.x_test, self.data.t_test, self.data.labels_test)
        self.found.append({"step": self.taken, "test": _finite_or_none(test)})
        self.seconds += time.perf_counter() - started


def _finite_or_none(losses: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in losses.items()}
