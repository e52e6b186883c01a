"""A comparison from its plan to its page: every run is a process of `locoprop-ref train`.

What is finished is skipped, and what was killed goes on. A run is complete on disk after each of its epochs,
so that neither Ctrl-C nor a process that dies costs more than the epoch under way. With several jobs every
process has its share of the cores; with a scheduler the processes are those of a Dask cluster.
"""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.data.files import user_path
from locoprop_ref.experiments.cluster import run_on_cluster, shared_folder
from locoprop_ref.experiments.compare.folder import (
    MANIFEST,
    folder_lock,
    read_results,
    refuse_another_folder,
    run_path,
)
from locoprop_ref.experiments.compare.manifest import (
    data_of,
    join,
    keep_part,
    manifest_of,
    refuse_another_plan,
)
from locoprop_ref.experiments.compare.measure import clock_all
from locoprop_ref.experiments.compare.one_run import Run, absolute
from locoprop_ref.experiments.compare.page import redraw
from locoprop_ref.experiments.compare.plan import Comparison, describe_plan
from locoprop_ref.experiments.compare.reconstructions import keep_reconstructions
from locoprop_ref.experiments.compare.records import Plan, write_json
from locoprop_ref.experiments.pool import MOST_JOBS, Finished, run_processes
from locoprop_ref.training import describe, examples
from locoprop_ref.training.environment import environment, forced_kernel
from locoprop_ref.training.run_file import read_run, write_run

log = logging.getLogger(__name__)
# `run_processes` or `run_on_cluster`: takes commands and a tick, and yields how each has ended
Start = Callable[..., Generator[Finished, None, None]]


def compare(
    plan: Comparison,
    out: Path,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    clock: bool = True,
    data_dir: str | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> list[str]:
    """Run a comparison into a folder, or what of it is not there yet; return a sentence for every failure.

    Args:
        plan: from `comparison`.
        out: the results folder, made if need be.
        jobs: runs side by side, each with its share of the cores.
        scheduler: address of a Dask scheduler whose workers train instead, see `experiments.cluster`.
        clock: measure seconds and memory of a step first, on this machine with nothing else at work.
        data_dir: see `data.load`.
        progress: show a bar, where standard error is a terminal.
        overwrite: whether a folder with other files may be taken, some of which would be replaced.

    Raises:
        ValueError, TypeError: settings that do not fit the data, or a folder of another configuration.
        OSError: data that cannot be had, files that cannot be written, a run that cannot go on for want of
            its checkpoint, a folder of other files or one that another command is at work in, or a scheduler
            that does not answer.
        KeyboardInterrupt: passed on; what was complete is kept.
    """
    checks.integer("jobs", jobs, maximum=MOST_JOBS)
    for name, switch in (("clock", clock), ("progress", progress), ("overwrite", overwrite)):
        checks.boolean(name, switch)
    out = user_path(out, "out")
    if not overwrite:
        refuse_another_folder(out)
    if scheduler is not None and jobs != 1:
        raise ValueError(f"jobs has no meaning beside scheduler, whose workers have threads, got {jobs}")
    first = plan.config(plan.entries[0], plan.seeds[0])
    xp = namespace(first.backend)
    record = plan.record()
    refuse_another_plan(out, record)
    data, dataset = data_of(plan, out, data_dir)
    examples(dataset, first, xp)  # refuses a network that does not fit the data
    runs = _runs_of(plan, out, data)
    here = manifest_of(record, dataset, environment(first.backend, xp))
    join(out, here)  # before there is a lock: what is refused leaves nothing behind
    _refuse_stuck(runs)
    start: Start = partial(run_processes, jobs=jobs)
    if scheduler is not None:
        start = partial(run_on_cluster, address=scheduler, folder=out)
        with shared_folder(scheduler, out):
            log.info("the workers of %s see %s", scheduler, out)
    with folder_lock(out):
        write_json(out / MANIFEST, join(out, here))
        keep_part(plan, Path(data), dataset)
        _log_plan(here)
        seconds, failures = clock_all(out, here, data, data_dir=data_dir) if clock else ({}, [])
        beside = jobs if scheduler is None else None
        failures += run_all(runs, start, seconds, jobs=beside, data_dir=data_dir, progress=progress)
        _sign(runs, here.command)
        if any(run.is_done() for run in runs):
            keep_reconstructions(out, read_results(out), dataset)
            redraw(out)
        return failures


def _runs_of(plan: Comparison, out: Path, data: str) -> list[Run]:
    where = absolute(data) if data.lower().endswith(".npz") else data
    return [
        Run(entry, seed, plan.options(entry, seed, where), run_path(out, entry, seed))
        for entry in plan.entries
        for seed in plan.seeds
    ]


def _refuse_stuck(runs: Sequence[Run]) -> None:
    """Raise FileNotFoundError where a run has epochs to go and no checkpoint to go on from."""
    for run in runs:
        found = run.on_disk()
        if found and run.epochs_left() and not run.out.with_suffix(".npz").exists():
            raise FileNotFoundError(
                f"{run.out} has {found['epochs'][-1]['epoch']} of {run.options['epochs']} epochs, and no "
                f"checkpoint {run.out.stem}.npz beside it to go on from"
            )


def _log_plan(plan: Plan) -> None:
    for line in describe_plan(plan):
        log.info(line)
    if warning := forced_kernel():
        log.info("warning: %s", warning)


def _sign(runs: Sequence[Run], command: str) -> None:
    """Write the command into the files of those runs that have none yet."""
    for run in runs:
        found = run.on_disk()
        if found and "command" not in found:
            write_run(run.out, found | {"command": command})


def run_all(
    runs: Sequence[Run],
    start: Start,
    seconds: Mapping[str, float],
    *,
    jobs: int | None = None,
    data_dir: str | None = None,
    progress: bool = True,
) -> list[str]:
    """Train what is not done, the longest first; return a sentence for every run that failed.

    Args:
        runs: the runs.
        start: starts their commands here or on a cluster.
        seconds: seconds of a step by entry, where known.
        jobs: runs side by side, for the run files; None where that is not known.
        data_dir: see `data.load`.
        progress: show a bar over the epochs of all runs, where standard error is a terminal.

    Raises:
        KeyboardInterrupt: passed on; every complete epoch is kept.
    """
    from tqdm import tqdm

    left = {run.name: run for run in _longest_first(runs, seconds)}
    commands = [run.command(jobs, data_dir) for run in left.values()]

    def epochs_left() -> int:
        return sum(run.epochs_left() for run in left.values())

    if len(left) < len(runs):
        log.info("%d of %d runs are there already", len(runs) - len(left), len(runs))
    failures = []
    total, quiet = epochs_left(), None if progress else True
    with tqdm(total=total, unit="epoch", disable=quiet, desc="compare") as bar:

        def show() -> None:
            if not bar.disable:
                bar.update(total - bar.n - epochs_left())

        with closing(start(commands, tick=show)) as ended:
            for finished in ended:
                run = left[finished.command.name]
                if not run.is_done():
                    failures.append(f"{run.name} failed: {finished.reason}")
                log.info(_outcome(run) if run.is_done() else failures[-1])
                show()
    return failures


def _longest_first(runs: Sequence[Run], seconds: Mapping[str, float]) -> list[Run]:
    """Return the runs that are not done; without a clock a step costs 2 products per local step, else 3."""
    left = [run for run in runs if not run.is_done()]
    measured = all(run.entry in seconds for run in left)

    def cost(run: Run) -> float:
        step = seconds[run.entry] if measured else 3.0 + 2.0 * (run.config.num_local_steps or 0)
        return step * run.epochs_left()

    return sorted(left, key=cost, reverse=True)


def _outcome(run: Run) -> str:
    found = read_run(run.out)
    if found["status"] == "diverged":
        return f"{run.name} {found['message']}"
    return f"{run.name} {found['status']}, {describe(found['epochs'][-1])}"
