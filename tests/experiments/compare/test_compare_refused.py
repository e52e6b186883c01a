"""Plans that a results folder refuses, and bad input on the command line: one line, nothing written."""

import shutil
import subprocess
import sys

import made_up
import numpy as np
import pytest
from numpy.testing import assert_equal
from small_comparison import PAIR, everything, options, plan_of
from small_runs import environment, write_data

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare import run as run_module
from locoprop_ref.experiments.compare.folder import folder_lock
from locoprop_ref.experiments.compare.plan import comparison
from locoprop_ref.experiments.compare.run import compare
from locoprop_ref.training import train


def test_runs_that_cannot_go_on_are_refused_before_anything_is_written(compared, tiny, tmp_path):
    folder = shutil.copytree(compared[0], tmp_path / "copy", ignore=shutil.ignore_patterns("*.npz"))
    before = everything(folder)
    wanted = r"rmsprop-seed0\.json has 2 of 4 epochs, and no checkpoint rmsprop-seed0\.npz beside it"
    with pytest.raises(FileNotFoundError, match=wanted):
        compare(plan_of(tiny, epochs=4), folder, clock=False, progress=False)
    assert_equal(everything(folder) == before, True)


@pytest.mark.parametrize("switch", ["clock", "progress", "overwrite"])
def test_a_switch_is_true_or_false(tiny, tmp_path, switch):
    with pytest.raises(TypeError, match=f"^{switch} must be True or False, got 'no'$"):
        compare(plan_of(tiny, ("adam",)), tmp_path / "new", **{"progress": False, switch: "no"})
    assert not (tmp_path / "new").exists()


def test_one_command_at_a_time(compared, tiny, tmp_path, capsys):
    folder = shutil.copytree(compared[0], tmp_path / "copy")
    before = everything(folder)
    with folder_lock(folder):
        status = cli.main([str(word) for word in options(tiny, folder, ("adam",))])
    wanted = f"locoprop-ref compare: out must be a folder that no other compare is at work in, got {folder}\n"
    assert_equal((status, capsys.readouterr().err), (2, wanted))
    assert_equal(everything(folder) == before, True)


OTHERS = {
    "layers": ({"layers": "9-5-9"}, "layers '9-6-3-6-9' there, '9-5-9' here"),
    "batch": ({"batch_size": 10}, "batch_size 20 there, 10 here"),
    "schedule": ({"schedule_epochs": 5}, "schedule_epochs 40 there, 5 here"),
    "dtype": ({"dtype": "float64"}, "dtype 'float32' there, 'float64' here"),
}


@pytest.mark.parametrize(("change", "words"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("entries", [PAIR, ("adam",)], ids=["old", "new"])
def test_a_folder_of_another_configuration_is_refused(compared, tiny, entries, change, words):
    """Whether the entries have runs there already or are new to the folder."""
    folder, _ = compared
    before = everything(folder)
    with pytest.raises(ValueError, match="holds runs of another configuration") as error:
        compare(plan_of(tiny, entries, **change), folder, progress=False)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert_equal(everything(folder) == before, True)


def test_other_data_and_other_settings_are_refused(compared, tiny, tmp_path, monkeypatch):
    folder, _ = compared
    before = everything(folder)
    pixels = np.zeros((60, 9), np.uint8)
    other = write_data(tmp_path / "tiny.npz", x_train=pixels)
    with pytest.raises(ValueError, match=r"configuration: data sha256 '\w{8}' there, '\w{8}' here$"):
        compare(plan_of(other), folder, progress=False)
    other_settings = {"rmsprop": {"decay": 0.5}}
    monkeypatch.setattr(
        "locoprop_ref.experiments.compare.plan.options",
        lambda name, problem: tuned.options(name, problem) | other_settings.get(name, {}),
    )
    monkeypatch.setattr(run_module, "data_of", lambda *_: pytest.fail("data were loaded"))
    with pytest.raises(ValueError, match=r"configuration: rmsprop decay 0\.9 there, 0\.5 here$"):
        compare(plan_of(tiny), folder, progress=False)
    assert_equal(everything(folder) == before, True)


def test_a_foreign_run_without_a_manifest_is_refused(tiny, tmp_path):
    config = plan_of(tiny, batch_size=10).config("rmsprop", 0)
    train(config, out=tmp_path / "rmsprop-seed0.json", progress=False)
    with pytest.raises(FileExistsError, match=r"that compare wrote, got .* with rmsprop-seed0\.json in it"):
        compare(plan_of(tiny), tmp_path, progress=False)
    with pytest.raises(ValueError, match="rmsprop batch_size 10 there, 20 here"):
        compare(plan_of(tiny), tmp_path, progress=False, overwrite=True)
    assert_equal(sorted(p.name for p in tmp_path.iterdir()), ["rmsprop-seed0.json", "rmsprop-seed0.npz"])


BAD = {
    "method": (["--methods", "locoprop-x"], "did you mean 'locoprop-s'?"),
    "preset": (["--preset", "quik"], "did you mean 'quick'?"),
    "seed below 0": (["--seeds", "-1"], "seeds must be an integer of at least 0, got -1"),
    "seed twice": (["--seeds", "1", "1"], "seeds must be at least one, none twice, got 1, 1"),
    "method twice": (["--methods", "sgd", "sgd"], "methods must be at least one, none twice, got sgd, sgd"),
    "no seed": (["--seeds", "x"], "argument --seeds: invalid int value: 'x'"),
    "jobs": (["--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
    "epochs": (["--epochs", "-2"], "epochs must be an integer of at least 1, got -2"),
    "no epoch": (["--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "data": (["--data", "mnst"], "did you mean 'mnist'?"),
    "no data": (["--data", "mnist", "--data-dir", "."], "."),
    "no npz": (
        ["--data", "none.npz", "--layers", "9-9"],
        "none.npz must be an NPZ file, got nothing by that name",
    ),
    "no layers": (["--data", "none.npz"], "layers must be given for data 'none.npz'"),
    "width": (["--width", "0"], "width must be a positive number, got 0.0"),
    "backend": (["--backend", "numpi"], "did you mean 'numpy'?"),
    "no folder": (["--redraw", "nothing"], "nothing must be a folder that compare wrote"),
    "scheduler and jobs": (
        ["--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"],
        "jobs has no meaning beside scheduler",
    ),
    "redraw and scheduler": (
        ["--redraw", "x", "--scheduler", "tcp://127.0.0.1:9"],
        "scheduler has no meaning beside redraw",
    ),
    "redraw and more": (["--redraw", "x", "--jobs", "2"], "jobs has no meaning beside redraw"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(["compare", *arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert_equal((status, out, err.count("\n")), (2, "", 1))
    assert err.startswith("locoprop-ref compare: ")
    assert words in err
    assert_equal(list(tmp_path.iterdir()), [])


def test_bad_folders_are_one_line(tiny, tmp_path, capsys, compared):
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "comparison.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "comparison.json").write_text('{"schema": 9}')
    unfinished = made_up.write(tmp_path / "unfinished", {"sgd": [made_up.run([9], status="interrupted")]})
    cases = [
        (options(tiny, tmp_path / "file" / "deep"), "file"),
        (options(tiny, compared[0], layers="9-4-9"), "layers '9-6-3-6-9' there, '9-4-9' here"),
        (["compare", "--redraw", tmp_path / "damaged"], "must be the plan of a comparison in JSON, got text"),
        (["compare", "--redraw", tmp_path / "other"], "must be the plan of a comparison of schema 1"),
        (["compare", "--redraw", unfinished], "must hold at least one finished run, got none"),
    ]
    for arguments, words in cases:
        status = cli.main([str(word) for word in arguments])
        _, err = capsys.readouterr()
        assert_equal((status, err.count("\n")), (2, 1))
        assert words in err


def test_a_refused_comparison_leaves_nothing_behind(tmp_path, monkeypatch):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])]})
    monkeypatch.setattr(run_module, "data_of", lambda *_: pytest.fail("data were made"))
    before = everything(folder)
    with pytest.raises(ValueError, match="batch_size 100 there, 500 here"):
        compare(comparison("quick"), folder, progress=False)
    assert everything(folder) == before


def test_a_scheduler_without_the_package_is_refused(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    words = [*options(tiny, tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert_equal(cli.main([str(word) for word in words]), 2)
    wanted = (
        "scheduler needs the package distributed, which is not installed: pip install 'locoprop-ref[cluster]'"
    )
    assert_equal(capsys.readouterr().err, f"locoprop-ref compare: {wanted}\n")
    assert not (tmp_path / "out").exists()


def test_distributed_is_imported_only_when_it_is_asked_for():
    code = "import sys, locoprop_ref.experiments.compare.run; sys.exit('distributed' in sys.modules)"
    assert_equal(subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode, 0)
