"""The final: its candidates and rounds, its resumable runs, and what several commands make of it."""

import dataclasses
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from numpy.testing import assert_allclose
from small_runs import arrays, write_data
from tiny_tuning import FINAL, NUMPY, a_search, search, split_data, trials_in
from tqdm import tqdm

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.pool import Command
from locoprop_ref.experiments.tune import SPACE, final, finals, search_space
from locoprop_ref.experiments.tune import trials as trials_module
from locoprop_ref.experiments.tune.final import Outcome
from locoprop_ref.experiments.tune.finals import FinalRun, Finals
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.training import DIVERGENCE, loop
from locoprop_ref.training.run_file import read_run, write_run


@pytest.fixture
def started(monkeypatch):
    """A list of the names of the runs that were given to processes."""
    right, names = finals.run_processes, []

    def run_processes(commands, **options):
        names.extend(command.name for command in commands)
        return right(commands, **options)

    monkeypatch.setattr(finals, "run_processes", run_processes)
    return names


@pytest.mark.full
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_final_keeps_the_best_candidate(here, jobs, started):
    reduced = search("sgd")
    record = search("sgd", final=FINAL, jobs=jobs)
    count = len(started)
    assert search("sgd", final=FINAL, jobs=jobs) == record
    assert len(started) == count == len(record["final"]["candidates"])
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


def test_the_final_trains_nothing_twice(here, by_rate):
    """A study of one trial ends at the defaults, which are then the first candidate and not the last one."""
    by_rate(distance(1e-3))
    record = search("sgd", trials=1, final=FINAL)
    tried = [each["settings"]["learning_rate"] for each in record["final"]["candidates"]]
    assert tried[:3] == [1e-2, 2.5e-3, 6.25e-4]
    assert 1e-2 not in tried[1:]


# ------------------------------ its runs


def a_run(rate=0.1, seed=0, problem=FINAL, jobs=1):
    of = Finals(problem, Path("tuning/final"), None, jobs)
    return of.run_of(a_search("sgd", seed=seed), {"learning_rate": rate})


def train_all(*runs, jobs=1):
    Finals(FINAL, Path("tuning/final"), None, jobs).train(runs, tqdm(total=0, disable=True))


def checkpoints():
    return list(Path("tuning/final").glob("sgd-*.npz"))


def interrupted_after(epochs, run, monkeypatch):
    """As if the process of a run had been interrupted after some epochs; their seconds, as evidence."""
    right, kept = loop.save_checkpoint, []

    def interrupt(path, checkpoint):
        right(path, checkpoint)
        kept.append(path)
        if len(kept) == 1 + epochs:  # the untrained network is the first
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", interrupt)
        assert cli.main(run.command(1, None).arguments[3:]) == 130
    return seconds(run)


def seconds(run):
    return [row["step_seconds"] for row in read_run(run.out)["epochs"]]


def test_a_run_is_resumed_from_the_last_complete_epoch(here, monkeypatch, started):
    run = a_run()
    before = interrupted_after(3, run, monkeypatch)
    assert [path.stem for path in checkpoints()] == [run.name]
    train_all(run)
    assert started == [run.name]
    assert seconds(run)[: len(before)] == before  # these epochs were not trained again
    assert (len(before), len(seconds(run))) == (3, 7)
    losses = held_out_losses(FINAL.config("sgd", seed=0, learning_rate=0.1), split_data(FINAL), NUMPY)
    assert run.outcome() == Outcome(list(losses)[-1], diverged=False)
    assert not checkpoints()  # checkpoints of what has ended are removed


def test_the_run_of_a_candidate_is_named_by_all_that_decides_it(here):
    names = [a_run(), a_run(seed=1), a_run(problem=dataclasses.replace(FINAL, epochs=3)), a_run(rate=0.2)]
    write_data("tiny.npz", x_train=arrays()["x_train"][::-1])
    tuning_data.cache_clear()
    names.append(a_run())
    assert len({run.out for run in names}) == 5
    assert a_run(jobs=2).out == a_run().out


def test_the_run_of_other_data_is_refused(here):
    run = a_run()
    train_all(run)
    text = Path(run.out).read_text()
    Path(run.out).write_text(text.replace(run.sha256, "0" * 64))
    with pytest.raises(
        ValueError, match=r"\.json must be a run on the held-out split, got one on other data"
    ):
        run.outcome()


def test_a_run_that_diverged_late_counts_by_its_untrained_network(here):
    run = a_run()
    train_all(run)
    content = read_run(run.out)
    write_run(run.out, content | {"status": "diverged"})
    first, last = (content["epochs"][n]["test"]["ce"] for n in (0, -1))
    assert first != last
    assert run.outcome() == Outcome(DIVERGENCE * first, diverged=True)
    with ExitStack() as locks:
        assert not run.take(locks)  # it has ended: nobody trains it again


def test_the_run_of_a_candidate_that_diverges(here, said):
    run = a_run(rate=1e30)
    assert run.outcome() is None
    train_all(run)
    config = FINAL.config("sgd", seed=0)
    untrained = next(held_out_losses(config, split_data(FINAL), NUMPY))
    assert run.outcome() == Outcome(DIVERGENCE * untrained, diverged=True)
    assert said() == ["sgd final: diverged; learning_rate 1e+30"]
    assert not checkpoints()


def test_the_error_of_a_run_is_the_command_s(here):
    run = a_run()
    run.out.with_suffix(".npz").write_bytes(b"no checkpoint")
    with pytest.raises(ChildProcessError, match=r"sgd-\w+\.npz must be a whole NPZ file"):
        train_all(run)


DIES = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_is_begun_again(jobs, here, monkeypatch, said):
    right, killed, runs = FinalRun.command, [], [a_run(0.1), a_run(0.2)]

    def command(run, *options):
        killed.append(run)
        return Command(run.name, DIES) if len(killed) == 1 else right(run, *options)

    monkeypatch.setattr(FinalRun, "command", command)
    train_all(*runs, jobs=jobs)
    assert all(run.is_done() for run in runs)
    assert said().count("a worker was killed, its run goes on from the last complete epoch") == 1
    assert killed.count(runs[0]) == 2


def test_a_run_that_is_killed_again_and_again_ends_the_command(here, monkeypatch):
    monkeypatch.setattr(FinalRun, "command", lambda run, *options: Command(run.name, DIES))
    with pytest.raises(ChildProcessError, match=r"^4 workers were killed in a row: too little memory\?$"):
        train_all(a_run())


def test_a_run_waits_for_another_command_at_it(here, started, monkeypatch):
    """It is neither trained twice nor passed over; the other runs are trained meanwhile."""
    run, other = a_run(0.1), a_run(0.2)
    monkeypatch.setattr(finals, "INTERVAL", 0.05)
    with FileLock(run.lock):
        thread = threading.Thread(target=train_all, args=(run, other))
        thread.start()
        while not other.is_done():
            time.sleep(0.05)
        thread.join(0.5)
        assert thread.is_alive()
        assert started == [other.name]
    thread.join(60)
    assert started == [other.name, run.name]
    assert run.is_done()


@pytest.mark.full
def test_two_commands_share_the_runs_of_a_final(here, monkeypatch, started):
    """The second one comes when the first has trained one candidate: it trains the others, not that one."""
    runs, right, others = [a_run(rate) for rate in (0.1, 0.2, 0.3)], FinalRun.is_done, []

    def in_the_middle(run):
        if not others:
            others.append(None)
            train_all(*runs[1:])
            assert started == [run.name for run in runs]
        return right(run)

    monkeypatch.setattr(FinalRun, "is_done", in_the_middle)
    train_all(*runs)
    assert all(run.outcome() for run in runs)
    assert started == [run.name for run in runs]


def test_several_jobs_take_all_runs_that_are_free(here, started):
    runs = [a_run(rate) for rate in (0.1, 0.2, 0.3)]
    with ExitStack() as locks:
        assert runs[0].take(locks)
        free = Finals(FINAL, Path("tuning/final"), None, 2).free(runs, locks)
        assert free == runs[1:]
        assert Finals(FINAL, Path("tuning/final"), None, 2).free(runs, locks) == []


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
        monkeypatch.setattr(FinalRun, "outcome", lambda run: Outcome(float(loss(run.config)), diverged=False))

    return make


def distance(peak):
    return lambda config: abs(np.log(config.learning_rate / peak))


@pytest.mark.full
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


@pytest.mark.full
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


@pytest.mark.full
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
    monkeypatch.setattr(FinalRun, "outcome", lambda run: Outcome(1e4, diverged=True))
    assert [each["loss"] for each in search("sgd", final=FINAL)["final"]["candidates"]] == [1e4] * 4


def test_of_equal_losses_the_one_that_did_not_diverge_wins():
    outcomes = [Outcome(1.0, diverged=True), Outcome(1.0, diverged=False), Outcome(1.0, diverged=False)]
    assert final.Played([({}, outcome) for outcome in outcomes], []).chosen == 1


def test_a_round_is_not_judged_before_all_its_runs_have_ended():
    there = {0.8: Outcome(1.0, diverged=False), 0.2: Outcome(2.0, diverged=False)}
    best, untuned = {"learning_rate": 0.8}, {"learning_rate": 0.01}
    played = final.play("sgd", best, [untuned], lambda settings: there.get(settings["learning_rate"]))
    assert played == final.Played([], [{"learning_rate": 0.05}, {"learning_rate": 0.01}])


@pytest.mark.parametrize("method", SPACE)
def test_every_method_has_a_rate_that_is_searched(method):
    assert final.rate_of(method) in {r.option for r in search_space(method)}
