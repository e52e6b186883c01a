"""The table of a comparison against pencil and paper, and the notes under it."""

from math import inf

import made_up
import pytest
from numpy.testing import assert_equal

from locoprop_ref.experiments.compare import notes, summary, table
from locoprop_ref.experiments.compare.folder import read_results


def test_the_table_by_hand(tmp_path):
    """Four entries; every number is computed here with pencil and paper."""
    runs = {
        "rmsprop": [made_up.run([9, 6, 5, 4]), made_up.run([9, 7, 5, 3]), made_up.run([9, 6, 5, 5])],
        # by seed: the marks 4, 3, 5 are reached after 2, 3, 1 epochs
        "kfac": [
            made_up.run([9, 5, 4, 2], [10, 5, 3, 7]),
            made_up.run([9, 5, 4, 3], [10, 6, 4, 8]),
            made_up.run([9, 5, 1, 1], [10, 7, 5, 9]),
        ],
        # never, never, after 3
        "sgd": [made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 5])],
        "locoprop-m": [
            made_up.run([9, 4, 3, 2]),
            made_up.run([9], status="diverged"),
            made_up.run([9, 4], status="interrupted"),
        ],
    }
    clocks = {
        "rmsprop": made_up.clock(0.1, blocks=[0.09, 0.11], state=200, peak=700, counted=650),
        "kfac": made_up.clock(0.5, state=3200, peak=6000),
    }
    results = read_results(made_up.write(tmp_path, runs, clocks))
    rows = {row.entry: row for row in summary.rows_of(results)}
    Spread = summary.Spread
    kfac = rows["kfac"]
    assert_equal((kfac.final_train, kfac.best_train), (Spread(2, 1, 3), Spread(2, 1, 3)))
    assert_equal((kfac.final_test, kfac.best_test), (Spread(8, 7, 9), Spread(4, 3, 5)))
    assert_equal((kfac.epochs_to_mark, kfac.state, kfac.peak), (Spread(2, 1, 3), 32.0, 60.0))
    # 1000 images in batches of 100: 10 steps of 0.5 s
    assert_equal((kfac.epoch_seconds, kfac.seconds_to_mark), (5.0, Spread(10, 5, 15)))
    rmsprop = rows["rmsprop"]
    assert_equal((rmsprop.step_seconds, rmsprop.counted), (Spread(0.1, 0.09, 0.11), 6.5))
    assert_equal((rmsprop.epochs_to_mark.median, rmsprop.final_train.median), (3, 4))
    sgd = rows["sgd"]
    assert_equal(sgd.epochs_to_mark, Spread(inf, 3, inf))
    # no clock, but alone on the machine: 2 s an epoch of 10 steps
    assert_equal((sgd.step_seconds, sgd.seconds_from, sgd.state), (Spread(0.2, 0.2, 0.2), "runs", None))
    loco = rows["locoprop-m"]
    assert_equal((loco.seeds, loco.diverged, loco.unfinished), (2, 1, 1))
    assert_equal(loco.final_train, Spread(inf, 2, inf))
    told = " ".join(notes.notes(results, list(rows.values())))
    for words in (
        "LocoProp-M, K steps: 1 of 3 runs diverged.",
        "LocoProp-M, K steps: 1 of 3 runs not finished.",
    ):
        assert words in told
    lines = table.markdown_table(list(rows.values())).splitlines()
    assert_equal([len(lines), {line.count("|") for line in lines}], [6, {12}])


def test_the_cells_of_a_row(tmp_path):
    """Without a clock, alone on the machine: 2 s an epoch. A median that is infinite is spelled in words."""
    runs = {
        "rmsprop": [made_up.run([9, 6, 5, 4])] * 3,
        "sgd": [made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 6]), made_up.run([9, 8, 7, 5])],
        "adam": [made_up.run([9], status="diverged")] * 3,
    }
    head, _, sgd, adam = table.columns(summary.rows_of(read_results(made_up.write(tmp_path, runs))))
    cells = dict(zip(head, sgd, strict=True))
    assert_equal(
        (cells["final train"], cells["s/epoch"], cells["epochs to rmsprop"], cells["state"]),
        ("6 (5 to 6)", "2", "not reached", ""),
    )
    assert_equal(adam[1], "diverged")


def test_jobs_and_threads_are_said(tmp_path):
    one = made_up.ENVIRONMENT | {"blas": [made_up.ENVIRONMENT["blas"][0] | {"threads": 1}]}
    runs = {"rmsprop": [made_up.run([9, 6], jobs=3, environment=one)]}
    clocks = {"rmsprop": made_up.clock(0.1)}
    results = read_results(made_up.write(tmp_path, runs, clocks, seeds=[0], epochs=1))
    wanted = "Side by side: runs 3 at a time, BLAS threads of a run 1, of the clocks 2."
    assert_equal(notes.provenance_lines(results)[-1], wanted)


@pytest.mark.parametrize("jobs", [2, None])
def test_runs_that_were_not_alone_have_no_seconds(tmp_path, jobs):
    disturbed = made_up.run([9, 8, 7, 6], jobs=jobs)
    runs = {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3, "sgd": [made_up.run([9, 8, 7, 6])] * 2 + [disturbed]}
    results = read_results(made_up.write(tmp_path, runs))
    rows = {row.entry: row for row in summary.rows_of(results)}
    assert_equal(
        (rows["sgd"].step_seconds, rows["sgd"].seconds_to_mark, rows["sgd"].epochs_to_mark.median),
        (None, None, 3),
    )
    assert_equal(rows["rmsprop"].epoch_seconds, 2.0)
    assert "No seconds, for want of a clock file: SGD." in notes.notes(results, list(rows.values()))


def test_a_clock_on_a_busy_machine_is_said(tmp_path):
    runs = {name: [made_up.run([9, 8, 7, 6])] * 3 for name in ("rmsprop", "adam", "sgd")}
    clocks = {name: made_up.clock(0.1) | {"load": load} for name, load in (("rmsprop", 1.1), ("adam", 0.9))}
    results = read_results(made_up.write(tmp_path, runs, clocks | {"sgd": made_up.clock(0.1)}))
    told = notes.notes(results, summary.rows_of(results))  # two cores
    assert "Seconds measured while other work held the cores, not to be trusted: RMSProp." in told
    assert not any("sittings" in line for line in told)


def test_clocks_of_several_sittings_are_said(tmp_path):
    runs = {name: [made_up.run([9, 8, 7, 6])] * 3 for name in ("rmsprop", "adam", "sgd")}
    clocks = {name: made_up.clock(0.1) | {"together": ["rmsprop", "adam"]} for name in ("rmsprop", "adam")}
    clocks["sgd"] = made_up.clock(0.1) | {"together": ["sgd"]}
    results = read_results(made_up.write(tmp_path, runs, clocks))
    told = notes.notes(results, summary.rows_of(results))
    assert "Seconds were measured in 2 sittings, between which the machine may drift." in told


def test_spread_of_an_even_number():
    assert_equal(summary.spread([4.0, 1.0, 3.0, 2.0]), summary.Spread(2.5, 1.0, 4.0))
    assert_equal(summary.spread([inf, inf]), summary.Spread(inf, inf, inf))
    assert_equal(summary.spread([]), None)


def test_another_environment_is_said(tmp_path):
    other = {**made_up.ENVIRONMENT, "versions": {"numpy": "1.0"}}
    runs = {"rmsprop": [made_up.run([9, 8, 7, 6], environment=other)] + [made_up.run([9, 8, 7, 6])] * 2}
    results = read_results(made_up.write(tmp_path, runs))
    told = notes.notes(results, summary.rows_of(results))
    assert "Made in another environment than the plan: rmsprop seed 0." in told
