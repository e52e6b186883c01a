"""Training every contestant with every seed: what is finished is skipped, what was killed goes on.

One job trains in this process with all cores. Several jobs train in processes of their own, each kept to its
share of the cores. Either way a run is complete on disk after each of its epochs, so that neither Ctrl-C nor
a process that dies costs more than the epoch under way.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from locoprop_ref.experiments.compare.workers import in_workers
from locoprop_ref.training import describe, train
from locoprop_ref.training.options import Config
from locoprop_ref.training.run_file import read_run, write_run


@dataclass(frozen=True)
class Task:
    """One run: who, from which seed, as what, and where it is kept."""

    contestant: str
    seed: int
    config: Config
    out: Path

    @property
    def name(self) -> str:
        """The run in words."""
        return f"{self.contestant} seed {self.seed}"


def epochs_on_disk(task: Task) -> int:
    """Return how many epochs of a run are complete."""
    return read_run(task.out)["epochs"][-1]["epoch"] if task.out.exists() else 0


def is_done(task: Task) -> bool:
    """Tell whether nothing is left to do: the last epoch is there, or the run diverged."""
    if not task.out.exists():
        return False
    run = read_run(task.out)
    return run["status"] == "diverged" or run["epochs"][-1]["epoch"] >= task.config.epochs


def refuse_stuck(tasks: Sequence[Task]) -> None:
    """Raise FileNotFoundError where a run has epochs to go and no checkpoint to go on from."""
    for task in tasks:
        if task.out.exists() and not is_done(task) and not task.out.with_suffix(".npz").exists():
            raise FileNotFoundError(
                f"{task.out} has {epochs_on_disk(task)} of {task.config.epochs} epochs, and no checkpoint "
                f"{task.out.stem}.npz beside it to go on from"
            )


def rough_cost(config: Config) -> float:
    """Return a guess of a step's cost for want of a clock, K local steps at 2 products a layer, else 3."""
    return 3.0 + 2.0 * (config.num_local_steps or 0)


def run_all(
    tasks: Sequence[Task],
    *,
    jobs: int = 1,
    costs: Mapping[str, float] | None = None,
    data_dir: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[str]:
    """Train what is not done, the longest first; return a sentence for every run that failed.

    Args:
        tasks: the runs.
        jobs: processes side by side.
        costs: seconds of a step by contestant, where known.
        data_dir: see `data.load`.
        progress: show a bar over the epochs of all runs, where standard error is a terminal.
        say: called with a line for every run that has ended.

    Raises:
        KeyboardInterrupt: passed on; every complete epoch is kept.
    """
    known = costs or {}
    left = [task for task in tasks if not is_done(task)]
    if len(left) < len(tasks):
        say(f"{len(tasks) - len(left)} of {len(tasks)} runs are there already")
    comparable = all(task.contestant in known for task in left)
    cost = {t.name: known[t.contestant] if comparable else rough_cost(t.config) for t in left}
    left.sort(key=lambda t: -cost[t.name] * (t.config.epochs - epochs_on_disk(t)))
    with _bar(left, progress) as bar:
        if jobs == 1:
            return _in_order(left, data_dir, bar, say)
        return _side_by_side(left, jobs, data_dir, bar, say)


def _bar(tasks: Sequence[Task], progress: bool) -> Any:
    from tqdm import tqdm

    epochs = sum(task.config.epochs - epochs_on_disk(task) for task in tasks)
    return tqdm(total=epochs, unit="epoch", disable=None if progress else True, desc="compare")


def _failure(task: Task, error: Exception) -> str:
    return f"{task.name} failed: {' '.join(str(error).split()) or type(error).__name__}"


def _sentence(task: Task, run: Mapping[str, Any]) -> str:
    if run["status"] == "diverged":
        return f"{task.name} {run['message']}"
    return f"{task.name} {run['status']}, {describe(run['epochs'][-1])}"


def sign(tasks: Sequence[Task], command: str) -> None:
    """Write the command into the files of those runs that have none yet."""
    for task in tasks:
        if task.out.exists() and "command" not in (run := read_run(task.out)):
            write_run(task.out, run | {"command": command})


# one after the other ----------------------------------------------------------------------------------


def _in_order(tasks: Sequence[Task], data_dir: str | None, bar: Any, say: Callable[[str], None]) -> list[str]:
    failures = []

    def count(line: str) -> None:
        bar.update(line.startswith("epoch ") and not line.startswith("epoch 0:"))

    for task in tasks:
        bar.set_postfix_str(task.name)
        try:
            with _lines_of_training(count):
                run = train_one(task, 1, data_dir)
            say(_sentence(task, run))
        except (ValueError, TypeError, OSError, MemoryError) as error:
            failures.append(_failure(task, error))
            say(failures[-1])
    return failures


@contextmanager
def _lines_of_training(count: Callable[[str], None]) -> Iterator[None]:
    """Pass what training logs to `count`, and to nobody else."""
    logger, handler = logging.getLogger("locoprop_ref.training"), logging.Handler(logging.INFO)
    handler.emit = lambda record: count(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def train_one(task: Task, jobs: int, data_dir: str | None) -> dict[str, Any]:
    """Train a run from its beginning or from where it stands; return the run file's content.

    Args:
        task: the run.
        jobs: runs side by side, for the run file.
        data_dir: see `data.load`.
    """
    settings: dict[str, Any] = {"resume": True, "data_dir": data_dir, "progress": False, "jobs": jobs}
    return train(task.config, out=task.out, **settings).run


# side by side -----------------------------------------------------------------------------------------


def _side_by_side(
    tasks: Sequence[Task], jobs: int, data_dir: str | None, bar: Any, say: Callable[[str], None]
) -> list[str]:
    failures, named = [], {task.name: task for task in tasks}

    def ended(name: str, result: Any) -> None:
        if isinstance(result, Exception):
            failures.append(_failure(named[name], result))
            say(failures[-1])
        else:
            say(_sentence(named[name], result))

    calls = {name: partial(train_one, task, jobs, data_dir) for name, task in named.items()}
    in_workers(calls, jobs, ended=ended, tick=lambda: _show(bar, tasks))
    return failures


def _show(bar: Any, tasks: Sequence[Task]) -> None:
    if not bar.disable:
        left = sum(task.config.epochs - epochs_on_disk(task) for task in tasks if not is_done(task))
        bar.update(bar.total - left - bar.n)
