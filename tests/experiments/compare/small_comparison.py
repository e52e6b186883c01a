"""Comparisons on a tiny data set, for the tests of what becomes of them."""

import contextlib
import io
import logging
import subprocess
import time
from pathlib import Path

import small_runs

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.compare.plan import comparison
from locoprop_ref.experiments.pool import Finished
from locoprop_ref.training.run_file import read_run

SMALL = {"layers": "9-6-3-6-9", "batch_size": 20, "epochs": 2}
PAIR = ("rmsprop", "locoprop-m")


def plan_of(tiny, entries=PAIR, seeds=(0, 1), **more):
    return comparison("standard", entries=entries, seeds=seeds, data=str(tiny), **{**SMALL, **more})


def options(tiny, out, entries=PAIR, seeds=(0, 1), **more):
    """The same comparison for the command line."""
    settings = {"data": tiny, **SMALL, **more}
    words = ["compare", "--preset", "standard", "--methods", *entries, "--seeds", *seeds, "--out", out]
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", value]
    return [*words, "--no-clock"]


def everything(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def losses(folder, entry, seed):
    return [(row["train"], row["test"]) for row in read_run(folder / f"{entry}-seed{seed}.json")["epochs"]]


@contextlib.contextmanager
def logged():
    """What the package tells the user meanwhile, line by line."""
    lines, logger = [], logging.getLogger("locoprop_ref")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def in_this_process(commands, *, jobs, **_):
    """Run commands of the package one after the other right here: a process each would take longer."""
    for command in commands:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            try:
                status = cli.main(command.arguments[3:])
            except SystemExit as stop:
                status = stop.code
        yield Finished(command, status, tuple(err.getvalue().splitlines()))


def children_of(pid):
    """The training processes of a command."""
    found = []
    tasks = Path(f"/proc/{pid}/task").glob("*/children")  # each child is of the thread that started it
    for line in " ".join(path.read_text() for path in tasks).split():
        try:
            words = Path(f"/proc/{line}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if "\0train\0" in words:
            found.append(int(line))
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(arguments):
    return subprocess.Popen(
        small_runs.command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=small_runs.environment(),
    )


def until(condition, process, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.01)


def reached(out, name, epoch):
    path = out / f"{name}.json"
    return path.exists() and len(read_run(path)["epochs"]) > epoch
