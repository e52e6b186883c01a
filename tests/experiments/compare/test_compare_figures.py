"""The figures of a comparison: their lines are the numbers, and they say what made them."""

import made_up
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal
from small_comparison import everything

from locoprop_ref import plot
from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import figures, summary
from locoprop_ref.experiments.compare import run as run_module
from locoprop_ref.experiments.compare.claims import LOCOPROP, SECOND_ORDER
from locoprop_ref.experiments.compare.folder import read_results


def full_field(tmp_path, *, clocks=True, jobs=1, epochs=12):
    """Twelve entries that fall at several rates, as on MNIST."""
    rng = np.random.default_rng(5)
    order = [*tuned.CONTESTANTS]
    runs, clock_files = {}, {}
    for i, name in enumerate(order):
        e = np.arange(epochs + 1)
        base = 48 + 3 * ((i * 5) % 12)
        runs[name] = [
            made_up.run(
                (
                    base + (543 - base) * np.exp(-(0.2 + 0.12 * i) * e) * (1 + 0.05 * rng.random(epochs + 1))
                ).tolist(),
                jobs=jobs,
            )
            for _ in range(3)
        ]
        second, loco = name in SECOND_ORDER, name in LOCOPROP
        seconds = 0.04 + 0.003 * i + (0.3 if loco else 0.1 if second else 0)
        clock_files[name] = made_up.clock(
            seconds, blocks=[0.97 * seconds, 1.03 * seconds], peak=2500 if second else 900 + 30 * i,
            state=1200 if second else 200,
        )  # fmt: skip
    return made_up.write(tmp_path, runs, clock_files if clocks else None, epochs=epochs)


def test_curves_are_the_numbers(tmp_path):
    results = read_results(full_field(tmp_path))
    rows = {row.label: row for row in summary.rows_of(results)}
    for split in ("train", "test"):
        left, right = figures.curves(results, split).axes
        assert_equal([line.get_label() for line in left.lines], [row.label for row in rows.values()])
        for line, name in zip(left.lines, results.manifest.entries, strict=True):
            found = [[row[split]["ce"] for row in run["epochs"]] for run in results.runs[name].values()]
            assert_array_equal(line.get_ydata(), np.median(found, axis=0))
            assert_array_equal(line.get_xdata(), np.arange(13))
        for line in right.lines:
            # 10 steps an epoch, at the clock's mean and not at the runs' own seconds; a rounding or two
            wanted = np.arange(1, 13) * 10 * rows[line.get_label()].step_seconds.median
            assert_allclose(line.get_xdata(), wanted, rtol=1e-14)
        assert_equal(len(right.lines), 12)


def test_no_two_entries_look_alike():
    looks = [figures.look(name) for name in tuned.CONTESTANTS]
    assert_equal(len({look["marker"] for look in looks}), 12)
    within = {(str(look["color"]), str(look["linestyle"])) for look in looks}
    assert_equal(len(within), 12)
    families = [{figures.look(name)["color"] for name in group} for group in (SECOND_ORDER, LOCOPROP)]
    assert not families[0] & families[1]
    with pytest.raises(ValueError, match="entry must belong to a family"):
        figures.look("newton")


def test_without_seconds_there_is_no_panel_for_them(tmp_path):
    """The panel of the epochs has the whole width; with the seconds of one entry there are two panels."""
    results = read_results(full_field(tmp_path, clocks=False, jobs=2))
    figure = figures.curves(results)
    (panel,) = figure.axes
    assert_equal((len(panel.lines), len(panel.texts)), (12, 0))
    assert "clock" not in figure.get_suptitle() and "seconds" not in plot.alt_text(figure)
    # the legend has 3.3 of 13 inches, and the labels of the axis less than 1
    assert panel.get_position().width > (13 - 3.3 - 1) / 13
    with pytest.raises(ValueError, match="at least one clock file, got none"):
        figures.cost(results)
    runs = {name: [made_up.run([9, 8, 7, 6], jobs=2)] * 3 for name in ("sgd", "adam")}
    both = read_results(made_up.write(tmp_path / "one", runs, {"adam": made_up.clock(0.1)}))
    left, right = figures.curves(both).axes
    assert_equal([line.get_label() for line in right.lines], ["Adam"])
    assert_equal((len(left.lines), right.get_title()), (2, "1 of 2 methods has no seconds"))


def test_seeds_that_diverged_do_not_cut_the_others_short(tmp_path):
    stopped = made_up.run([9, 80], status="diverged")
    runs = {
        "sgd": [made_up.run([9, 8, 7, 6]), stopped, made_up.run([9, 8, 7, 4])],
        "adam": [stopped] * 3,
        "rmsprop": [made_up.run([9], status="diverged")] * 3,
    }
    results = read_results(made_up.write(tmp_path, runs))
    lines = {line.get_label(): line for line in figures.curves(results).axes[0].lines}
    assert_equal(list(lines), ["SGD (1 of 3 diverged)", "Adam (3 of 3 diverged)"])
    assert_array_equal(lines["SGD (1 of 3 diverged)"].get_ydata(), [9, 8, 7, 5])
    assert_array_equal(lines["Adam (3 of 3 diverged)"].get_ydata(), [9, 80])
    runs = {name: found for name, found in runs.items() if name == "rmsprop"}
    with pytest.raises(ValueError, match="at least one run with an epoch, got none"):
        figures.curves(read_results(made_up.write(tmp_path / "none", runs)))


def test_figures_say_what_made_them(tmp_path):
    results = read_results(full_field(tmp_path))
    for figure in (figures.curves(results), figures.cost(results)):
        told = plot.alt_text(figure)
        for words in (
            "locoprop-ref compare --made-up",
            "seeds 0, 1, 2",
            "Linux x86_64, 2 cores",
            "numpy 2.0",
        ):
            assert words in told
        for text in figure.findobj(lambda artist: hasattr(artist, "get_fontsize")):
            assert not text.get_text() or text.get_fontsize() >= 10


def test_redrawn_from_the_json_files_alone(compared, tmp_path, monkeypatch):
    folder, _ = compared
    written = everything(folder)
    kept = [name for name in written if name.endswith(".json") and name != "summary.json"]
    for name in kept:
        (tmp_path / name).write_bytes(written[name])
    monkeypatch.setattr(run_module, "run_all", None)
    assert_equal(cli.main(["compare", "--redraw", str(tmp_path)]), 0)
    again = everything(tmp_path)
    assert_equal(sorted(again), sorted(name for name in written if not name.endswith((".npz", ".lock"))))
    assert_equal([name for name in again if again[name] != written[name]], [])
    assert {"compare.png", "compare.svg", "compare-test.png", "reconstructions.png", "summary.md"} <= set(
        again
    )
