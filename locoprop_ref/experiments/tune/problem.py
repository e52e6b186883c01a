"""The problem that settings are tuned on: small enough to train many times, without the test set.

The training images are permuted from a seed. The first `examples` of them are trained on, and the next
`held_out` select the settings. `tuning_data` discards the test set, so that no later code can reach it.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.data import Dataset, load
from locoprop_ref.data.dataset import checked_dataset
from locoprop_ref.experiments.tuned import ALL
from locoprop_ref.methods.registry import OFFLINE
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import SCHEDULES, TASKS, Config


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An autoencoder, or a network that classifies, on part of the training images.

    Args:
        name: one of `PROBLEMS`, the folder that the settings are stored in.
        data: data set, or path of an NPZ, see `data.load`.
        layers: widths from input to output, or words for images and sequences, see `architectures`.
        task: "autoencode" (default) or "classify".
        transfer: of the hidden layers, or one for every layer; default "tanh".
        width: factor of the width of every hidden layer.
        batch_size: examples per batch.
        epochs: epochs of a trial, at least 1; default 12, mnist 30.
        schedule: "authors" (default) or "constant".
        schedule_epochs: length of the authors' schedule; default four times the epochs, so that a trial is
            the first quarter of a run: the rate rises over its first sixth (in 12 epochs: 0, 0.5), then stays
            near 1 (down to 0.78). None with a constant schedule, which has no length.
        examples: training images to train on; default 10,000. None: all but those held out.
        held_out: further training images that select the settings; default 5,000.
        split_seed: seed of the permutation that chooses them; default 0.
        backend, dtype: array library and precision; default numpy, float32.

    >>> reduced_problem("curves", epochs=6).schedule_epochs
    24
    """

    name: str
    data: str
    layers: str
    task: str = "autoencode"
    transfer: str = "tanh"
    width: float = 1.0
    batch_size: int = 1000
    epochs: int = 12
    schedule: str = "authors"
    schedule_epochs: int | None = None
    examples: int | None = 10_000
    held_out: int = 5_000
    split_seed: int = 0
    backend: str = "numpy"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("epochs", "held_out", "batch_size"):
            checks.integer(name, getattr(self, name))
        checks.integer("split_seed", self.split_seed, minimum=0)
        if self.examples is not None and self.batch_size > checks.integer("examples", self.examples):
            raise ValueError(
                f"batch_size must be at most the {self.examples} examples, got {self.batch_size}"
            )
        checks.one_of("schedule", self.schedule, SCHEDULES)
        checks.one_of("task", self.task, TASKS)
        if self.schedule_epochs is None and self.schedule == "authors":
            object.__setattr__(self, "schedule_epochs", 4 * self.epochs)

    def for_method(self, method: str) -> "Problem":
        """Return the problem of a method: an offline one has its own numbers of steps and examples.

        A step of it takes all examples, so that an epoch is one step. Where this problem says nothing else,
        it has 40 of them on 12,000 images.
        """
        if ALL[checks.one_of("method", method, ALL)]["method"] not in OFFLINE:
            return self
        usual = PROBLEMS[self.name]
        own = _OFFLINE.get(self.name, {}).items()
        return replace(self, **{k: v for k, v in own if getattr(self, k) == getattr(usual, k)})

    def lasting(self, epochs: int) -> "Problem":
        """Return the problem with so many epochs, and a schedule that ends with them.

        >>> reduced_problem("curves").lasting(6).schedule_epochs
        7
        """
        return replace(
            self, epochs=epochs, schedule_epochs=None if self.schedule == "constant" else epochs + 1
        )

    def options(self, method: str, *, seed: int, **settings: Any) -> dict[str, Any]:
        """Return the options of a method with these settings on this problem, for `config.resolve`."""
        ours = {name: getattr(self, name) for name in _OPTIONS}
        if self.transfer == "tanh" and self.task == "autoencode" and str(self.layers).count("-") == 2:
            del ours["transfer"]  # the code is the only hidden layer: it has a transfer function of its own
        if ALL[method]["method"] in OFFLINE:
            del ours["batch_size"]
        if ALL[method]["method"] == "admm" and self.task == "classify":
            # its own loss: its outputs are fitted to 0 and 1, and as logits they mean something else
            ours["output_loss"] = "squared_error"
        return ALL[method] | ours | settings | {"seed": seed}

    def config(self, method: str, *, seed: int, **settings: Any) -> Config:
        """Return the resolved Config of a method with these settings on this problem.

        Raises:
            ValueError, TypeError: as `config.resolve`.
        """
        return resolve(**self.options(method, seed=seed, **settings))

    def record(self, sha256: str) -> dict[str, Any]:
        """Return the problem as JSON with the hash of its data; a user's own data by name, not by path.

        Task, transfer and schedule stand in it where they are not the usual ones, as in records from before
        there were others.
        """
        usual = {"task": "autoencode", "transfer": "tanh", "schedule": "authors"}.items()
        kept = {name: value for name, value in asdict(self).items() if (name, value) not in usual}
        return kept | {"data": Path(self.data).name, "data sha256": sha256}


_OFFLINE: Mapping[str, dict[str, Any]] = {"poster": {"epochs": 40, "examples": 12_000}}
# the fields that are options of a run
_OPTIONS = (
    "data", "task", "layers", "transfer", "width", "batch_size", "epochs", "schedule", "schedule_epochs",
    "backend", "dtype",
)  # fmt: skip

_PAPER_LAYERS = "784-1000-500-250-30-250-500-1000-784"
_CLASSIFY: dict[str, Any] = {
    "data": "mnist", "task": "classify", "batch_size": 100, "epochs": 1, "schedule": "constant",
    "examples": 12_000,
}  # fmt: skip
_POSTER = _CLASSIFY | {"batch_size": 200, "examples": None}
PROBLEMS: Mapping[str, Problem] = {
    # the paper's architecture at a quarter of its width. 300 steps: RMSProp's mean square begins at one (tf1)
    # and needs a hundred steps to forget it, so that a shorter problem would tune that beginning away
    "mnist": Problem(name="mnist", data="mnist", layers=_PAPER_LAYERS, width=0.25, epochs=30),
    "curves": Problem(name="curves", data="curves", layers="784-100-50-6-50-100-784", batch_size=500),
    # whole networks, one epoch of 120 steps: enough for the accuracies to be far apart, and an epoch is too
    # short for a schedule
    "lenet": Problem(name="lenet", layers="28x28x1-c5x6+2-p2-c5x16-p2-120-84-10", **_CLASSIFY),
    "sequential-mnist": Problem(name="sequential-mnist", layers="28x28-r128-10", **_CLASSIFY),
    # the announcement's networks, one epoch of all training images but those held out: 275 steps
    "poster": Problem(name="poster", layers="784-100-100-10", transfer="relu", **_POSTER),
    "poster-signs": Problem(
        name="poster-signs", layers="784-200-200-10", transfer="sign,tanh,softmax", **_POSTER
    ),
}

# what differs in the final, on the whole network; the other problems are whole already. A run is the
# beginning of the authors' schedule of length 100: rates 0, 0.2, … 0.8, 0.99. Shorter runs favour settings
# that converge early: with its mean square from one (tf1), RMSProp's known setting is far behind a decay near
# 0 after three epochs, and far ahead of it after ten
_WHOLE: Mapping[str, dict[str, Any]] = {
    "mnist": {"width": 1.0, "epochs": 6, "schedule_epochs": 100, "examples": None}
}


def whole_problem(reduced: Problem) -> Problem | None:
    """Return the problem of the final that belongs to a reduced one, or None where that one is whole."""
    changed = _WHOLE.get(reduced.name)
    return replace(reduced, **changed) if changed else None


def reduced_problem(name: str, **changed: Any) -> Problem:
    """Return the problem of that name with some fields changed; None leaves a field as it is.

    Raises:
        ValueError, TypeError: an unknown name (the nearest is suggested), or a value outside its range.
    """
    base = PROBLEMS[checks.one_of("problem", name, PROBLEMS)]
    given = {key: value for key, value in changed.items() if value is not None}
    return replace(base, **{"schedule_epochs": None, **given})


@functools.lru_cache(maxsize=2)
def tuning_data(problem: Problem, data_dir: str | None) -> Dataset:
    """Return the images to train on as `x_train` and the held-out ones as `x_test`: all are training images.

    The data of the last two problems are kept for the next trial.

    Raises:
        ValueError: fewer training images than the two take together.
        OSError: as `data.load`.
    """
    dataset = load(problem.data, data_dir=data_dir)
    x = dataset.x_train
    count = max(len(x) - problem.held_out, 1) if problem.examples is None else problem.examples
    wanted = count + problem.held_out
    if wanted > len(x):
        raise ValueError(
            f"examples and held_out must be at most the {len(x)} training images together, "
            f"got {count} and {problem.held_out}"
        )
    order = np.random.default_rng(problem.split_seed).permutation(len(x))
    chosen = {"train": order[:count], "test": order[count:wanted]}
    parts = {f"x_{part}": x[rows] for part, rows in chosen.items()}
    if problem.task == "classify" and dataset.labels_train is not None:
        parts |= {f"labels_{part}": dataset.labels_train[rows] for part, rows in chosen.items()}
    return checked_dataset(dataset.name, parts, source=dataset.source, notes=dataset.notes)
