"""A comparison on a Dask cluster: two workers, one of them killed; what is refused, and what ends with it."""

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numpy.testing import assert_equal
from small_runs import command, environment, shell, without_seconds, write_data

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.cluster import _says_something
from locoprop_ref.experiments.compare.plan import comparison
from locoprop_ref.training import train
from locoprop_ref.training.run_file import read_run

# says the scheduler's address and the workers' process numbers, and runs until its standard input ends
CLUSTER = """
import json, os, sys
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            print(json.dumps([cluster.scheduler_address, list(client.run(os.getpid).values())]), flush=True)
        sys.stdin.read()
"""
LAYERS = {"layers": "9-6-3-6-9", "batch_size": 20, "epochs": 300, "schedule_epochs": 300}
pytestmark = pytest.mark.full


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler with two workers, and the numbers of the workers' processes."""
    pytest.importorskip("distributed")
    (tmp_path / "cluster.py").write_text(CLUSTER)
    with subprocess.Popen(
        [sys.executable, "cluster.py"], cwd=tmp_path, env=environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        yield json.loads(process.stdout.readline())
        process.stdin.close()
        process.wait(60)


@pytest.fixture
def tiny(tmp_path):
    return write_data(tmp_path / "tiny.npz")


def options(tiny, out, address, *more):
    words = ["compare", "--preset", "standard", "--methods", "locoprop-m", "--seeds", 0, 1, "--out", out]
    words += ["--data", tiny, "--no-clock", "--scheduler", address, *more]
    for name, value in LAYERS.items():
        words += [f"--{name.replace('_', '-')}", value]
    return words


def runs_of(out):
    return [out / f"locoprop-m-seed{seed}.json" for seed in (0, 1)]


def epochs(path):
    return len(read_run(path)["epochs"]) - 1 if path.exists() else 0


def until(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def children(worker):
    """The training processes of a worker."""
    found = []
    for line in Path("/proc").iterdir():
        try:
            parent = int((line / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == worker and b"locoprop_ref" in (line / "cmdline").read_bytes():
                found.append(int(line.name))
        except (OSError, ValueError):
            continue
    return found


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def started(words):
    return subprocess.Popen(
        command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def test_a_killed_worker_takes_nothing_with_it(cluster, tiny, tmp_path):
    """Its run goes on elsewhere, and all runs are those that `train` makes."""
    (address, workers), out = cluster, tmp_path / "out"
    with started(options(tiny, out, address)) as process:
        until(lambda: all(epochs(path) > 5 for path in runs_of(out)), process)
        at_work = [worker for worker in workers if children(worker)]
        assert_equal(len(at_work), 2)
        (orphan,) = children(at_work[0])
        os.kill(at_work[0], signal.SIGKILL)
        _, err = process.communicate(timeout=200)
    assert not is_alive(orphan)
    assert (process.returncode, err) == (0, "")
    plan = comparison("standard", entries=["locoprop-m"], data=str(tiny), **LAYERS)
    for seed, path in enumerate(runs_of(out)):
        run = read_run(path)
        assert run.pop("command").startswith("locoprop-ref compare --preset standard")
        assert "jobs" not in run  # nobody knows what else the workers do
        run["environment"].pop("variables")
        alone = json.loads(json.dumps(train(plan.config("locoprop-m", seed), progress=False).run))
        alone["environment"].pop("variables")
        assert_equal(without_seconds(run)["epochs"], without_seconds(alone)["epochs"])
        assert_equal((run["status"], run["config"]), ("finished", alone["config"]))
    assert (out / "summary.md").exists()
    assert_equal(list(out.glob(".shared-*")), [])


def test_ctrl_c_ends_the_runs_on_the_workers(cluster, tiny, tmp_path):
    (address, workers), out = cluster, tmp_path / "out"
    with started(options(tiny, out, address)) as process:
        until(lambda: all(epochs(path) > 5 for path in runs_of(out)), process)
        assert all(children(worker) for worker in workers)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert_equal((process.returncode, err), (130, "locoprop-ref: interrupted; what was complete is kept\n"))
    assert not any(children(worker) for worker in workers)  # it waited for them
    assert_equal({read_run(path)["status"] for path in runs_of(out)}, {"interrupted"})
    assert_equal(list(out.glob(".shared-*")), [])


def test_the_runs_end_with_the_command_that_was_killed(cluster, tiny, tmp_path):
    (address, workers), out = cluster, tmp_path / "out"
    with started(options(tiny, out, address)) as process:
        until(lambda: all(epochs(path) > 5 for path in runs_of(out)), process)
        process.kill()
    end = time.monotonic() + 60
    while any(children(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert all(epochs(path) < LAYERS["epochs"] for path in runs_of(out))


def test_a_folder_that_is_not_shared_is_refused(cluster, tiny, tmp_path, monkeypatch, capsys):
    """What a worker sees is asked of the worker: here it looks for a file of another name."""
    from distributed import Client

    right = Client.run
    monkeypatch.setattr(
        Client,
        "run",
        lambda self, call, *words, **more: right(self, call, *(f"{w}-x" for w in words), **more),
    )
    out = tmp_path / "out"
    status = cli.main([str(word) for word in options(tiny, out, cluster[0])])
    err = capsys.readouterr().err
    assert_equal((status, err.count("\n")), (2, 1))
    assert f"out must be on a file system that all workers share, got {out}, which worker tcp://" in err
    assert_equal(list(out.iterdir()), [])


def test_a_scheduler_that_does_not_answer_is_refused(tiny, tmp_path, monkeypatch):
    done = shell(*options(tiny, tmp_path / "out", "tcp://127.0.0.1:9"), timeout=90)
    wanted = "scheduler must be the address of a Dask scheduler that answers, got tcp://127.0.0.1:9"
    assert_equal((done.returncode, done.stderr), (2, f"locoprop-ref compare: {wanted}\n"))
    assert not (tmp_path / "out").exists()


def test_a_timer_that_nobody_asks_is_not_printed(caplog):
    """What `distributed` leaves behind where a connection is closed; another error is printed as ever."""
    logging.getLogger("asyncio").addFilter(_says_something)
    loop = asyncio.new_event_loop()
    for error in (TimeoutError("Timeout"), OSError("broken")):
        loop.create_future().set_exception(error)
        gc.collect()
    loop.close()
    logging.getLogger("asyncio").removeFilter(_says_something)
    assert_equal([record.exc_info[1].args for record in caplog.records], [("broken",)])
