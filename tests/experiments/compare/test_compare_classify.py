"""Comparisons of networks that classify: epochs by entry, accuracies, what is judged and what is not."""

import json
import signal

import made_up
import numpy as np
import pytest
from made_up_images import write_images
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from small_comparison import logged, losses, reached, started, until
from small_runs import shell

from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import figures, notes, summary
from locoprop_ref.experiments.compare.claims import claims
from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.page import Summary
from locoprop_ref.experiments.compare.plan import PRESETS, comparison, describe_plan
from locoprop_ref.experiments.compare.run import compare
from locoprop_ref.experiments.compare.table import columns
from locoprop_ref.experiments.tune.problem import PROBLEMS
from locoprop_ref.training.build import epoch_rate
from locoprop_ref.training.run_file import read_run

CLASSIFY = ("lenet", "sequential-mnist")
SHORT = ("sgd", "locoprop-s", "locoprop-m")
FOUR = ("sgd", "rmsprop", "adam", "locoprop-m")
NETWORKS = {"lenet": "6x6x1-c3x2-p2-3", "sequential-mnist": "6x6-r4-3"}


# ------------------------------ the plan


@pytest.mark.parametrize(("preset", "epochs"), [("lenet", 12), ("sequential-mnist", 15)])
def test_a_preset_is_the_problem_that_was_tuned_with_epochs_by_entry(preset, epochs):
    plan, problem = comparison(preset), PROBLEMS[preset]
    assert_equal(plan.problem, preset)
    for name in ("data", "task", "layers", "batch_size"):
        assert_equal(plan.in_common()[name], getattr(problem, name))
    assert_equal({name: plan.config(name, 0).epochs for name in plan.entries}, {
        name: 3 if name in SHORT else epochs for name in plan.entries
    })  # fmt: skip
    record = plan.record()
    assert_equal(record.epochs, epochs)
    assert_equal({"epochs", "schedule_epochs"} & record.entries["adam"].settings.keys(), set())
    assert_equal([record.entries["sgd"].settings[key] for key in ("epochs", "schedule_epochs")], [3, 4])
    assert any(line.startswith("  sgd ") and "epochs 3" in line for line in describe_plan(record))


@pytest.mark.parametrize("preset", CLASSIFY)
def test_every_rate_falls_in_a_line_and_ends_just_above_zero(preset):
    plan = comparison(preset)
    for name in plan.entries:
        config = plan.config(name, 0)
        rates = [epoch_rate(config, epoch) for epoch in range(config.epochs)]
        wanted = np.arange(config.epochs, 0, -1) / (config.epochs + 1)
        assert_allclose(rates, wanted, rtol=1e-12)  # a difference and a quotient, rounded


def test_explicit_epochs_are_those_of_every_entry():
    plan = comparison("lenet", epochs=5)
    assert_equal({plan.config(name, 0).epochs for name in plan.entries}, {5})
    assert_equal("epochs" in plan.record().entries["sgd"].settings, False)
    assert_equal(comparison("lenet", schedule_epochs=20).config("sgd", 0).schedule_epochs, 20)


def test_what_entries_share_does_not_depend_on_which_are_there():
    whole = comparison("lenet").in_common()
    for name in ("sgd", "adam"):
        assert_equal(comparison("lenet", entries=[name]).in_common(), whole)


def test_fashion_in_place_of_mnist_and_where_settings_come_from(monkeypatch):
    """Tuned with a constant rate, which is said; on other data, that is said too."""
    problem = PROBLEMS["lenet"].record("ab")
    study = {"settings": {"learning_rate": 0.003}, "problem": problem, "study": {}}
    monkeypatch.setattr(tuned, "provenance", lambda name, of="mnist": study if of == "lenet" else None)
    monkeypatch.setattr("locoprop_ref.experiments.compare.plan.provenance", tuned.provenance)
    plan = comparison("lenet", entries=["adam"], seeds=[0])
    assert_equal(plan.config("adam", 0).learning_rate, 0.003)
    assert_equal(plan.source("adam"), "tuned on schedule constant")
    fashion = comparison("lenet", entries=["adam"], seeds=[0], data="fashion_mnist")
    assert_equal(fashion.source("adam"), "tuned on data mnist, schedule constant")
    assert_equal(fashion.config("adam", 0).layers, PRESETS["lenet"]["layers"])
    assert_equal(comparison("sequential-mnist", entries=["adam"]).source("adam"), "package defaults")


# ------------------------------ made-up results


def with_accuracy(run, test):
    for row, share in zip(run["epochs"], test, strict=True):
        row["train"]["accuracy"] = row["test"]["accuracy"] = share
    return run


def folder_of(path, finals=None, *, diverged=()):
    """Three seeds of four entries, of which SGD and LocoProp-M have 2 epochs and the others 3."""
    finals = (
        {"sgd": 40, "rmsprop": 20, "adam": 15, "locoprop-m": 30, "kfac": 10} if finals is None else finals
    )
    runs = {}
    for name, loss in finals.items():
        epochs = 2 if name in SHORT else 3
        curve = np.linspace(100, loss, epochs + 1)
        own = {"schedule_epochs": 3} if name in SHORT else {}
        runs[name] = [
            with_accuracy(made_up.run((curve + seed).tolist(), config={"seed": seed, **own}), [
                0.1, *(0.9 + 0.01 * epoch + 0.001 * seed for epoch in range(1, epochs + 1))
            ])
            for seed in range(3)
        ]  # fmt: skip
    for name in diverged:
        runs[name][0] |= {"status": "diverged"}
    shared = {
        "epochs": 3, "batch_size": 100, "layers": "9-4-3", "data": "tiny", "images": None,
        "task": "classify",
    }  # fmt: skip
    clocks = {name: made_up.clock(0.1) for name in runs}
    folder = made_up.write(path, runs, clocks, shared=shared)
    plan = json.loads((folder / "comparison.json").read_text())
    for name in SHORT:
        if name in runs:
            plan["contestants"][name]["settings"] |= {"epochs": 2, "schedule_epochs": 3}
    (folder / "comparison.json").write_text(json.dumps(plan))
    return folder


def test_table_and_notes(tmp_path):
    results = read_results(folder_of(tmp_path, diverged=["adam"]))
    rows = summary.rows_of(results)
    assert_equal([row.unfinished for row in rows], [0] * 5)
    head, *body = columns(rows)
    assert_equal(head[:3], ["method", "epochs", "test accuracy (%)"])
    cells = {line[0]: line[1:3] for line in body}
    assert_equal(cells["SGD"], ["2", "92.10 (92.00 to 92.20)"])
    assert_equal(cells["Adam"], ["3", "93.10 (0.00 to 93.20)"])
    told = notes.notes(results, rows)
    assert told[0].startswith("Losses are ce after the last epoch (final)")
    assert "2 for SGD, LocoProp-M, K steps; 3 for RMSProp, Adam, K-FAC" in told[1]
    page = Summary.of(results).as_page({}, ".")
    assert page.startswith("# 5 methods on tiny: 2 or 3 epochs, 3 seeds")


def test_a_short_run_has_numbers_to_the_mark_only_if_it_came_there(tmp_path):
    rows = {row.entry: row for row in summary.rows_of(read_results(folder_of(tmp_path / "above")))}
    assert_equal((rows["locoprop-m"].epochs_to_mark, rows["locoprop-m"].seconds_to_mark), (None, None))
    assert_equal(rows["adam"].epochs_to_mark.median, 3)
    below = {"sgd": 40, "rmsprop": 20, "locoprop-m": 19}
    rows = {row.entry: row for row in summary.rows_of(read_results(folder_of(tmp_path / "below", below)))}
    assert_equal(rows["locoprop-m"].epochs_to_mark.median, 2)
    diverged = read_results(folder_of(tmp_path / "diverged", diverged=["locoprop-m"]))
    rows = {row.entry: row for row in summary.rows_of(diverged)}
    assert_equal(rows["locoprop-m"].epochs_to_mark.high, np.inf)  # it will never come there


def loss_findings(folder, label):
    return claims(summary.rows_of(read_results(folder)))[0].variants[label]


def test_losses_are_compared_at_equal_epochs_alone(tmp_path):
    """LocoProp-M is below SGD, and nobody knows where Adam would be after so short a schedule."""
    variant = loss_findings(folder_of(tmp_path / "above"), "LocoProp-M, K steps")
    assert_equal(
        (variant.verdict, [finding.holds for finding in variant.tests]), ("not measured", [None] * 4)
    )
    first, second = variant.tests[0].sentence, variant.tests[1].sentence
    assert "24.4 % less than the best first-order method, SGD" in first  # 31 against 41, of the middle seed
    assert first.endswith(
        "of another length: RMSProp (3 epochs), Adam (3 epochs), the best one among them, so not decided"
    )
    assert "against second-order methods: not measured; of another length: K-FAC (3 epochs)" in second
    # what is not even below the others of its length has failed
    variant = loss_findings(
        folder_of(tmp_path / "worse", {"sgd": 40, "adam": 15, "locoprop-m": 60}), "LocoProp-M, K steps"
    )
    assert_equal([finding.holds for finding in variant.tests], [False, None, False, None])


def test_the_best_of_a_group_decides_though_others_are_shorter(tmp_path):
    finals = {"sgd": 40, "rmsprop": 20, "adam": 15, "locoprop-s-closed": 8}
    variant = loss_findings(folder_of(tmp_path, finals), "LocoProp-S, closed form")
    assert_equal([finding.holds for finding in variant.tests], [True, None, True, None])
    assert variant.tests[0].sentence.endswith("; of another length: SGD (2 epochs)")


def test_figures_have_steps_and_accuracies(tmp_path):
    results = read_results(folder_of(tmp_path))
    figure = figures.curves(results, "test", "accuracy")
    left, right = figure.axes
    assert_equal(left.lines[0].get_label(), "SGD")
    assert_array_equal(left.lines[0].get_ydata(), [0.1, 0.911, 0.921])
    assert_equal(len(right.lines), 5)
    low, high = left.get_ylim()
    assert low < 0.92 and high < 1  # all last accuracies, and no room for what no method reaches
    shares = np.array([0.1, 0.5, 0.911, 0.921])
    scale = left.yaxis.get_transform()
    assert_allclose(np.diff(scale.transform(shares)), -np.diff(np.log(1 - shares)))  # the errors' logarithm
    assert_allclose(scale.inverted().transform(scale.transform(shares)), shares)  # where the mouse stands
    for panel in (left, figures.curves(results, "test").axes[0]):  # two epochs
        assert all(float(tick).is_integer() for tick in panel.get_xticks())
    (steps,) = left.child_axes
    figure.draw_without_rendering()
    assert_equal(steps.get_xlabel(), "step")
    assert_allclose(steps.get_xlim(), 10 * np.array(left.get_xlim()), rtol=1e-12)  # 10 batches an epoch
    assert_equal(len(figures.curves(results).axes[0].child_axes), 1)
    with pytest.raises(ValueError, match="quantity must be one of loss, accuracy, got 'mse'"):
        figures.curves(results, "test", "mse")


def test_without_a_single_error_the_axis_is_linear(tmp_path):
    runs = {"adam": [with_accuracy(made_up.run([3, 2, 1, 0.5]), [0.2, 0.9, 1.0, 1.0])]}
    shared = {
        "epochs": 3,
        "batch_size": 100,
        "layers": "9-3",
        "data": "tiny",
        "images": None,
        "task": "classify",
    }
    results = read_results(made_up.write(tmp_path, runs, seeds=[0], shared=shared))
    left, _ = figures.curves(results, "test", "accuracy").axes
    assert_equal(left.get_yscale(), "linear")
    (row,) = summary.rows_of(results)
    assert_equal(columns([row])[0][:2], ["method", "test accuracy (%)"])  # one length, said in the title


def test_an_autoencoder_has_no_accuracies(tmp_path):
    results = read_results(made_up.write(tmp_path, {"adam": [made_up.run([9, 8, 7, 6])] * 3}))
    rows = summary.rows_of(results)
    (as_json,) = summary.as_json(rows)
    assert not {"epochs", "test_accuracy"} & as_json.keys()
    assert not {"epochs", "test accuracy (%)"} & set(columns(rows)[0])
    assert not figures.curves(results).axes[0].child_axes


# ------------------------------ from end to end


def images_options(preset):
    return {"layers": NETWORKS[preset], "batch_size": 10}


def images_plan(data, preset, entries):
    return comparison(preset, entries=entries, seeds=[0], data=str(data), **images_options(preset))


@pytest.mark.parametrize("preset", CLASSIFY)
def test_a_comparison_of_images(tmp_path, quick, preset):
    """Twelve epochs of a tiny network, three of SGD; the page says so, and there are no reconstructions."""
    data, out = write_images(tmp_path / "images.npz"), tmp_path / "out"
    with logged() as said:
        plan = images_plan(data, preset, ["sgd", "locoprop-s-closed"])
        assert_equal(compare(plan, out, clock=False, progress=False), [])
    results = read_results(out)
    lengths = {name: runs[0]["epochs"][-1]["epoch"] for name, runs in results.runs.items()}
    assert_equal(lengths, {"sgd": 3, "locoprop-s-closed": PRESETS[preset]["epochs"]})
    assert any("sgd (tuned on " in line and "): epochs 3" in line for line in said)
    (_, closed) = summary.rows_of(results)
    last = read_run(out / "locoprop-s-closed-seed0.json")["epochs"][-1]["test"]["accuracy"]
    assert_equal(closed.test_accuracy.median, last)
    assert not (out / "reconstructions.json").exists()
    page = Summary.of(results).as_page({}, ".")
    assert f"{100 * last:.2f}" in page and "Epochs differ: 3 for SGD; " in page
    # the same plan finds everything there, also with another seed
    before = losses(out, "sgd", 0)
    again = comparison(preset, entries=["sgd"], seeds=[0, 1], data=str(data), **images_options(preset))
    assert_equal(compare(again, out, clock=False, progress=False), [])
    assert_equal(losses(out, "sgd", 0), before)
    assert_equal(read_results(out).manifest.epochs_of("sgd"), 3)


@pytest.mark.full
@pytest.mark.parametrize("preset", CLASSIFY)
def test_tune_and_compare_of_every_method_killed_and_resumed(tmp_path, preset):
    """Twelve methods are tuned and compared, with clocks; a kill in the middle changes no number."""
    data = write_images(tmp_path / "images.npz")
    common = ["--data", data, "--layers", NETWORKS[preset], "--batch-size", 10]
    tune = ["tune", "--problem", preset, *common, "--examples", 60, "--held-out", 40, "--trials", 1]
    done = shell(*tune, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in tuned.CONTESTANTS:
        record = json.loads((tmp_path / "tuning" / preset / f"{name}.json").read_text())
        assert_equal((record["problem"]["task"], record["study"]["complete"]), ("classify", 1))
    words = ["compare", "--preset", preset, *common, "--seeds", 0, "--jobs", 2, "--methods"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = shell(*words, *tuned.CONTESTANTS, "--out", whole)
    assert (done.returncode, "diverged" in done.stderr) == (0, False), done.stderr
    results = read_results(whole)
    assert_equal([list(runs) for runs in results.runs.values()], [[0]] * 12)
    assert_equal(len(results.clocks), 12)
    page = (whole / "summary.md").read_text(encoding="utf-8")
    assert "### Test accuracy" in page and "Test images and their reconstructions" not in page
    three = ["sgd", "locoprop-s-closed", "locoprop-m"]
    words += [*three, "--no-clock", "--out", killed]
    with started(words) as process:
        until(lambda: any(reached(killed, f"{name}-seed0", 1) for name in three), process)
        process.send_signal(signal.SIGKILL)
    done = shell(*words)
    assert done.returncode == 0, done.stderr
    for name in three:
        assert_equal(losses(killed, name, 0), losses(whole, name, 0))
