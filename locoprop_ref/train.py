r"""Training: epochs over a data set, losses on all of it, a run file and a checkpoint that survive.

    rng = default_rng(seed): the weights, layer by layer, then one permutation an epoch, from one generator
    each epoch: batches of the permutation, the remainder dropped; then losses on the full train and test set

After every epoch the checkpoint and then the run file are replaced, each in one step, so that a run killed
at any moment leaves its last complete epoch behind and resumes to the same bits.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref import check
from locoprop_ref.backend import array_namespace, namespace, synchronize, to_backend, to_numpy
from locoprop_ref.checkpoint import Checkpoint, form, load_checkpoint, save_checkpoint
from locoprop_ref.config import (
    Config,
    as_json,
    build_method,
    build_network,
    epoch_rate,
    layer_sizes,
)  # fmt: skip
from locoprop_ref.cost import newton_cost
from locoprop_ref.data import Dataset, load, scaled
from locoprop_ref.environment import environment
from locoprop_ref.files import same_file
from locoprop_ref.network import Network, forward
from locoprop_ref.run_file import SCHEMA, problem, write_run

# a train loss so many times the untrained network's, or no number at all, counts as divergence
DIVERGENCE = 100.0


@dataclass(frozen=True)
class Examples:
    """Inputs and targets of the training and the test set, on the device; labels on the host, or None."""

    x_train: Any
    t_train: Any
    x_test: Any
    t_test: Any
    labels_train: Any
    labels_test: Any


@dataclass(frozen=True)
class TrainedRun:
    """What `train` returns: the run file's content, and the network and state after the last epoch."""

    run: dict[str, Any]
    network: Network
    state: Any


def examples(dataset: Dataset, config: Config, xp: Any) -> Examples:
    """Return a data set as a task: inputs are their own targets, or labels as rows of 0 and one 1.

    Raises:
        ValueError: widths of the network and of the data differ, labels are missing, the batch is larger
            than the training set, or pixels of a user's own are outside [0, 1] under a cross-entropy.
    """
    sizes = layer_sizes(config)
    if dataset.x_train.shape[1] != sizes[0]:
        raise ValueError(
            f"layers must begin with the {dataset.x_train.shape[1]} inputs of {dataset.name}, got {sizes[0]}"
        )
    if config.batch_size > len(dataset.x_train):
        raise ValueError(
            f"batch_size must be at most the {len(dataset.x_train)} examples, got {config.batch_size}"
        )
    x_train, x_test = (scaled(x, config.dtype) for x in (dataset.x_train, dataset.x_test))
    if config.task == "autoencode":
        if sizes[-1] != sizes[0]:
            raise ValueError(f"layers must end as they begin to autoencode, {sizes[0]}, got {sizes[-1]}")
        for name, x in (("x_train", x_train), ("x_test", x_test)):
            if config.output_loss != "squared_error" and not (x.min() >= 0 and x.max() <= 1):
                raise ValueError(f"{name} must lie in [0, 1] for {config.output_loss}, got values outside")
        on = [to_backend(x, xp=xp, dtype=config.dtype) for x in (x_train, x_test)]
        return Examples(on[0], on[0], on[1], on[1], None, None)
    if dataset.labels_train is None or dataset.labels_test is None:
        raise ValueError(f"data must have labels for task classify, got {dataset.name}, which has none")
    largest = int(max(dataset.labels_train.max(), dataset.labels_test.max()))
    if largest >= sizes[-1]:
        raise ValueError(f"layers must end with at least {largest + 1} classes, got {sizes[-1]}")
    one_hot = np.eye(sizes[-1], dtype=config.dtype)
    t_train, t_test = one_hot[dataset.labels_train], one_hot[dataset.labels_test]
    on = [to_backend(a, xp=xp, dtype=config.dtype) for a in (x_train, t_train, x_test, t_test)]
    return Examples(on[0], on[1], on[2], on[3], dataset.labels_train, dataset.labels_test)


def evaluate(network: Network, x: Any, t: Any, labels: Any = None, *, rows: int = 5000) -> dict[str, float]:
    """Return the losses on a whole set, `rows` examples at a time.

    Returns:
        "ce" (or "squared_error"): the network loss, summed over outputs, averaged over examples; "mse": the
        mean over outputs and examples; "accuracy", with labels: the share of rows whose largest output is
        their label's.
    """
    check.integer("rows", rows)
    xp, count, last = array_namespace(x, t), x.shape[0], network.layers[-1].transfer
    name = "squared_error" if network.loss.name == "squared_error" else "ce"
    totals = {name: 0.0, "mse": 0.0} | ({} if labels is None else {"accuracy": 0.0})
    for first in range(0, count, rows):
        part = slice(first, min(first + rows, count))
        trace, t_part, share = forward(network, x[part, :]), t[part, :], (part.stop - first) / count
        totals[name] += share * float(network.loss.value(trace.a_hat[-1], t_part, last))
        totals["mse"] += share * float(xp.mean((trace.y_hat[-1] - t_part) ** 2))
        if labels is not None:
            correct = np.argmax(to_numpy(trace.y_hat[-1]), axis=1) == labels[part]
            totals["accuracy"] += share * float(np.mean(correct))
    return totals


def train(
    config: Config,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda sentence: None,
) -> TrainedRun:
    """Train a network as a Config says.

    Args:
        config: from `config.resolve`.
        out: the run file, a path ending in .json; the checkpoint stands beside it, ending in .npz. None keeps
            the result in memory alone.
        resume: go on from the checkpoint, if there is one.
        overwrite: replace an existing run file.
        data_dir: where the data set's files are, see `data.load`.
        progress: show a progress bar, where standard error is a terminal.
        say: called with every line for the user: what is about to start, a line an epoch.

    Returns:
        the run file's content, the network and the method's state after the last complete epoch. Its status
        is "diverged" when the train loss was no number or 100 times the untrained network's.

    Raises:
        ValueError, TypeError: settings that do not fit the data, or a checkpoint of another configuration
            (the differences are named).
        OSError: data that cannot be read, or files that cannot be written; FileExistsError where `out` exists
            and neither `resume` nor `overwrite` is given.
        KeyboardInterrupt: passed on, after the run file has been given the status "interrupted".
    """
    if resume and overwrite:
        raise ValueError("resume and overwrite contradict each other, got both")
    files = None if out is None else _Files(Path(out))
    if files:
        _check_files(files, config, resume, overwrite)
    xp = namespace(config.backend)
    dataset = load(config.data, data_dir=data_dir)
    for note in dataset.notes:
        say(note)
    data = examples(dataset, config, xp)
    start = _resumed(config, dataset, files, xp, say) if files and resume else None
    if start is None:
        start = _untrained(config, dataset, data, xp)
    _announce_cost(config, data, say)
    loop = _Loop(config, data, xp, files, progress, say)
    try:
        return loop.run(start)
    except KeyboardInterrupt:
        loop.stop("interrupted", f"interrupted after epoch {loop.last_epoch}")
        raise


@dataclass(frozen=True)
class _Files:
    """Where a run is kept: the run file, and the checkpoint beside it."""

    run: Path

    def __post_init__(self) -> None:
        if self.run.suffix != ".json":
            raise ValueError(f"out must be a path that ends in .json, got {str(self.run)!r}")

    @property
    def checkpoint(self) -> Path:
        return self.run.with_suffix(".npz")


def _check_files(files: _Files, config: Config, resume: bool, overwrite: bool) -> None:
    """Refuse to write where something would be lost."""
    if same_file(files.checkpoint, config.data):
        raise ValueError(f"out must have another name than the data, got {files.run} beside {config.data}")
    existing = [file for file in (files.run, files.checkpoint) if file.exists()]
    if existing and not (resume or overwrite):
        raise FileExistsError(
            f"out must be a new file, got {existing[0]}, which exists (--resume or --overwrite)"
        )
    if existing == [files.run] and resume:
        raise FileNotFoundError(f"{files.checkpoint} must be there to resume {files.run}, got no such file")


@dataclass(frozen=True)
class _Start:
    """Where the loop begins: after some epoch."""

    network: Network
    state: Any
    rng: np.random.Generator
    run: dict[str, Any]


def _recorded(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Return the Config for the run file: a user's own data by name, not by path."""
    return as_json(config) | {"data": dataset.name}


def _untrained(config: Config, dataset: Dataset, data: Examples, xp: Any) -> _Start:
    rng = np.random.default_rng(config.seed)
    network = build_network(config, rng, xp=xp)
    started = time.perf_counter()
    losses = _losses(network, data)
    row = {"epoch": 0, **losses, "step_seconds": 0.0, "eval_seconds": time.perf_counter() - started}
    run = {
        "schema": SCHEMA,
        "config": _recorded(config, dataset),
        "data": {"name": dataset.name, "sha256": dataset.sha256},
        "environment": environment(config.backend, xp),
        "epochs": [row],
        "status": "running",
    }
    return _Start(network, build_method(config).init(network, config.seed), rng, run)


def _resumed(
    config: Config, dataset: Dataset, files: _Files, xp: Any, say: Callable[[str], None]
) -> _Start | None:
    """Return the checkpoint's state, or None where there is no checkpoint yet."""
    if not files.checkpoint.exists():
        say(f"no checkpoint {files.checkpoint} yet: starting from the beginning")
        return None
    saved = load_checkpoint(files.checkpoint, xp=xp)
    if saved.generator is None:
        raise ValueError(f"{files.checkpoint} must be a checkpoint of a run, got a network without one")
    wrong = problem(saved.run)
    if wrong:
        raise ValueError(f"{files.checkpoint} must be a checkpoint of a run, but {wrong}")
    here = {**_recorded(config, dataset), "data sha256": dataset.sha256}
    there = {**saved.run["config"], "data sha256": saved.run["data"].get("sha256")}
    moved = ("data",) if here["data sha256"] == there["data sha256"] else ()
    differences = [
        f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
        for name in sorted(here | there)
        # how long to go on may change, the schedule's length may not; the same data may have moved
        if here.get(name) != there.get(name) and name not in ("epochs", *moved)
    ]
    if differences:
        raise ValueError(f"{files.checkpoint} is of another configuration: {'; '.join(differences)}")
    rng = np.random.default_rng(config.seed)
    untrained = build_network(config, rng, xp=xp)
    wanted = (untrained.layers, build_method(config).init(untrained, config.seed))
    if _form(wanted) != _form((saved.network.layers, saved.state)):
        raise ValueError(f"{files.checkpoint} must fit its own configuration, got other weights or state")
    try:
        rng.bit_generator.state = saved.generator
    except (KeyError, TypeError, ValueError, OverflowError):
        raise ValueError(f"{files.checkpoint} must hold a random generator's state, got another") from None
    now = environment(config.backend, xp)
    if now != saved.run["environment"]:
        say("note: the environment is not the one the run began in, so that the last bits may differ")
    run = saved.run | {"config": _recorded(config, dataset), "epochs": list(saved.run["epochs"])}
    run["status"] = "running"
    run.pop("message", None)
    say(f"resuming after epoch {run['epochs'][-1]['epoch']}")
    return _Start(saved.network, saved.state, rng, run)


def _form(layers_and_state: Any) -> Any:
    layers, state = layers_and_state
    return [(form({"W": layer.W, "b": layer.b}), layer.transfer.name) for layer in layers], form(state)


def _losses(network: Network, data: Examples) -> dict[str, dict[str, float]]:
    return {
        "train": evaluate(network, data.x_train, data.t_train, data.labels_train),
        "test": evaluate(network, data.x_test, data.t_test, data.labels_test),
    }


def _announce_cost(config: Config, data: Examples, say: Callable[[str], None]) -> None:
    if config.method != "locoprop-m-exact":
        return
    flop = newton_cost(layer_sizes(config), config.batch_size, bias=config.bias)
    batches = data.x_train.shape[0] // config.batch_size
    say(
        f"locoprop-m-exact solves a regression for every unit: {flop / 1e9:.3g} Gflop a Newton step, "
        f"several steps a batch, {batches} batches an epoch ({flop * batches / 1e12:.3g} Tflop at one each)"
    )


class _Loop:
    """The epochs; what is complete is always on disk before the next one begins."""

    def __init__(
        self,
        config: Config,
        data: Examples,
        xp: Any,
        files: _Files | None,
        progress: bool,
        say: Callable[[str], None],
    ) -> None:
        self.config, self.data, self.xp, self.files, self.say = config, data, xp, files, say
        self.method: Any = build_method(config)
        self.batches = data.x_train.shape[0] // config.batch_size
        self.progress = progress
        self.run_so_far: dict[str, Any] = {}

    @property
    def last_epoch(self) -> int:
        return self.run_so_far["epochs"][-1]["epoch"] if self.run_so_far else 0

    def run(self, start: _Start) -> TrainedRun:
        network, state, rng = start.network, start.state, start.rng
        self.run_so_far = start.run
        self._keep(network, state, rng)
        first = self.last_epoch
        if first == 0:
            self.say(describe(start.run["epochs"][0]))
        with self._bar(self.config.epochs - first) as bar, np.errstate(over="ignore", invalid="ignore"):
            for epoch in range(first, self.config.epochs):
                try:
                    network, state, row = self._epoch(epoch, network, state, rng, bar)
                except (np.linalg.LinAlgError, _Diverged) as error:
                    message = f"diverged in epoch {epoch + 1}: {error}; kept what stood after epoch {epoch}"
                    self.stop("diverged", message)
                    break
                self.run_so_far["epochs"].append(row)
                self._keep(network, state, rng)
                bar.set_postfix_str(describe(row))
                self.say(describe(row))
            else:
                self.stop("finished")
        return TrainedRun(self.run_so_far, network, state)

    def _epoch(self, epoch: int, network: Network, state: Any, rng: np.random.Generator, bar: Any) -> Any:
        rate = epoch_rate(self.config, epoch)
        order = to_backend(rng.permutation(self.data.x_train.shape[0]), xp=self.xp, dtype="int64")
        started, info = time.perf_counter(), {}
        for x, t, method in self._each_batch(order):
            network, state, info = method.step(network, state, x, t, rate=rate)
            bar.update()
        synchronize(network.layers[-1].W)
        stepped = time.perf_counter()
        losses = _losses(network, self.data)
        untrained = self.run_so_far["epochs"][0]["train"]
        loss_name = next(iter(untrained))
        loss = losses["train"][loss_name]
        if not all(isfinite(value) for part in losses.values() for value in part.values()):
            raise _Diverged(f"the {loss_name} is no longer a finite number")
        if loss > DIVERGENCE * untrained[loss_name]:
            raise _Diverged(
                f"the train {loss_name} is {loss:.4g}, {DIVERGENCE:g} times the untrained network's"
            )
        row = {"epoch": epoch + 1, **losses, "step_seconds": stepped - started}
        row["eval_seconds"] = time.perf_counter() - stepped
        return network, state, row | ({"diagnostics": info} if info else {})

    def _each_batch(self, order: Any) -> Iterator[tuple[Any, Any, Any]]:
        """Yield x, t and the method; the last batch of an epoch is the one that is diagnosed."""
        size, take = self.config.batch_size, self.xp.take
        for number in range(self.batches):
            rows = order[number * size : (number + 1) * size]
            x = take(self.data.x_train, rows, axis=0)
            t = x if self.data.t_train is self.data.x_train else take(self.data.t_train, rows, axis=0)
            diagnose = self.config.diagnostics and number == self.batches - 1
            method = dataclasses.replace(self.method, diagnose=True) if diagnose else self.method
            yield x, t, method

    def stop(self, status: str, message: str | None = None) -> None:
        """Write the run file with its last status."""
        self.run_so_far = self.run_so_far | {"status": status} | ({"message": message} if message else {})
        if self.files and self.run_so_far.get("epochs"):
            write_run(self.files.run, self.run_so_far)

    def _keep(self, network: Network, state: Any, rng: np.random.Generator) -> None:
        if not self.files:
            return
        generator = dict(rng.bit_generator.state)
        try:
            save_checkpoint(self.files.checkpoint, Checkpoint(network, state, generator, self.run_so_far))
            write_run(self.files.run, self.run_so_far)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OSError(
                f"{self.files.run} and {self.files.checkpoint.name} cannot be written after epoch "
                f"{self.last_epoch}: {reason}; the last complete state is kept"
            ) from error

    def _bar(self, epochs: int) -> Any:
        from tqdm import tqdm

        quiet = None if self.progress else True  # None: quiet when standard error is not a terminal
        return tqdm(total=max(epochs, 0) * self.batches, unit="step", disable=quiet, desc=self.config.method)


class _Diverged(Exception):
    """The train loss is no number, or far above the untrained network's."""


def describe(row: dict[str, Any]) -> str:
    """Return an epoch's row as one line.

    >>> describe({"epoch": 1, "train": {"ce": 60.0}, "test": {"ce": 61.5}, "step_seconds": 2.0})
    'epoch 1: train ce 60, test ce 61.5, 2.0 s'
    """
    losses = [f"{part} {name} {value:.6g}" for part in ("train", "test") for name, value in row[part].items()]
    return f"epoch {row['epoch']}: {', '.join(losses)}, {row['step_seconds']:.1f} s"
