"""Places in studies that several processes share: one a trial, none taken twice, spread over studies."""

import pytest
from msgspec import json
from tiny_tuning import STORAGE, a_search, loaded, search, trials_in

from locoprop_ref.experiments.tune import trials as trials_module
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.study import open_study
from locoprop_ref.experiments.tune.trials import Work


def work_on(*searches, index=0):
    return Work(searches, Storage(STORAGE), index=index)


@pytest.fixture
def in_the_first_trial(monkeypatch):
    """A function that has something done in the middle of the first trial of all."""

    def do(action):
        right, calls = trials_module.objective, []

        def objective(trial, *more):
            calls.append(trial.number)
            if len(calls) == 1:
                action()
            return right(trial, *more)

        monkeypatch.setattr(trials_module, "objective", objective)
        return calls

    return do


@pytest.fixture
def looks_too_early(monkeypatch):
    """A function that makes the next process begin a trial of the first study, whatever the others do."""

    def make():
        right = trials_module.with_place

        def with_place(studies, index):
            monkeypatch.setattr(trials_module, "with_place", right)
            return studies[0]

        monkeypatch.setattr(trials_module, "with_place", with_place)

    return make


def test_a_running_trial_holds_its_place(here, in_the_first_trial):
    calls = in_the_first_trial(work_on(a_search(trials=1)).run)
    work_on(a_search(trials=1)).run()
    assert [t.state.name for t in trials_in()] == ["COMPLETE"]
    assert calls == [0]


def test_two_processes_that_take_the_last_place_at_once(here, in_the_first_trial, looks_too_early):
    one = a_search(trials=1)

    def another():
        looks_too_early()
        work_on(one).run()

    calls = in_the_first_trial(another)
    work_on(one).run()
    trials = trials_in()
    assert [(t.state.name, "returned" in t.user_attrs) for t in trials] == [
        ("COMPLETE", False),
        ("FAIL", True),
    ]
    assert calls == [0]  # the other one trained nothing
    with loaded() as study:
        assert [t.state.name for t in study.trials()] == ["COMPLETE"]
    assert search(trials=1)["study"]["failed"] == 0


def test_two_processes_that_choose_the_same_study_at_once(here, in_the_first_trial, looks_too_early):
    sgd, adam = a_search("sgd", trials=2), a_search("adam", trials=2)

    def another():
        looks_too_early()
        work_on(sgd, adam).run()

    in_the_first_trial(another)
    work_on(sgd, adam).run()
    # the second one gave its place in SGD's study back for Adam's; when that was done, it helped
    assert [t.state.name for t in trials_in(sgd)] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert [t.state.name for t in trials_in(adam)] == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_processes_that_begin_together_spread_over_the_studies(index, here):
    searches = [a_search(name, trials=1) for name in ("sgd", "adam", "rmsprop")]
    work = work_on(*searches, index=index)
    with work.storage.opened() as connection:
        studies = [open_study(one, connection, "") for one in searches]
        assert trials_module.with_place(studies, index) is studies[index]


def test_a_trial_beside_others_draws_its_seed(here, monkeypatch, in_the_first_trial):
    """Else two processes that begin together would try the same settings."""
    right, seeds = trials_module._sampler, []
    monkeypatch.setattr(
        trials_module, "_sampler", lambda search, finished: seeds.append(finished) or right(search, finished)
    )
    in_the_first_trial(work_on(a_search(trials=2)).run)
    work_on(a_search(trials=3)).run()
    assert seeds == [0, None, 2]


def test_a_worker_reads_its_work_as_it_was_written():
    for method in ("kfac", "foof", "shampoo"):
        work = work_on(a_search(method), index=1)
        assert json.decode(json.encode(work), type=Work) == work
