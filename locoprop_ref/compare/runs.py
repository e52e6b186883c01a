"""Training every contestant with every seed: what is finished is skipped, what was killed goes on.

One job trains in this process with all cores. Several jobs train in processes of their own, each kept to its
share of the cores. Either way a run is complete on disk after each of its epochs, so that neither Ctrl-C nor
a process that dies costs more than the epoch under way.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from locoprop_ref.backend import keep_to_cores
from locoprop_ref.config import Config
from locoprop_ref.run_file import read_run
from locoprop_ref.train import describe, train


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
        if jobs == 1 or not left:
            return _in_order(left, data_dir, bar, say)
        return _side_by_side(left, jobs, data_dir, bar, say)


def _bar(tasks: Sequence[Task], progress: bool) -> Any:
    from tqdm import tqdm

    epochs = sum(task.config.epochs - epochs_on_disk(task) for task in tasks)
    return tqdm(total=epochs, unit="epoch", disable=None if progress else True, desc="compare")


# one after the other ----------------------------------------------------------------------------------


def _in_order(tasks: Sequence[Task], data_dir: str | None, bar: Any, say: Callable[[str], None]) -> list[str]:
    failures = []
    for task in tasks:
        bar.set_postfix_str(task.name)

        def count(line: str) -> None:
            bar.update(line.startswith("epoch ") and not line.startswith("epoch 0:"))

        try:
            run = train(
                task.config, out=task.out, resume=True, data_dir=data_dir, progress=False, jobs=1, say=count
            ).run
        except (ValueError, TypeError, OSError, MemoryError) as error:
            failures.append(f"{task.name} failed: {error}")
            say(failures[-1])
            continue
        say(_sentence(task, run))
    return failures


def _sentence(task: Task, run: Mapping[str, Any]) -> str:
    if run["status"] == "diverged":
        return f"{task.name} {run['message']}"
    return f"{task.name} {run['status']}, {describe(run['epochs'][-1])}"


# side by side -----------------------------------------------------------------------------------------


def _side_by_side(
    tasks: Sequence[Task], jobs: int, data_dir: str | None, bar: Any, say: Callable[[str], None]
) -> list[str]:
    context = multiprocessing.get_context("spawn")  # threads and BLAS do not survive a fork
    pool = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(context.Value("i", 0), jobs)
    )
    waiting, running, failures = list(tasks), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:  # never more in the pool than it can begin at once
                task = waiting.pop(0)
                with ignoring_interrupts():  # a worker is told to stop by us, not by the terminal
                    running[pool.submit(_train_one, task, jobs, data_dir)] = task
            ended, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in sorted(ended, key=lambda f: running[f].name):
                task = running.pop(future)
                failure, sentence = _result(task, future)
                failures += [failure] if failure else []
                say(failure or sentence)
            _show(bar, running.values(), tasks)
    except BrokenProcessPool:
        failures.append(_say_death(tasks, say))
    except KeyboardInterrupt:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return failures


def _result(task: Task, future: Future) -> tuple[str | None, str]:
    try:
        return None, _sentence(task, future.result())
    except BrokenProcessPool:
        raise
    except (ValueError, TypeError, OSError, MemoryError) as error:
        return f"{task.name} failed: {error}", ""


def _say_death(tasks: Sequence[Task], say: Callable[[str], None]) -> str:
    left = [task.name for task in tasks if not is_done(task)]
    sentence = (
        f"a worker process died (killed, or out of memory); every complete epoch is kept, and the same "
        f"command goes on with the {len(left)} runs that are left: {', '.join(left)}"
    )
    say(sentence)
    return sentence


def _show(bar: Any, running: Any, tasks: Sequence[Task]) -> None:
    if bar.disable:
        return
    bar.n = bar.total - sum(task.config.epochs - epochs_on_disk(task) for task in tasks if not is_done(task))
    bar.set_postfix_str(", ".join(task.name for task in running))


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Start processes that Ctrl-C in the terminal does not reach."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker(counter: Any, jobs: int) -> None:
    with counter.get_lock():
        index = counter.value
        counter.value += 1
    keep_to_cores(index, jobs)


def _train_one(task: Task, jobs: int, data_dir: str | None) -> dict[str, Any]:
    """Train in a worker process; when it is told to end, the run file says "interrupted" first."""

    def interrupt(number: int, frame: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        return train(task.config, out=task.out, resume=True, data_dir=data_dir, progress=False, jobs=jobs).run
    except KeyboardInterrupt:
        os._exit(130)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
