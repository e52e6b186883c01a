"""Where a run begins: untrained, or after the last complete epoch of its checkpoint."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref.data import Dataset
from locoprop_ref.network import Network
from locoprop_ref.training.build import build_method, build_network
from locoprop_ref.training.checkpoint import form, load_checkpoint
from locoprop_ref.training.environment import environment
from locoprop_ref.training.options import Config, as_json
from locoprop_ref.training.run_file import SCHEMA, problem
from locoprop_ref.training.task import Examples, losses_of


@dataclass(frozen=True)
class Files:
    """Where a run is kept: the run file, and the checkpoint beside it."""

    run: Path

    def __post_init__(self) -> None:
        if self.run.suffix != ".json":
            raise ValueError(f"out must be a path that ends in .json, got {str(self.run)!r}")

    @property
    def checkpoint(self) -> Path:
        """The checkpoint beside the run file."""
        return self.run.with_suffix(".npz")


@dataclass(frozen=True)
class Start:
    """Where the loop begins: after some epoch."""

    network: Network
    state: Any
    rng: np.random.Generator
    run: dict[str, Any]


def _recorded(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Return the Config for the run file: a user's own data by name, not by path."""
    return as_json(config) | {"data": dataset.name}


def untrained_start(config: Config, dataset: Dataset, data: Examples, xp: Any) -> Start:
    """Return the untrained network with its losses: epoch 0."""
    rng = np.random.default_rng(config.seed)
    network = build_network(config, rng, xp=xp)
    started = time.perf_counter()
    losses = losses_of(network, data)
    row = {"epoch": 0, **losses, "step_seconds": 0.0, "eval_seconds": time.perf_counter() - started}
    run = {
        "schema": SCHEMA,
        "config": _recorded(config, dataset),
        "data": {"name": dataset.name, "sha256": dataset.sha256},
        "environment": environment(config.backend, xp),
        "epochs": [row],
        "status": "running",
    }
    return Start(network, build_method(config).init(network, config.seed), rng, run)


def resumed_start(
    config: Config, dataset: Dataset, files: Files, xp: Any, say: Callable[[str], None]
) -> Start | None:
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
    last = run["epochs"][-1]["epoch"]
    run["status"] = "finished" if last >= config.epochs else "running"
    run.pop("message", None)
    say(f"resuming after epoch {last}")
    return Start(saved.network, saved.state, rng, run)


def side_by_side_with(start: Start, jobs: int | None) -> Start:
    """Return the start with the number of runs side by side in its run file, the most it ever had.

    A run that went on from a part whose number nobody recorded has none either.
    """
    known = len(start.run["epochs"]) == 1 or "jobs" in start.run
    run = {key: value for key, value in start.run.items() if key != "jobs"}
    if jobs is not None and known:
        run["jobs"] = max(jobs, start.run.get("jobs", jobs))
    return replace(start, run=run)


def _form(layers_and_state: Any) -> Any:
    layers, state = layers_and_state
    return [(form({"W": layer.W, "b": layer.b}), layer.transfer.name) for layer in layers], form(state)
