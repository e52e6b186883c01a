"""Tuning: ranges, the reduced problem that never sees the test set, trials, studies that survive, workers."""

import dataclasses
import json
import os
import platform
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from small_runs import arrays, command, environment, shell, write_data
from sqlalchemy.exc import IntegrityError

from locoprop_ref.backend import namespace
from locoprop_ref.cli import main as cli
from locoprop_ref.data.files import process_is_alive
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import (
    PROBLEMS,
    SPACE,
    Range,
    finals,
    reduced_problem,
    search_space,
    stored,
    tune,
    whole_problem,
)
from locoprop_ref.experiments.tune import objective as objective_module
from locoprop_ref.experiments.tune import problem as problem_module
from locoprop_ref.experiments.tune import storage as storage_module
from locoprop_ref.experiments.tune import study as study_module
from locoprop_ref.experiments.tune import workers as workers_module
from locoprop_ref.experiments.tune.objective import Diverged, held_out_losses, objective
from locoprop_ref.experiments.tune.space import edges, parse_ranges, settings, untuned
from locoprop_ref.experiments.tune.study import STARTUP_TRIALS, Task, open_study, run_trial, standing
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.training import DIVERGENCE, Examples, examples, train
from locoprop_ref.training.build import epoch_rate
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import Config

NUMPY = namespace("numpy")
SMALL = {
    "data": "tiny.npz", "layers": "9-6-3-6-9", "width": 1.0, "batch_size": 10, "examples": 40, "held_out": 20,
    "epochs": 2,
}  # fmt: skip
FLAGS = ["--no-final"]
FLAGS += [word for name, value in SMALL.items() for word in ("--" + name.replace("_", "-"), str(value))]


def small(**changed):
    return reduced_problem("mnist", **{**SMALL, **changed})


@pytest.fixture
def here(tmp_path, monkeypatch):
    write_data(tmp_path / "tiny.npz")
    monkeypatch.chdir(tmp_path)
    problem_module.tuning_data.cache_clear()
    return tmp_path


def search(contestant="rmsprop", trials=3, on=None, **options):
    """Tune one contestant on the tiny problem; what was stored."""
    return tune([contestant], on or small(), trials=trials, progress=False, **options)[contestant]


def a_task(**changed):
    fields = {
        "contestant": "rmsprop", "problem": small(), "space": search_space("rmsprop"), "seed": 0,
        "storage": "sqlite:///tuning/mnist.db",
    }  # fmt: skip
    return Task(**{**fields, **changed})


def trials_of(task=None):
    """The trials of a study as they stand in its storage: (state, searched values, values, reports)."""
    task = task or a_task()
    with task.opened() as storage:
        study = optuna.load_study(study_name=task.name, storage=storage)
        return study.get_trials()


def seen(trials):
    """What the same seed must give again."""
    return [(t.state.name, t.params, t.value, t.intermediate_values) for t in trials]


# ------------------------------ what is searched


def test_every_contestant_and_every_problem_has_its_entry():
    assert SPACE.keys() == tuned.CONTESTANTS.keys()
    assert tuple(PROBLEMS) == tuned.PROBLEMS
    assert {options["method"] for options in tuned.CONTESTANTS.values()} <= set(METHODS)


@pytest.mark.parametrize("contestant", SPACE)
def test_ranges_are_ranges(contestant):
    for r in search_space(contestant):
        assert r.choices or 0 < r.low < r.high
        assert r.high <= 1 or not r.one_minus


@pytest.mark.parametrize("contestant", tuned.CONTESTANTS)
def test_every_end_of_every_range_is_a_setting_of_the_contestant(contestant):
    space = search_space(contestant)
    middle = {r.name: r.choices[0] if r.choices else (r.low * r.high) ** 0.5 for r in space}
    for r in space:
        for end in r.choices or (r.low, r.high):
            config = PROBLEMS["mnist"].config(contestant, seed=0, **settings({**middle, r.name: end}))
            assert isinstance(config, Config)


@pytest.mark.parametrize("contestant", tuned.CONTESTANTS)
def test_the_first_trial_is_the_untuned_package(contestant):
    """Defaults lie inside their ranges, off the edges, and three digits hold them: nothing moves them.

    But for the 20 steps that K-FAC keeps its inverses: the longest that are offered.
    """
    on = PROBLEMS["mnist"]
    space = search_space(contestant)
    begin = untuned(contestant, space, data="mnist")
    assert edges(begin, space) == ({"inverse_interval": "high"} if contestant == "kfac" else {})
    own = on.config(contestant, seed=0)
    there = on.config(contestant, seed=0, **settings(begin))
    changed = {
        f.name: (getattr(own, f.name), getattr(there, f.name))
        for f in dataclasses.fields(own)
        if getattr(own, f.name) != getattr(there, f.name)
    }
    # AdaGrad's default is its optimizer's own, and has no number in the Config; no range reaches infinity
    known = {
        "adagrad": {"initial_accumulator": (None, 0.1)},
        "kfac": {"kl_clip": (np.inf, 100.0)},
        "foof": {"factor_decay": (0.95, 0.0)},  # the closed form
        "shampoo": {  # RMSProp's step in length, roots as published
            "grafting": ("none", "rmsprop"),
            "learning_rate": (0.1, on.config("rmsprop", seed=0).learning_rate),
            "inverse_interval": (20, 1),
        },
    }
    assert changed == known.get(contestant, {})


def test_adagrads_own_default_is_the_number_that_is_searched_from(here):
    data, losses = split_data(), []
    for accumulator in (None, 0.1):
        config = small().config("adagrad", seed=0, initial_accumulator=accumulator)
        losses.append(list(held_out_losses(config, data, NUMPY)))
    assert losses[0] == losses[1]


@given(st.floats(1e-12, 1e5))
def test_three_digits_are_used_and_no_more(value):
    found = settings({"learning_rate": value})["learning_rate"]
    # half a unit in the third digit is at most 1/200 of the number
    assert_allclose(found, value, rtol=5.001e-3)
    assert float(f"{found:.2e}") == found


@given(st.floats(1e-4, 1.0))
def test_a_momentum_keeps_three_digits_of_its_distance_from_1(value):
    found = settings({"1 - momentum": value})["momentum"]
    assert 0 <= found < 1
    assert_allclose(1 - found, value, rtol=5.001e-3)
    assert len(repr(found)) <= len("0.9999") + 3


def test_edges():
    space = search_space("rmsprop")
    inside = {"learning_rate": 1e-4, "1 - momentum": 0.1, "1 - decay": 0.1, "epsilon": 1e-5, "dialect": "tf1"}
    assert edges(inside, space) == {}
    # 5 decades: a twentieth is a quarter of a decade, 10**0.25 = 1.778
    for value, found in {1.7e-6: "low", 1.9e-6: None, 5.5e-2: None, 5.7e-2: "high"}.items():
        expected = {} if found is None else {"learning_rate": found}
        assert edges({**inside, "learning_rate": value}, space) == expected
    assert edges({**inside, "1 - momentum": 1.0}, space) == {}  # no momentum: nothing beyond
    assert edges({**inside, "1 - momentum": 1.1e-3}, space) == {"1 - momentum": "low"}
    assert edges({**inside, "epsilon": 0.09}, space) == {"epsilon": "high"}
    assert edges({**inside, "epsilon": 1.1e-16}, space) == {}  # under the root, a smaller one does the same


def test_names_have_no_edge_and_numbers_to_choose_from_have():
    space = search_space("shampoo")
    values = {"learning_rate": 1e-2, "1 - momentum": 0.1, "epsilon": 1e-4, "grafting": "none"}
    found = [edges(values | {"inverse_interval": number}, space) for number in (1, 5, 20)]
    assert found == [{}, {}, {"inverse_interval": "high"}]  # there is no less than every step
    space = search_space("shampoo", {"inverse_interval": (5, 20)})
    found = [edges(values | {"inverse_interval": number}, space) for number in (5, 20)]
    assert found == [{"inverse_interval": "low"}, {"inverse_interval": "high"}]
    space = search_space("shampoo", {"inverse_interval": (4, 6)})
    assert edges(values | {"inverse_interval": 5}, space) == {}  # nothing was searched


def test_a_range_of_numbers_to_choose_from_keeps_those_in_it():
    space = search_space("kfac", parse_ranges(["inverse_interval=5:20"]))
    assert space[-1].choices == (5, 20)
    assert space[:-1] == search_space("kfac")[:-1]
    assert untuned("kfac", space, data="mnist")["inverse_interval"] == 20
    space = search_space("foof", {"inverse_interval": (5, 20)})
    assert untuned("foof", space, data="mnist")["inverse_interval"] == 5  # its default 1 is out of the range
    with pytest.raises(
        ValueError, match=r"range of inverse_interval must hold one of \[1, 5, 20\], got 2 to 3"
    ):
        search_space("kfac", {"inverse_interval": (2, 3)})
    with pytest.raises(ValueError, match=r"range of shampoo must be one of .*, got 'grafting'"):
        search_space("shampoo", {"grafting": (1, 2)})


def test_the_command_names_a_range_of_numbers_to_choose_from():
    task = a_task(contestant="kfac", space=search_space("kfac", {"inverse_interval": (5, 20)}))
    assert stored.command(task, 30, final=False).endswith(" --range inverse_interval=5:20")


@pytest.mark.parametrize(
    ("contestant", "ranges"),
    [
        ("sgd", {"learning_rate": (0.00123456789, 1.5e-1)}),
        ("kfac", {"inverse_interval": (4, 6), "1 - momentum": (0.012345678, 1)}),
        ("foof", {"factor_decay": (0, 0.5)}),
    ],
)
def test_the_ranges_in_the_command_are_those_of_the_study(contestant, ranges):
    space = search_space(contestant, ranges)
    words = shlex.split(stored.command(a_task(contestant=contestant, space=space), 30, final=False))
    given = [after for word, after in pairwise(words) if word == "--range"]
    assert len(given) == len(ranges)
    assert search_space(contestant, parse_ranges(given)) == space


def test_another_range():
    wide = search_space("rmsprop", parse_ranges(["learning_rate=1e-7:1", "1-momentum=1e-5:1"]))
    usual = search_space("rmsprop")
    assert (wide[0].low, wide[0].high) == (1e-7, 1.0)
    assert (wide[1].name, wide[1].low, wide[1].high) == ("1 - momentum", 1e-5, 1.0)
    assert wide[2:] == usual[2:]


# ------------------------------ the problem


def split_data(on=None):
    on = on or small()
    config = on.config("rmsprop", seed=0)
    return examples(problem_module.tuning_data(on, None), config, NUMPY)


def test_the_reduced_problems():
    mnist, curves = PROBLEMS["mnist"], PROBLEMS["curves"]
    assert (mnist.width, mnist.examples, mnist.held_out, mnist.batch_size) == (0.25, 10_000, 5_000, 1000)
    assert (curves.layers, curves.width, curves.batch_size) == ("784-100-50-6-50-100-784", 1.0, 500)
    assert mnist.layers == resolve(preset="paper").layers
    config = curves.config("rmsprop", seed=0)
    rates = [epoch_rate(config, epoch) for epoch in range(config.epochs)]
    assert rates[:2] == [0.0, 0.5]  # 10 % of the 12 epochs' rates is missing
    assert min(rates[2:]) > 0.75


def test_a_shorter_problem_keeps_the_form_of_its_schedule():
    assert reduced_problem("mnist", epochs=5).schedule_epochs == 20
    assert reduced_problem("mnist", epochs=5, schedule_epochs=9).schedule_epochs == 9


def test_training_and_held_out_images_are_different_training_images(here):
    numbered = np.arange(60, dtype=np.float32)[:, None].repeat(9, axis=1) / 100
    write_data("tiny.npz", x_train=numbered, x_test=np.full((20, 9), 0.99, np.float32))
    data = problem_module.tuning_data(small(), None)
    train_rows, held_out = (np.round(x[:, 0] * 100).astype(int) for x in (data.x_train, data.x_test))
    assert (len(train_rows), len(held_out)) == (40, 20)
    assert sorted([*train_rows, *held_out]) == list(range(60))
    assert_array_equal(np.r_[train_rows, held_out], np.random.default_rng(0).permutation(60))
    other = problem_module.tuning_data(small(split_seed=1), None)
    assert not np.array_equal(other.x_train, data.x_train)


class Poisoned:
    """A data set whose test set cannot be looked at."""

    def __init__(self):
        self.name, self.source, self.notes, self.x_train = "tiny.npz", "folder", (), arrays()["x_train"]

    def __getattr__(self, name):
        raise AssertionError(f"the test set was reached: {name}")


def test_the_test_set_is_never_touched(here, monkeypatch):
    monkeypatch.setattr(problem_module, "load", lambda data, data_dir: Poisoned())
    with pytest.raises(AssertionError, match="reached"):
        _ = problem_module.load("tiny.npz", data_dir=None).x_test  # the poison works
    assert search()["study"]["complete"] == 3


def test_another_test_set_gives_the_same_bytes(here):
    search(out="one", storage="sqlite:///one.db")
    write_data("tiny.npz", x_test=arrays()["x_test"][::-1], labels_test=None, labels_train=None)
    search(out="other", storage="sqlite:///other.db")
    assert Path("one/mnist/rmsprop.json").read_bytes() == Path("other/mnist/rmsprop.json").read_bytes()


# ------------------------------ one trial


@pytest.mark.parametrize("contestant", tuned.CONTESTANTS)
def test_held_out_losses_are_those_of_train(contestant, here):
    """`train` on a file whose training set is the reduced one, and whose test set is the held-out one."""
    on = small()
    data = problem_module.tuning_data(on, None)
    np.savez("split.npz", x_train=data.x_train, x_test=data.x_test)
    config = on.config(contestant, seed=3)
    run = train(dataclasses.replace(config, data="split.npz"), progress=False).run
    losses = list(held_out_losses(config, examples(data, config, NUMPY), NUMPY))
    assert losses == [row["test"]["ce"] for row in run["epochs"]]
    assert losses[-1] != losses[0]


def test_training_images_are_not_evaluated(here, monkeypatch):
    data, looked_at, right = split_data(), [], objective_module.evaluate
    monkeypatch.setattr(
        objective_module, "evaluate", lambda net, x, t: looked_at.append(x) or right(net, x, t)
    )
    list(held_out_losses(small().config("sgd", seed=0), data, NUMPY))
    assert len(looked_at) == 3
    assert all(x is data.x_test for x in looked_at)


class Trial:
    """What Optuna hands to an objective: keeps the reports, prunes at an epoch."""

    def __init__(self, prune_at=None, **user_attrs):
        self.user_attrs, self.prune_at, self.reports, self.asked, self.attributes = (
            user_attrs,
            prune_at,
            {},
            [],
            {},
        )

    def report(self, value, step):
        self.reports[step] = value

    def should_prune(self):
        self.asked.append(max(self.reports))
        return max(self.reports) == self.prune_at

    def set_user_attr(self, name, value):
        self.attributes[name] = value


def test_every_epoch_is_reported_and_the_last_loss_returned(here):
    config, data, trial = small(epochs=4).config("rmsprop", seed=0), split_data(), Trial()
    value = objective(trial, config, data, NUMPY)
    losses = list(held_out_losses(config, data, NUMPY))
    assert trial.reports == dict(enumerate(losses[1:], start=1))
    assert value == losses[-1]
    assert trial.asked == [1, 2, 3]  # after the last epoch there is nothing left to save


def test_the_pruner_ends_a_trial(here):
    trial = Trial(prune_at=2)
    with pytest.raises(optuna.TrialPruned):
        objective(trial, small(epochs=4).config("rmsprop", seed=0), split_data(), NUMPY)
    assert list(trial.reports) == [1, 2]


def test_the_untuned_trial_is_never_cut_short(here):
    config, trial = small(epochs=4).config("rmsprop", seed=0), Trial(prune_at=2, untuned=True)
    assert objective(trial, config, split_data(), NUMPY) == trial.reports[4]


def test_a_diverged_trial_counts_as_the_worst(here):
    config, data, trial = small().config("sgd", seed=0, learning_rate=1e30), split_data(), Trial()
    value = objective(trial, config, data, NUMPY)
    assert value == DIVERGENCE * next(held_out_losses(config, data, NUMPY))
    assert trial.attributes["diverged"].startswith("epoch 1: ")
    assert not trial.reports


@pytest.mark.parametrize(
    ("losses", "diverged"), [([2.0, 200.0], False), ([2.0, 200.1], True), ([2.0, np.nan], True)]
)
def test_what_counts_as_divergence(losses, diverged, here, monkeypatch):
    coming = iter([*losses, 1.0])
    monkeypatch.setattr(objective_module, "evaluate", lambda *_: {"ce": next(coming)})
    yielded = held_out_losses(small().config("sgd", seed=0), split_data(), NUMPY)
    assert next(yielded) == losses[0]
    if diverged:
        with pytest.raises(Diverged, match=r"epoch 1: loss (200\.1|nan)"):
            next(yielded)
    else:
        assert list(yielded) == [200.0, 1.0]


class Failing:
    """A method whose n-th step fails."""

    def __init__(self, n, error):
        self.n, self.error, self.steps = n, error, 0

    def init(self, network, seed):
        return {}

    def step(self, network, state, x, t, *, rate):
        self.steps += 1
        if self.steps == self.n:
            raise self.error
        return network, state, {}


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), ValueError("nan in it")])
def test_a_step_that_fails_later_has_diverged(error, here, monkeypatch):
    config, data = small().config("sgd", seed=0), split_data()
    monkeypatch.setattr(objective_module, "build_method", lambda config: Failing(7, error))
    losses = held_out_losses(config, data, NUMPY)
    next(losses), next(losses)  # four steps make an epoch
    with pytest.raises(Diverged, match=f"epoch 2: {error}"):
        next(losses)


def test_a_first_step_that_fails_is_an_error(here, monkeypatch):
    config, data = small().config("sgd", seed=0), split_data()
    monkeypatch.setattr(objective_module, "build_method", lambda config: Failing(1, ValueError("wrong")))
    with pytest.raises(ValueError, match="wrong"):
        list(held_out_losses(config, data, NUMPY))


# ------------------------------ studies


def test_the_same_seed_gives_the_same_study_resumed_or_not(here):
    """Beyond the random trials, so that what the sampler learns from is in it too."""
    count = STARTUP_TRIALS + 3
    once = search(trials=count, storage="sqlite:///once.db", out="once")
    for trials in (1, 4, count):
        twice = search(trials=trials, storage="sqlite:///twice.db", out="twice")
    assert once == twice
    first, second = (trials_of(a_task(storage=f"sqlite:///{name}.db")) for name in ("once", "twice"))
    assert seen(first) == seen(second)
    assert len({t.params["learning_rate"] for t in first}) == count
    other = search(trials=3, storage="sqlite:///other.db", seed=1)
    assert other["study"]["loss"] != once["study"]["loss"]


def test_the_first_trial_is_untuned(here):
    record = search(trials=2)
    first = trials_of()[0]
    assert first.user_attrs["untuned"] is True
    own = small().config("rmsprop", seed=0)
    assert first.value == record["study"]["untuned_loss"]
    assert first.value == list(held_out_losses(own, split_data(), NUMPY))[-1]


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(here, monkeypatch):
    search(trials=5, storage="sqlite:///whole.db")
    right, calls = study_module.objective, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) in (1, 4):
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(study_module, "objective", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(trials=5)
    record = search(trials=5)
    assert (record["study"]["trials"], record["study"]["failed"]) == (5, 2)
    whole, resumed = trials_of(a_task(storage="sqlite:///whole.db")), trials_of()
    assert [t.state.name for t in resumed] == ["FAIL", *["COMPLETE"] * 2, "FAIL", *["COMPLETE"] * 3]
    assert seen(whole) == seen([t for t in resumed if t.state.name != "FAIL"])


@pytest.mark.parametrize("moment", ["start", "join"])
def test_ctrl_c_beside_the_objective_leaves_no_thread_behind(moment, here, monkeypatch):
    """At the worst of moments: while Optuna starts or joins the thread of its heartbeat."""
    heartbeat = optuna.storages._heartbeat.HeartbeatThread
    right = getattr(heartbeat, moment)

    def interrupted(self):
        signal.raise_signal(signal.SIGINT)
        right(self)

    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(trials=2)
    assert not [thread for thread in threading.enumerate() if "heartbeat" in thread.name]
    assert [t.state.name for t in trials_of()] == ["FAIL" if moment == "start" else "COMPLETE"]
    assert search(trials=2)["study"]["trials"] == 2


def test_a_study_is_extended_and_a_done_one_only_written_again(here):
    search(trials=2)
    again = search(trials=2, out="elsewhere")
    assert len(trials_of()) == 2
    assert json.loads(Path("elsewhere/mnist/rmsprop.json").read_text()) == again
    assert search(trials=4)["study"]["trials"] == 4
    assert search(trials=2)["study"]["trials"] == 4  # what is there counts


def test_pruned_trials_count_and_are_never_the_best(here):
    said = []
    warm_up, epochs = study_module.PRUNER["min_resource"], 9
    record = search("sgd", trials=14, on=small(epochs=epochs), say=said.append)
    trials = trials_of(a_task(contestant="sgd"))
    pruned = [t for t in trials if t.state.name == "PRUNED"]
    study = record["study"]
    assert pruned
    assert (study["trials"], study["complete"], study["pruned"]) == (14, 14 - len(pruned), len(pruned))
    assert all(warm_up <= max(t.intermediate_values) < epochs for t in pruned)
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    best = min(complete, key=lambda t: t.value)
    assert study["loss"] == best.value
    assert record["settings"] == settings(best.params)
    assert any(re.search(r"sgd trial \d+: pruned after epoch \d at ", line) for line in said)


def test_diverged_trials_are_counted(here):
    record = search("sgd", trials=4, ranges={"learning_rate": (1e-3, 1e30)})
    trials = trials_of(a_task(contestant="sgd", space=search_space("sgd", {"learning_rate": (1e-3, 1e30)})))
    diverged = [t for t in trials if "diverged" in t.user_attrs]
    assert record["study"]["diverged"] == len(diverged) > 0
    untrained = next(held_out_losses(small().config("sgd", seed=0), split_data(), NUMPY))
    assert {t.value for t in diverged} == {DIVERGENCE * untrained}
    assert record["study"]["loss"] < untrained


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"on": small(epochs=3)}, "epochs 2 there, 3 here; schedule_epochs 8 there, 12 here"),
        ({"on": small(layers="9-4-9")}, "layers '9-6-3-6-9' there, '9-4-9' here"),
        ({"on": small(examples=30)}, "data sha256 '.*' there, '.*' here; examples 40 there, 30 here"),
        (
            {"ranges": {"learning_rate": (1e-7, 1e-2)}},
            r"range of learning_rate \[1e-06, 0.1\] there, \[1e-07, 0.01\] here",
        ),
    ],
)
def test_a_study_of_another_problem_is_refused(changed, words, here):
    search(trials=1)
    before = Path("tuning/mnist/rmsprop.json").read_bytes()
    with pytest.raises(ValueError, match=rf"study 'mnist rmsprop seed 0' of another problem: {words} \(name"):
        search(**changed)
    assert len(trials_of()) == 1
    assert Path("tuning/mnist/rmsprop.json").read_bytes() == before
    assert search(trials=1, seed=1, **changed)["study"]["trials"] == 1  # another seed is another study


def test_another_training_set_is_another_problem(here):
    search(trials=1)
    changed = arrays()["x_train"].copy()
    changed[0, 0] ^= 1
    write_data("tiny.npz", x_train=changed)
    with pytest.raises(
        ValueError, match=r"another problem: data sha256 '[0-9a-f]+' there, '[0-9a-f]+' here "
    ):
        search(trials=1)


def test_a_trial_given_up_for_dead_is_repeated(here, monkeypatch):
    """A worker that slept beyond the grace period finds its trial failed: it does not count."""
    right, calls = study_module.objective, []

    def slept(trial, *arguments):
        calls.append(trial)
        if len(calls) == 2:
            trial.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        return right(trial, *arguments)

    monkeypatch.setattr(study_module, "objective", slept)
    said = []
    study = search(trials=3, say=said.append)["study"]
    assert (study["trials"], study["failed"], len(calls)) == (3, 1, 4)
    assert any(line.startswith("rmsprop trial 1: given up for dead") for line in said)


def test_trials_of_dead_processes_fail_at_once_and_others_after_their_grace(here):
    task = a_task()
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=1
    )
    sha256 = problem_module.tuning_data(task.problem, None).sha256
    with task.opened() as storage:
        study = open_study(task, storage, sha256)
        begin = [optuna.create_study(storage=storage, study_name=task.name, load_if_exists=True)]
        workers = [
            f"{study_module._machine()} {int(done.stdout)}",
            f"{study_module._machine()} {os.getpid()}",
            f"elsewhere {int(done.stdout)}",
        ]
        for worker in workers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the heartbeat is wanted from `optimize`
                begin[0].ask().set_user_attr("worker", worker)
        study_module.fail_dead_trials(study)
        assert [t.state.name for t in study.get_trials()] == ["FAIL", "RUNNING", "RUNNING"]
        for trial in study.get_trials()[1:]:
            storage.record_heartbeat(trial._trial_id)
        with closing(sqlite3.connect("tuning/mnist.db")) as database:
            database.execute(
                "UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour') WHERE trial_id = ?",
                (study.get_trials()[2]._trial_id,),
            )
            database.commit()
        study_module.fail_dead_trials(study)
        assert [t.state.name for t in study.get_trials()] == ["FAIL", "RUNNING", "FAIL"]
        assert standing(study) == study_module.Standing(complete=0, pruned=0, failed=2, running=1)


# ------------------------------ what is stored


def test_what_is_stored(here):
    record = search("locoprop-m", trials=3)
    path = here / "tuning" / "mnist" / "locoprop-m.json"
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == record
    assert list(record) == ["schema", "contestant", "settings", "problem", "study"]
    assert (record["schema"], record["contestant"]) == (1, "locoprop-m")
    assert list(record["settings"]) == ["local_lr", "target_step", "momentum", "decay"]
    assert record["problem"]["data"] == "tiny.npz"
    assert record["study"]["versions"]["optuna"] == optuna.__version__
    assert record["study"]["ranges"]["1 - momentum"] == [1e-4, 1]
    for secret in (str(here), platform.node(), os.environ.get("USER") or "/root", "://"):
        assert secret not in text
    # the settings as stored give the loss as stored, bit for bit
    config = small().config("locoprop-m", seed=0, **record["settings"])
    assert list(held_out_losses(config, split_data(), NUMPY))[-1] == record["study"]["loss"]


@pytest.mark.parametrize("with_final", [False, True], ids=["no final", "final"])
def test_the_stored_command_makes_the_same_bytes(here, with_final):
    on = small(epochs=3, held_out=15)
    options = {"ranges": {"1 - decay": (1e-2, 0.5)}, "seed": 2, "on": on}
    options["final"] = whole_problem(on) if with_final else None
    record = search("rmsprop", trials=3, **options)
    words = shlex.split(record["study"]["command"])
    assert words[:2] == ["locoprop-ref", "tune"]
    assert cli.main([*words[1:], "--out", "again", "--storage", "sqlite:///again.db"]) == 0
    assert Path("again/mnist/rmsprop.json").read_bytes() == Path("tuning/mnist/rmsprop.json").read_bytes()


def test_an_edge_is_said_and_stored(here):
    said = []
    record = search("sgd", trials=3, ranges={"learning_rate": (1e-9, 1e-8)}, say=said.append)
    assert record["study"]["edges"] == {"learning_rate": "high"}
    assert said[-1] == "sgd: learning_rate is at the high edge of its range (--range widens it)"


# ------------------------------ workers


def test_two_jobs(here):
    names = ["sgd", "rmsprop"]
    alone = tune(names, small(), trials=2, progress=False, storage="sqlite:///alone.db")
    both = tune(names, small(), trials=2, progress=False, storage="sqlite:///both.db", jobs=2)
    assert both.keys() == alone.keys() == set(names)
    for name in names:
        assert both[name]["study"]["trials"] == 2
        assert both[name]["study"]["untuned_loss"] == alone[name]["study"]["untuned_loss"]


CORES = """
import os
from locoprop_ref.parallel import keep_to_cores
from threadpoolctl import threadpool_info
before = sorted(os.sched_getaffinity(0))
keep_to_cores({index}, {jobs})
threads = {{tuple(sorted(os.sched_getaffinity(int(t)))) for t in os.listdir("/proc/self/task")}}
print([before, sorted(threads), [p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"]])
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no GPU and no Linux: no cores to bind to")
def test_workers_share_the_cores():
    shares = []
    for index in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CORES.format(index=index, jobs=2)],
            env=environment(None), capture_output=True, text=True, check=True,
        )  # fmt: skip
        before, threads, blas = json.loads(done.stdout.replace("(", "[").replace(")", "]").replace(",]", "]"))
        assert len(threads) == 1  # every thread of the process, BLAS's own too
        assert set(blas) == {len(threads[0])}
        shares += threads[0]
    if len(before) > 1:
        assert sorted(shares) == before
    else:
        assert shares == before * 2


class DyingWorker:
    """A worker whose every call dies."""

    def __init__(self, index, jobs):
        pass

    restart = stop = lambda self, **_: None

    def submit(self, *_):
        future = Future()
        future.set_exception(BrokenProcessPool())
        return future


@pytest.mark.parametrize("jobs", [2, 3, 5])
def test_workers_that_die_one_after_the_other_end_the_command(jobs, monkeypatch):
    lost = []
    monkeypatch.setattr(workers_module, "Worker", DyingWorker)
    search = SimpleNamespace(choose=lambda at_work: a_task(), lost=lost.append, report=None)
    with pytest.raises(ChildProcessError, match=r"^\d workers were killed in a row: too little memory\?$"):
        workers_module.run_all(search, jobs)
    assert workers_module.MOST_KILLED <= len(lost) < workers_module.MOST_KILLED + jobs


@pytest.mark.parametrize("failures", [2, 99])
def test_a_storage_that_another_command_makes_at_this_moment(failures, here, monkeypatch):
    right, slept, tried = optuna.storages.RDBStorage.__init__, [], []

    def at_the_same_moment(self, *arguments, **options):
        tried.append(arguments)
        if len(tried) <= failures:
            raise IntegrityError("insert", {}, ValueError("UNIQUE constraint failed"))
        right(self, *arguments, **options)

    monkeypatch.setattr(optuna.storages.RDBStorage, "__init__", at_the_same_moment)
    monkeypatch.setattr(storage_module.time, "sleep", slept.append)
    if failures == 2:
        assert search("sgd", trials=1)["study"]["trials"] == 1
        assert slept == [1, 1]
    else:
        with pytest.raises(OSError, match=r"mnist\.db cannot be used: UNIQUE constraint failed$"):
            search("sgd", trials=1)
        assert slept == [1] * storage_module.PATIENCE


LONG = [*FLAGS, "--batch-size", "1", "--epochs", "40", "--trials", "2"]  # half a second a trial


PATIENCE = 250  # seconds, for a machine that others use too


def running_worker(path, seconds=PATIENCE):
    """The process number of a worker that is at a trial, by what the storage says."""
    for _ in range(int(seconds / 0.05)):
        if path.exists():
            with closing(sqlite3.connect(path, timeout=10)) as database:
                try:
                    rows = database.execute(
                        "select a.value_json from trial_user_attributes a join trials t using (trial_id) "
                        "where a.key = 'worker' and t.state = 'RUNNING'"
                    ).fetchall()
                except sqlite3.OperationalError:  # no tables yet
                    rows = []
            if rows:
                return int(json.loads(rows[0][0]).split()[1])
        time.sleep(0.05)
    raise AssertionError("no trial began")


def begun(*arguments, cwd):
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.full
def test_a_killed_command_goes_on_as_if_it_had_not_been(here):
    elsewhere = ["--storage", "sqlite:///whole.db", "--out", "whole"]
    whole = shell("tune", "sgd", *LONG, *elsewhere, cwd=here, timeout=PATIENCE)
    assert whole.returncode == 0, whole.stderr
    process = begun("tune", "sgd", *LONG, cwd=here)
    killed = running_worker(here / "tuning" / "mnist.db")
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
def test_a_killed_worker_costs_its_trial_alone(here):
    process = begun("tune", "sgd", "adam", *LONG, "--jobs", "2", cwd=here)
    os.kill(running_worker(here / "tuning" / "mnist.db"), signal.SIGKILL)
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
def test_ctrl_c_keeps_what_was_complete(jobs, here):
    arguments = ["tune", "sgd", "adam", *LONG, "--jobs", jobs]
    process = begun(*arguments, cwd=here)
    worker = running_worker(here / "tuning" / "mnist.db")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "locoprop-ref: interrupted; what was complete is kept\n")
    assert not process_is_alive(worker)
    states = {
        t.state.name for t in trials_of(a_task(problem=small(epochs=40, batch_size=1), contestant="sgd"))
    }
    assert "RUNNING" not in states
    resumed = shell(*arguments, cwd=here, timeout=PATIENCE)
    assert (resumed.returncode, resumed.stderr) == (0, "")


@pytest.mark.full
def test_workers_do_not_outlive_the_command(here):
    process = begun("tune", "sgd", "adam", *LONG, "--jobs", "2", cwd=here)
    worker = running_worker(here / "tuning" / "mnist.db")
    assert worker != process.pid
    process.kill()
    process.communicate()
    for _ in range(100):
        if not process_is_alive(worker):
            break
        time.sleep(0.05)
    assert not process_is_alive(worker)


# ------------------------------ the command line

TUNE = ["tune", "sgd", *FLAGS, "--trials", "1"]

BAD = {
    "contestant": (["tune", "adm"], r"contestant must be one of .*, got 'adm' \(did you mean 'adam'\?\)"),
    "problem": ([*TUNE, "--problem", "mnst"], r"problem must be one of mnist, curves.*did you mean 'mnist'"),
    "no trials": ([*TUNE, "--trials", "0"], "trials must be an integer of at least 1, got 0"),
    "trials in words": ([*TUNE, "--trials", "many"], "argument --trials: invalid int value: 'many'"),
    "no jobs": ([*TUNE, "--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
    "negative seed": ([*TUNE, "--seed=-1"], "seed must be an integer of at least 0, got -1"),
    "no epochs": ([*TUNE, "--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "short schedule": ([*TUNE, "--schedule-epochs", "1"], "schedule_epochs must be at least epochs, 2"),
    "width 0": ([*TUNE, "--width", "0"], "width must be a positive number, got 0.0"),
    "too many images": (
        [*TUNE, "--held-out", "21"],
        "examples and held_out must be at most the 60 training images together, got 40 and 21",
    ),
    "batch too large": ([*TUNE, "--batch-size", "41"], "batch_size must be at most the 40 examples, got 41"),
    "layers": ([*TUNE, "--layers", "8-3-8"], "layers must begin with the 9 inputs of tiny.npz, got 8"),
    "data": ([*TUNE, "--data", "nothing.npz"], "nothing.npz"),
    "dtype": ([*TUNE, "--dtype", "float16"], "dtype must be one of float32, float64, got 'float16'"),
    "range in words": ([*TUNE, "--range", "learning_rate"], "range must be NAME=LOW:HIGH, as in"),
    "range upside down": (
        [*TUNE, "--range", "learning_rate=1:0.1"],
        "range of learning_rate must be 0 < low < high, got 1 to 0.1",
    ),
    "range nan": ([*TUNE, "--range", "learning_rate=nan:1"], "must be a number, got nan"),
    "range beyond 1": (
        ["tune", "momentum", "--range", "1-momentum=0.1:2"],
        "range of 1 - momentum must end at 1, got 0.1 to 2",
    ),
    "range of another": (
        [*TUNE, "--range", "1-momentum=0.1:1"],
        "range of sgd must be one of learning_rate, got '1 - momentum'",
    ),
    "storage that is no address": (
        [*TUNE, "--storage", "somewhere"],
        "storage must be a database URL such as sqlite:///tuning/mnist.db, got 'somewhere'",
    ),
    "storage of no kind": (
        [*TUNE, "--storage", "nonsense://x/y"],
        "storage nonsense://x/y cannot be used: Can't load plugin: .*nonsense",
    ),
    "storage nowhere": (
        [*TUNE, "--storage", "postgresql://me:secret@nowhere.invalid/x"],
        r"storage postgresql://me:\*\*\*@nowhere.invalid/x (needs a driver|cannot be used: )",
    ),
    "storage with a slash in its password": (
        [*TUNE, "--storage", "postgresql://me:sec/secret@nowhere.invalid/x"],
        r"storage postgresql://me:\*\*\*@nowhere.invalid/x (needs a driver|cannot be used: )",
    ),
    "storage with its password behind": (
        [*TUNE, "--storage", "postgresql://nowhere.invalid/x?password=secret"],
        r"storage postgresql://nowhere.invalid/x\?password=hidden (needs a driver|cannot be used: )",
    ),
    "storage with a port in words": (
        [*TUNE, "--storage", "postgresql://me:secret@nowhere.invalid:port/x"],
        "storage must be a database URL such as .*, got 'postgresql://\\*\\*\\*@nowhere.invalid:port/x'",
    ),
    "storage in memory": ([*TUNE, "--storage", "sqlite://"], "storage must be a file or a server's"),
    "storage that is a folder": ([*TUNE, "--storage", "sqlite:///."], "storage .* cannot be used: "),
    "storage in a file": ([*TUNE, "--storage", "sqlite:///tiny.npz/x.db"], "tiny.npz"),
    "storage that is no database": (
        [*TUNE, "--storage", "sqlite:///tiny.npz"],
        "storage sqlite:///tiny.npz cannot be used: file is not a database",
    ),
    "out is a file": ([*TUNE, "--out", "tiny.npz"], "tiny.npz: file exists"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(arguments, words, here, capsys):
    before = (here / "tiny.npz").read_bytes()
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("locoprop-ref tune: ")
    assert re.search(words, err), err
    assert "secret" not in err
    assert (here / "tiny.npz").read_bytes() == before
    assert not list(here.rglob("*.json"))
    assert "--storage" not in arguments or not (here / "tuning").exists()


def test_a_storage_of_another_optuna_is_one_line(here, capsys):
    assert cli.main(TUNE) == 0
    with closing(sqlite3.connect("tuning/mnist.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        database.commit()
    capsys.readouterr()
    assert cli.main(TUNE) == 2
    _, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert re.match(r"locoprop-ref tune: storage sqlite:///\S+ cannot be used: .*optuna", err), err


def test_a_folder_that_may_not_be_written(here, capsys, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cli.main(TUNE) == 2
    assert capsys.readouterr().err == "locoprop-ref tune: tuning: permission denied\n"


def test_without_optuna(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(TUNE) == 2
    assert capsys.readouterr().err == (
        "locoprop-ref tune: tune needs Optuna, which cannot be imported here: install locoprop-ref[tune]\n"
    )


def test_optuna_is_imported_by_trials_alone():
    modules = "locoprop_ref.experiments.tune, locoprop_ref.cli.main"
    code = f"import sys; import {modules}; print('optuna' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["tune", "--help"])
    out = capsys.readouterr().out
    assert out.startswith("usage: locoprop-ref tune ")
    for flag in ("--problem", "--trials", "--storage", "--jobs", "--range", "--held-out"):
        assert flag in out


def test_it_speaks_of_every_trial(here, capsys):
    assert cli.main([*TUNE, "--trials", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.match(r"sgd trial 0: held-out loss \d\.\d+, \d+\.\d s\nsgd trial 1: ", out)
    assert "sgd: held-out loss " in out and "tuning/mnist/sgd.json" in out


def test_optunas_logging_is_left_as_it_was(here):
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        search(trials=1)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)


def test_run_trial_says_how_it_ended(here):
    outcome = run_trial(a_task(), True)
    assert (outcome.contestant, outcome.number, outcome.ending, outcome.epochs) == (
        "rmsprop",
        0,
        "complete",
        2,
    )
    assert str(outcome).startswith(f"rmsprop trial 0: held-out loss {outcome.loss:.6g}, ")


def test_examples_hold_no_test_set(here):
    """The types say `test`; what is in it are the held-out training images."""
    data = split_data()
    assert isinstance(data, Examples)
    held_out = problem_module.tuning_data(small(), None).x_test
    rows = {row.tobytes() for row in arrays()["x_train"]}
    assert {row.tobytes() for row in held_out} <= rows


# ------------------------------ the final

FINAL = whole_problem(small())


def test_the_whole_problem_keeps_what_the_reduced_one_has_of_its_own():
    assert whole_problem(PROBLEMS["curves"]) is None
    whole = whole_problem(PROBLEMS["mnist"])
    assert (whole.width, whole.examples, whole.layers) == (1.0, None, resolve(preset="paper").layers)
    rates = [epoch_rate(whole.config("sgd", seed=0), epoch) for epoch in range(whole.epochs)]
    # the authors': a fifth more every epoch up to the fifth, then down to 0 in 95; the first warms averages
    assert_allclose(rates, [0, 0.2, 0.4, 0.6, 0.8, 94 / 95], rtol=1e-12)
    assert (FINAL.data, FINAL.layers, FINAL.batch_size, FINAL.held_out) == ("tiny.npz", "9-6-3-6-9", 10, 20)


def test_a_final_trains_on_all_images_that_are_not_held_out(here):
    data = split_data(FINAL)
    assert (len(data.x_train), len(data.x_test)) == (40, 20)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_final_keeps_the_best_candidate(here, jobs):
    reduced = search("sgd")
    record = search("sgd", final=FINAL, jobs=jobs)
    own = ("edges", "command")
    assert {k: v for k, v in record["study"].items() if k not in own} == {
        k: v for k, v in reduced["study"].items() if k not in own
    }
    tried = record["final"]["candidates"]
    rates = [each["settings"]["learning_rate"] for each in tried]
    best = reduced["settings"]["learning_rate"]
    assert_allclose(rates[:3], best / 4.0 ** np.arange(3), rtol=5.001e-3)  # three digits
    assert rates[3] == 1e-2  # the package's own
    assert min(rates) < record["settings"]["learning_rate"] < max(rates)
    for rate, each in zip(rates, tried, strict=True):
        config = FINAL.config("sgd", seed=0, learning_rate=rate)
        losses = held_out_losses(config, split_data(FINAL), NUMPY)
        # with two jobs the workers have one BLAS thread each: the last bits of float32
        assert_allclose(each["loss"], list(losses)[-1], rtol=0 if jobs == 1 else 1e-5)
    found = [each["loss"] for each in tried]
    assert record["final"]["chosen"] == found.index(min(found))
    assert record["final"]["loss"] == min(found)
    assert record["settings"] == tried[record["final"]["chosen"]]["settings"]
    assert record["final"]["problem"]["width"] == 1.0


def test_the_final_trains_nothing_twice(here):
    """A study of one trial ends at the defaults, which are then the first candidate and not the last one."""
    record = search("sgd", trials=1, final=FINAL)
    tried = [each["settings"]["learning_rate"] for each in record["final"]["candidates"]]
    assert tried[:3] == [1e-2, 2.5e-3, 6.25e-4]
    assert 1e-2 not in tried[1:]


def test_a_final_is_resumed_and_its_failed_trials_are_tried_again(here):
    first = search("sgd", final=FINAL)
    chosen = tuple(tuple(each["settings"].items()) for each in first["final"]["candidates"])
    names = Range("candidate", choices=tuple("0123"))
    best = min(trials_of(a_task(contestant="sgd")), key=lambda t: t.value).number
    final = a_task(contestant="sgd", problem=FINAL, space=(names,), candidates=chosen[:4], of=best)
    assert [t.params["candidate"] for t in trials_of(final)] == list("0123")
    assert search("sgd", final=FINAL)["final"] == first["final"]
    assert len(trials_of(final)) == 4
    third = trials_of(final)[2]._trial_id
    with closing(sqlite3.connect("tuning/mnist.db")) as database:  # as if a worker had been killed at it
        database.execute("UPDATE trials SET state = 'FAIL' WHERE trial_id = ?", (third,))
        database.commit()
    assert search("sgd", final=FINAL)["final"] == first["final"]
    assert [t.params["candidate"] for t in trials_of(final)] == [*"0123", "2"]


def test_two_commands_share_a_final(here, monkeypatch):
    """The second one comes when the first is at the last candidate: it tries that one too, and both end."""
    alone, others, tried = search("sgd", final=FINAL, storage="sqlite:///alone.db"), [], []

    def in_the_middle(trial, *more):
        tried.append(trial.params.get("candidate"))
        if tried[-1] == "3" and not others:
            others.append(None)
            others[0] = search("sgd", final=FINAL, out="elsewhere")
        return objective(trial, *more)

    monkeypatch.setattr(study_module, "objective", in_the_middle)
    assert [search("sgd", final=FINAL), *others] == [alone, alone]
    assert tried == [None, None, None, *"0123", "3"]


def test_candidates_that_two_commands_put_into_the_queue_at_once(here, monkeypatch):
    alone, right = search("sgd", final=FINAL, storage="sqlite:///alone.db"), study_module._enqueue_candidate

    def twice(study, number):
        right(study, number)
        right(study, number)

    monkeypatch.setattr(study_module, "_enqueue_candidate", twice)
    assert search("sgd", final=FINAL) == alone


def by_rate(peak):
    """An objective that is least at a rate."""

    def loss(trial, config, *_):
        found = abs(np.log(config.learning_rate / peak))
        trial.report(found, config.epochs)
        return found

    return loss


def test_a_study_is_extended_after_its_final(here, monkeypatch):
    """Then the final is of what is best now; going back to fewer trials asks for nothing new."""
    monkeypatch.setattr(study_module, "objective", by_rate(3e-4))
    begun = []
    for trials in (2, 8, 14, 14, 8):
        record = search("sgd", trials=trials, final=FINAL)
        begun.append(record["final"]["candidates"][0]["settings"]["learning_rate"])
        found = min(t.value for t in trials_of(a_task(contestant="sgd")))
        assert record["study"]["loss"] == found
        assert_allclose(abs(np.log(begun[-1] / 3e-4)), found, rtol=1e-12)  # the same expression
    assert len(set(begun)) == 3  # each time a better one was found
    assert begun[2:] == [begun[2]] * 3


def test_a_better_trial_from_elsewhere_begins_the_final_anew(here, monkeypatch):
    nearest, said = by_rate(3e-5), []

    def in_the_middle(trial, config, *more):
        if trial.params.get("candidate") == "1":
            monkeypatch.setattr(study_module, "objective", nearest)
            search("sgd", trials=14, out="elsewhere")
        return nearest(trial, config, *more)

    monkeypatch.setattr(study_module, "objective", in_the_middle)
    record = search("sgd", trials=2, final=FINAL, say=said.append)
    assert "sgd: a better trial came in meanwhile, its final begins anew" in said
    assert record["study"]["trials"] == 14
    assert record == search("sgd", trials=14, final=FINAL, storage="sqlite:///alone.db")


@pytest.mark.parametrize("peak", [-5, -3, -2, -1, 0, 1, 3])
def test_the_final_goes_on_until_a_larger_and_a_smaller_rate_are_worse(here, monkeypatch, peak):
    """On a loss that is least at `peak` times four the found rate, whatever was found."""
    best = search("sgd")["settings"]["learning_rate"]

    def by_rate(trial, config, *_):
        loss = abs(np.log(config.learning_rate / (best * 4.0**peak)))
        trial.report(loss, config.epochs)
        return loss

    monkeypatch.setattr("locoprop_ref.experiments.tune.study.objective", by_rate)
    record = search("sgd", final=FINAL)
    rates = [each["settings"]["learning_rate"] for each in record["final"]["candidates"]]
    chosen = record["settings"]["learning_rate"]
    assert record["final"]["chosen"] == rates.index(chosen)
    assert min(rates) < chosen < max(rates)
    assert abs(np.log(chosen / (best * 4.0**peak))) <= 1.01 * np.log(2)  # no rate on the grid is nearer
    for number in range(4, len(rates)):  # four times or a quarter of one before, to three digits
        factors = rates[number] / np.array(rates[:number])
        assert np.min(abs(abs(np.log(factors)) - np.log(4))) < 0.01
    assert search("sgd", final=FINAL) == record


def test_defaults_that_win_have_other_rates_beside_them(here, monkeypatch):
    """On a loss that wants the default momentum, and four times the default rate."""
    search("momentum", trials=4)
    own = {"learning_rate": 1e-3, "momentum": 0.9}

    def by_settings(trial, config, *_):
        loss = abs(np.log(config.learning_rate / 4e-3)) + 99 * abs(config.momentum - own["momentum"])
        trial.report(loss, config.epochs)
        return loss

    monkeypatch.setattr("locoprop_ref.experiments.tune.study.objective", by_settings)
    record = search("momentum", trials=4, final=FINAL)
    tried = [each["settings"] for each in record["final"]["candidates"]]
    assert tried[3] == own
    assert tried[4:] == [own | {"learning_rate": rate} for rate in (4e-3, 2.5e-4, 1.6e-2)]
    assert record["settings"] == tried[4]
    assert record["study"]["edges"] == {}


def test_a_final_in_which_all_diverged_goes_no_further_up(here, monkeypatch):
    search("sgd")

    def diverged(trial, config, *_):
        trial.set_user_attr("diverged", "epoch 1")
        return 1e4

    monkeypatch.setattr("locoprop_ref.experiments.tune.study.objective", diverged)
    assert [each["loss"] for each in search("sgd", final=FINAL)["final"]["candidates"]] == [1e4] * 4


@pytest.mark.parametrize("contestant", SPACE)
def test_every_contestant_has_a_rate_that_is_searched(contestant):
    assert finals.RATE[contestant] in {r.option for r in search_space(contestant)}


def test_the_command_line_runs_a_final(here, capsys):
    assert cli.main(["tune", "sgd", "--trials", "2", "--out", "out", *FLAGS[1:]]) == 0
    assert ", in the final " in capsys.readouterr().out
    assert "final" in json.loads((here / "out" / "mnist" / "sgd.json").read_text(encoding="utf-8"))
