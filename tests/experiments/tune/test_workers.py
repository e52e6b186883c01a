"""Worker processes: side by side, killed, interrupted; they do not outlive the command."""

import json
import os
import signal
import sys
import time

import pytest
from small_runs import shell
from tiny_tuning import (
    LONG,
    PATIENCE,
    STORAGE,
    a_search,
    running_worker,
    search,
    small,
    trials_in,
)

from locoprop_ref.data.files import process_is_alive
from locoprop_ref.experiments.pool import Command, run_processes
from locoprop_ref.experiments.tune import tune, tuning, workers
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.trials import Work


@pytest.mark.full
def test_two_jobs(here):
    names = ["sgd", "rmsprop"]
    alone = tune(names, small(), trials=2, progress=False, storage="sqlite:///alone.db")
    both = tune(names, small(), trials=2, progress=False, storage="sqlite:///both.db", jobs=2)
    assert both.keys() == alone.keys() == set(names)
    for name in names:
        assert both[name]["study"]["trials"] == 2
        assert both[name]["study"]["untuned_loss"] == alone[name]["study"]["untuned_loss"]


@pytest.mark.full
def test_two_jobs_at_one_study(here, said):
    assert search(trials=5, jobs=2)["study"]["trials"] == 5
    assert [t.state.name for t in trials_in() if "returned" not in t.user_attrs] == ["COMPLETE"] * 5
    assert sum(" trial " in line for line in said()) == 5


def test_the_folder_of_the_data_reaches_the_workers(here, monkeypatch):
    """It may be a path, which is no JSON."""

    class Begun(Exception):
        pass

    def begin(_studies, work, *_):
        raise Begun(workers.worker_command(work))

    monkeypatch.setattr(tuning, "run_trials", begin)
    # a file of one's own, which is read before the workers begin, would refuse any folder
    monkeypatch.setattr("locoprop_ref.data.refuse_folder", lambda *_: None)
    with pytest.raises(Begun) as raised:
        tune(["sgd"], small(), trials=2, progress=False, jobs=2, data_dir=here / "folder")
    sent = json.loads(raised.value.args[0].environment[workers.WORK_VARIABLE])
    assert sent["data_dir"] == str(here / "folder")


DIES = Command("dies", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
NOTHING = Work((), Storage(STORAGE))


@pytest.mark.parametrize("jobs", [2, 3, 5])
def test_workers_that_die_one_after_the_other_end_the_command(jobs, monkeypatch, said):
    monkeypatch.setattr(workers, "worker_command", lambda work: DIES)
    started = workers.workers(NOTHING, jobs, tick=lambda: None)
    with pytest.raises(ChildProcessError, match=r"^4 workers were killed in a row: too little memory\?$"):
        workers.watch(started, missing=lambda: 1, lost="lost")
    assert said() == ["lost"] * 4


def test_workers_that_die_but_leave_something_behind_do_not_end_the_command(monkeypatch, said):
    left = iter(range(20, 0, -1))
    monkeypatch.setattr(workers, "worker_command", lambda work: DIES)
    started = workers.workers(NOTHING, 2, tick=lambda: None)
    workers.watch(started, missing=lambda: next(left), lost="lost")
    assert said() == ["lost"] * 6  # two, and four in their place


def test_processes_end_when_nothing_is_missing():
    """The second worker would sleep for ever."""
    sleeps = Command("sleeps", [sys.executable, "-c", "import time; time.sleep(1000)"])
    left = iter([1, 0])
    started = run_processes([DIES, sleeps], jobs=2)
    workers.watch(started, missing=lambda: next(left), lost="lost")
    assert list(started) == []


def test_the_error_of_a_worker_is_the_command_s(here, monkeypatch):
    fail = [sys.executable, "-c", "import sys; sys.exit('locoprop-ref tune: storage x cannot be used: gone')"]
    monkeypatch.setattr(workers, "worker_command", lambda work: Command("fails", fail))
    with pytest.raises(ChildProcessError, match=r"^storage x cannot be used: gone$"):
        search(jobs=2)


def test_a_worker_says_in_one_line_what_is_wrong(here):
    search(trials=1)
    (here / "tiny.npz").unlink()  # after the command has looked at it
    command = workers.worker_command(Work((a_search(),), Storage(STORAGE)))
    assert STORAGE not in " ".join(command.arguments)  # a storage may have a password
    (done,) = run_processes([command], jobs=1)
    assert (done.return_code, len(done.last_lines)) == (2, 1)
    assert done.reason == "tiny.npz must be an NPZ file, got nothing by that name"


@pytest.mark.full
def test_a_killed_command_goes_on_as_if_it_had_not_been(here, begun):
    elsewhere = ["--storage", "sqlite:///whole.db", "--out", "whole"]
    whole = shell("tune", "sgd", *LONG, *elsewhere, cwd=here, timeout=PATIENCE)
    assert whole.returncode == 0, whole.stderr
    process = begun("tune", "sgd", *LONG)
    killed = running_worker(STORAGE)
    assert killed == process.pid
    process.kill()
    process.communicate()
    assert not (here / "tuning" / "mnist" / "sgd.json").exists()
    resumed = shell("tune", "sgd", *LONG, cwd=here, timeout=PATIENCE)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    record, expected = (
        json.loads((here / out / "mnist" / "sgd.json").read_text()) for out in ("tuning", "whole")
    )
    assert record["study"].pop("failed") == 1
    assert expected["study"].pop("failed") == 0
    assert record == expected


@pytest.mark.full
def test_a_killed_worker_costs_its_trial_alone(here, begun):
    process = begun("tune", "sgd", "adam", *LONG, "--jobs", "2")
    os.kill(running_worker(STORAGE), signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert out.count("a worker was killed, its trial is marked failed and does not count") == 1
    studies = [
        json.loads((here / "tuning" / "mnist" / f"{name}.json").read_text())["study"]
        for name in ("sgd", "adam")
    ]
    assert sorted(study["failed"] for study in studies) == [0, 1]
    assert [study["trials"] for study in studies] == [2, 2]


@pytest.mark.full
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_was_complete(jobs, here, begun):
    arguments = ["tune", "sgd", "adam", *LONG, "--jobs", jobs]
    process = begun(*arguments)
    worker = running_worker(STORAGE)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "locoprop-ref: interrupted; what was complete is kept\n")
    assert not process_is_alive(worker)
    states = {t.state.name for t in trials_in(a_search("sgd", problem=small(epochs=40, batch_size=1)))}
    assert "RUNNING" not in states
    resumed = shell(*arguments, cwd=here, timeout=PATIENCE)
    assert (resumed.returncode, resumed.stderr) == (0, "")


@pytest.mark.full
def test_workers_do_not_outlive_the_command(here, begun):
    process = begun("tune", "sgd", "adam", *LONG, "--jobs", "2")
    worker = running_worker(STORAGE)
    assert worker != process.pid
    process.kill()
    process.communicate()
    for _ in range(100):
        if not process_is_alive(worker):
            break
        time.sleep(0.05)
    assert not process_is_alive(worker)
