"""Methods × seeds: the plan, the runs and their files, clock and memory, table, claims and figures."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from itertools import pairwise
from math import inf
from pathlib import Path
from types import SimpleNamespace

import made_up
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from small_runs import command, environment, shell, without_seconds, write_data

from locoprop_ref import plot
from locoprop_ref.backend import namespace
from locoprop_ref.cli import main as cli
from locoprop_ref.data import load
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import clock, conduct, figures, memory, summary, table, timing
from locoprop_ref.experiments.compare.claims import LOCOPROP, SECOND_ORDER, claims, sentences
from locoprop_ref.experiments.compare.conduct import compare
from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.lock import alone_in
from locoprop_ref.experiments.compare.plan import OWN, comparison
from locoprop_ref.experiments.compare.runs import Task, run_all
from locoprop_ref.experiments.tune.problem import PROBLEMS
from locoprop_ref.parallel import keep_to_cores
from locoprop_ref.training import Examples, loop, train
from locoprop_ref.training.build import build_method, build_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import as_json
from locoprop_ref.training.run_file import read_run

SMALL = {"layers": "9-6-3-6-9", "batch_size": 20, "epochs": 2}
PAIR = ("rmsprop", "locoprop-m")


@pytest.fixture
def undrawn(monkeypatch):
    """Runs without their figures, which take longer than the runs."""
    monkeypatch.setattr(conduct, "redraw", lambda *_: None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


def plan_of(tiny, contestants=PAIR, seeds=(0, 1), **more):
    return comparison("standard", contestants=contestants, seeds=seeds, data=str(tiny), **{**SMALL, **more})


def options(tiny, out, contestants=PAIR, seeds=(0, 1), **more):
    """The same comparison for the command line."""
    settings = {"data": tiny, **SMALL, **more}
    words = ["compare", "--preset", "standard", "--methods", *contestants, "--seeds", *seeds, "--out", out]
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", value]
    return [*words, "--no-clock"]


def everything(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def losses(folder, contestant, seed):
    return [
        (row["train"], row["test"]) for row in read_run(folder / f"{contestant}-seed{seed}.json")["epochs"]
    ]


# ------------------------------ the plan


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_contestants_differ_in_their_own_settings_alone(preset):
    plan = comparison(preset)
    assert_equal(plan.contestants, tuple(tuned.CONTESTANTS))
    for seed in plan.seeds:
        shared = [
            {k: v for k, v in as_json(plan.config(name, seed)).items() if k not in OWN}
            for name in plan.contestants
        ]
        assert all(one == shared[0] for one in shared)
        assert_equal(shared[0]["seed"], seed)


def test_presets():
    paper = comparison("paper", epochs=20).config("locoprop-m", 0)
    assert_equal(
        (paper.data, paper.epochs, paper.schedule_epochs, paper.batch_size, paper.layers),
        ("mnist", 20, 100, 1000, "784-1000-500-250-30-250-500-1000-784"),
    )
    wide = comparison("paper", data="fashion_mnist", width=2.0, depth=3).config("sgd", 1)
    assert_equal((wide.data, wide.width, wide.depth, wide.epochs), ("fashion_mnist", 2.0, 3, 99))
    assert_equal(comparison("standard").config("sgd", 0).layers.count("-"), 12)
    quick = comparison("quick", data="mnist")
    assert_equal((quick.images, quick.config("sgd", 0).layers), ((10000, 2000), "784-100-50-6-50-100-784"))


def test_tuned_settings_are_used_and_cannot_change_what_is_shared(monkeypatch):
    study = {"settings": {"learning_rate": 0.5, "batch_size": 7}, "study": {"trials": 3}}
    monkeypatch.setattr(tuned, "provenance", lambda name, problem="mnist": study if name == "sgd" else None)
    monkeypatch.setattr("locoprop_ref.experiments.compare.plan.provenance", tuned.provenance)
    plan = comparison("standard", contestants=["sgd", "adam"])
    config = plan.config("sgd", 0)
    assert_equal((config.learning_rate, config.batch_size), (0.5, 1000))
    assert_equal((plan.is_tuned("sgd"), plan.is_tuned("adam")), (True, False))
    untuned = comparison("standard", contestants=["sgd"], tuned=False)
    assert_equal(
        untuned.config("sgd", 0).learning_rate, resolve(method="backprop", optimizer="sgd").learning_rate
    )
    assert "--untuned" in untuned.command() and "--untuned" not in plan.command()


def test_the_command_in_the_files_makes_the_same_plan():
    plan = comparison(
        "paper", contestants=["adam", "locoprop-s"], seeds=[4, 2], epochs=20, width=0.5, tuned=False
    )
    given = cli._parser().parse_args(plan.command().split()[1:])
    shared = {name: getattr(given, name) for name in ("data", "layers", "epochs", "width", "batch_size")}
    again = comparison(
        given.preset, contestants=given.methods, seeds=given.seeds, tuned=not given.untuned, **shared
    )
    assert again == plan


# ------------------------------ runs


@pytest.fixture(scope="module")
def compared(tiny, tmp_path_factory):
    """A comparison that ran in one go, one job, without a clock."""
    folder = tmp_path_factory.mktemp("compared")
    said = []
    assert compare(plan_of(tiny), folder, clock=False, progress=False, say=said.append) == []
    return folder, said


def test_every_run_is_the_one_that_train_makes(compared, tiny):
    folder, _ = compared
    for name in PAIR:
        for seed in (0, 1):
            alone = train(plan_of(tiny).config(name, seed), progress=False).run
            run = read_run(folder / f"{name}-seed{seed}.json")
            assert_equal(run.pop("jobs"), 1)
            assert run.pop("command").startswith("locoprop-ref compare --preset ")
            assert_equal(without_seconds(run), without_seconds(alone))


def test_a_run_keeps_the_command_that_made_it(compared, tiny, tmp_path, undrawn):
    folder = shutil.copytree(compared[0], tmp_path / "more")
    compare(plan_of(tiny, seeds=[0, 1, 2]), folder, clock=False, progress=False)
    commands = {seed: read_run(folder / f"{PAIR[0]}-seed{seed}.json")["command"] for seed in (0, 1, 2)}
    assert commands[0] == commands[1] != commands[2]
    assert " --seeds 0 1 2" in commands[2]


def test_all_contestants_begin_with_the_same_network(tiny, tmp_path, undrawn):
    every = tuple(tuned.CONTESTANTS)
    compare(plan_of(tiny, every, epochs=1), tmp_path, clock=False, progress=False)
    for seed in (0, 1):
        assert_equal(len({json.dumps(losses(tmp_path, name, seed)[0]) for name in every}), 1)
    assert losses(tmp_path, "sgd", 0) != losses(tmp_path, "sgd", 1)


def test_settings_are_said_and_stored(compared):
    folder, said = compared
    manifest = json.loads((folder / "comparison.json").read_text())
    rate = tuned.options("rmsprop")["learning_rate"]
    assert_equal(manifest["contestants"]["rmsprop"]["settings"]["learning_rate"], rate)
    assert_equal((manifest["seeds"], manifest["shared"]["batch_size"]), ([0, 1], 20))
    begun = "  rmsprop (tuned on data mnist, layers 784-1000-"
    assert any(line.startswith(begun) and f"learning_rate {rate}," in line for line in said)
    for name in ("comparison.json", "summary.json", "reconstructions.json"):
        content = json.loads((folder / name).read_text())
        assert content["command"].startswith(
            "locoprop-ref compare --preset standard --methods rmsprop locoprop-m"
        )
        assert_equal(content["environment"]["versions"]["numpy"], np.__version__)
        assert str(folder.parent) not in (folder / name).read_text()


def test_finished_runs_are_skipped_and_the_folder_grows(tiny, tmp_path, compared, undrawn):
    first, _ = compared
    compare(plan_of(tiny, ["rmsprop"], [0]), tmp_path, clock=False, progress=False)
    before = (tmp_path / "rmsprop-seed0.json").read_bytes()
    said = []
    compare(plan_of(tiny), tmp_path, clock=False, progress=False, say=said.append)
    assert "1 of 4 runs are there already" in said
    assert_equal((tmp_path / "rmsprop-seed0.json").read_bytes() == before, True)
    for name in PAIR:
        assert_equal(losses(tmp_path, name, 1), losses(first, name, 1))
    compare(plan_of(tiny, ["rmsprop"], [0]), tmp_path, clock=False, progress=False)
    manifest = json.loads((tmp_path / "comparison.json").read_text())
    assert_equal((list(manifest["contestants"]), manifest["seeds"]), (list(PAIR), [0, 1]))
    assert_equal(manifest["command"], json.loads((first / "comparison.json").read_text())["command"])


def test_every_command_that_made_a_folder_is_said(tiny, tmp_path, undrawn):
    """Of a folder that grew by another method and then by epochs; a run names the one that ended it."""
    plans = [
        plan_of(tiny, ["sgd"], [0]),
        plan_of(tiny, ["adam"], [0]),
        plan_of(tiny, ["sgd"], [0]),  # again, which adds nothing
        plan_of(tiny, ["adam"], [0], epochs=4),
        plan_of(tiny, ["sgd", "adam"], [0], epochs=4),
    ]
    first, second, _, longer, all_of_it = commands = [plan.command() for plan in plans]
    made, by_run = [], []
    for plan in plans:
        compare(plan, tmp_path, clock=False, progress=False)
        made.append(json.loads((tmp_path / "comparison.json").read_text())["command"])
        by_run.append([read_run(path).get("command") for path in sorted(tmp_path.glob("*-seed0.json"))])
    both = f"{first} && {second}"
    assert_equal(made, [first, both, both, f"{both} && {longer}", all_of_it])
    assert_equal(by_run, [[first], [second, first], [second, first], [longer, first], [longer, all_of_it]])
    assert_equal(len(set(commands)), 4)


def test_more_epochs_go_on_where_the_schedule_is_the_same(tiny, tmp_path, undrawn):
    one = plan_of(tiny, ["adam"], [0], schedule_epochs=9)
    compare(one, tmp_path, clock=False, progress=False)
    more = plan_of(tiny, ["adam"], [0], schedule_epochs=9, epochs=4)
    compare(more, tmp_path, clock=False, progress=False)
    at_once = train(more.config("adam", 0), progress=False).run
    assert_equal(losses(tmp_path, "adam", 0), [(row["train"], row["test"]) for row in at_once["epochs"]])
    with pytest.raises(ValueError, match="epochs 4 there, 2 here"):
        compare(one, tmp_path, clock=False, progress=False)


def test_epochs_that_no_run_came_to_may_be_given_up(compared, tiny, tmp_path, undrawn, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    folder = shutil.copytree(compared[0], tmp_path / "copy")
    with monkeypatch.context() as at_once:
        at_once.setattr(conduct, "run_all", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(plan_of(tiny, epochs=4), folder, clock=False, progress=False)
    assert_equal(json.loads((folder / "comparison.json").read_text())["shared"]["epochs"], 4)
    assert_equal(compare(plan_of(tiny), folder, clock=False, progress=False), [])
    assert_equal((folder / "comparison.json").read_bytes(), (compared[0] / "comparison.json").read_bytes())


def test_runs_that_cannot_go_on_are_refused_before_anything_is_written(compared, tiny, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "copy", ignore=shutil.ignore_patterns("*.npz"))
    before = everything(folder)
    wanted = r"rmsprop-seed0\.json has 2 of 4 epochs, and no checkpoint rmsprop-seed0\.npz beside it"
    with pytest.raises(FileNotFoundError, match=wanted):
        compare(plan_of(tiny, epochs=4), folder, clock=False, progress=False)
    assert_equal(everything(folder) == before, True)


def test_one_command_at_a_time(compared, tiny, tmp_path, capsys):
    folder = shutil.copytree(compared[0], tmp_path / "copy")
    before = everything(folder)
    with alone_in(folder):
        status = cli.main([str(word) for word in options(tiny, folder, ("adam",))])
    wanted = f"locoprop-ref compare: out must be a folder that no other compare is at work in, got {folder}\n"
    assert_equal((status, capsys.readouterr().err), (2, wanted))
    assert_equal(everything(folder) == before, True)


class Killed(BaseException):
    """What nothing catches, as nothing catches SIGKILL."""


@pytest.mark.parametrize(("ending", "there"), [(KeyboardInterrupt, 1), (Killed, 0)], ids=["Ctrl-C", "killed"])
def test_a_run_cut_off_in_its_last_write_ends_as_finished(
    tiny, tmp_path, undrawn, monkeypatch, ending, there
):
    plan, right = plan_of(tiny, ["sgd"], [0]), loop.write_run

    def interrupted(path, run):
        if run["status"] == "finished":
            monkeypatch.setattr(loop, "write_run", right)
            raise ending
        right(path, run)

    monkeypatch.setattr(loop, "write_run", interrupted)
    with pytest.raises(ending):
        compare(plan, tmp_path, clock=False, progress=False)
    said = []
    compare(plan, tmp_path, clock=False, progress=False, say=said.append)
    assert_equal(said.count("1 of 1 runs are there already"), there)
    assert_equal(read_run(tmp_path / "sgd-seed0.json")["status"], "finished")


def test_reconstructions_are_of_one_seed(tiny, tmp_path, undrawn):
    compare(plan_of(tiny, ["sgd", "adam"], [1]), tmp_path, clock=False, progress=False)
    compare(plan_of(tiny, ["adam"], [0]), tmp_path, clock=False, progress=False)
    kept = json.loads((tmp_path / "reconstructions.json").read_text())
    assert_equal((kept["seed"], list(kept["rows"])), (0, ["adam"]))


OTHERS = {
    "layers": ({"layers": "9-5-9"}, "layers '9-6-3-6-9' there, '9-5-9' here"),
    "batch": ({"batch_size": 10}, "batch_size 20 there, 10 here"),
    "schedule": ({"schedule_epochs": 5}, "schedule_epochs 40 there, 5 here"),
    "dtype": ({"dtype": "float64"}, "dtype 'float32' there, 'float64' here"),
}


@pytest.mark.parametrize(("change", "words"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("contestants", [PAIR, ("adam",)], ids=["old", "new"])
def test_a_folder_of_another_configuration_is_refused(compared, tiny, contestants, change, words):
    """Whether the contestants have runs there already or are new to the folder."""
    folder, _ = compared
    before = everything(folder)
    with pytest.raises(ValueError, match="holds runs of another configuration") as error:
        compare(plan_of(tiny, contestants, **change), folder, progress=False)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert_equal(everything(folder) == before, True)


def test_other_data_and_other_settings_are_refused(compared, tiny, tmp_path, monkeypatch):
    folder, _ = compared
    before = everything(folder)
    pixels = np.zeros((60, 9), np.uint8)
    other = write_data(tmp_path / "tiny.npz", x_train=pixels)
    with pytest.raises(ValueError, match=r"configuration: data sha256 '\w{8}' there, '\w{8}' here$"):
        compare(plan_of(other), folder, progress=False)
    other_settings = {"rmsprop": {"decay": 0.5}}
    monkeypatch.setattr(
        "locoprop_ref.experiments.compare.plan.options",
        lambda name, problem: tuned.options(name, problem) | other_settings.get(name, {}),
    )
    with pytest.raises(ValueError, match=r"configuration: rmsprop decay 0\.9 there, 0\.5 here$"):
        compare(plan_of(tiny), folder, progress=False)
    assert_equal(everything(folder) == before, True)


def test_a_foreign_run_without_a_manifest_is_refused(tiny, tmp_path):
    config = plan_of(tiny, batch_size=10).config("rmsprop", 0)
    train(config, out=tmp_path / "rmsprop-seed0.json", progress=False)
    with pytest.raises(ValueError, match="rmsprop batch_size 10 there, 20 here"):
        compare(plan_of(tiny), tmp_path, progress=False)
    assert_equal(sorted(p.name for p in tmp_path.iterdir()), ["rmsprop-seed0.json", "rmsprop-seed0.npz"])


def test_a_diverged_run_is_kept_and_the_rest_goes_on(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(
        tuned.CONTESTANTS, "sgd", {"method": "backprop", "optimizer": "sgd", "learning_rate": 1e30}
    )
    said = []
    plan = plan_of(tiny, ["sgd", "rmsprop"], [0], tuned=False)
    assert_equal(compare(plan, tmp_path, clock=False, progress=False, say=said.append), [])
    assert any(line.startswith("  rmsprop (package defaults): ") for line in said)
    assert any(line.startswith("sgd seed 0 diverged in epoch 2: ") for line in said)  # the first has rate 0
    assert_equal(read_run(tmp_path / "sgd-seed0.json")["status"], "diverged")
    assert_equal(read_run(tmp_path / "rmsprop-seed0.json")["status"], "finished")
    table = (tmp_path / "summary.txt").read_text()
    assert "SGD: 1 of 1 runs diverged." in table
    before = (tmp_path / "sgd-seed0.json").read_bytes()
    compare(plan, tmp_path, clock=False, progress=False)
    assert_equal((tmp_path / "sgd-seed0.json").read_bytes() == before, True)


def test_a_run_that_fails_is_said_and_the_rest_goes_on(tiny, tmp_path):
    config = plan_of(tiny).config("rmsprop", 0)
    tasks = [
        Task("rmsprop", 0, config, tmp_path / "rmsprop-seed0.json"),
        Task(
            "rmsprop", 1, dataclasses.replace(config, seed=1, batch_size=99), tmp_path / "rmsprop-seed1.json"
        ),
    ]
    failures = run_all(tasks, progress=False)
    assert_equal(len(failures), 1)
    assert failures[0].startswith("rmsprop seed 1 failed: batch_size must be at most the 60 examples")
    assert (tmp_path / "rmsprop-seed0.json").exists()


def test_two_jobs_give_the_losses_of_one(tiny, tmp_path):
    results = {}
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        done = shell(*options(tiny, out), "--jobs", jobs)
        assert (done.returncode, done.stderr) == (0, "")
        results[jobs] = {(name, seed): losses(out, name, seed) for name in PAIR for seed in (0, 1)}
        assert_equal({read_run(path)["jobs"] for path in out.glob("*-seed?.json")}, {jobs})
    assert_equal(results[1], results[2])


def test_jobs_in_a_run_file_are_the_most_it_had(tiny, tmp_path):
    config, out = plan_of(tiny, schedule_epochs=9).config("adam", 0), tmp_path / "r.json"
    found = []
    for epochs, jobs in ((0, 1), (1, 3), (2, 2), (3, None), (4, 1)):
        longer = dataclasses.replace(config, epochs=epochs)
        train(longer, out=out, resume=True, jobs=jobs, progress=False)
        found.append(read_run(out).get("jobs"))
    assert_equal(found, [1, 3, 3, None, None])


def test_a_process_keeps_to_its_share_of_the_cores():
    code = (
        "import os; from locoprop_ref.parallel import keep_to_cores; "
        "from locoprop_ref.training.environment import blas_libraries; "
        "all = sorted(os.sched_getaffinity(0)); keep_to_cores(1, 2); "
        "print(sorted(os.sched_getaffinity(0)) == all[1 % len(all)::2], "
        "{b['threads'] for b in blas_libraries()} == {len(all[1 % len(all)::2])})"
    )
    words = [*command()[:1], "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment(None))
    assert_equal(done.stdout.split(), ["True", "True"])
    with pytest.raises(ValueError, match="jobs must be an integer of at least 1"):
        keep_to_cores(0, 0)


# ------------------------------ killed and interrupted


def children_of(pid):
    """Worker processes of a command: its children that came from multiprocessing's spawn, not its tracker."""
    found = []
    for line in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            words = Path(f"/proc/{line}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if "spawn_main" in words:
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
    "contestants": ["locoprop-m"],
}  # two seconds: one is still at work when the other is


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """The losses of long runs that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = shell(*options(tiny, folder, **LONG))
    assert (done.returncode, done.stderr) == (0, "")
    return {seed: losses(folder, "locoprop-m", seed) for seed in (0, 1)}


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.full), 2])
def test_killed_and_started_again(tiny, tmp_path, uninterrupted, jobs):
    out = tmp_path / "out"
    arguments = [*options(tiny, out, **LONG), "--jobs", jobs]
    with started(arguments) as process:
        until(lambda: reached(out, "locoprop-m-seed0", 3), process)
        workers = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
    assert_equal(len(workers), 0 if jobs == 1 else 2)
    end = time.monotonic() + 10  # workers end with their command
    while any(map(is_alive, workers)):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert read_run(out / "locoprop-m-seed0.json")["status"] == "running"
    done = shell(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert_equal({seed: losses(out, "locoprop-m", seed) for seed in (0, 1)}, uninterrupted)


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


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.full), 2])
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


# ------------------------------ the clock


def test_interval_is_the_least_common_multiple(monkeypatch):
    config = resolve(method="locoprop-m")
    assert_equal(timing.interval(config), 1)
    monkeypatch.setattr(
        timing, "as_json", lambda _: {"factor_interval": 4, "inverse_interval": 10, "epochs": 7}
    )
    assert_equal(timing.interval(config), 20)


class Costly:
    """A method whose every fifth step sleeps, as if it inverted something."""

    def __init__(self, name, log):
        self.name, self.log, self.steps = name, log, 0

    def init(self, network, seed):
        return {"layers": ()}

    def step(self, network, state, x, t, *, rate):
        assert rate > 0
        if self.steps % 5 == 0:
            time.sleep(0.02)
        self.steps += 1
        self.log.append(self.name)
        return network, state, {}


def test_the_clock_takes_turns_and_counts_costly_steps_in_their_share(tiny, monkeypatch):
    log, names = [], iter("ab")
    monkeypatch.setattr(timing, "interval", lambda config: 5)
    monkeypatch.setattr(timing, "build_method", lambda config: Costly(next(names), log))
    plan = plan_of(tiny)
    configs = {"a": plan.config("rmsprop", 0), "b": plan.config("locoprop-m", 0)}
    found = timing.in_turn(configs, load(str(tiny)))
    first, later = 3 + 5, 1 + 5  # steps to warm up, then a block of a whole interval
    turns = [("a", first), ("b", first), ("b", later), ("a", later), ("a", later), ("b", later), ("b", later)]
    assert_equal("".join(log), "".join(name * count for name, count in [*turns, ("a", later)]))
    for step in found.values():
        about = (step["warm_up"], step["steps"], step["interval"], step["steps_per_epoch"])
        assert_equal(about, (3, 20, 5, 3))
        blocks = np.reshape(step["seconds"], (4, 5))
        assert_equal((blocks >= 0.02).sum(axis=1), [1, 1, 1, 1])
        assert_allclose(step["mean"], np.mean(blocks), rtol=1e-12)  # roundings of 20 numbers
        assert_allclose(step["median"], np.median(blocks), rtol=1e-15)
        assert_allclose([step["low"], step["high"]], np.quantile(blocks, [0.025, 0.975]), rtol=1e-12)
        assert_allclose(step["blocks"], blocks.mean(axis=1), rtol=1e-12)
        assert step["median"] < 0.02 / 5 <= step["mean"]  # the median leaves the costly fifth out


def test_a_contestant_that_cannot_be_timed_leaves_the_others_theirs(tiny, monkeypatch):
    class Broken(Costly):
        def step(self, *_, **__):
            if len(self.log) > 20:
                raise np.linalg.LinAlgError("not positive definite")
            return super().step(*_, **__)

    log, kinds = [], iter([Costly, Broken])
    monkeypatch.setattr(timing, "build_method", lambda config: next(kinds)("x", log))
    plan = plan_of(tiny)
    configs = {"a": plan.config("rmsprop", 0), "b": plan.config("locoprop-m", 0)}
    found = timing.in_turn(configs, load(str(tiny)))
    assert_equal((len(found["a"]["seconds"]), str(found["b"])), (20, "not positive definite"))


def test_clock_files(tiny, tmp_path, monkeypatch, undrawn):
    said = []
    plan = plan_of(tiny, ["adam", "locoprop-s-closed"], [0])
    assert compare(plan, tmp_path, progress=False, say=said.append) == []
    sizes = list(pairwise((9, 6, 3, 6, 9)))
    parameters = sum(d_in * d_out + d_out for d_in, d_out in sizes)
    for name, buffers, outputs in (("adam", 2, 3), ("locoprop-s-closed", 0, 4)):
        found = json.loads((tmp_path / f"{name}-clock.json").read_text())
        assert_equal((found["schema"], found["contestant"], len(found["step"]["seconds"])), (1, name, 20))
        assert all(block["threads"] >= 1 for block in found["environment"]["blas"])
        assert found["load"] >= 0
        kept = found["memory"]
        assert_equal((kept["parameters"], kept["parameter_bytes"]), (parameters, 4 * parameters))
        assert_equal(kept["state_bytes"], 4 * buffers * parameters)
        batch = 20 * (9 + outputs * (6 + 3 + 6 + 9))
        assert_equal(kept["counted_bytes"], 4 * (2 * parameters * (1 + buffers) + batch))
        assert kept["peak_bytes"] > kept["counted_bytes"]
        assert_equal(found["together"], ["adam", "locoprop-s-closed"])
    assert sum(" ms a step, state " in line for line in said) == 2
    monkeypatch.setattr(clock, "_measure", lambda *_: pytest.fail("measured again"))
    before = everything(tmp_path)
    compare(plan, tmp_path, progress=False)
    assert_equal(everything(tmp_path) == before, True)


@pytest.mark.parametrize("contestant", tuned.CONTESTANTS)
def test_the_state_is_as_large_as_its_formula(contestant, tiny):
    config = plan_of(tiny, [contestant]).config(contestant, 0)
    network = build_network(config, 0, xp=namespace("numpy"))
    state = build_method(config).init(network, 0)
    assert_equal(memory.array_bytes(state), 4 * memory.state_numbers(config))


@pytest.mark.parametrize("contestant", ["sgd", "adam", "locoprop-s-closed", "locoprop-m"])
@pytest.mark.parametrize("batch_size", [50, 1000])
def test_a_step_takes_no_less_than_the_count(contestant, batch_size):
    """With few examples it is mostly parameters, with many mostly what the layers hold of them."""
    layers, most = "90-40-20-40-90", 2 * batch_size
    config = resolve(
        **tuned.CONTESTANTS[contestant], data="tiny.npz", layers=layers, batch_size=batch_size, epochs=2
    )
    rng = np.random.default_rng(0)
    x = rng.random((most, 90), dtype=np.float32)
    data = Examples(x, x, x, x, None, None)
    xp = namespace("numpy")
    peak = memory.peak_bytes(lambda: timing.Training(config, data, xp).step, 1, 2, xp)
    assert peak >= 4 * sum(memory.counted_numbers(config).values())


def test_the_peak_is_that_of_the_largest_counted_step():
    sizes = iter([1 << 22, 1 << 18, 1 << 20, 1 << 16])
    xp = namespace("numpy")

    def prepare():
        kept = np.ones(1 << 17)

        def take():
            return float(np.zeros(next(sizes), np.uint8)[0] + kept[0])

        return take

    peak = memory.peak_bytes(prepare, 1, 3, xp)
    wanted = (1 << 20) + 8 * (1 << 17)
    assert wanted <= peak < 1.02 * wanted  # what Python itself allocates is some kilobytes
    assert not tracemalloc.is_tracing()


def test_on_a_gpu_the_peak_is_what_the_pool_grows_by(monkeypatch):
    """A pool that begins with 700 bytes of data and 300 in reserve; a step takes 50, and gives them back."""

    class Pool:
        used, reserve = 700, 300

        def free_all_blocks(self):
            self.reserve = 0

        def used_bytes(self):
            return self.used

        def total_bytes(self):
            return self.used + self.reserve

    pool = Pool()
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(get_default_memory_pool=lambda: pool))
    monkeypatch.setattr("array_api_compat.is_cupy_array", lambda _: True)

    def prepare():
        pool.used += 20  # the network

        def take():
            pool.reserve = max(pool.reserve, 50)  # what it needs, of the reserve where that is enough

        return take

    assert_equal(memory.peak_bytes(prepare, 1, 3, namespace("numpy")), 70)


def test_other_libraries_have_no_peak():
    class Library:
        __name__ = "torch"

        @staticmethod
        def zeros(n):
            return np.zeros(n)

    assert memory.peak_bytes(lambda: lambda: None, 0, 1, Library()) is None


# ------------------------------ the table


def test_the_table_by_hand(tmp_path):
    """Four contestants; every number is computed here with pencil and paper."""
    runs = {
        "rmsprop": [made_up.run([9, 6, 5, 4]), made_up.run([9, 7, 5, 3]), made_up.run([9, 6, 5, 5])],
        # by seed: the marks 4, 3, 5 are reached after 2, 3, 1 epochs
        "kfac": [
            made_up.run([9, 5, 4, 2], [10, 5, 3, 7]),
            made_up.run([9, 5, 4, 3], [10, 6, 4, 8]),
            made_up.run([9, 5, 1, 1], [10, 7, 5, 9]),
        ],
        # never, never, after 3
        "sgd": [made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 5])],
        "locoprop-m": [
            made_up.run([9, 4, 3, 2]),
            made_up.run([9], status="diverged"),
            made_up.run([9, 4], status="interrupted"),
        ],
    }
    clocks = {
        "rmsprop": made_up.clock(0.1, blocks=[0.09, 0.11], state=200, peak=700, counted=650),
        "kfac": made_up.clock(0.5, state=3200, peak=6000),
    }
    results = read_results(made_up.write(tmp_path, runs, clocks))
    rows = {row.contestant: row for row in summary.rows_of(results)}
    Spread = summary.Spread
    kfac = rows["kfac"]
    assert_equal((kfac.final_train, kfac.best_train), (Spread(2, 1, 3), Spread(2, 1, 3)))
    assert_equal((kfac.final_test, kfac.best_test), (Spread(8, 7, 9), Spread(4, 3, 5)))
    assert_equal((kfac.epochs_to_mark, kfac.state, kfac.peak), (Spread(2, 1, 3), 32.0, 60.0))
    # 1000 images in batches of 100: 10 steps of 0.5 s
    assert_equal((kfac.epoch_seconds, kfac.seconds_to_mark), (5.0, Spread(10, 5, 15)))
    rmsprop = rows["rmsprop"]
    assert_equal((rmsprop.step_seconds, rmsprop.counted), (Spread(0.1, 0.09, 0.11), 6.5))
    assert_equal((rmsprop.epochs_to_mark.median, rmsprop.final_train.median), (3, 4))
    sgd = rows["sgd"]
    assert_equal(sgd.epochs_to_mark, Spread(inf, 3, inf))
    # no clock, but alone on the machine: 2 s an epoch of 10 steps
    assert_equal((sgd.step_seconds, sgd.seconds_from, sgd.state), (Spread(0.2, 0.2, 0.2), "runs", None))
    loco = rows["locoprop-m"]
    assert_equal((loco.seeds, loco.diverged, loco.unfinished), (2, 1, 1))
    assert_equal(loco.final_train, Spread(inf, 2, inf))
    told = " ".join(table.notes(results, list(rows.values())))
    for words in (
        "LocoProp-M, K steps: 1 of 3 runs diverged.",
        "LocoProp-M, K steps: 1 of 3 runs not finished.",
    ):
        assert words in told
    lines = table.markdown_table(list(rows.values())).splitlines()
    assert_equal([len(lines), {line.count("|") for line in lines}], [6, {12}])


def test_the_cells_of_a_row(tmp_path):
    """Without a clock, alone on the machine: 2 s an epoch. A median that is infinite is spelled in words."""
    runs = {
        "rmsprop": [made_up.run([9, 6, 5, 4])] * 3,
        "sgd": [made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 5])],
        "adam": [made_up.run([9], status="diverged")] * 3,
    }
    head, _, sgd, adam = table.columns(summary.rows_of(read_results(made_up.write(tmp_path, runs))))
    cells = dict(zip(head, sgd, strict=True))
    assert_equal(
        (cells["final train"], cells["s/epoch"], cells["epochs to rmsprop"], cells["state"]),
        ("6 (5 to 6)", "2", "not reached", ""),
    )
    assert_equal(adam[1], "diverged")


def test_jobs_and_threads_are_said(tmp_path):
    one = made_up.ENVIRONMENT | {"blas": [made_up.ENVIRONMENT["blas"][0] | {"threads": 1}]}
    runs = {"rmsprop": [made_up.run([9, 6], jobs=3, environment=one)]}
    clocks = {"rmsprop": made_up.clock(0.1)}
    results = read_results(made_up.write(tmp_path, runs, clocks, seeds=[0], epochs=1))
    wanted = "Side by side: runs 3 at a time, BLAS threads of a run 1, of the clocks 2."
    assert_equal(table.provenance_lines(results)[-1], wanted)


@pytest.mark.parametrize("jobs", [2, None])
def test_runs_that_were_not_alone_have_no_seconds(tmp_path, jobs):
    disturbed = made_up.run([9, 8, 7, 6], jobs=jobs)
    runs = {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3, "sgd": [made_up.run([9, 8, 7, 6])] * 2 + [disturbed]}
    results = read_results(made_up.write(tmp_path, runs))
    rows = {row.contestant: row for row in summary.rows_of(results)}
    assert_equal(
        (rows["sgd"].step_seconds, rows["sgd"].seconds_to_mark, rows["sgd"].epochs_to_mark.median),
        (None, None, 3),
    )
    assert_equal(rows["rmsprop"].epoch_seconds, 2.0)
    assert "No seconds, for want of a clock file: SGD." in table.notes(results, list(rows.values()))


def test_a_clock_on_a_busy_machine_is_said(tmp_path):
    runs = {name: [made_up.run([9, 8, 7, 6])] * 3 for name in ("rmsprop", "adam", "sgd")}
    clocks = {name: made_up.clock(0.1) | {"load": load} for name, load in (("rmsprop", 1.1), ("adam", 0.9))}
    results = read_results(made_up.write(tmp_path, runs, clocks | {"sgd": made_up.clock(0.1)}))
    told = table.notes(results, summary.rows_of(results))  # two cores
    assert "Seconds measured while other work held the cores, not to be trusted: RMSProp." in told
    assert not any("sittings" in line for line in told)


def test_clocks_of_several_sittings_are_said(tmp_path):
    runs = {name: [made_up.run([9, 8, 7, 6])] * 3 for name in ("rmsprop", "adam", "sgd")}
    clocks = {name: made_up.clock(0.1) | {"together": ["rmsprop", "adam"]} for name in ("rmsprop", "adam")}
    clocks["sgd"] = made_up.clock(0.1) | {"together": ["sgd"]}
    results = read_results(made_up.write(tmp_path, runs, clocks))
    told = table.notes(results, summary.rows_of(results))
    assert "Seconds were measured in 2 sittings, between which the machine may drift." in told


def test_spread_of_an_even_number():
    assert_equal(summary.spread([4.0, 1.0, 3.0, 2.0]), summary.Spread(2.5, 1.0, 4.0))
    assert_equal(summary.spread([inf, inf]), summary.Spread(inf, inf, inf))
    assert_equal(summary.spread([]), None)


def test_another_environment_is_said(tmp_path):
    other = {**made_up.ENVIRONMENT, "versions": {"numpy": "1.0"}}
    runs = {"rmsprop": [made_up.run([9, 8, 7, 6], environment=other)] + [made_up.run([9, 8, 7, 6])] * 2}
    results = read_results(made_up.write(tmp_path, runs))
    told = table.notes(results, summary.rows_of(results))
    assert "Made in another environment than the plan: rmsprop seed 0." in told


# ------------------------------ the claims


def rows_with(tmp_path, losses, *, tests=None, seconds=None, peaks=None, states=None, spread=0.1):
    """Rows of contestants with these final losses, seeds `spread` to either side; fall from 100 in a line."""
    runs = {
        name: [
            made_up.run(
                [100, (100 + loss + d) / 2, loss + d], [100, 90, (tests or losses)[name] + d], seed=seed
            )
            for seed, d in enumerate((-spread, 0, spread))
        ]
        for name, loss in losses.items()
    }  # fmt: skip
    clocks = {
        name: made_up.clock(
            (seconds or {}).get(name, 0.1),
            peak=(peaks or {}).get(name, 500),
            state=(states or {}).get(name, 0),
        )
        for name in losses
    }
    return summary.rows_of(read_results(made_up.write(tmp_path, runs, clocks, epochs=2)))


FIELD = {"sgd": 60, "rmsprop": 50, "kfac": 40, "shampoo": 42}
DEAR = {"kfac": 1.0, "shampoo": 2.0}


def verdicts(rows):
    return [(claim.verdict, [verdict for verdict, _ in claim.variants.values()]) for claim in claims(rows)]


def test_claims_where_locoprop_wins(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-s": 41, "locoprop-m": 30}, seconds=DEAR,
        peaks={"kfac": 5000, "shampoo": 6000}, states={"kfac": 900, "shampoo": 900},
    )  # fmt: skip
    assert_equal(verdicts(rows), [("held", ["held", "held"])] * 3)
    lines = sentences(claims(rows))
    assert_equal(len(lines), 9)
    loss = next(line for line in lines if "LocoProp-M" in line)
    # 30 against 50 and against 40
    assert "train loss 40.0 % less than the best first-order method, RMSProp, the spreads apart" in loss
    assert "train loss 25.0 % less than the best second-order method, K-FAC, the spreads apart" in loss


def test_claims_where_locoprop_loses(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-s": 70, "locoprop-m": 55}, seconds={"locoprop-s": 3, "locoprop-m": 4},
        peaks={"locoprop-s": 9000, "locoprop-m": 9000}, states={"locoprop-s": 10, "locoprop-m": 10},
    )  # fmt: skip
    assert_equal(verdicts(rows), [("not", ["not", "not"])] * 3)
    lines = sentences(claims(rows))
    assert any(
        "train loss 10.0 % more than the best first-order method, RMSProp, the spreads apart" in line
        for line in lines
    )
    assert any(
        "final train loss never reached; the best second-order method, K-FAC: 2" in line for line in lines
    )
    assert any("peak of a step 1700.0 % more than the best second-order method" in line for line in lines)


def test_claims_where_it_is_a_tie(tmp_path):
    """Overlapping seeds are not better; as quick or as large is not less."""
    rows = rows_with(tmp_path, {**FIELD, "locoprop-m": 49.9})
    loss, time_claim, memory_claim = claims(rows)
    found = {(test.what, i): test for i, test in enumerate(loss.variants["LocoProp-M, K steps"][1])}
    assert_equal([test.holds for test in found.values()], [False, False, False, False])
    assert (
        "0.2 % less than the best first-order method, RMSProp, the spreads overlap"
        in found["train loss", 0].sentence
    )
    assert_equal((time_claim.verdict, memory_claim.verdict), ("not", "not"))  # as quick, as large: not less


def test_claims_in_part(tmp_path):
    rows = rows_with(
        tmp_path, {**FIELD, "locoprop-m": 41, "locoprop-s": 60}, seconds={**DEAR, "locoprop-s": 9},
        tests={**FIELD, "locoprop-m": 55, "locoprop-s": 60}, peaks=dict.fromkeys(SECOND_ORDER, 5000),
    )  # fmt: skip
    loss, time_claim, memory_claim = claims(rows)
    assert_equal(loss.variants["LocoProp-M, K steps"][0], "partly")  # train yes, test no
    assert_equal(loss.variants["LocoProp-S, K steps"][0], "not")
    assert_equal([time_claim.variants[name][0] for name in time_claim.variants], ["held", "not"])
    assert_equal((loss.verdict, time_claim.verdict), ("partly", "partly"))
    assert_equal(memory_claim.verdict, "partly")  # a smaller peak, the same state


def test_comparable_is_within_five_per_cent(tmp_path):
    for loss, holds in ((41.9, True), (42.1, False)):
        rows = rows_with(tmp_path / str(loss), {"rmsprop": 50, "kfac": 40, "locoprop-m": loss}, spread=0.01)
        tests = claims(rows)[0].variants["LocoProp-M, K steps"][1]
        assert_equal([test.holds for test in tests], [True, holds, True, holds])


def test_the_rule_is_blind_to_who_wins(tmp_path):
    """Swap the numbers of a LocoProp variant and of the best second-order method: the opposite comes out."""
    for mine, theirs, verdict in ((0.1, 0.5, "held"), (0.5, 0.1, "not")):
        rows = rows_with(
            tmp_path / verdict, {"rmsprop": 50, "kfac": 40, "locoprop-m": 40},
            seconds={"locoprop-m": mine, "kfac": theirs},
            peaks={"locoprop-m": 1000 * mine, "kfac": 1000 * theirs},
            states={"locoprop-m": 100 * mine, "kfac": 100 * theirs},
        )  # fmt: skip
        assert_equal([claim.verdict for claim in claims(rows)[1:]], [verdict] * 2)


def test_the_clock_against_first_order_is_said_but_does_not_count(tmp_path):
    rows = rows_with(tmp_path, {**FIELD, "locoprop-m": 30}, seconds={**DEAR, "locoprop-m": 0.5})
    (verdict, tests) = claims(rows)[1].variants["LocoProp-M, K steps"]
    assert_equal(
        (verdict, [(test.holds, test.counts) for test in tests]),
        ("held", [(True, True)] * 2 + [(False, False)]),
    )
    # two epochs of 5 s against RMSProp's two of 1 s
    assert "400.0 % more than the best first-order method, RMSProp" in tests[2].sentence


def test_claims_without_opponents_are_not_measured(tmp_path):
    rows = rows_with(tmp_path, {"locoprop-m": 30, "locoprop-s": 20})
    assert_equal([claim.verdict for claim in claims(rows)], ["not measured"] * 3)
    rows = rows_with(tmp_path / "2", {"rmsprop": 50, "locoprop-m": 30})
    assert_equal([claim.verdict for claim in claims(rows)], ["held", "not measured", "not measured"])


def test_a_variant_that_diverges_is_not_better(tmp_path):
    runs = {
        "rmsprop": [made_up.run([9, 5, 4])] * 2,
        "locoprop-m": [made_up.run([9, 1, 1]), made_up.run([9], status="diverged")],
    }
    rows = summary.rows_of(read_results(made_up.write(tmp_path, runs, seeds=(0, 1), epochs=2)))
    assert_equal(claims(rows)[0].verdict, "not")


# ------------------------------ figures


def full_field(tmp_path, *, clocks=True, jobs=1, epochs=12):
    """Twelve contestants that fall at several rates, as on MNIST."""
    rng = np.random.default_rng(5)
    order = [*tuned.CONTESTANTS]
    runs, clock_files = {}, {}
    for i, name in enumerate(order):
        e = np.arange(epochs + 1)
        base = 48 + 3 * ((i * 5) % 12)
        runs[name] = [
            made_up.run(
                (
                    base + (543 - base) * np.exp(-(0.2 + 0.12 * i) * e) * (1 + 0.05 * rng.random(epochs + 1))
                ).tolist(),
                jobs=jobs,
            )
            for _ in range(3)
        ]
        second, loco = name in SECOND_ORDER, name in LOCOPROP
        seconds = 0.04 + 0.003 * i + (0.3 if loco else 0.1 if second else 0)
        clock_files[name] = made_up.clock(
            seconds, blocks=[0.97 * seconds, 1.03 * seconds], peak=2500 if second else 900 + 30 * i,
            state=1200 if second else 200,
        )  # fmt: skip
    return made_up.write(tmp_path, runs, clock_files if clocks else None, epochs=epochs)


def test_curves_are_the_numbers(tmp_path):
    results = read_results(full_field(tmp_path))
    rows = {row.label: row for row in summary.rows_of(results)}
    for split in ("train", "test"):
        left, right = figures.curves(results, split).axes
        assert_equal([line.get_label() for line in left.lines], [row.label for row in rows.values()])
        for line, name in zip(left.lines, results.manifest["contestants"], strict=True):
            found = [[row[split]["ce"] for row in run["epochs"]] for run in results.runs[name].values()]
            assert_array_equal(line.get_ydata(), np.median(found, axis=0))
            assert_array_equal(line.get_xdata(), np.arange(13))
        for line in right.lines:
            # 10 steps an epoch, at the clock's mean and not at the runs' own seconds; a rounding or two
            wanted = np.arange(1, 13) * 10 * rows[line.get_label()].step_seconds.median
            assert_allclose(line.get_xdata(), wanted, rtol=1e-14)
        assert_equal(len(right.lines), 12)


def test_no_two_contestants_look_alike():
    looks = [figures.look(name) for name in tuned.CONTESTANTS]
    assert_equal(len({look["marker"] for look in looks}), 12)
    within = {(str(look["color"]), str(look["linestyle"])) for look in looks}
    assert_equal(len(within), 12)
    families = [{figures.look(name)["color"] for name in group} for group in (SECOND_ORDER, LOCOPROP)]
    assert not families[0] & families[1]
    with pytest.raises(ValueError, match="contestant must belong to a family"):
        figures.look("newton")


def test_the_right_panel_says_that_there_are_no_seconds(tmp_path):
    results = read_results(full_field(tmp_path, clocks=False, jobs=2))
    figure = figures.curves(results)
    assert_equal((len(figure.axes[0].lines), len(figure.axes[1].lines)), (12, 0))
    assert "no seconds" in figure.axes[1].texts[0].get_text()
    with pytest.raises(ValueError, match="at least one clock file, got none"):
        figures.cost(results)


def test_seeds_that_diverged_do_not_cut_the_others_short(tmp_path):
    stopped = made_up.run([9, 80], status="diverged")
    runs = {
        "sgd": [made_up.run([9, 8, 7, 6]), stopped, made_up.run([9, 8, 7, 4])],
        "adam": [stopped] * 3,
        "rmsprop": [made_up.run([9], status="diverged")] * 3,
    }
    results = read_results(made_up.write(tmp_path, runs))
    lines = {line.get_label(): line for line in figures.curves(results).axes[0].lines}
    assert_equal(list(lines), ["SGD (1 of 3 diverged)", "Adam (3 of 3 diverged)"])
    assert_array_equal(lines["SGD (1 of 3 diverged)"].get_ydata(), [9, 8, 7, 5])
    assert_array_equal(lines["Adam (3 of 3 diverged)"].get_ydata(), [9, 80])
    runs = {name: found for name, found in runs.items() if name == "rmsprop"}
    with pytest.raises(ValueError, match="at least one run with an epoch, got none"):
        figures.curves(read_results(made_up.write(tmp_path / "none", runs)))


def test_figures_say_what_made_them(tmp_path):
    results = read_results(full_field(tmp_path))
    for figure in (figures.curves(results), figures.cost(results)):
        told = plot.alt_text(figure)
        for words in (
            "locoprop-ref compare --made-up",
            "seeds 0, 1, 2",
            "Linux x86_64, 2 cores",
            "numpy 2.0",
        ):
            assert words in told
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")):
            assert not text.get_text() or text.get_fontsize() >= 10


def test_redrawn_from_the_json_files_alone(compared, tmp_path, monkeypatch):
    folder, _ = compared
    written = everything(folder)
    kept = [name for name in written if name.endswith(".json") and name != "summary.json"]
    for name in kept:
        (tmp_path / name).write_bytes(written[name])
    monkeypatch.setattr(conduct, "run_all", None)
    assert_equal(cli.main(["compare", "--redraw", str(tmp_path)]), 0)
    again = everything(tmp_path)
    assert_equal(sorted(again), sorted(name for name in written if not name.endswith((".npz", ".lock"))))
    assert_equal([name for name in again if again[name] != written[name]], [])
    assert {"compare.png", "compare.svg", "compare-test.png", "reconstructions.png", "summary.md"} <= set(
        again
    )


def test_reconstructions_are_those_of_the_networks(compared, tiny):
    from locoprop_ref.training.apply import outputs
    from locoprop_ref.training.checkpoint import load_network

    folder, _ = compared
    kept = json.loads((folder / "reconstructions.json").read_text())
    x = load(str(tiny)).x_test[:10]
    assert_equal(kept["originals"], [row.astype(np.uint8).tobytes().hex() for row in x])
    assert_equal((kept["shape"], list(kept["rows"]), kept["seed"]), ([3, 3], list(PAIR), 0))
    for name, pixels in kept["rows"].items():
        y = outputs(load_network(folder / f"{name}-seed0.npz"), x)
        shown = [[int(row[i : i + 2], 16) for i in range(0, len(row), 2)] for row in pixels]
        assert_allclose(np.array(shown) / 255, y, rtol=0, atol=0.5 / 255 + 1e-6)  # rounded to 1/255


# ------------------------------ bad input on the command line

BAD = {
    "method": (["--methods", "locoprop-x"], "did you mean 'locoprop-s'?"),
    "preset": (["--preset", "quik"], "did you mean 'quick'?"),
    "seed below 0": (["--seeds", "-1"], "seeds must be an integer of at least 0, got -1"),
    "seed twice": (["--seeds", "1", "1"], "seeds must be at least one, none twice, got 1, 1"),
    "method twice": (["--methods", "sgd", "sgd"], "methods must be at least one, none twice, got sgd, sgd"),
    "no seed": (["--seeds", "x"], "argument --seeds: invalid int value: 'x'"),
    "jobs": (["--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
    "epochs": (["--epochs", "-2"], "epochs must be an integer of at least 1, got -2"),
    "no epoch": (["--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "data": (["--data", "mnst"], "did you mean 'mnist'?"),
    "no data": (["--data", "mnist", "--data-dir", "."], "."),
    "no npz": (
        ["--data", "none.npz", "--layers", "9-9"],
        "none.npz must be an NPZ file, got nothing by that name",
    ),
    "no layers": (["--data", "none.npz"], "layers must be given for data 'none.npz'"),
    "width": (["--width", "0"], "width must be a positive number, got 0.0"),
    "backend": (["--backend", "numpi"], "did you mean 'numpy'?"),
    "no folder": (["--redraw", "nothing"], "nothing must be a folder that compare wrote"),
    "redraw and more": (["--redraw", "x", "--jobs", "2"], "jobs has no meaning beside redraw"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(["compare", *arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert_equal((status, out, err.count("\n")), (2, "", 1))
    assert err.startswith("locoprop-ref compare: ")
    assert words in err
    assert_equal(list(tmp_path.iterdir()), [])


def test_bad_folders_are_one_line(tiny, tmp_path, capsys, compared):
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "comparison.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "comparison.json").write_text('{"schema": 9}')
    unfinished = made_up.write(tmp_path / "unfinished", {"sgd": [made_up.run([9], status="interrupted")]})
    cases = [
        (options(tiny, tmp_path / "file" / "deep"), "file"),
        (options(tiny, compared[0], layers="9-4-9"), "layers '9-6-3-6-9' there, '9-4-9' here"),
        (["compare", "--redraw", tmp_path / "damaged"], "must be the plan of a comparison in JSON, got text"),
        (["compare", "--redraw", tmp_path / "other"], "must be the plan of a comparison of schema 1"),
        (["compare", "--redraw", unfinished], "must hold at least one finished run, got none"),
    ]
    for arguments, words in cases:
        status = cli.main([str(word) for word in arguments])
        _, err = capsys.readouterr()
        assert_equal((status, err.count("\n")), (2, 1))
        assert words in err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("comparison.json", {"schema": 1}, "must be the plan of a comparison, but its command is 'None'"),
        ("rmsprop-clock.json", {"schema": 1}, "must be the clock file of a contestant, but its contestant"),
        ("reconstructions.json", {"schema": 1}, "must be reconstructions, but its rows is 'None'"),
        ("rmsprop-seed0.json", {"schema": 1}, "must be a run file of schema 1, but it has no config"),
        ("rmsprop-seed0.json", "locoprop-m-seed0.json", "must be of the plan beside it, got another conf"),
        ("rmsprop-seed0.json", "rmsprop-seed1.json", "must be of the plan beside it, got another confi"),
        ("rmsprop-clock.json", "locoprop-m-clock.json", "must be the clock file of its contestant, got loco"),
    ],
)  # fmt: skip
def test_damaged_results_are_one_line(name, content, words, tmp_path, capsys):
    """A file that lost its content, and one that was copied over another."""
    pair = dict.fromkeys(PAIR, [made_up.run([9, 8, 7, 6])] * 3)
    folder = made_up.write(tmp_path, pair, dict.fromkeys(PAIR, made_up.clock(0.1)))
    found = json.dumps(content) if isinstance(content, dict) else (folder / content).read_text()
    (folder / name).write_text(found)
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert f"{folder / name} {words}" in err


def changed(content, path, value):
    """A nest with another value at a path of keys; None takes the key away."""
    key, *deeper = path
    if deeper:
        return content | {key: changed(content[key], deeper, value)}
    return {k: v for k, v in content.items() if k != key} | ({} if value is None else {key: value})


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("comparison.json", "shared.layers", None, "its shared.layers is 'None'"),
        ("comparison.json", "environment.machine", None, "its environment.machine is 'None'"),
        ("comparison.json", "environment.python", 3, "its environment.python is '3'"),
        ("comparison.json", "environment.backend.device", None, "its environment.backend.device is 'None'"),
        ("comparison.json", "seeds", [], "its seeds are []"),
        ("comparison.json", "seeds", [0, None], "its seeds are [0, None]"),
        ("rmsprop-clock.json", "step.blocks", [], "must hold the seconds of at least one block, got []"),
        (
            "rmsprop-clock.json",
            "step.blocks",
            ["x"],
            "must hold the seconds of at least one block, got ['x']",
        ),
        ("rmsprop-clock.json", "config.width", 9, "rmsprop width 9 there, None here"),
        ("rmsprop-clock.json", "config.optimizer", "sgd", "rmsprop optimizer 'sgd' there, 'rmsprop' here"),
        ("rmsprop-seed0.json", "config.batch_size", 7, "rmsprop batch_size 7 there, 100 here"),
        ("rmsprop-seed0.json", "config.layers", "9-9", "rmsprop layers '9-9' there, '9-4-9' here"),
        ("rmsprop-seed0.json", "config.seed", 1, "rmsprop seed 1 there, 0 here"),
        ("rmsprop-seed0.json", "data.sha256", "00", "rmsprop data sha256 '00' there, 'abababab' here"),
    ],
)
def test_results_that_do_not_fit_together_are_one_line(name, path, value, words, tmp_path, capsys):
    pair = dict.fromkeys(PAIR, [made_up.run([9, 8, 7, 6])] * 3)
    folder = made_up.write(tmp_path, pair, dict.fromkeys(PAIR, made_up.clock(0.1)))
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(changed(content, path.split("."), value)))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert err.startswith(f"locoprop-ref compare: {folder / name} must ")
    assert words in err


IMAGES = {"schema": 1, "seed": 0, "shape": [1, 2], "originals": ["00ff"], "rows": {"rmsprop": ["3300"]}}


@pytest.mark.parametrize(
    ("path", "value"),
    [("rows.rmsprop", ["zz00"]), ("rows.rmsprop", ["00"]), ("originals", [1]), ("shape", ["x"])],
)
def test_damaged_images_are_one_line(path, value, tmp_path, capsys):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3})
    (folder / "reconstructions.json").write_text(json.dumps(IMAGES))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 0)
    (folder / "reconstructions.json").write_text(json.dumps(changed(IMAGES, path.split("."), value)))
    capsys.readouterr()
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert f"{folder / 'reconstructions.json'} must hold images of shape " in err


def test_a_blas_that_nobody_can_read_is_left_out(tmp_path):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3})
    plan = json.loads((folder / "comparison.json").read_text())
    plan["environment"]["blas"] = [1, {"library": "openblas"}, {"library": "mkl", "threads": 3}]
    (folder / "comparison.json").write_text(json.dumps(plan))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 0)
    assert "; mkl None None.\n" in (folder / "summary.txt").read_text()


def test_a_refused_comparison_leaves_nothing_behind(tmp_path, monkeypatch):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])]})
    monkeypatch.setattr(conduct, "data_of", lambda *_: pytest.fail("data were made"))
    before = everything(folder)
    with pytest.raises(ValueError, match="batch_size 100 there, 500 here"):
        compare(comparison("quick"), folder, progress=False)
    assert everything(folder) == before


@pytest.mark.parametrize(("preset", "epochs", "most"), [("quick", 49, 48), ("paper", 101, 100)])
def test_more_epochs_than_the_schedule_has_are_refused(preset, epochs, most):
    comparison(preset, epochs=most)
    comparison(preset, epochs=epochs, schedule_epochs=epochs)
    with pytest.raises(ValueError, match=f"at most the {most} of preset {preset}'s schedule, got {epochs} "):
        comparison(preset, epochs=epochs)


def test_where_settings_come_from_is_said(tmp_path):
    quick, paper = comparison("quick"), comparison("paper")
    assert_equal({quick.source(name) for name in tuned.CONTESTANTS}, {"tuned"})
    assert_equal({paper.source(name) for name in tuned.CONTESTANTS}, {"tuned"})
    other = "tuned on layers 784-100-50-6-50-100-784, batch_size 500"
    assert_equal(comparison("standard").source("adam"), other)
    assert_equal(comparison("paper", data="fashion_mnist").source("adam"), "tuned on data mnist")
    assert_equal(comparison("paper", width=0.5).source("adam"), "tuned on width 1.0")
    assert_equal(comparison("paper", depth=3).source("adam"), "tuned on depth 1")
    assert_equal(comparison("quick", dtype="float64").source("adam"), "tuned on dtype float32")
    assert_equal(comparison("quick", tuned=False).source("adam"), "package defaults")
    folder = made_up.write(tmp_path, {"adam": [made_up.run([9, 8, 7, 6])]})
    plan = json.loads((folder / "comparison.json").read_text())
    plan["contestants"]["adam"]["source"] = other
    (folder / "comparison.json").write_text(json.dumps(plan))
    results = read_results(folder)
    assert f"Settings {other}: Adam." in table.notes(results, summary.rows_of(results))


def test_the_quick_preset_is_the_problem_that_curves_was_tuned_on():
    shared, tuned_on = comparison("quick"), PROBLEMS["curves"]
    assert_equal(shared.images[0], tuned_on.examples)
    for name in ("data", "layers", "batch_size", "epochs", "schedule_epochs"):
        assert_equal(shared.in_common()[name], getattr(tuned_on, name))


def test_an_option_of_single_methods_is_refused():
    with pytest.raises(ValueError, match="learning_rate belongs to single methods"):
        comparison("quick", learning_rate=0.1)


# ------------------------------ the real thing


@pytest.mark.full
def test_the_quick_preset(tmp_path):
    done = shell("compare", "--out", tmp_path, timeout=300, threads=None)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "summary.json").read_text())
    assert_equal([row["contestant"] for row in found["rows"]], list(tuned.CONTESTANTS))
    assert all(row["seeds"] == 1 and row["seconds_from"] == "clock" for row in found["rows"])
    assert_equal(len(found["claims"]), 3)
