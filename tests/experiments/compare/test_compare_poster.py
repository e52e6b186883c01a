"""The presets poster and poster-signs: their plans, their claims on made-up numbers, figures, a tiny run."""

import copy
import itertools

import made_up
import numpy as np
import pytest
from made_up_images import write_images
from numpy.testing import assert_allclose, assert_equal
from small_comparison import losses

from locoprop_ref.data import load
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import figures, notes, poster_figures, summary
from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.memory import memory_of
from locoprop_ref.experiments.compare.page import Summary
from locoprop_ref.experiments.compare.plan import PRESETS, comparison, is_offline
from locoprop_ref.experiments.compare.poster_claims import VARIANTS, at_end, at_step, decided, poster_claims
from locoprop_ref.experiments.compare.run import compare
from locoprop_ref.experiments.compare.timing import Training
from locoprop_ref.experiments.tune.problem import PROBLEMS
from locoprop_ref.plot.style import alt_text
from locoprop_ref.training import examples
from locoprop_ref.training.run_file import read_run

POSTERS = ("poster", "poster-signs")
STEPS = (5, 10, 20, 50)


# ------------------------------ the plans


@pytest.mark.parametrize("preset", POSTERS)
def test_a_preset_is_the_problem_that_is_tuned(preset):
    plan, problem = comparison(preset), PROBLEMS[preset]
    assert_equal(plan.problem, preset)
    for name in ("data", "task", "layers", "transfer", "batch_size", "schedule"):
        assert_equal(plan.in_common()[name], getattr(problem, name))
    assert set(tuned.usual_entries(preset)) <= set(plan.entries)
    own = {name for name in plan.entries if tuned.lender(name) is None}
    assert_equal(own, set(tuned.usual_entries(preset)))


def test_epochs_and_steps_of_online_and_offline_entries():
    """An offline entry has 40 iterations, no batch, and no step within an epoch."""
    plan = comparison("poster")
    record = plan.record()
    for name in plan.entries:
        config = plan.config(name, 0)
        wanted = (40, None, None) if is_offline(name) else (10, 200, PRESETS["poster"]["evaluate_steps"])
        assert_equal((config.epochs, config.batch_size, config.evaluate_steps), wanted)
        assert_equal(record.epochs_of(name), wanted[0])
        assert_equal(config.transfer, "relu")
    assert_equal(
        [name for name in plan.entries if is_offline(name)], ["offline-admm", "offline-bcd", "offline-mac"]
    )
    assert_equal(plan.config("offline-bcd", 0).multiplier_step, 0.0)
    assert_equal(plan.config("offline-admm", 0).multiplier_step, 1.0)


def test_adam_in_the_settings_of_am_adam(monkeypatch):
    """Whatever AM-Adam is tuned to, it has its rate, momenta and ε, and nothing of its codes."""
    plan = comparison("poster", tuned=False)
    same = {"learning_rate": "local_lr", "momentum": "momentum", "decay": "decay", "epsilon": "epsilon"}
    adam, am = plan.config("adam-as-am", 0), plan.config("am-adam", 0)
    assert_equal([getattr(adam, a) for a in same], [getattr(am, b) for b in same.values()])
    found = {"local_lr": 0.02, "momentum": 0.8, "decay": 0.99, "epsilon": 1e-5, "code_lr": 3.0}
    record = {"settings": found, "problem": PROBLEMS["poster"].record("ab"), "study": {}}
    monkeypatch.setattr(tuned, "read_record", lambda file: copy.deepcopy(record))
    monkeypatch.setattr(tuned.msgspec, "to_builtins", lambda value: value)
    monkeypatch.setattr(tuned, "files", lambda package: Found())
    assert_equal(
        tuned.options("adam-as-am", "poster"),
        {"method": "backprop", "optimizer": "adam", "learning_rate": 0.02, "momentum": 0.8, "decay": 0.99,
         "epsilon": 1e-5},
    )  # fmt: skip
    monkeypatch.setattr("locoprop_ref.experiments.compare.plan.provenance", tuned.provenance)
    plan = comparison("poster", entries=["adam-as-am"])
    assert_equal(plan.source("adam-as-am"), "settings of AM-Adam, tuned")


class Found:
    """A folder in which every file is there."""

    def __truediv__(self, name):
        return self

    def is_file(self):
        return True


def test_the_control_is_the_straight_through_estimator_with_its_first_layer_frozen():
    plan = comparison("poster-signs", tuned=False)
    ste, control = (plan.config(name, 0) for name in ("ste", "ste-frozen"))
    assert_equal((ste.frozen_layers, control.frozen_layers), (None, 1))
    assert_equal(ste.transfer, "sign,tanh,softmax")
    assert_equal(plan.record().entries["ste-frozen"].settings["frozen_layers"], 1)
    assert "frozen_layers" not in plan.record().shared


def test_the_twelve_are_still_what_the_others_compare():
    assert_equal(len(tuned.CONTESTANTS), 12)
    assert not tuned.CONTESTANTS.keys() & tuned.RELATIVES.keys()
    for preset in ("quick", "standard", "paper"):
        assert_equal(comparison(preset).entries, tuple(tuned.CONTESTANTS))
    assert_equal(tuned.usual_entries("mnist"), tuple(tuned.CONTESTANTS))


def test_no_two_entries_look_alike():
    looks = [figures.look(name) for name in tuned.ALL]
    assert_equal(len({look["marker"] for look in looks}), len(looks))
    assert_equal(len({(str(look["color"]), str(look["linestyle"])) for look in looks}), len(looks))


# ------------------------------ made-up results


def made_up_run(steps, epochs, seed=0, status="finished", offline=False, **config):
    """A run with these test accuracies after steps 5, 10, 20, 50 of the first epoch, and after the epochs."""
    run = made_up.run([9.0] * (len(epochs) + 1), config={"seed": seed, **config}, status=status)
    for row, share in zip(run["epochs"], [0.1, *epochs], strict=True):
        row["train"]["accuracy"] = row["test"]["accuracy"] = share
    if not offline:
        run["epochs"][1]["steps"] = [
            {"step": n, "test": {"ce": 1.0, "mse": 0.1, "accuracy": share}}
            for n, share in zip(STEPS, steps, strict=True)
        ]
    return run


AS_CLAIMED = {
    "sgd": ((0.2, 0.3, 0.4, 0.5), (0.90, 0.95)),
    "adam": ((0.5, 0.6, 0.7, 0.8), (0.95, 0.97)),
    "adam-as-am": ((0.55, 0.65, 0.75, 0.85), (0.95, 0.96)),
    "am-adam": ((0.6, 0.7, 0.8, 0.9), (0.955, 0.969)),
    "offline-admm": (None, (0.5, 0.3)),
}
SIGNS = {
    "am-adam": ((0.3,) * 4, (0.9, 0.975)), "dtp": ((0.3,) * 4, (0.9, 0.95)),
    "ste": ((0.3,) * 4, (0.9, 0.97)), "ste-frozen": ((0.3,) * 4, (0.9, 0.93)),
}  # fmt: skip


def folder_of(path, entries, preset="poster", spread=0.001, status=None):
    """Three seeds of every entry, one of them `spread` below and one above."""
    runs = {}
    for name, (steps, epochs) in entries.items():
        runs[name] = [
            made_up_run(
                None if steps is None else [share + by for share in steps],
                [share + by for share in epochs],
                seed,
                offline=steps is None,
                status=(status or {}).get(name, "finished"),
            )
            for seed, by in enumerate((0.0, -spread, spread))
        ]
    shared = {
        "epochs": 2, "batch_size": 100, "layers": "9-4-3", "data": "tiny", "images": None, "task": "classify",
        "schedule": "constant",
    }  # fmt: skip
    made_up.write(path, {name: [] for name in runs}, shared=shared, preset=preset)
    return read_results(write(path, runs, shared, preset))


def write(path, runs, shared, preset):
    """`made_up.write` with the entries that are no contestants."""
    return made_up.write(path, runs, shared=shared, preset=preset)


def verdicts(results):
    return decided(poster_claims(results))


def findings(results, claim, variant="AM-Adam"):
    (found,) = [one for one in poster_claims(results) if one.statement.startswith(claim)]
    return found.variants[variant].tests


def test_as_the_poster_has_it_everything_holds(tmp_path):
    results = folder_of(tmp_path, AS_CLAIMED)
    assert_equal(verdicts(results), {"Offline": "held", "Faster": "held", "Later": "held"})
    assert_equal(verdicts(folder_of(tmp_path / "s", SIGNS, "poster-signs")), {"Binary": "held"})
    # AM-Adam against SGD, Adam, and Adam in its settings, at four steps; then what is left of the lead
    tests = findings(results, "Faster")
    assert_equal([one.counts for one in tests], [True] * 12 + [False] * 4)
    assert "+10.00 points against Adam, 50.00 % (49.90 to 50.10), the spreads apart" in tests[1].sentence
    assert "AM-Adam +10.00 points against tuned Adam, +5.00 points against Adam with" in tests[12].sentence
    assert tests[12].sentence.endswith("those settings alone +5.00 points")


def changed(name, steps=None, epochs=None, base=AS_CLAIMED):
    old_steps, old_epochs = base[name]
    return {**base, name: (old_steps if steps is None else steps, old_epochs if epochs is None else epochs)}


@pytest.mark.parametrize(
    ("entries", "claim", "verdict"),
    [
        # an offline method ahead of the first epoch, but not of the end; ahead at its best iteration alone
        (changed("offline-admm", epochs=(0.96, 0.3)), "Offline", "partly"),
        (changed("offline-admm", epochs=(0.98, 0.3)), "Offline", "not"),
        # Adam is as fast at one of four steps: its spread overlaps
        (changed("adam", steps=(0.5, 0.6, 0.799, 0.8)), "Faster", "partly"),
        # the same start in AM's settings: the ε and the rate were the lead
        (changed("adam-as-am", steps=(0.6, 0.7, 0.8, 0.9)), "Faster", "partly"),
        (changed("am-adam", steps=(0.1, 0.1, 0.1, 0.1)), "Faster", "not"),
        # worse by 0.2 points or less is no difference, and so is more where the spreads overlap
        (changed("am-adam", epochs=(0.955, 0.9681)), "Later", "held"),
        (changed("am-adam", epochs=(0.955, 0.9650)), "Later", "not"),
    ],
)
def test_one_change_and_its_verdict(tmp_path, entries, claim, verdict):
    assert_equal(verdicts(folder_of(tmp_path, entries))[claim], verdict)


def test_more_than_the_margin_with_overlapping_spreads_is_no_difference(tmp_path):
    entries = changed("am-adam", epochs=(0.955, 0.965))
    assert_equal(verdicts(folder_of(tmp_path, entries, spread=0.003))["Later"], "held")
    assert_equal(verdicts(folder_of(tmp_path / "b", entries, spread=0.002))["Later"], "not")


@pytest.mark.parametrize(
    ("entries", "verdict"),
    [
        (changed("ste", epochs=(0.9, 0.976), base=SIGNS), "partly"),
        (changed("ste", epochs=(0.9, 0.9755), base=SIGNS), "partly"),
        (changed("am-adam", epochs=(0.9, 0.92), base=SIGNS), "not"),
    ],
)
def test_binary_networks(tmp_path, entries, verdict):
    assert_equal(verdicts(folder_of(tmp_path, entries, "poster-signs"))["Binary"], verdict)
    results = folder_of(tmp_path / "again", SIGNS, "poster-signs")
    tests = findings(results, "Binary")
    assert_equal([one.counts for one in tests], [True, True, True, False, False])
    assert "Straight-through: accuracy at the end 97.00 %" in tests[3].sentence


def test_what_is_not_there_is_not_measured(tmp_path):
    only = {name: AS_CLAIMED[name] for name in ("adam", "am-adam")}
    results = folder_of(tmp_path, only)
    assert_equal(verdicts(results), {"Offline": "not measured", "Faster": "held", "Later": "held"})
    assert "sgd: not measured" in findings(results, "Faster")[0].sentence
    assert set(VARIANTS) <= tuned.RELATIVES.keys()


def test_a_run_that_diverged_has_no_accuracy_from_there_on(tmp_path):
    """A dead AM-Adam keeps what it had in the epochs that it came to, and is 0 after them."""
    run = made_up_run((0.5,) * 4, (0.9,), status="diverged")
    assert_equal((at_step(run, 5), at_step(run, 400), at_end(run)), (0.5, 0.0, 0.0))
    run["status"] = "finished"
    assert_equal((at_step(run, 400), at_end(run)), (None, 0.9))
    results = folder_of(tmp_path, AS_CLAIMED, status={"am-adam": "diverged"})
    assert_equal(verdicts(results)["Later"], "not")


# ------------------------------ page and figures


@pytest.mark.parametrize("names", list(itertools.permutations(("sgd", "am-adam", "adam"))))
def test_equal_errors_are_told_in_the_order_of_the_entries(names, tmp_path):
    """And not in the order of a set, which changes from one process to the next."""
    results = folder_of(tmp_path, AS_CLAIMED)
    bands = {name: {"step": np.array([20]), "median": np.array([5.0])} for name in names}
    told = [part.strip() for part in poster_figures._ranking(results, bands, 20).split("5 %")[:-1]]
    assert_equal(
        [part.lstrip(", ") for part in told], [poster_figures._label(results, name) for name in names]
    )


def test_the_figures_show_the_numbers(tmp_path):
    results = folder_of(tmp_path, AS_CLAIMED)
    drawn = poster_figures.drawn(results)
    assert_equal(list(drawn), ["first-epoch", "epochs"])
    first, ends = drawn.values()
    (panel,) = first.axes
    lines = {line.get_label(): line for line in panel.lines}
    assert_equal(len(lines), 4)  # an offline method has no steps within an epoch
    assert_equal(lines["AM-Adam"].get_xdata(), STEPS)
    assert_allclose(lines["AM-Adam"].get_ydata(), [40.0, 30.0, 20.0, 10.0])
    assert_equal((panel.get_xscale(), panel.get_yscale()), ("log", "log"))
    title = first.get_suptitle()
    assert_equal(title, "after 20 batches: AM-Adam 20 %, Adam 30 %, SGD 60 % test error")
    online, offline = ends.axes
    assert_equal(len(online.lines), 4)
    assert_equal([line.get_label() for line in offline.lines], ["ADMM", "best online, first epoch"])
    assert_allclose(offline.lines[1].get_ydata(), [4.5, 4.5])
    assert_equal(
        ends.get_suptitle(),
        "test error at the end: Adam 3.00 %, AM-Adam 3.10 %; best offline, ADMM, 50.0 %",
    )
    assert "ADMM from 50 at 1 to 70 at 2" in alt_text(ends)
    signs = poster_figures.epochs(folder_of(tmp_path / "s", SIGNS, "poster-signs"))
    lines = signs.get_suptitle().splitlines()
    assert "AM-Adam 2.50 %, Straight-through 3.00 %, DTP 5.00 %, First layer frozen" in " ".join(lines)
    signs.draw_without_rendering()
    box = signs._suptitle.get_window_extent()
    assert len(lines) == 2 and box.x0 > 0 and box.x1 < signs.bbox.width  # the title is not cut off
    assert box.y0 > signs.axes[0].get_window_extent().y1
    with pytest.raises(ValueError, match="results must hold a run with evaluate_steps, got none"):
        poster_figures.first_epoch(folder_of(tmp_path / "o", {"offline-admm": AS_CLAIMED["offline-admm"]}))


def test_the_page_is_about_the_poster(tmp_path):
    results = folder_of(tmp_path, AS_CLAIMED)
    found = Summary.of(results)
    page = found.as_page(poster_figures.drawn(results), ".")
    assert "## The claims of the poster\n\nThe rule is in `locoprop_ref/experiments/compare/poster_cl" in page
    assert "### (2) Faster: ahead of SGD and Adam within the first epoch: held" in page
    assert "### Test error within the first epoch" in page and "first-epoch.png" in page
    assert found.as_json()["claims"][0].verdict == "held"


# ------------------------------ from end to end


def plan_of(data, preset, entries, seeds=(0,), **more):
    layers = {"poster": "36-5-4-3", "poster-signs": "36-8-4-3"}[preset]
    small = {"layers": layers, "batch_size": 10, "evaluate_steps": "1,2,5", "epochs": 2}
    return comparison(preset, entries=entries, seeds=seeds, data=str(data), **{**small, **more})


@pytest.mark.full
@pytest.mark.parametrize("preset", POSTERS)
def test_a_comparison_of_all_entries(tmp_path, quick, preset):
    """Every entry of the preset trains, its run says what the manifest wants, and the page can be made."""
    data, out = write_images(tmp_path / "images.npz"), tmp_path / "out"
    entries = PRESETS[preset]["methods"]
    failures = compare(plan_of(data, preset, entries), out, clock=False, progress=False)
    assert_equal(failures, [])
    results = read_results(out)
    for name in entries:
        run = results.runs[name][0]
        steps = [one["step"] for row in run["epochs"] for one in row.get("steps", [])]
        assert_equal(steps, [] if is_offline(name) else [1, 2, 5])
    frozen = [name for name in entries if results.runs[name][0]["config"].get("frozen_layers")]
    assert_equal(frozen, ["ste-frozen"] if preset == "poster-signs" else [])
    Summary.of(results).as_page(poster_figures.drawn(results), ".")
    # the same plan finds everything there, and another seed is added
    before = losses(out, entries[0], 0)
    again = plan_of(data, preset, entries[:1], seeds=(0, 1))
    assert_equal(compare(again, out, clock=False, progress=False), [])
    assert_equal(losses(out, entries[0], 0), before)


@pytest.mark.full
def test_offline_entries_have_their_own_number_of_epochs_beside_the_others(tmp_path, quick):
    data, out = write_images(tmp_path / "images.npz"), tmp_path / "out"
    plan = plan_of(data, "poster", ["sgd", "offline-bcd"], epochs=None)
    assert_equal(compare(plan, out, clock=False, progress=False), [])
    results = read_results(out)
    assert_equal([runs[0]["epochs"][-1]["epoch"] for runs in results.runs.values()], [10, 40])
    assert_equal([results.manifest.steps_per_epoch_of(name) for name in ("sgd", "offline-bcd")], [12, 1])
    told = " ".join(notes.notes(results, summary.rows_of(results)))
    assert "10 for SGD; 40 for BCD (ADMM without λ); an epoch of a method that takes all" in told
    assert read_run(out / "offline-bcd-seed0.json")["config"].get("batch_size") is None


def test_an_online_and_an_offline_entry_in_one_comparison(tmp_path, quick):
    """Their run files say what the manifest wants of them, so that the folder can be read again."""
    data, out = write_images(tmp_path / "images.npz"), tmp_path / "out"
    plan = plan_of(data, "poster", ["am-adam", "offline-bcd"], epochs=1)
    assert_equal(compare(plan, out, clock=False, progress=False), [])
    am, bcd = (runs[0]["epochs"][1] for runs in read_results(out).runs.values())
    assert_equal([[one["step"] for one in row.get("steps", [])] for row in (am, bcd)], [[1, 2, 5], []])


def test_the_clock_takes_all_examples_of_an_offline_step(tmp_path):
    data = write_images(tmp_path / "images.npz")
    config = plan_of(data, "poster", ["offline-bcd"]).config("offline-bcd", 0)
    training = Training(config, examples(load(str(data)), config, np), np)
    training.step()
    assert_equal(training.batches, 1)
    assert_equal(training.state["layers"][0]["z"].shape, (120, 5))


@pytest.mark.parametrize("entry", ["am-adam", "am-mem", "dtp", "offline-admm", "offline-bcd", "offline-mac"])
def test_no_peak_is_below_its_count(tmp_path, entry):
    data = write_images(tmp_path / "images.npz")
    layers = {"layers": "36-200-100-3", "epochs": 2}
    found = memory_of(plan_of(data, "poster", [entry], **layers).config(entry, 0), load(str(data)))
    assert found["peak_bytes"] >= found["counted_bytes"]
