"""The runs of a comparison and their files; a folder that grows; what is refused; failures."""

import contextlib
import dataclasses
import json
import shutil
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal
from small_comparison import PAIR, in_this_process, logged, losses, plan_of
from small_runs import shell, without_seconds

from locoprop_ref.data import load
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import run as run_module
from locoprop_ref.experiments.compare.one_run import Run
from locoprop_ref.experiments.compare.run import compare, run_all
from locoprop_ref.training import loop, train
from locoprop_ref.training.run_file import read_run


def test_every_run_is_the_one_that_train_makes(compared, tiny):
    folder, _ = compared
    for name in PAIR:
        for seed in (0, 1):
            alone = train(plan_of(tiny).config(name, seed), progress=False).run
            run = read_run(folder / f"{name}-seed{seed}.json")
            assert_equal(run.pop("jobs"), 1)
            assert run.pop("command").startswith("locoprop-ref compare --preset ")
            assert_equal(without_seconds(run), without_seconds(alone))


def test_a_run_keeps_the_command_that_made_it(compared, tiny, tmp_path, quick):
    folder = shutil.copytree(compared[0], tmp_path / "more")
    compare(plan_of(tiny, seeds=[0, 1, 2]), folder, clock=False, progress=False)
    commands = {seed: read_run(folder / f"{PAIR[0]}-seed{seed}.json")["command"] for seed in (0, 1, 2)}
    assert commands[0] == commands[1] != commands[2]
    assert " --seeds 0 1 2" in commands[2]


def test_all_entries_begin_with_the_same_network(tiny, tmp_path, quick):
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


def test_finished_runs_are_skipped_and_the_folder_grows(tiny, tmp_path, compared, quick):
    first, _ = compared
    compare(plan_of(tiny, ["rmsprop"], [0]), tmp_path, clock=False, progress=False)
    before = (tmp_path / "rmsprop-seed0.json").read_bytes()
    with logged() as said:
        compare(plan_of(tiny), tmp_path, clock=False, progress=False)
    assert "1 of 4 runs are there already" in said
    assert_equal((tmp_path / "rmsprop-seed0.json").read_bytes() == before, True)
    for name in PAIR:
        assert_equal(losses(tmp_path, name, 1), losses(first, name, 1))
    compare(plan_of(tiny, ["rmsprop"], [0]), tmp_path, clock=False, progress=False)
    manifest = json.loads((tmp_path / "comparison.json").read_text())
    assert_equal((list(manifest["contestants"]), manifest["seeds"]), (list(PAIR), [0, 1]))
    assert_equal(manifest["command"], json.loads((first / "comparison.json").read_text())["command"])


def test_every_command_that_made_a_folder_is_said(tiny, tmp_path, quick):
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


def test_more_epochs_go_on_where_the_schedule_is_the_same(tiny, tmp_path, quick):
    one = plan_of(tiny, ["adam"], [0], schedule_epochs=9)
    compare(one, tmp_path, clock=False, progress=False)
    more = plan_of(tiny, ["adam"], [0], schedule_epochs=9, epochs=4)
    compare(more, tmp_path, clock=False, progress=False)
    at_once = train(more.config("adam", 0), progress=False).run
    assert_equal(losses(tmp_path, "adam", 0), [(row["train"], row["test"]) for row in at_once["epochs"]])
    with pytest.raises(ValueError, match="epochs 4 there, 2 here"):
        compare(one, tmp_path, clock=False, progress=False)


def test_epochs_that_no_run_came_to_may_be_given_up(compared, tiny, tmp_path, quick, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    folder = shutil.copytree(compared[0], tmp_path / "copy")
    with monkeypatch.context() as at_once:
        at_once.setattr(run_module, "run_all", killed)
        with pytest.raises(KeyboardInterrupt):
            compare(plan_of(tiny, epochs=4), folder, clock=False, progress=False)
    assert_equal(json.loads((folder / "comparison.json").read_text())["shared"]["epochs"], 4)
    assert_equal(compare(plan_of(tiny), folder, clock=False, progress=False), [])
    assert_equal((folder / "comparison.json").read_bytes(), (compared[0] / "comparison.json").read_bytes())


class Killed(BaseException):
    """What nothing catches, as nothing catches SIGKILL."""


@pytest.mark.parametrize(("ending", "there"), [(KeyboardInterrupt, 1), (Killed, 0)], ids=["Ctrl-C", "killed"])
def test_a_run_cut_off_in_its_last_write_ends_as_finished(tiny, tmp_path, quick, monkeypatch, ending, there):
    plan, right = plan_of(tiny, ["sgd"], [0]), loop.write_run

    def interrupted(path, run):
        if run["status"] == "finished":
            monkeypatch.setattr(loop, "write_run", right)
            raise ending
        right(path, run)

    monkeypatch.setattr(loop, "write_run", interrupted)
    with pytest.raises(ending) if ending is Killed else contextlib.nullcontext():
        compare(plan, tmp_path, clock=False, progress=False)
    with logged() as said:
        compare(plan, tmp_path, clock=False, progress=False)
    assert_equal(said.count("1 of 1 runs are there already"), there)
    assert_equal(read_run(tmp_path / "sgd-seed0.json")["status"], "finished")


def test_reconstructions_are_of_one_seed(tiny, tmp_path, quick):
    compare(plan_of(tiny, ["sgd", "adam"], [1]), tmp_path, clock=False, progress=False)
    compare(plan_of(tiny, ["adam"], [0]), tmp_path, clock=False, progress=False)
    kept = json.loads((tmp_path / "reconstructions.json").read_text())
    assert_equal((kept["seed"], list(kept["rows"])), (0, ["adam"]))


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


def test_a_diverged_run_is_kept_and_the_rest_goes_on(tiny, tmp_path, monkeypatch, one_process):
    monkeypatch.setitem(tuned.ALL, "sgd", {"method": "backprop", "optimizer": "sgd", "learning_rate": 1e30})
    plan = plan_of(tiny, ["sgd", "rmsprop"], [0], tuned=False)
    with logged() as said:
        assert_equal(compare(plan, tmp_path, clock=False, progress=False), [])
    assert any(line.startswith("  rmsprop (package defaults): ") for line in said)
    assert any(line.startswith("sgd seed 0 diverged in epoch 2: ") for line in said)  # the first has rate 0
    assert_equal(read_run(tmp_path / "sgd-seed0.json")["status"], "diverged")
    assert_equal(read_run(tmp_path / "rmsprop-seed0.json")["status"], "finished")
    table = (tmp_path / "summary.txt").read_text()
    assert "SGD: 1 of 1 runs diverged." in table
    before = (tmp_path / "sgd-seed0.json").read_bytes()
    compare(plan, tmp_path, clock=False, progress=False)
    assert_equal((tmp_path / "sgd-seed0.json").read_bytes() == before, True)


def test_a_run_that_fails_is_said_and_the_rest_goes_on(tiny, tmp_path, quick):
    right = plan_of(tiny).options("rmsprop", 0, str(tiny))
    wrong = {**right, "seed": 1, "batch_size": 99}
    runs = [
        Run("rmsprop", seed, options, tmp_path / f"rmsprop-seed{seed}.json")
        for seed, options in enumerate((right, wrong))
    ]
    failures = run_all(runs, partial(in_this_process, jobs=1), {}, progress=False)
    assert_equal(len(failures), 1)
    assert failures[0].startswith("rmsprop seed 1 failed: batch_size must be at most the 60 examples")
    assert (tmp_path / "rmsprop-seed0.json").exists()


def test_a_run_is_the_same_command_from_every_folder(tmp_path, monkeypatch):
    """Data, their folder and the run file by paths that a process elsewhere finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    options = {"method": "locoprop-m", "weight_step": inf, "bias": True, "local_lr": None, "seed": 0}
    words = Run("locoprop-m", 0, options, Path("out/run.json")).command(2, "~/mnist").arguments
    assert_equal(words[1:5], ["-m", "locoprop_ref", "train", "--resume"])
    wanted = ["--method=locoprop-m", "--weight-step=inf", "--bias", "--seed=0"]
    wanted += [f"--out={tmp_path}/out/run.json", "--jobs-beside=2", f"--data-dir={tmp_path}/home/mnist"]
    assert_equal(words[5:], wanted)


@pytest.mark.full
def test_two_jobs_give_the_losses_of_one(tiny, tmp_path, undrawn, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    results = {}
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        assert_equal(compare(plan_of(tiny), out, jobs=jobs, clock=False, progress=False), [])
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


@pytest.mark.full
@pytest.mark.timeout(1000)
def test_the_quick_preset(tmp_path):
    # three of its twelve epochs, whose first has the rate 0: network, images and settings are the preset's
    options = ["--epochs", 3, "--jobs", 2]
    done = shell("compare", "--out", tmp_path, *options, timeout=900, threads=None)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "summary.json").read_text())
    assert_equal([row["contestant"] for row in found["rows"]], list(tuned.CONTESTANTS))
    assert all(row["seeds"] == 1 and row["seconds_from"] == "clock" for row in found["rows"])
    assert_equal([row["diverged"] for row in found["rows"]], [0] * len(found["rows"]))
    assert_equal(len(found["claims"]), 3)
