"""One training run from its beginning, or from its checkpoint, to its end."""

import logging
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.data import ARRAYS, Dataset, from_arrays, load, refuse_folder
from locoprop_ref.data.files import file_lock, real_path, same_file, user_path
from locoprop_ref.data.npz import KEYS, OUTPUT_KEYS, load_npz
from locoprop_ref.solvers import newton_cost
from locoprop_ref.training.build import build_method, build_network, layer_plans, layer_transfers
from locoprop_ref.training.checkpoint import Checkpoint
from locoprop_ref.training.environment import environment
from locoprop_ref.training.loop import Loop, TrainedRun
from locoprop_ref.training.options import Config
from locoprop_ref.training.resume import check_codes, recorded, resumed
from locoprop_ref.training.run_file import SCHEMA, Files, read_run
from locoprop_ref.training.step_evaluations import check_within_run
from locoprop_ref.training.task import Examples, examples, losses_of
from locoprop_ref.transfers import Transfer

log = logging.getLogger(__name__)


def train(
    config: Config,
    *,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    arrays: Mapping[str, Any] | None = None,
    transfer: Transfer | None = None,
    progress: bool = True,
    jobs: int | None = None,
) -> TrainedRun:
    """Train a network as a Config says.

    What a user should read (what is about to start, one line an epoch) is logged at level INFO.

    Args:
        config: from `config.resolve`.
        out: the run file, a path ending in .json; the checkpoint stands beside it, ending in .npz. None keeps
            the result in memory alone.
        resume: continue from the checkpoint; without one, start from the beginning.
        overwrite: replace an existing run file.
        data_dir: where the data set's files are, see `data.load`.
        arrays: x_train, x_test and what else the task needs, see `data.from_arrays`, for a Config with
            data="arrays".
        transfer: a transfer function of your own, in the hidden layers that have `config.transfer`; it is
            checked by `verify.check_transfer`. A file cannot hold its formulas: `out` must be None.
        progress: show a progress bar if standard error is a terminal.
        jobs: how many runs share this machine, for the run file; 1 for a run that has it to itself, None if
            that is not known.

    Returns:
        the run file's content, the network and the method's state after the last complete epoch. The status
        is "diverged" if the train loss was not finite or exceeded 100 times the untrained network's.

    Raises:
        ValueError, TypeError: settings that do not fit the data, a checkpoint of another configuration (the
            differences are named), or a transfer function whose formulas do not fit each other.
        OSError: data that cannot be read, or files that cannot be written; FileExistsError if `out` exists
            and neither `resume` nor `overwrite` is given; BlockingIOError if another process trains it.
        KeyboardInterrupt: passed on, after the run file has been given the status "interrupted".
    """
    checks.instance("config", config, Config, "a Config, as config.resolve makes")
    for name, switch in (("resume", resume), ("overwrite", overwrite), ("progress", progress)):
        checks.boolean(name, switch)
    if resume and overwrite:
        raise ValueError("resume and overwrite contradict each other, got both")
    if transfer is not None:
        _check_own(transfer, config, out)
    if jobs is not None:
        jobs = checks.integer("jobs", jobs)
    xp = namespace(config.backend)
    files = None if out is None else Files(user_path(out, "out"))
    if files:
        _check_files(files, config, resume, overwrite)
    dataset = _dataset(config, data_dir, arrays)
    for note in dataset.notes:
        log.info(note)
    data = examples(dataset, config, xp)
    check_within_run(config, data)
    with _alone(files):
        if files:
            _check_files(files, config, resume, overwrite)  # another run may have begun and ended meanwhile
        start = resumed(config, dataset, files.checkpoint, xp) if files and resume else None
        if files and start is not None:
            check_codes(start, config, data.x_train, data.t_train, files.checkpoint)
        if start is None:
            start = untrained(config, dataset, data, xp, transfer)
        start = replace(start, run=_with_jobs(start.run, jobs))
        _announce_cost(config, data)
        return Loop(config, data, xp, files, progress).run(start)


def _dataset(
    config: Config, data_dir: str | os.PathLike[str] | None, arrays: Mapping[str, Any] | None
) -> Dataset:
    """Return the data set that a Config names, or the arrays that were given with it."""
    if arrays is None and config.data == ARRAYS:
        raise ValueError(f"arrays must be given for data {ARRAYS!r}, got none (train of Python takes them)")
    if arrays is None and config.task == "regress":
        refuse_folder(config.data, data_dir)
        return load_npz(config.data, keys=(*KEYS, *OUTPUT_KEYS))
    if arrays is None:
        return load(config.data, data_dir=data_dir)
    if config.data != ARRAYS:
        raise ValueError(f"data must be {ARRAYS!r} for arrays that are given, got {config.data!r}")
    if data_dir is not None:
        raise ValueError(f"data_dir has no meaning beside arrays, got {checks.shown(data_dir)}")
    return from_arrays(arrays)


def _check_own(transfer: Any, config: Config, out: Any) -> None:
    """Refuse a transfer function whose formulas do not fit, that no layer has, or that a file should hold."""
    from locoprop_ref.verify.own_transfer import check_transfer  # which imports all identities

    check_transfer(transfer)
    if out is not None:
        raise ValueError(
            f"out must be None for a transfer function of your own, got {checks.shown(str(out))}"
        )
    if config.transfer not in layer_transfers(config)[:-1]:
        raise ValueError(
            f"layers must have a hidden layer with {config.transfer}, for which transfer stands, "
            f"got {config.layers!r}"
        )


def _alone(files: Files | None) -> AbstractContextManager[None]:
    """Keep other processes from the same run; one that was just killed is given the time to end."""
    if files is None:
        return nullcontext()
    return file_lock(files.lock, f"out must be a run that no other train is at work on, got {files.run}", 5.0)


def untrained(
    config: Config, dataset: Dataset, data: Examples, xp: Any, own: Transfer | None = None
) -> Checkpoint:
    """Return the state before the first epoch: the initial network, its losses, and the random generator."""
    rng = np.random.default_rng(config.seed)
    network = build_network(config, rng, xp=xp, own=own)
    started = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):
        losses = losses_of(network, data)
    _check_untrained(losses, config)
    row = {"epoch": 0, **losses, "step_seconds": 0.0, "eval_seconds": time.perf_counter() - started}
    run = {
        "schema": SCHEMA,
        "config": recorded(config, dataset) | ({"transfer": own.name} if own else {}),
        "data": {"name": dataset.name, "sha256": dataset.sha256},
        "environment": environment(config.backend, xp),
        "epochs": [row],
        "status": "running",
    }
    with np.errstate(over="ignore"):  # of a scale beyond the dtype; the first epoch reports what comes of it
        state = build_method(config).init(network, config.seed)
    return Checkpoint(network, state, dict(rng.bit_generator.state), run)


def _check_untrained(losses: dict[str, dict[str, float]], config: Config) -> None:
    """Refuse data whose losses are beyond the dtype before any step: there is nothing to fall from."""
    for part, values in losses.items():
        for name, value in values.items():
            if not isfinite(value):
                raise ValueError(
                    f"data must have finite losses in {config.dtype}, got {part} {name} {value} of the "
                    "untrained network (scale them)"
                )


def _check_files(files: Files, config: Config, resume: bool, overwrite: bool) -> None:
    """Refuse to write where something would be lost."""
    for file in (files.run, files.checkpoint):
        if same_file(file, config.data):
            raise ValueError(
                f"out must have another name than the data, got {files.run} beside {config.data}"
            )
    for file in (files.run, files.checkpoint):
        if file.exists() and not file.is_file():  # nothing could be read from a pipe or a device again
            raise ValueError(f"out must be a regular file, got {file}, a directory, pipe, socket or device")
        real_path(file)
    existing = [file for file in (files.run, files.checkpoint) if file.exists()]
    if existing and not (resume or overwrite):
        raise FileExistsError(
            f"out must be a new file, got {existing[0]}, which exists (--resume or --overwrite)"
        )
    if existing == [files.run] and resume:
        raise FileNotFoundError(f"{files.checkpoint} must be there to resume {files.run}, got no such file")
    if resume and files.run in existing:
        read_run(files.run)  # a file of another kind is not replaced


def _with_jobs(run: dict[str, Any], jobs: int | None) -> dict[str, Any]:
    """Return the run with the largest number of jobs that it ever had.

    If the number was not recorded for an earlier part of the run, it is not known for the whole of it.
    """
    known = len(run["epochs"]) == 1 or "jobs" in run
    found = {key: value for key, value in run.items() if key != "jobs"}
    if jobs is not None and known:
        found["jobs"] = max(jobs, run.get("jobs", jobs))
    return found


def _announce_cost(config: Config, data: Examples) -> None:
    """Say what exact M costs: a Newton step is far more expensive than the other methods' steps."""
    if config.method != "locoprop-m-exact":
        return
    flop = sum(
        newton_cost((plan.d_in, plan.d_out), config.batch_size * plan.positions, bias=config.bias)
        for plan in layer_plans(config)
    )
    batches = data.x_train.shape[0] // config.batch_size
    log.info(
        f"locoprop-m-exact solves a regression for every unit: {flop / 1e9:.3g} Gflop for one Newton step, "
        f"with several steps a batch; {batches} batches at one step each make {flop * batches / 1e9:.3g} "
        "Gflop an epoch"
    )
