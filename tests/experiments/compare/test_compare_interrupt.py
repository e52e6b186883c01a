"""Comparisons that are killed or interrupted, and runs of them: what was complete is kept and goes on."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from numpy.testing import assert_equal
from small_comparison import losses, options
from small_runs import command, environment, shell

from locoprop_ref.training.run_file import read_run


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
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
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


LONG = {
    "epochs": 80,
    "schedule_epochs": 80,
    "entries": ["locoprop-m"],
}  # two seconds: one is still at work when the other is


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """The losses of long runs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = shell(*options(tiny, folder, **LONG))
    assert (done.returncode, done.stderr) == (0, "")
    return {seed: losses(folder, "locoprop-m", seed) for seed in (0, 1)}


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_and_started_again(tiny, tmp_path, uninterrupted, jobs):
    out = tmp_path / "out"
    arguments = [*options(tiny, out, **LONG), "--jobs", jobs]
    with started(arguments) as process:
        until(lambda: reached(out, "locoprop-m-seed0", 3), process)
        workers = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
    assert_equal(len(workers), jobs)
    end = time.monotonic() + 10  # workers end with their command
    while any(map(is_alive, workers)):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert read_run(out / "locoprop-m-seed0.json")["status"] == "running"
    done = shell(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal({seed: losses(out, "locoprop-m", seed) for seed in (0, 1)}, uninterrupted)


@pytest.mark.full
def test_a_worker_that_dies_takes_no_other_run_with_it(tiny, tmp_path, uninterrupted):
    out = tmp_path / "out"
    arguments = [*options(tiny, out, **LONG), "--jobs", 2]
    with started(arguments) as process:
        until(lambda: reached(out, "locoprop-m-seed0", 2) and reached(out, "locoprop-m-seed1", 2), process)
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert_equal(process.returncode, 1)
    assert err.count("\n") == 1 and "failed: its process died (killed, or out of memory)" in err
    left = {0, 1} - {int(err.split()[4])}
    statuses = {seed: read_run(out / f"locoprop-m-seed{seed}.json")["status"] for seed in (0, 1)}
    assert_equal(statuses, {left.pop(): "finished", int(err.split()[4]): "running"})
    assert (out / "summary.json").exists()
    done = shell(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal({seed: losses(out, "locoprop-m", seed) for seed in (0, 1)}, uninterrupted)


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_interrupted(tiny, tmp_path, uninterrupted, jobs):
    out = tmp_path / "out"
    arguments = [*options(tiny, out, **LONG), "--jobs", jobs]
    with started(arguments) as process:
        until(lambda: reached(out, "locoprop-m-seed0", 2), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert_equal((process.returncode, err), (130, "locoprop-ref: interrupted; what was complete is kept\n"))
    assert_equal(read_run(out / "locoprop-m-seed0.json")["status"], "interrupted")
    done = shell(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal({seed: losses(out, "locoprop-m", seed) for seed in (0, 1)}, uninterrupted)
