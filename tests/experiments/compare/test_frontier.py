"""Settings of the fewest seconds beside the tuned ones: in a plan, in the claims, and in the frontier."""

import dataclasses
import itertools
import json

import made_up
import matplotlib.colors
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_equal

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import frontier_figure, notes, summary
from locoprop_ref.experiments.compare.claims import claims, fast_claims
from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.frontier_figure import Point, frontier, frontiers, title_of
from locoprop_ref.experiments.compare.page import redraw
from locoprop_ref.experiments.compare.plan import comparison
from locoprop_ref.experiments.tuned.for_run import tuned_for
from locoprop_ref.plot.style import alt_text

LOOSE = {"learning_rate": 0.5, "epochs": 7, "schedule_epochs": 8}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A package that holds K-FAC's settings of the fewest seconds for MNIST, beside its tuned ones."""
    right = tuned.files("locoprop_ref.experiments.tuned")
    for folder, settings in (("mnist", None), (f"mnist{tuned.FAST}", LOOSE)):
        (tmp_path / "stored" / folder).mkdir(parents=True)
        record = json.loads((right / "mnist" / "kfac.json").read_text(encoding="utf-8"))
        if settings:
            point = {"settings": settings, "loss": 60.0, "seconds": 1.5}
            record |= {"settings": settings, "frontier": {
                "target": 60.5, "budget": 3.0, "penalty": "in words", "reached": 4, "chosen_by": "seconds",
                "front": [point], "final_target": 60.86, "final_budget": 130.0, "final_by_loss": None,
            }}  # fmt: skip
        (tmp_path / "stored" / folder / "kfac.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(tuned, "files", lambda package: tmp_path / "stored")
    return tmp_path


# ------------------------------ entries, plans, single runs


def test_an_entry_with_fast_settings_is_its_method():
    assert set(tuned.FASTEST) <= set(tuned.CONTESTANTS)
    for name in tuned.FASTEST:
        fast = name + tuned.FAST
        assert (tuned.base_of(fast), tuned.is_fast(fast), tuned.is_fast(name)) == (name, True, False)
        assert tuned.ALL[fast] == tuned.ALL[name]
        assert tuned.LABELS[fast] == f"{tuned.LABELS[name]}, fast"
    assert not any(map(tuned.is_fast, tuned.CONTESTANTS))


def test_fast_settings_that_are_stored(stored):
    assert tuned.options("kfac-fast") == {"method": "kfac", **LOOSE}
    assert "epochs" not in tuned.options("kfac")
    assert tuned.provenance("kfac-fast")["frontier"]["reached"] == 4
    assert tuned.provenance("adam-fast") is None
    found = tuned_for("kfac", data="mnist", kind="fast")
    assert (found.entry, found.settings) == ("kfac-fast", LOOSE)
    with pytest.raises(
        ValueError, match=r"^tuned settings of backprop \(fast\) must be stored for no run, got"
    ):
        tuned_for("backprop", data="mnist", kind="fast")
    with pytest.raises(
        ValueError, match=r"^tuned must be one of best, fast, got 'fats' \(did you mean 'fast'"
    ):
        tuned_for("kfac", data="mnist", kind="fats")


@pytest.mark.parametrize(
    ("more", "epochs", "schedule"),
    [([], 7, 8), (["--epochs", "3"], 3, 4), (["--epochs", "3", "--schedule-epochs", "9"], 3, 9)],
)
def test_a_run_with_fast_settings_has_their_length(more, epochs, schedule, stored):
    from locoprop_ref.cli.train import _config

    words = ["train", "--data", "mnist", "--method", "kfac", "--tuned", "fast", *more]
    config = _config(cli._parser().parse_args(words))
    assert (config.learning_rate, config.epochs, config.schedule_epochs) == (0.5, epochs, schedule)


def test_a_comparison_of_both_settings(stored):
    plan = comparison("fast")
    assert plan.entries == (*tuned.FASTEST, "kfac-fast")  # what is not stored is left out
    usual, fast = plan.config("kfac", 0), plan.config("kfac-fast", 0)
    assert (usual.epochs, usual.schedule_epochs) == (20, 100)
    assert (fast.epochs, fast.schedule_epochs, fast.learning_rate) == (7, 8, 0.5)
    record = plan.record()
    assert (record.epochs_of("kfac"), record.epochs_of("kfac-fast")) == (20, 7)
    assert record.entries["kfac-fast"].settings["schedule_epochs"] == 8
    assert (plan.source("kfac"), plan.source("kfac-fast")) == ("tuned", "tuned for seconds")
    # the runs of `paper --epochs 20` are those of the entries that have not changed
    paper = comparison("paper", epochs=20)
    for name in tuned.FASTEST:
        assert plan.options(name, 0) == paper.options(name, 0)
    # a number of epochs for all is not for settings that have their own
    assert comparison("fast", epochs=5).config("kfac-fast", 0).epochs == 7
    assert comparison("fast", epochs=5).config("kfac", 0).epochs == 5


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"entries": ["adam-fast"]}, r"^methods must have stored settings for mnist, got adam-fast, which "
         r"has none \(locoprop-ref tune adam --fast searches them\)"),
        ({"entries": ["kfac-fast"], "tuned": False}, r"^methods must have defaults .*, got kfac-fast"),
    ],
)  # fmt: skip
def test_what_a_comparison_refuses(how, words, stored):
    with pytest.raises(ValueError, match=words):
        comparison("fast", **how)


def test_fast_settings_are_searched_under_the_name_of_their_method():
    from locoprop_ref.experiments.tune import search_space

    with pytest.raises(
        ValueError, match=r"^method kfac-fast is searched as kfac with fast, got it by itself"
    ):
        search_space("kfac-fast")


# ------------------------------ made-up results: 10 steps an epoch

TRAIN = {"rmsprop": [90, 50, 40, 30], "kfac": [90, 45, 35, 25], "rmsprop-fast": [90, 42, 29]}
SECONDS = {"rmsprop": 0.1, "kfac": 0.4, "rmsprop-fast": 0.1}


def results_of(folder, train=TRAIN, seconds=SECONDS):
    runs = {
        name: [made_up.run([loss * factor for loss in losses]) for factor in (0.99, 1.0, 1.02)]
        for name, losses in train.items()
    }
    made_up.write(folder, runs, {name: made_up.clock(seconds[name]) for name in train if name in seconds})
    path = folder / "comparison.json"
    plan = json.loads(path.read_text())
    for name, losses in train.items():
        if tuned.is_fast(name):
            plan["contestants"][name]["settings"]["epochs"] = len(losses) - 1
    path.write_text(json.dumps(plan))
    return read_results(folder)


def test_the_frontier_is_what_no_other_point_beats(tmp_path):
    found = frontiers(results_of(tmp_path))
    assert list(found) == ["rmsprop", "kfac"]
    points = [(round(p.seconds, 9), p.loss, p.fast) for p in found["rmsprop"]]
    assert points == [(1.0, 42.0, True), (2.0, 29.0, True)]
    assert [(round(p.seconds, 9), p.loss) for p in found["kfac"]] == [(4.0, 45.0), (8.0, 35.0), (12.0, 25.0)]


def test_the_frontier_by_its_definition():
    rng = np.random.default_rng(0)
    points = [Point(float(s), float(v), False) for s, v in rng.integers(1, 9, (40, 2))]
    kept = frontier_figure._best(points)
    for point in points:
        beaten = any(
            (p.seconds <= point.seconds and p.loss < point.loss)
            or (p.seconds < point.seconds and p.loss <= point.loss)
            for p in points
        )
        assert (point in kept) is not beaten
    assert all(a.seconds < b.seconds and a.loss > b.loss for a, b in itertools.pairwise(kept))


@pytest.mark.parametrize(
    ("points", "mark", "title"),
    [
        ({"adam": [Point(3.0, 50, False)]}, None, "train loss against seconds of steps"),
        ({"adam": [Point(3.0, 50, False)]}, 40.0, "no method comes to RMSProp's final train loss, 40"),
        (
            {"adam": [Point(3.0, 40, False)], "kfac": [Point(1.0, 60, True), Point(2.0, 39, True)]},
            40.0,
            "K-FAC (fast settings) comes first to RMSProp's final train loss, 40: after 2 s",
        ),
        (
            {"adam": [Point(1.5, 40, False)], "kfac": [Point(2.0, 39, True)]},
            40.0,
            "Adam (tuned settings) comes first to RMSProp's final train loss, 40: after 1.5 s",
        ),
    ],
)
def test_the_title_is_computed(points, mark, title):
    assert title_of(points, mark) == title


def test_the_frontier_is_drawn(tmp_path):
    results = results_of(tmp_path)
    figure = frontier(results)
    (panel,) = figure.axes
    lines = {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["RMSProp", "K-FAC"]
    assert_allclose(lines["RMSProp"].get_xdata(), [1.0, 2.0], rtol=1e-12)
    assert_allclose(lines["RMSProp"].get_ydata(), [42.0, 29.0])
    # filled: the fast settings; open: the tuned ones
    points = [line for line in panel.lines if line.get_linestyle() == "None"]
    faces = [matplotlib.colors.to_hex(line.get_markerfacecolor()) for line in points]
    filled = [len(line.get_xdata()) for line, face in zip(points, faces, strict=True) if face != "#ffffff"]
    assert filled == [2, 0]
    assert figure.get_suptitle().startswith(
        "RMSProp (fast settings) comes first to RMSProp's final train loss, 30"
    )
    told = alt_text(figure)
    assert (
        "RMSProp: there after 2 s, least 29 after 2 s; K-FAC: there after 12 s, least 25 after 12 s" in told
    )


def test_a_page_with_both_settings(tmp_path):
    results = results_of(tmp_path / "results")
    redraw(tmp_path / "results")
    page = (tmp_path / "results" / "summary.md").read_text(encoding="utf-8")
    assert "frontier.png" in page
    assert "(fast settings)" in page
    assert (tmp_path / "results" / "frontier.svg").exists()
    told = " ".join(notes.notes(results, summary.rows_of(results)))
    assert "fast settings have a schedule of their own length" in told
    # without fast settings the page is what it was
    usual = results_of(tmp_path / "usual", {"rmsprop": TRAIN["rmsprop"], "kfac": TRAIN["kfac"]})
    assert not frontier_figure.has_frontier(usual)
    assert fast_claims(summary.rows_of(usual)) == []


def test_fast_settings_are_judged_among_themselves(tmp_path):
    train = TRAIN | {"locoprop-m-fast": [90, 45, 28], "kfac-fast": [90, 80, 70, 60]}
    seconds = SECONDS | {"locoprop-m-fast": 0.2, "kfac-fast": 0.4}
    rows = summary.rows_of(results_of(tmp_path, train, seconds))
    assert [variant for claim in claims(rows) for variant in claim.variants] == []
    found = fast_claims(rows)
    assert all(claim.statement.endswith(" (fast settings)") for claim in found)
    time = next(claim for claim in found if claim.statement.startswith("Time"))
    (variant,) = time.variants.values()
    words = " ".join(test.sentence for test in variant.tests)
    assert "K-FAC, fast" in words
    # a step of 0.2 s against 0.4 s; RMSProp's final loss after 2 epochs of 2 s each, where K-FAC never is
    assert variant.tests[0].holds is True
    by_entry = {row.entry: row for row in rows}
    assert_equal(by_entry["locoprop-m-fast"].seconds_to_mark.median, 4.0)
    assert dataclasses.is_dataclass(variant)


def test_an_entry_that_diverged_has_no_points(tmp_path):
    results = results_of(tmp_path)
    for run in results.runs["rmsprop-fast"].values():
        run["status"] = "diverged"
    assert [p.fast for p in frontiers(results)["rmsprop"]] == [False, False, False]
