"""Studies with two objectives: the loss, and the seconds to a target loss."""

import json
import os
import re
from math import inf

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tuning import FINAL, FLAGS, NUMPY, STORAGE, a_search, loaded, search, small, split_data

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import final as final_module
from locoprop_ref.experiments.tune import search_space, timed, tune
from locoprop_ref.experiments.tune import target as target_module
from locoprop_ref.experiments.tune import tuning as tuning_module
from locoprop_ref.experiments.tune.budget import PENALTY, SHARE, Budget
from locoprop_ref.experiments.tune.hours import Estimate, in_words
from locoprop_ref.experiments.tune.objective import held_out_epochs, held_out_losses
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.study import open_study
from locoprop_ref.experiments.tune.timed_finals import TimedOutcome
from locoprop_ref.experiments.tuned import FAST
from locoprop_ref.experiments.tuned.record import Candidate, Final
from locoprop_ref.training import DIVERGENCE
from locoprop_ref.training.steps import Diverged

LIMIT = Budget(seconds=1.0, target=5.0)
# the tiny network takes milliseconds an epoch; a target that its first trials come to, and one that none does
EASY, NEVER = {"fast": True, "target": 6.4, "budget": 0.2}, {"fast": True, "target": 1e-6, "budget": 0.03}
FAST_FLAGS = [*FLAGS, "--fast", "--target", "6.4", "--budget", "0.2"]


def fast_search(method="sgd", **changed):
    fields = {"space": (*search_space(method), SHARE), "budget": LIMIT, "trials": 3}
    return a_search(method, **{**fields, **changed})


# ------------------------------ the budget


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.01, 1)), max_size=8),
    st.floats(0.1, 5), st.floats(0.1, 10),
)  # fmt: skip
def test_a_budget_counts_what_ended_within_it(epochs, seconds, target):
    """Against the definition: ends are running sums; what ends late counts for nothing."""
    found = Budget(seconds=seconds, target=target).judge(iter(epochs), 99.0)
    ends, total = [], 0.0
    for epoch in epochs:
        total += epoch[2]
        ends.append(total)
    inside = [n for n, end in enumerate(ends) if end <= seconds]
    assert found.loss == (epochs[inside[-1]][0] if inside else 99.0)
    assert found.spent == (ends[inside[-1]] if inside else 0.0)
    reached = [ends[n] for n in inside if epochs[n][1] <= target]
    assert found.reached == (reached[0] if reached else None)


def test_no_epoch_is_trained_once_the_seconds_are_spent():
    taken = []

    def epochs():
        for number in range(9):
            taken.append(number)
            yield 7.0, 7.0, 0.4

    assert LIMIT.judge(epochs(), 9.0).spent == 0.8
    assert taken == [0, 1, 2]  # the third one ended after the budget


@pytest.mark.parametrize(("share", "seconds", "epochs"), [(0.5, 0.1, 5), (0.2, 0.9, 1), (0.9, inf, 1)])
def test_a_schedule_ends_with_its_share_of_the_seconds(share, seconds, epochs):
    assert LIMIT.epochs(share, seconds) == epochs
    assert small().lasting(epochs).schedule_epochs == epochs + 1


@pytest.mark.parametrize("name", ["seconds", "target"])
@pytest.mark.parametrize("value", [0.0, -1.0, inf])
def test_a_budget_is_of_positive_numbers(name, value):
    with pytest.raises(
        ValueError, match=rf"^{'budget' if name == 'seconds' else name} must be a positive num"
    ):
        Budget(**{"seconds": 1.0, "target": 1.0, name: value})


# ------------------------------ one trial


class Trial:
    """What Optuna hands to an objective: keeps what it is told."""

    def __init__(self):
        self.told = {}

    def set_user_attr(self, name, value):
        self.told[name] = value


@pytest.fixture
def epochs_of(monkeypatch):
    """A function that gives a trial's epochs their (loss, seconds); returns what configs were trained."""

    def give(*epochs, epoch_seconds=0.1, error=None):
        configs = []

        def trained(config, *_):
            configs.append(config)
            yield 9.0, 0.0
            yield from epochs
            if error:
                raise error

        monkeypatch.setattr(timed, "held_out_epochs", trained)
        monkeypatch.setattr(timed, "epoch_seconds", lambda *_: epoch_seconds)
        return configs

    return give


CHOSEN = {"learning_rate": 0.1, "schedule_share": 0.8}


def test_a_trial_that_comes_to_the_target(epochs_of, here):
    configs, trial = epochs_of((6.0, 0.2), (5.0, 0.3), (4.0, 0.4)), Trial()
    assert timed.timed_objective(trial, fast_search(), CHOSEN, None, NUMPY) == (4.0, 0.5)
    assert (configs[0].epochs, configs[0].schedule_epochs) == (8, 9)
    assert configs[0].learning_rate == 0.1
    wanted = {"loss": 4.0, "reached": 0.5, "spent": pytest.approx(0.9), "epochs": 8, "diverged": None}
    assert trial.told == {"timed": wanted}


def test_a_trial_that_does_not_come_there_has_the_penalty(epochs_of, here):
    """Also where it would have come there after the budget."""
    epochs_of((6.0, 0.6), (4.0, 0.6))
    trial = Trial()
    assert timed.timed_objective(trial, fast_search(), CHOSEN, None, NUMPY) == (6.0, LIMIT.seconds)
    assert trial.told["timed"]["reached"] is None
    assert "counts with the seconds of the whole budget" in PENALTY


def test_a_diverged_trial_reached_nothing_even_where_it_was_there(epochs_of, here):
    epochs_of((4.0, 0.2), error=Diverged("loss nan"))
    trial = Trial()
    values = timed.timed_objective(trial, fast_search(), CHOSEN, None, NUMPY)
    assert values == (DIVERGENCE * 9.0, LIMIT.seconds)
    assert trial.told["diverged"] == "loss nan"
    assert trial.told["timed"]["reached"] is None


def test_seconds_are_of_the_steps_alone(here, monkeypatch):
    """A clock that only steps move: evaluations, which take as long, are not in the seconds."""
    from locoprop_ref.experiments.tune import objective
    from locoprop_ref.training.steps import Steps

    now, right, evaluate = [0.0], Steps.epoch, objective.evaluate

    def epoch(*arguments):
        now[0] += 2.0
        return right(*arguments)

    def evaluated(*arguments):
        now[0] += 100.0
        return evaluate(*arguments)

    monkeypatch.setattr(objective.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Steps, "epoch", epoch)
    monkeypatch.setattr(objective, "evaluate", evaluated)
    config, data = small().config("sgd", seed=0), split_data()
    assert [seconds for _, seconds in held_out_epochs(config, data, NUMPY)] == [0.0, 2.0, 2.0]


def test_an_epoch_is_timed_beforehand_and_a_failing_one_takes_for_ever(here):
    config, data = small().lasting(1).config("kfac", seed=0), split_data()
    assert 0 < timed.epoch_seconds(config, data, NUMPY) < inf
    bad = small().lasting(1).config("kfac", seed=0, learning_rate=1e30, kl_clip=inf)
    # the steps of such a rate end in numbers of no use, or that no factorization takes; never in an error
    assert timed.epoch_seconds(bad, data, NUMPY) > 0


# ------------------------------ a study


def test_studies_of_all_kinds_have_names_of_their_own():
    kinds = [
        a_search("sgd"),
        fast_search(),
        a_search("sgd", space_name="wide"),
        fast_search(space_name="wide"),
    ]
    assert len({of.name for of in kinds}) == len(kinds)


def test_a_study_with_two_objectives(here, said):
    record = search("sgd", trials=4, **EASY)
    path = here / "tuning" / f"mnist{FAST}" / "sgd.json"
    assert json.loads(path.read_text(encoding="utf-8")) == record
    found, study = record["frontier"], record["study"]
    assert (found["target"], found["budget"], found["penalty"]) == (6.4, 0.2, PENALTY)
    assert (study["trials"], study["complete"], study["pruned"], study["pruner"]) == (4, 4, 0, {})
    assert list(record["settings"]) == ["learning_rate", "epochs", "schedule_epochs"]
    assert record["settings"]["schedule_epochs"] == record["settings"]["epochs"] + 1
    assert " --fast --target 6.4 --budget 0.2" in study["command"]
    assert study["ranges"]["schedule_share"] == [0.2, 0.95]
    front = [(point["loss"], point["seconds"] or found["budget"]) for point in found["front"]]
    assert front == sorted(front, key=lambda point: point[1])
    assert front == sorted(front, reverse=True)  # who is quicker has the larger loss
    assert found["chosen_by"] == ("seconds" if found["reached"] else "loss")
    if found["reached"]:
        assert record["settings"] == found["front"][0]["settings"]
    assert any(re.match(r"sgd trial 0: (held-out loss .* s of steps|diverged)", line) for line in said())
    least = min(point["loss"] for point in found["front"])
    told = f"sgd: {found['reached']} of 4 trials came to 6.4 within 0.2 s; fewest seconds: "
    assert any(line.startswith(told) and line.endswith(f"least loss {least:.6g}") for line in said())
    # both beginnings: the package's own, and its tuned settings
    of = fast_search(budget=Budget(seconds=0.2, target=6.4))
    with loaded(of) as opened:
        trials = opened.trials()
        assert [{"untuned", "stored"} & set(t.user_attrs) for t in trials[:2]] == [{"untuned"}, {"stored"}]
        assert all(t.params["schedule_share"] == SHARE.high for t in trials[:2])
        # the front, by its definition
        values = [tuple(t.values) for t in trials]
        beaten = [
            any(all(a <= b for a, b in zip(u, v, strict=True)) and u != v for u in values) for v in values
        ]
        assert [t.number for t in opened.front()] == [
            n
            for _, n in sorted(
                (v[::-1], n) for n, (v, b) in enumerate(zip(values, beaten, strict=True)) if not b
            )
        ]
    # in the same storage: a target that nothing comes to; who did not reach it never counts as reached
    record = search("sgd", trials=2, seed=1, **NEVER)
    found = record["frontier"]
    assert (found["reached"], found["chosen_by"]) == (0, "loss")
    assert all(point["seconds"] is None for point in found["front"])
    assert record["settings"] == min(found["front"], key=lambda point: point["loss"])["settings"]


@pytest.mark.parametrize("method", ["locoprop-m", "adam"])
def test_a_wide_study_tries_two_larger_steps_after_the_tuned_settings(here, method):
    space = (*search_space(method, space="wide"), SHARE)
    with Storage(STORAGE).opened() as connection:
        opened = open_study(fast_search(method, space=space, space_name="wide"), connection, "of no data")
        queued = [(set(t.user_attrs), t.system_attrs["fixed_params"]) for t in opened.trials("WAITING")]
    names = [{"untuned"}, {"stored"}] + [{"few steps"}] * (method == "locoprop-m")
    assert [name for name, _ in queued] == names
    if method == "locoprop-m":
        known, few = queued[1][1], queued[2][1]
        assert few == known | {"num_local_steps": 2, "local_lr@rmsprop": 2 * known["local_lr@rmsprop"]}


@pytest.mark.full
def test_a_killed_study_goes_on_to_its_exact_number_of_trials(here, monkeypatch):
    from locoprop_ref.experiments.tune import trials as trials_module

    right, calls = trials_module.timed_objective, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return right(*arguments)

    monkeypatch.setattr(trials_module, "timed_objective", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search("sgd", trials=4, **NEVER)
    study = search("sgd", trials=4, **NEVER)["study"]
    assert (study["trials"], study["failed"], len(calls)) == (4, 1, 5)
    with loaded(fast_search(budget=Budget(seconds=0.03, target=1e-6))) as opened:
        kept = [t for t in opened.trials() if t.state.name != "FAIL"]
        assert [sum(what in t.user_attrs for t in kept) for what in ("untuned", "stored")] == [1, 1]
    assert search("sgd", trials=4, **NEVER)["study"]["trials"] == 4
    assert len(calls) == 5
    with pytest.raises(ValueError, match=r"of another problem: target 1e-06 there, 1e-07 here"):
        search("sgd", trials=4, **NEVER | {"target": 1e-7})


# ------------------------------ the target


@pytest.mark.full
def test_the_target_is_the_loss_of_rmsprops_stored_settings(here, monkeypatch):
    """Computed, kept, and the same for every method and every command."""
    found = search("sgd", trials=1, fast=True)["frontier"]
    stored = target_module._settings(small())
    config = small().config("rmsprop", seed=0, **stored)
    assert found["target"] == list(held_out_losses(config, split_data(), NUMPY))[-1]
    path = here / "tuning" / f"mnist{FAST}" / "target.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["loss"], kept["settings"]) == (found["target"], stored)
    assert found["budget"] == 2 * kept["seconds"]
    monkeypatch.setattr(target_module, "_measured", None)
    again = search("momentum", trials=1, fast=True)["frontier"]
    assert (again["target"], again["budget"]) == (found["target"], found["budget"])
    path.write_text(path.read_text(encoding="utf-8").replace('"epochs": 2', '"epochs": 3'), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"target.json must be the target of this problem, got one with epochs 3"
    ):
        search("adam", trials=1, fast=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": 60.0}, r"^target has no meaning without fast, got 60.0"),
        ({"budget": 3.0}, r"^budget has no meaning without fast, got 3.0"),
        ({"fast": True, "jobs": 2}, r"^jobs must be 1 with fast, .*, got 2"),
        ({"fast": True, "target": 0.0, "budget": 1.0}, r"^target must be a positive number, got 0.0"),
        ({"fast": True, "budget": float("nan")}, r"^budget must be a (positive )?number, got nan"),
        ({"fast": 1}, r"^fast must be True or False, got 1"),
    ],
)
def test_what_does_not_go_together(options, words, here):
    with pytest.raises((ValueError, TypeError), match=words):
        search("sgd", trials=1, **options)
    assert not (here / "tuning").exists()


def test_one_command_searches_seven_methods(here, monkeypatch):
    """With more trials of LocoProp, whose space is the largest; a number that is given is for all."""
    seen = []

    class Stop(Exception):
        pass

    def stopped(searches, *_):
        seen.append({of.method: of.trials for of in searches})
        raise Stop

    monkeypatch.setattr(tuning_module, "_check_data", stopped)
    for how in ({"fast": True}, {"fast": True, "trials": 5}, {}):
        with pytest.raises(Stop):
            tune(on=small(), progress=False, **how)
    others, loco = ("rmsprop", "adam", "kfac", "foof"), ("locoprop-s", "locoprop-s-closed", "locoprop-m")
    assert seen[0] == dict.fromkeys(others, 30) | dict.fromkeys(loco, 60)
    assert seen[1] == dict.fromkeys((*others, *loco), 5)
    assert seen[2] == dict.fromkeys(tuned.CONTESTANTS, 30)


def test_the_fast_command_is_one_line_where_it_is_refused(here, capsys):
    assert cli.main(["tune", "sgd", *FLAGS, "--target", "6"]) == 2
    assert capsys.readouterr().err == "locoprop-ref tune: target has no meaning without fast, got 6.0\n"


# ------------------------------ the plan of hours


def test_the_hours_are_trials_times_seconds_and_runs_times_seconds():
    one, other = Estimate("sgd", 30, 60.0, 10, 180.0), Estimate("adam", 60, 30.0, 0, 0.0)
    assert one.seconds == 30 * 60 + 10 * 180
    assert in_words([one, other], 2) == [
        "sgd: 30 trials of 60.0 s, 10 runs of finals of 180.0 s: 1 h",
        "adam: 60 trials of 30.0 s: 0.5 h",
        "in all 0.75 h with 2 jobs",
    ]


@pytest.mark.full
def test_a_plan_runs_one_trial_of_every_study_and_the_trial_counts(here, said, monkeypatch):
    monkeypatch.setitem(target_module.WHOLE, "mnist", (6.4, 20))
    both = ["sgd", "momentum"]
    for _ in range(2):
        planned = tune(both, small(), final=FINAL, trials=3, progress=False, plan=True, **NEVER)
        assert planned == {}
    lines = [line for line in said() if re.search(r" h( with|$)", line)]
    assert len(lines) == 2 * 3
    assert re.match(r"sgd: 2 trials of \d+\.\d s, 10 runs of finals of \d+\.\d s: ", lines[0])
    assert re.match(r"in all .* h with 1 job$", lines[2])
    for name in both:
        with loaded(fast_search(name, budget=Budget(seconds=0.03, target=1e-6))) as opened:
            assert [t.state.name for t in opened.trials("COMPLETE", "FAIL")] == ["COMPLETE"]
    assert not list((here / "tuning").glob("*/sgd.json"))


# ------------------------------ the finals


def test_by_seconds_whoever_came_to_the_target_first_wins_and_by_loss_the_least_loss():
    def outcome(loss, seconds, by, diverged=False):
        return TimedOutcome(loss, diverged, seconds, by, {"epochs": 3})

    ends = [(5.0, None), (7.0, 2.0), (8.0, 1.0), (4.0, None)]
    for by, best in (("seconds", 2), ("loss", 3)):
        outcomes = [outcome(*end, by) for end in ends]
        assert min(range(4), key=lambda n: outcomes[n].order) == best
    candidate = outcome(5.0, None, "loss").candidate({"learning_rate": 0.1, "schedule_share": 0.5})
    assert candidate.settings == {"learning_rate": 0.1, "epochs": 3}
    assert msgspec.to_builtins(candidate)["seconds"] is None


class Played:
    """A final whose winner came to the target after so many seconds, or did not; `there`: it has a choice."""

    def __init__(self, by, seconds, *, there=True):
        self.by, self.there = by, there
        self.record = Final({}, [Candidate({"learning_rate": 0.1}, 5.0, seconds)], 0, 5.0)

    def choice(self, study):
        return study if self.there else None

    def play_all(self, studies, bar):
        return [self.record]


@pytest.mark.parametrize(
    ("final_by", "seconds", "there", "wanted"),
    [
        ("both", 1.0, True, {"seconds", "loss"}),
        ("loss", 1.0, True, {"loss"}),
        ("seconds", 1.0, True, {"seconds"}),
        ("seconds", None, True, {"seconds", "loss"}),  # no run came to the target
        ("seconds", None, False, {"loss"}),  # no trial came to it
        ("both", None, False, {"loss"}),
    ],
)
def test_one_final_is_enough_where_it_is_wanted_alone(final_by, seconds, there, wanted):
    finals = [Played("loss", None), Played("seconds", seconds, there=there)]
    played = tuning_module.play_timed("the study", finals, None, final_by)
    assert set(played) == wanted
    assert all(final is next(one.record for one in finals if one.by == by) for by, final in played.items())


@pytest.mark.parametrize("final_by", ["loss", "seconds"])
def test_the_command_of_a_result_names_the_final_that_it_has_alone(final_by, here, monkeypatch):
    record = Played(final_by, 1.0).record
    monkeypatch.setattr(tuning_module, "play_timed", lambda *_: {final_by: record})
    assert f"--final-by {final_by}" in search("sgd", **EASY)["study"]["command"]
    monkeypatch.setattr(tuning_module, "play_timed", lambda *_: {"loss": record, "seconds": record})
    assert "--final-by" not in search("sgd", **EASY)["study"]["command"]


def test_a_choice_among_finals_goes_with_fast_alone(here, capsys):
    with pytest.raises(ValueError, match="final_by must be 'both' without fast, got 'loss'"):
        search("sgd", final_by="loss")
    assert cli.main(["tune", "sgd", *FLAGS, "--final-by", "quick", "--fast"]) == 2
    assert "final_by must be one of" in capsys.readouterr().err


@pytest.mark.full
def test_the_finals_of_a_study_with_two_objectives(here, monkeypatch):
    """At most two, by loss and by seconds; a second call trains nothing and writes the same."""
    monkeypatch.setitem(target_module.WHOLE, "mnist", (6.4, 20))
    # one rate and one round: every run is a process
    monkeypatch.setattr(final_module, "FACTORS", (1.0,))
    monkeypatch.setattr(final_module, "further", lambda *_: [])
    record = search("sgd", trials=3, final=FINAL, **EASY)
    found = record["frontier"]
    assert found["final_target"] == 6.4
    assert found["final_budget"] > 0
    winners = [record["final"], found["final_by_loss"]]
    for final in winners:
        chosen = final["candidates"][final["chosen"]]
        assert {"learning_rate", "epochs", "schedule_epochs"} == set(chosen["settings"])
    by_loss = found["final_by_loss"]
    assert by_loss["loss"] == min(each["loss"] for each in by_loss["candidates"])
    times = [each["seconds"] for each in record["final"]["candidates"] if each["seconds"] is not None]
    if found["chosen_by"] == "seconds":
        assert record["final"]["candidates"][record["final"]["chosen"]]["seconds"] == min(times)
    winner = record["final"]["candidates"][record["final"]["chosen"]]
    assert record["settings"] == winner["settings"]
    assert "--no-final" not in record["study"]["command"]
    before = {path.name: os.stat(path).st_mtime_ns for path in (here / "tuning" / "final").iterdir()}
    assert search("sgd", trials=3, final=FINAL, **EASY) == record
    assert {path.name: os.stat(path).st_mtime_ns for path in (here / "tuning" / "final").iterdir()} == before
    # every run's schedule is of its own length
    for path in (here / "tuning" / "final").glob("sgd-*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        if "config" in run:
            assert run["config"]["schedule_epochs"] == run["config"]["epochs"] + 1
    assert np.isfinite(found["final_budget"])
