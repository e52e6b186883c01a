"""Studies: the same again from the same seed, resumed, extended, and refused where they do not fit."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import warnings
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from small_runs import arrays, write_data
from tiny_tuning import NUMPY, STORAGE, a_search, search, seen, small, split_data, trials_in

from locoprop_ref.experiments.tune import search_space
from locoprop_ref.experiments.tune import study as study_module
from locoprop_ref.experiments.tune import trials as trials_module
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.space import settings
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.study import STARTUP_TRIALS, open_study
from locoprop_ref.training import DIVERGENCE


@pytest.mark.full
def test_the_same_seed_gives_the_same_study_resumed_or_not(here):
    """Beyond the random trials, so that what the sampler learns from is in it too."""
    count = STARTUP_TRIALS + 3
    once = search(trials=count, storage="sqlite:///once.db", out="once")
    for trials in (1, 4, count):
        twice = search(trials=trials, storage="sqlite:///twice.db", out="twice")
    assert once == twice
    first, second = (trials_in(storage=f"sqlite:///{name}.db") for name in ("once", "twice"))
    assert seen(first) == seen(second)
    assert len({t.params["learning_rate"] for t in first}) == count
    other = search(trials=3, storage="sqlite:///other.db", seed=1)
    assert other["study"]["loss"] != once["study"]["loss"]


def test_the_first_trial_is_untuned(here):
    record = search(trials=2)
    first = trials_in()[0]
    assert first.user_attrs["untuned"] is True
    own = small().config("rmsprop", seed=0)
    assert first.value == record["study"]["untuned_loss"]
    assert first.value == list(held_out_losses(own, split_data(), NUMPY))[-1]


def test_an_interrupted_study_goes_on_as_if_it_had_not_been(here, monkeypatch):
    search(trials=5, storage="sqlite:///whole.db")
    right, calls = trials_module.objective, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) in (1, 4):
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(trials_module, "objective", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            search(trials=5)
    record = search(trials=5)
    assert (record["study"]["trials"], record["study"]["failed"]) == (5, 2)
    whole, resumed = trials_in(storage="sqlite:///whole.db"), trials_in()
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
    assert [t.state.name for t in trials_in()] == ["FAIL" if moment == "start" else "COMPLETE"]
    assert search(trials=2)["study"]["trials"] == 2


def test_a_study_is_extended_and_a_done_one_only_written_again(here):
    search(trials=2)
    again = search(trials=2, out="elsewhere")
    assert len(trials_in()) == 2
    assert json.loads(Path("elsewhere/mnist/rmsprop.json").read_text()) == again
    assert search(trials=4)["study"]["trials"] == 4
    assert search(trials=2)["study"]["trials"] == 4  # what is there counts


@pytest.mark.full
def test_pruned_trials_count_and_are_never_the_best(here, said):
    warm_up, epochs = study_module.PRUNER["min_resource"], 9
    record = search("sgd", trials=14, on=small(epochs=epochs))
    trials = trials_in(a_search(method="sgd"))
    pruned = [t for t in trials if t.state.name == "PRUNED"]
    study = record["study"]
    assert pruned
    assert (study["trials"], study["complete"], study["pruned"]) == (14, 14 - len(pruned), len(pruned))
    assert all(warm_up <= max(t.intermediate_values) < epochs for t in pruned)
    complete = [t for t in trials if t.state.name == "COMPLETE"]
    best = min(complete, key=lambda t: t.value)
    assert study["loss"] == best.value
    assert record["settings"] == settings(best.params)
    assert any(re.search(r"sgd trial \d+: pruned after epoch \d at ", line) for line in said())


def test_diverged_trials_are_counted(here):
    record = search("sgd", trials=4, ranges={"learning_rate": (1e-3, 1e30)})
    trials = trials_in(a_search(method="sgd", space=search_space("sgd", {"learning_rate": (1e-3, 1e30)})))
    diverged = [t for t in trials if "diverged" in t.user_attrs]
    assert record["study"]["diverged"] == len(diverged) > 0
    untrained = next(held_out_losses(small().config("sgd", seed=0), split_data(), NUMPY))
    assert {t.value for t in diverged} == {DIVERGENCE * untrained}
    assert record["study"]["loss"] < untrained


@pytest.mark.full
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
    assert len(trials_in()) == 1
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


def test_a_trial_given_up_for_dead_is_repeated(here, monkeypatch, said):
    """A worker that slept beyond the grace period finds its trial failed: it does not count."""
    right, calls = trials_module.objective, []

    def slept(trial, *arguments):
        calls.append(trial)
        if len(calls) == 2:
            trial.study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        return right(trial, *arguments)

    monkeypatch.setattr(trials_module, "objective", slept)
    study = search(trials=3)["study"]
    assert (study["trials"], study["failed"], len(calls)) == (3, 1, 4)
    assert any(line.startswith("rmsprop trial 1: marked failed") for line in said())


def test_trials_of_dead_processes_fail_at_once_and_others_after_their_grace(here):
    of = a_search()
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    sha256 = tuning_data(of.problem, None).sha256
    with Storage(STORAGE).opened() as connection:
        opened = open_study(of, connection, sha256)
        study = opened.stored
        workers = [
            f"{study_module._machine()} {int(done.stdout)}",
            f"{study_module._machine()} {os.getpid()}",
            f"elsewhere {int(done.stdout)}",
            None,  # killed before it said who it is
            None,
        ]
        for worker in workers:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # the heartbeat is wanted from `optimize`
                trial = study.ask()
            if worker:
                trial.set_user_attr("worker", worker)

        def states():
            opened.fail_dead_trials()
            return [t.state.name for t in study.get_trials()]

        assert states() == ["FAIL", *["RUNNING"] * 4]
        for trial in study.get_trials()[1:3]:
            connection.record_heartbeat(trial._trial_id)
        hour = "UPDATE {table} SET {column} = datetime({column}, '-1 hour') WHERE trial_id = ?"
        with closing(sqlite3.connect("tuning/mnist.db")) as database:
            trials = study.get_trials()
            beat = hour.format(table="trial_heartbeats", column="heartbeat")
            database.execute(beat, (trials[2]._trial_id,))
            begin = hour.format(table="trials", column="datetime_start")
            database.execute(begin, (trials[3]._trial_id,))
            database.execute(begin, (trials[1]._trial_id,))  # a long trial, but alive
            database.commit()
        assert states() == ["FAIL", "RUNNING", "FAIL", "FAIL", "RUNNING"]
        assert opened.running() == {1, 4}
        assert opened.missing() == of.trials
        assert opened.has_place()  # the third of three


def test_a_dead_trial_that_another_process_has_just_marked(here, monkeypatch):
    """Two commands, or a command and a worker that takes another's place, look for dead trials at once."""
    of = a_search()
    with Storage(STORAGE).opened() as connection:
        opened = open_study(of, connection, tuning_data(of.problem, None).sha256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the heartbeat is wanted from `optimize`
            trial = opened.stored.ask()
        trial.set_user_attr("worker", study_module.this_process())

        def marked_meanwhile(process):
            opened.stored.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            return False

        monkeypatch.setattr(study_module, "process_is_alive", marked_meanwhile)
        opened.fail_dead_trials()
        assert [t.state.name for t in opened.trials()] == ["FAIL"]


def test_the_name_of_this_machine_is_drawn_and_says_nothing_about_it(tmp_path, monkeypatch):
    """Once it was a hash of the host's name, from which that can be guessed."""
    names = []
    for folder in ("one", "one", "two"):
        monkeypatch.setenv("LOCOPROP_REF_CACHE", str(tmp_path / folder))
        names.append(study_module._machine())
    assert names[0] == names[1] != names[2]
    in_a_process = "from locoprop_ref.experiments.tune.study import _machine; print(_machine())"
    done = subprocess.run([sys.executable, "-c", in_a_process], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == names[2]
    kept = tmp_path / "two" / "machine.json"
    kept.write_text(kept.read_text().replace('"started": "', '"started": "before '))
    assert study_module._machine() != names[2]  # another start of the machine
    kept.write_text("damaged")
    assert study_module._machine() == study_module._machine()
