"""One trial with a budget: as many epochs as its share of the seconds allows; the schedule ends there.

How long an epoch takes is measured before it, on a training of its own: a block of steps after a few untimed
ones, as `compare` measures a step. The seconds that count are those of the trial's own epochs.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np

from locoprop_ref.experiments.compare.timing import Training, Turns
from locoprop_ref.experiments.tune.budget import SHARE, Budget, Judged
from locoprop_ref.experiments.tune.objective import held_out_epochs
from locoprop_ref.experiments.tune.ranges import Values
from locoprop_ref.experiments.tune.study import Search
from locoprop_ref.training import DIVERGENCE, Examples
from locoprop_ref.training.options import Config
from locoprop_ref.training.steps import Diverged


@dataclass(frozen=True)
class Timed(Judged):
    """How a trial with a budget went.

    Attributes:
        epochs: of its schedule.
        diverged: why it diverged; None where it did not. Then it has reached nothing.
    """

    epochs: int
    diverged: str | None = None


def without_share(chosen: Mapping[str, Any]) -> tuple[Values, float]:
    """Return the options among searched settings, and the share of the seconds.

    >>> without_share({"learning_rate": 0.1, "schedule_share": 0.5})
    ({'learning_rate': 0.1}, 0.5)
    """
    options = dict(chosen)
    return options, options.pop(SHARE.option)


def epoch_seconds(config: Config, data: Examples, xp: Any) -> float:
    """Return the seconds of an epoch's steps, from a block of them; infinity where a step fails.

    Args:
        config: resolved.
        data: inputs and targets on the device.
        xp: array namespace.
    """
    turns = Turns(Training(config, data, xp))
    try:
        with np.errstate(all="ignore"):
            turns.take()
    except ValueError:  # which LinAlgError is: the trial itself will say so
        return inf
    return statistics.fmean(turns.blocks[0]) * turns.training.batches


def run_timed(
    search: Search,
    budget: Budget,
    chosen: Mapping[str, Any],
    data: Examples,
    xp: Any,
    after_step: Callable[[], object] = lambda: None,
) -> Timed:
    """Train within a budget.

    Args:
        search: whose method, problem and seed.
        budget: the seconds, and the target that the held-out loss should reach.
        chosen: settings with the share of the seconds.
        data: images to train on, and held-out ones.
        xp: array namespace.
        after_step: called after every step; may raise KeyboardInterrupt.
    """
    options, share = without_share(chosen)
    once = search.problem.lasting(1).config(search.method, seed=search.seed, **options)
    epochs = budget.epochs(share, epoch_seconds(once, data, xp))
    after_step()
    config = search.problem.lasting(epochs).config(search.method, seed=search.seed, **options)
    trained = held_out_epochs(config, data, xp, after_step)
    untrained, _ = next(trained)
    try:
        found = budget.judge(((loss, loss, seconds) for loss, seconds in trained), untrained)
    except Diverged as error:
        return Timed(DIVERGENCE * untrained, None, budget.seconds, epochs, str(error))
    return Timed(found.loss, found.reached, found.spent, epochs)


def timed_objective(
    trial: Any,
    search: Search,
    chosen: Mapping[str, Any],
    data: Examples,
    xp: Any,
    after_step: Callable[[], object] = lambda: None,
) -> tuple[float, float]:
    """Return both objectives to Optuna: the held-out loss, and the seconds to the target or the penalty.

    Raises:
        ValueError: the search has no budget.
    """
    budget = search.budget
    if budget is None:
        raise ValueError("search must have a budget for a timed trial, got none")
    found = run_timed(search, budget, chosen, data, xp, after_step)
    trial.set_user_attr("timed", asdict(found))
    if found.diverged is not None:
        trial.set_user_attr("diverged", found.diverged)
    return found.loss, budget.seconds if found.reached is None else found.reached


def timed_in_words(timed: Mapping[str, Any]) -> str:
    """Return how a trial with a budget ended, in words.

    >>> timed_in_words({"loss": 61.5, "reached": None, "spent": 3.14, "epochs": 7, "diverged": None})
    'held-out loss 61.5 after 3.1 s of steps (a schedule of 7 epochs), target not reached'
    """
    if timed["diverged"] is not None:
        return f"diverged ({timed['diverged']}), target not reached"
    epochs = f"{timed['epochs']} epoch{'s' * (timed['epochs'] != 1)}"
    there = "not reached" if timed["reached"] is None else f"reached after {timed['reached']:.2f} s"
    return (
        f"held-out loss {timed['loss']:.6g} after {timed['spent']:.1f} s of steps "
        f"(a schedule of {epochs}), target {there}"
    )
