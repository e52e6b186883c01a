"""Comparisons that are killed or interrupted, and runs of them: what was complete is kept and goes on."""

import os
import signal
import time

import pytest
from numpy.testing import assert_equal
from small_comparison import children_of, is_alive, losses, options, reached, started, until
from small_runs import shell

from locoprop_ref.training.run_file import read_run

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
