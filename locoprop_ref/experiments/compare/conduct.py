"""A comparison from its plan to its figures."""

from collections.abc import Callable
from pathlib import Path

from locoprop_ref import checks
from locoprop_ref.backend import namespace
from locoprop_ref.experiments.compare.clock import clock_all
from locoprop_ref.experiments.compare.folder import (
    MANIFEST,
    data_of,
    join,
    manifest,
    read_results,
    refuse_another_plan,
    run_path,
    write_json,
)
from locoprop_ref.experiments.compare.lock import alone_in
from locoprop_ref.experiments.compare.pictures import keep_reconstructions
from locoprop_ref.experiments.compare.plan import Comparison, describe
from locoprop_ref.experiments.compare.report import redraw
from locoprop_ref.experiments.compare.runs import Task, is_done, refuse_stuck, run_all, sign
from locoprop_ref.training import examples
from locoprop_ref.training.environment import forced_kernel


def compare(
    plan: Comparison,
    out: Path,
    *,
    jobs: int = 1,
    clock: bool = True,
    data_dir: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[str]:
    """Run a comparison into a folder, or what of it is not there yet; return a sentence for every failure.

    Args:
        plan: from `comparison`.
        out: the results folder, made if need be.
        jobs: runs side by side, each with its share of the cores.
        clock: measure seconds and memory of a step first, with nothing else at work.
        data_dir: see `data.load`.
        progress: show a bar, where standard error is a terminal.
        say: called with every line for the user.

    Raises:
        ValueError, TypeError: settings that do not fit the data, or a folder of another configuration.
        OSError: data that cannot be had, files that cannot be written, a run that cannot go on for want of
            its checkpoint, or a folder that another command is at work in.
        KeyboardInterrupt: passed on; what was complete is kept.
    """
    checks.integer("jobs", jobs)
    xp = namespace(plan.config(plan.contestants[0], plan.seeds[0]).backend)
    refuse_another_plan(out, plan)
    data, dataset = data_of(plan, out, data_dir)
    examples(dataset, plan.config(plan.contestants[0], plan.seeds[0], data), xp)
    tasks = [
        Task(name, seed, plan.config(name, seed, data), run_path(out, name, seed))
        for name in plan.contestants
        for seed in plan.seeds
    ]
    here = manifest(plan, dataset, xp)
    join(out, here)  # before there is a lock: what is refused leaves nothing behind
    refuse_stuck(tasks)
    with alone_in(out):
        found = join(out, here)
        write_json(out / MANIFEST, found)
        warning = forced_kernel()
        for line in [*describe(plan), *([f"warning: {warning}"] if warning else [])]:
            say(line)
        first = {task.contestant: task for task in reversed(tasks)}
        costs, failures = (
            clock_all({name: first[name] for name in plan.contestants}, here, data_dir=data_dir, say=say)
            if clock
            else ({}, [])
        )
        failures += run_all(tasks, jobs=jobs, costs=costs, data_dir=data_dir, progress=progress, say=say)
        sign(tasks, here["command"])
        if any(is_done(task) for task in tasks):
            keep_reconstructions(out, read_results(out), dataset)
            redraw(out, say)
        return failures
