"""The budget of a problem: the loss of RMSProp's stored settings there, and a multiple of its seconds.

It is measured once, and kept in a file beside the results, so that every method, and every command that
resumes, has the same.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from locoprop_ref.backend import namespace
from locoprop_ref.experiments.compare.records import read_record, write_json
from locoprop_ref.experiments.tune.budget import Budget
from locoprop_ref.experiments.tune.objective import held_out_epochs
from locoprop_ref.experiments.tune.problem import Problem, tuning_data
from locoprop_ref.experiments.tune.timed import epoch_seconds
from locoprop_ref.experiments.tuned import options
from locoprop_ref.training import examples

REFERENCE = "rmsprop"
# a trial has so many times the seconds of the reference run, so that slower methods come to its loss too
MULTIPLE = 2.0
# on the whole network: the median of RMSProp's final train losses in the stored comparison (results/mnist),
# and the number of its epochs there. Both are fixed, so that finals of different days have one target
WHOLE = {"mnist": (60.86, 20)}


class Reference(msgspec.Struct, frozen=True):
    """What the reference run came to, and on which problem."""

    schema: Literal[1]
    problem: dict[str, Any]
    settings: dict[str, Any]
    loss: float
    seconds: float


def trial_budget(path: Path, problem: Problem, seed: int, data_dir: str | None) -> Budget:
    """Return the budget of a trial: the reference's held-out loss, and `MULTIPLE` times its seconds.

    Args:
        path: the file that keeps the measurement; it is made where there is none.
        problem: what is tuned on.
        seed: of network and batches.
        data_dir: folder of the data set's files.

    Raises:
        ValueError: the file is of another problem, or no such file.
        OSError: it cannot be read or written.
    """
    found = _kept(path, problem, seed, data_dir) or _measured(path, problem, seed, data_dir)
    return Budget(seconds=MULTIPLE * found.seconds, target=found.loss)


def final_budget(path: Path, whole: Problem, seed: int, data_dir: str | None) -> Budget:
    """Return the budget of a final: the fixed target, and the seconds in which the reference came to it.

    Args:
        path, seed, data_dir: as for `trial_budget`.
        whole: the problem of the final, one of those in `WHOLE`.

    Raises:
        ValueError, OSError: as `trial_budget`.
    """
    target, epochs = WHOLE[whole.name]
    found = _kept(path, whole, seed, data_dir)
    if found is None:
        dataset, xp = tuning_data(whole, data_dir), namespace(whole.backend)
        config = whole.lasting(epochs).config(REFERENCE, seed=seed, **_settings(whole))
        seconds = epochs * epoch_seconds(config, examples(dataset, config, xp), xp)
        found = _keep(path, whole, seed, dataset.sha256, target, seconds)
    return Budget(seconds=found.seconds, target=found.loss)


def _settings(problem: Problem) -> dict[str, Any]:
    stored = options(REFERENCE, problem.name)
    return {name: value for name, value in stored.items() if name not in ("method", "optimizer")}


def _measured(path: Path, problem: Problem, seed: int, data_dir: str | None) -> Reference:
    dataset, xp = tuning_data(problem, data_dir), namespace(problem.backend)
    config = problem.config(REFERENCE, seed=seed, **_settings(problem))
    # the first run warms the processor and its caches
    for _ in range(2):
        epochs = list(held_out_epochs(config, examples(dataset, config, xp), xp))
    return _keep(path, problem, seed, dataset.sha256, epochs[-1][0], sum(seconds for _, seconds in epochs))


def _keep(path: Path, problem: Problem, seed: int, sha256: str, loss: float, seconds: float) -> Reference:
    record = problem.record(sha256) | {"seed": seed}
    found = Reference(1, record, _settings(problem), loss, seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
    return found


def _kept(path: Path, problem: Problem, seed: int, data_dir: str | None) -> Reference | None:
    if not path.exists():
        return None
    found = read_record(path, "the target of a search for fewer seconds", Reference)
    here = problem.record(tuning_data(problem, data_dir).sha256) | {"seed": seed}
    for name in sorted(here | found.problem):
        if here.get(name) != found.problem.get(name):
            raise ValueError(
                f"{path} must be the target of this problem, got one with {name} "
                f"{found.problem.get(name)!r}, here {here.get(name)!r} (name another --out)"
            )
    return found
