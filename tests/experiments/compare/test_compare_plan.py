"""What is compared: presets, settings, where they come from, the command that makes a plan."""

import json

import made_up
import pytest
from numpy.testing import assert_equal

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import notes, summary
from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.plan import OWN, comparison
from locoprop_ref.experiments.tune.problem import PROBLEMS
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import as_json


@pytest.mark.parametrize("preset", ["quick", "standard", "paper"])
def test_entries_differ_in_their_own_settings_alone(preset):
    plan = comparison(preset)
    assert_equal(plan.entries, tuple(tuned.CONTESTANTS))
    for seed in plan.seeds:
        shared = [
            {k: v for k, v in as_json(plan.config(name, seed)).items() if k not in OWN}
            for name in plan.entries
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
    plan = comparison("standard", entries=["sgd", "adam"])
    config = plan.config("sgd", 0)
    assert_equal((config.learning_rate, config.batch_size), (0.5, 1000))
    assert_equal((plan.study("sgd"), plan.study("adam")), (study, None))
    untuned = comparison("standard", entries=["sgd"], tuned=False)
    assert_equal(
        untuned.config("sgd", 0).learning_rate, resolve(method="backprop", optimizer="sgd").learning_rate
    )
    assert "--untuned" in untuned.command() and "--untuned" not in plan.command()


def test_the_command_in_the_files_makes_the_same_plan():
    plan = comparison(
        "paper", entries=["adam", "locoprop-s"], seeds=[4, 2], epochs=20, width=0.5, tuned=False
    )
    given = cli._parser().parse_args(plan.command().split()[1:])
    shared = {name: getattr(given, name) for name in ("data", "layers", "epochs", "width", "batch_size")}
    again = comparison(
        given.preset, entries=given.methods, seeds=given.seeds, tuned=not given.untuned, **shared
    )
    assert again == plan


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
    assert f"Settings {other}: Adam." in notes.notes(results, summary.rows_of(results))


def test_the_quick_preset_is_the_problem_that_curves_was_tuned_on():
    shared, tuned_on = comparison("quick"), PROBLEMS["curves"]
    assert_equal(shared.images[0], tuned_on.examples)
    for name in ("data", "layers", "batch_size", "epochs", "schedule_epochs"):
        assert_equal(shared.in_common()[name], getattr(tuned_on, name))


def test_an_option_of_single_methods_is_refused():
    with pytest.raises(ValueError, match="learning_rate belongs to single methods"):
        comparison("quick", learning_rate=0.1)
