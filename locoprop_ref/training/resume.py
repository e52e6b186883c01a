"""Resuming a run: a checkpoint is accepted only if it belongs to the same configuration and data."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.data import Dataset
from locoprop_ref.network import Network
from locoprop_ref.training.build import build_method, build_network
from locoprop_ref.training.checkpoint import Checkpoint, form, load_checkpoint
from locoprop_ref.training.environment import environment
from locoprop_ref.training.options import Config, as_json
from locoprop_ref.training.run_file import check_run

log = logging.getLogger(__name__)


def recorded(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Return the Config as the run file holds it: with the name of a user's own data, not its path."""
    return as_json(config) | {"data": dataset.name}


def resumed(config: Config, dataset: Dataset, path: Path, xp: Any) -> Checkpoint | None:
    """Return the checkpoint to go on from, or None where there is no such file yet.

    Args:
        config: resolved; it may differ from the checkpoint's in the number of epochs alone.
        dataset: the same data, which may have moved to another folder.
        path: the checkpoint.
        xp: array namespace.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not the checkpoint of a run, or it is of another configuration (the differences are
            named).
    """
    if not path.exists():
        log.info(f"no checkpoint {path} yet: starting from the beginning")
        return None
    saved = load_checkpoint(path, xp=xp)
    _check_is_a_run(saved, path)
    _check_configuration(saved, config, dataset, path)
    _check_state(saved, config, path, xp)
    if environment(config.backend, xp) != saved.run["environment"]:
        log.info("note: the environment is not the one the run began in, so that the last bits may differ")
    epochs = list(saved.run["epochs"])
    last = epochs[-1]["epoch"]
    status = "finished" if last >= config.epochs else "running"
    run = saved.run | {"config": recorded(config, dataset), "epochs": epochs, "status": status}
    run.pop("message", None)
    log.info(f"resuming after epoch {last}")
    return Checkpoint(saved.network, saved.state, saved.generator, run)


def check_codes(saved: Checkpoint, config: Config, x: Any, t: Any, path: Path) -> None:
    """Refuse codes of a method that sees all examples where they are not those of these examples.

    A step of rate 0 compares them, and moves nothing.

    Args:
        saved: from `resumed`.
        config: resolved.
        x, t: all examples of the training set.
        path: the checkpoint, for the sentence.

    Raises:
        ValueError: other codes.
    """
    ours: Any = build_method(config)
    if not getattr(ours, "sees_all_examples", False):
        return
    try:
        ours.step(saved.network, saved.state, x, t, rate=0.0)
    except ValueError:
        raise ValueError(f"{path} must fit its own configuration, got other weights or state") from None


def _check_is_a_run(saved: Checkpoint, path: Path) -> None:
    if saved.generator is None:
        raise ValueError(f"{path} must be a checkpoint of a run, got a network without one")
    try:
        check_run(saved.run)
    except ValueError as error:
        raise ValueError(f"{path} must be a checkpoint of a run, but {error}") from None


def _check_configuration(saved: Checkpoint, config: Config, dataset: Dataset, path: Path) -> None:
    here = recorded(config, dataset) | {"data sha256": dataset.sha256}
    there = saved.run["config"] | {"data sha256": saved.run["data"].get("sha256")}
    # a run may be continued for more epochs, but not under a schedule of another length
    may_differ = {"epochs"}
    if here["data sha256"] == there["data sha256"]:
        may_differ.add("data")  # the same data under another name
    differences = [
        f"{name} {there.get(name)!r} there, {here.get(name)!r} here"
        for name in sorted(here | there)
        if here.get(name) != there.get(name) and name not in may_differ
    ]
    if differences:
        raise ValueError(f"{path} is of another configuration: {'; '.join(differences)}")


def _check_state(saved: Checkpoint, config: Config, path: Path, xp: Any) -> None:
    """Compare keys, shapes and dtypes with those of a run that begins now."""
    untrained = build_network(config, config.seed, xp=xp)
    with np.errstate(over="ignore"):
        state = build_method(config).init(untrained, config.seed)
    fits = _fits(form(saved.state), form(state)) and not _counts_below_0(saved.state)
    if _forms(untrained) != _forms(saved.network) or not fits:
        raise ValueError(f"{path} must fit its own configuration, got other weights or state")
    try:
        saved.random_generator()
    except ValueError as error:
        raise ValueError(f"{path} must be a checkpoint of a run, but {error}") from None


def _fits(saved: Any, fresh: Any) -> bool:
    """Tell whether a state has the form of a fresh one, whose None the first step replaces by a matrix."""
    if fresh == "NoneType":
        matrix = isinstance(saved, tuple) and len(saved) == 2 and saved[0] in checks.FLOATS
        return saved == fresh or (matrix and len(saved[1]) == 2)
    if isinstance(fresh, dict):
        same = isinstance(saved, dict) and saved.keys() == fresh.keys()
        return same and all(_fits(saved[key], fresh[key]) for key in fresh)
    if isinstance(fresh, tuple) and isinstance(saved, tuple):
        return len(saved) == len(fresh) and all(map(_fits, saved, fresh))
    return bool(saved == fresh)


def _counts_below_0(state: Any) -> bool:
    """Tell whether a count in a state, of steps or of batches, or a seed in it, is below 0."""
    if isinstance(state, dict | tuple):
        return any(map(_counts_below_0, state.values() if isinstance(state, dict) else state))
    return isinstance(state, int) and state < 0


def _forms(network: Network) -> list[Any]:
    return [
        (form({"W": layer.W, "b": layer.b}), layer.transfer.name, layer.wiring, layer.recurrent)
        for layer in network.layers
    ]
