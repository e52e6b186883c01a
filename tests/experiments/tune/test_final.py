"""The final: its candidates and rounds, its resumable runs, and what several commands make of it."""

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tiny_tuning import FINAL, FLAGS, NUMPY, a_search, search, split_data, trials_in

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.tune import SPACE, final, finals, runs, search_space
from locoprop_ref.experiments.tune import trials as trials_module
from locoprop_ref.experiments.tune.final import Outcome
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.runs import RunWork, run_of, split_file
from locoprop_ref.training import DIVERGENCE, loop
from locoprop_ref.training.run_file import read_run


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


# ------------------------------ its runs


def a_run(folder="tuning/final", **changed):
    data = tuning_data(FINAL, None)
    split = split_file(data, Path(folder))
    given = {"problem": FINAL, "seed": 0, "rate": 0.1, "sha256": data.sha256, "jobs": 1} | changed
    settings = {"learning_rate": given["rate"]}
    config = given["problem"].config("sgd", seed=given["seed"], **settings)
    return run_of("sgd", settings, config, split=split, sha256=given["sha256"], jobs=given["jobs"])


@pytest.fixture
def epochs_trained(monkeypatch):
    """A list of how many epochs each run of a final has begun, in one process."""
    train, epoch, begun = runs.train, loop.Loop._epoch, []

    def counted_train(*arguments, **options):
        begun.append(0)
        return train(*arguments, **options)

    def counted_epoch(*arguments):
        begun[-1] += 1
        return epoch(*arguments)

    monkeypatch.setattr(runs, "train", counted_train)
    monkeypatch.setattr(loop.Loop, "_epoch", counted_epoch)
    return begun


def test_a_final_is_resumed_from_the_last_complete_epoch(here, monkeypatch, epochs_trained):
    """As if the command had been interrupted in the second of its runs."""
    right, kept = loop.save_checkpoint, []

    def interrupted(path, checkpoint):
        right(path, checkpoint)
        kept.append(path)
        if len(kept) == 7 + 4:  # the first run with its untrained network; three epochs of the second
            raise KeyboardInterrupt

    whole = search("sgd", final=FINAL, out="whole", storage="sqlite:///whole.db")
    count = len(epochs_trained)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search("sgd", final=FINAL)
    assert sorted(path.suffix for path in Path("tuning/final").glob("sgd-*")) == [".json", ".json", ".npz"]
    assert search("sgd", final=FINAL) == whole
    assert epochs_trained == [6] * count + [6, 3, 3] + [6] * (count - 2)
    assert not list(Path("tuning/final").glob("sgd-*.npz"))  # checkpoints of what has ended are removed
    assert search("sgd", final=FINAL) == whole
    assert len(epochs_trained) == 2 * count + 1


def test_the_run_of_a_candidate_is_named_by_all_that_decides_it(here):
    shorter = dataclasses.replace(FINAL, epochs=3)
    others = [a_run(seed=1), a_run(problem=shorter), a_run(sha256="0"), a_run(rate=0.2)]
    names = {run.out for run in (a_run(), a_run(jobs=2), *others)}
    assert len(names) == 1 + len(others)


def test_the_run_of_other_data_is_refused(here):
    run = a_run()
    run.run()
    text = Path(run.out).read_text()
    Path(run.out).write_text(text.replace(run.sha256, "0" * 64))
    with pytest.raises(
        ValueError, match=r"\.json must be a run on the held-out split, got one on other data"
    ):
        run.outcome()


def test_the_run_of_a_candidate_that_diverges(here):
    run = a_run(rate=1e30)
    assert run.outcome() is None
    run.run()
    config = FINAL.config("sgd", seed=0)
    untrained = next(held_out_losses(config, split_data(FINAL), NUMPY))
    assert run.outcome() == Outcome(DIVERGENCE * untrained, diverged=True)
    assert run.describe(run.outcome()) == "sgd final: diverged; learning_rate 1e+30"


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_step_that_fails_has_diverged_unless_in_the_first_epoch(epoch, here, monkeypatch):
    right, steps = loop.build_method, []

    class Failing:
        def __init__(self, method):
            self.method, self.init = method, method.init

        def step(self, *arguments, **options):
            steps.append(None)
            if len(steps) == 4 * epoch:  # four steps make an epoch
                raise ValueError("nan in it")
            return self.method.step(*arguments, **options)

    monkeypatch.setattr(loop, "build_method", lambda config: Failing(right(config)))
    run = a_run()
    if epoch == 1:
        with pytest.raises(ValueError, match="nan in it"):
            run.run()
    else:
        run.run()
        assert run.outcome().diverged
        assert read_run(run.out)["message"] == "nan in it"


def test_a_run_waits_for_another_process_at_it(here, monkeypatch):
    run, trained = a_run(), []
    monkeypatch.setattr(runs, "train", lambda config, **options: trained.append(options["out"]))
    thread = threading.Thread(target=run.run)
    with runs.FileLock(Path(run.out).with_name(f".{Path(run.out).name}.lock")):
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert trained == []
    thread.join(60)
    assert trained == [Path(run.out)]


def test_two_commands_share_the_runs_of_a_final(here, monkeypatch, epochs_trained):
    """The second one comes when the first has trained one candidate: it trains the others, not that one."""
    alone = search("sgd", final=FINAL, storage="sqlite:///alone.db", out="alone")
    count, right, others = len(epochs_trained), RunWork.run, []

    def in_the_middle(self):
        if len(epochs_trained) == count + 1 and not others:
            others.append(None)
            others[0] = search("sgd", final=FINAL)
        right(self)

    monkeypatch.setattr(RunWork, "run", in_the_middle)
    assert [search("sgd", final=FINAL), *others] == [alone, alone]
    assert len(epochs_trained) == 2 * count


# ------------------------------ its rounds


@pytest.fixture
def by_rate(monkeypatch):
    """A function that gives every trial and every run a loss by its settings, and trains nothing."""

    def make(loss):
        def objective(trial, config, *_):
            found = float(loss(config))
            trial.report(found, config.epochs)
            return found

        monkeypatch.setattr(trials_module, "objective", objective)
        monkeypatch.setattr(
            RunWork, "outcome", lambda run: Outcome(float(loss(runs.from_json(run.config))), diverged=False)
        )

    return make


def distance(peak):
    return lambda config: abs(np.log(config.learning_rate / peak))


def test_a_study_is_extended_after_its_final(here, by_rate):
    """Then the final is of what is best now; going back to fewer trials asks for nothing new."""
    by_rate(distance(3e-4))
    begun = []
    for trials in (2, 8, 14, 14, 8):
        record = search("sgd", trials=trials, final=FINAL)
        begun.append(record["final"]["candidates"][0]["settings"]["learning_rate"])
        found = min(t.value for t in trials_in(a_search("sgd")))
        assert record["study"]["loss"] == found
        assert_allclose(abs(np.log(begun[-1] / 3e-4)), found, rtol=1e-12)  # the same expression
    assert len(set(begun)) == 3  # each time a better one was found
    assert begun[2:] == [begun[2]] * 3


def test_a_better_trial_from_elsewhere_begins_the_final_anew(here, monkeypatch, by_rate, said):
    by_rate(distance(3e-5))
    right, calls = finals.play, []

    def in_the_middle(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            search("sgd", trials=14, out="elsewhere")
        return right(*arguments)

    monkeypatch.setattr(finals, "play", in_the_middle)
    record = search("sgd", trials=2, final=FINAL)
    assert "sgd: a better trial came in meanwhile, its final begins anew" in said()
    assert record["study"]["trials"] == 14
    assert record == search("sgd", trials=14, final=FINAL, storage="sqlite:///alone.db")


@pytest.mark.parametrize("peak", [-5, -3, -2, -1, 0, 1, 3])
def test_the_final_goes_on_until_a_larger_and_a_smaller_rate_are_worse(here, by_rate, peak):
    """On a loss that is least at `peak` times four the found rate, whatever was found."""
    best = search("sgd")["settings"]["learning_rate"]
    by_rate(distance(best * 4.0**peak))
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


def test_defaults_that_win_have_other_rates_beside_them(here, by_rate):
    """On a loss that wants the default momentum, and four times the default rate."""
    search("momentum", trials=4)
    own = {"learning_rate": 1e-3, "momentum": 0.9}
    by_rate(lambda c: abs(np.log(c.learning_rate / 4e-3)) + 99 * abs(c.momentum - own["momentum"]))
    record = search("momentum", trials=4, final=FINAL)
    tried = [each["settings"] for each in record["final"]["candidates"]]
    assert tried[3] == own
    assert tried[4:] == [own | {"learning_rate": rate} for rate in (4e-3, 2.5e-4, 1.6e-2)]
    assert record["settings"] == tried[4]
    assert record["study"]["edges"] == {}


def test_a_final_in_which_all_diverged_goes_no_further_up(here, monkeypatch):
    monkeypatch.setattr(RunWork, "outcome", lambda run: Outcome(1e4, diverged=True))
    assert [each["loss"] for each in search("sgd", final=FINAL)["final"]["candidates"]] == [1e4] * 4


def test_of_equal_losses_the_one_that_did_not_diverge_wins():
    outcomes = [Outcome(1.0, diverged=True), Outcome(1.0, diverged=False), Outcome(1.0, diverged=False)]
    assert final.Played([({}, outcome) for outcome in outcomes], []).chosen == 1


def test_a_round_is_not_judged_before_all_its_runs_have_ended():
    there = {0.8: Outcome(1.0, diverged=False), 0.2: Outcome(2.0, diverged=False)}
    best, untuned = {"learning_rate": 0.8}, {"learning_rate": 0.01}
    played = final.play("sgd", best, untuned, lambda settings: there.get(settings["learning_rate"]))
    assert played == final.Played([], [{"learning_rate": 0.05}, {"learning_rate": 0.01}])


@pytest.mark.parametrize("method", SPACE)
def test_every_method_has_a_rate_that_is_searched(method):
    assert final.RATE[method] in {r.option for r in search_space(method)}


def test_the_command_line_runs_a_final(here, capsys):
    assert cli.main(["tune", "sgd", "--trials", "2", "--out", "out", *FLAGS[1:]]) == 0
    assert ", in the final " in capsys.readouterr().out
    assert "final" in json.loads((here / "out" / "mnist" / "sgd.json").read_text(encoding="utf-8"))
