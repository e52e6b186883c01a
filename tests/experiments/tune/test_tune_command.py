"""The command line: every error is one line, and every trial is."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from small_runs import environment
from tiny_tuning import FLAGS, search

from locoprop_ref.cli import main as cli

TUNE = ["tune", "sgd", *FLAGS, "--trials", "1"]

BAD = {
    "method": (["tune", "adm"], r"method must be one of .*, got 'adm' \(did you mean 'adam'\?\)"),
    "problem": ([*TUNE, "--problem", "mnst"], r"problem must be one of mnist, curves.*did you mean 'mnist'"),
    "no trials": ([*TUNE, "--trials", "0"], "trials must be an integer of at least 1, got 0"),
    "trials in words": ([*TUNE, "--trials", "many"], "argument --trials: invalid int value: 'many'"),
    "no jobs": ([*TUNE, "--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
    "negative seed": ([*TUNE, "--seed=-1"], "seed must be an integer of at least 0, got -1"),
    "no epochs": ([*TUNE, "--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
    "short schedule": ([*TUNE, "--schedule-epochs", "1"], "schedule_epochs must be at least epochs, 2"),
    "width 0": ([*TUNE, "--width", "0"], "width must be a positive number, got 0.0"),
    "too many images": (
        [*TUNE, "--held-out", "21"],
        "examples and held_out must be at most the 60 training images together, got 40 and 21",
    ),
    "batch too large": ([*TUNE, "--batch-size", "41"], "batch_size must be at most the 40 examples, got 41"),
    "layers": ([*TUNE, "--layers", "8-3-8"], "layers must begin with the 9 inputs of tiny.npz, got 8"),
    "data": ([*TUNE, "--data", "nothing.npz"], "nothing.npz"),
    "dtype": ([*TUNE, "--dtype", "float16"], "dtype must be one of float32, float64, got 'float16'"),
    "range in words": ([*TUNE, "--range", "learning_rate"], "range must be NAME=LOW:HIGH, as in"),
    "range upside down": (
        [*TUNE, "--range", "learning_rate=1:0.1"],
        "range of learning_rate must be 0 < low < high, got 1 to 0.1",
    ),
    "range nan": ([*TUNE, "--range", "learning_rate=nan:1"], "must be a number, got nan"),
    "range beyond 1": (
        ["tune", "momentum", "--range", "1-momentum=0.1:2"],
        "range of 1 - momentum must end at 1, got 0.1 to 2",
    ),
    "range of another": (
        [*TUNE, "--range", "1-momentum=0.1:1"],
        "range of sgd must be one of learning_rate, got '1 - momentum'",
    ),
    "storage that is no address": (
        [*TUNE, "--storage", "somewhere"],
        "storage must be a database URL such as sqlite:///tuning/mnist.db, got 'somewhere'",
    ),
    "storage of no kind": (
        [*TUNE, "--storage", "nonsense://x/y"],
        "storage nonsense://x/y cannot be used: Can't load plugin: .*nonsense",
    ),
    "storage nowhere": (
        [*TUNE, "--storage", "postgresql://me:secret@nowhere.invalid/x"],
        r"storage postgresql://me:\*\*\*@nowhere.invalid/x (needs a driver|cannot be used: )",
    ),
    "storage with a slash in its password": (
        [*TUNE, "--storage", "postgresql://me:sec/secret@nowhere.invalid/x"],
        r"storage postgresql://me:\*\*\*@nowhere.invalid/x (needs a driver|cannot be used: )",
    ),
    "storage with its password behind": (
        [*TUNE, "--storage", "postgresql://nowhere.invalid/x?password=secret"],
        r"storage postgresql://nowhere.invalid/x\?password=hidden (needs a driver|cannot be used: )",
    ),
    "storage with a port in words": (
        [*TUNE, "--storage", "postgresql://me:secret@nowhere.invalid:port/x"],
        "storage must be a database URL such as .*, got 'postgresql://\\*\\*\\*@nowhere.invalid:port/x'",
    ),
    "storage in memory": ([*TUNE, "--storage", "sqlite://"], "storage must be a file or a server's"),
    "storage that is a folder": ([*TUNE, "--storage", "sqlite:///."], "storage .* cannot be used: "),
    "storage in a file": ([*TUNE, "--storage", "sqlite:///tiny.npz/x.db"], "tiny.npz"),
    "storage that is no database": (
        [*TUNE, "--storage", "sqlite:///tiny.npz"],
        "storage sqlite:///tiny.npz cannot be used: file is not a database",
    ),
    "a worker without work": (["tune", "--as-worker"], "as_worker is for the processes that tune starts"),
    "out is a file": ([*TUNE, "--out", "tiny.npz"], "tiny.npz: file exists"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line(arguments, words, here, capsys):
    before = (here / "tiny.npz").read_bytes()
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("locoprop-ref tune: ")
    assert re.search(words, err), err
    assert "secret" not in err
    assert (here / "tiny.npz").read_bytes() == before
    assert not list(here.rglob("*.json"))
    assert "--storage" not in arguments or not (here / "tuning").exists()


def test_a_storage_of_another_optuna_is_one_line(here, capsys):
    assert cli.main(TUNE) == 0
    with closing(sqlite3.connect("tuning/mnist.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
        database.commit()
    capsys.readouterr()
    assert cli.main(TUNE) == 2
    _, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert re.match(r"locoprop-ref tune: storage sqlite:///\S+ cannot be used: .*optuna", err), err


def test_a_folder_that_may_not_be_written(here, capsys, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cli.main(TUNE) == 2
    assert capsys.readouterr().err == "locoprop-ref tune: tuning: permission denied\n"


def test_without_optuna(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert cli.main(TUNE) == 2
    assert capsys.readouterr().err == (
        "locoprop-ref tune: tune needs Optuna, which cannot be imported here: install locoprop-ref[tune]\n"
    )


def test_optuna_is_imported_only_by_what_runs_trials():
    modules = "locoprop_ref.experiments.tune, locoprop_ref.cli.main"
    code = f"import sys; import {modules}; print('optuna' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["tune", "--help"])
    out = capsys.readouterr().out
    assert out.startswith("usage: locoprop-ref tune ")
    for flag in ("--problem", "--trials", "--storage", "--jobs", "--range", "--held-out"):
        assert flag in out
    assert "worker" not in out  # not for users


def test_it_speaks_of_every_trial(here, capsys):
    assert cli.main([*TUNE, "--trials", "2"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.match(r"sgd trial 0: held-out loss \d\.\d+, \d+\.\d s\nsgd trial 1: ", out)
    assert "sgd: held-out loss " in out and "tuning/mnist/sgd.json" in out


def test_optunas_logging_is_left_as_it_was(here):
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    try:
        search(trials=1)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        optuna.logging.set_verbosity(optuna.logging.INFO)


@pytest.mark.full
def test_the_command_line_runs_a_final(here, capsys):
    assert cli.main(["tune", "sgd", "--trials", "2", "--out", "out", *FLAGS[1:]]) == 0
    assert ", in the final " in capsys.readouterr().out
    assert "final" in json.loads((here / "out" / "mnist" / "sgd.json").read_text(encoding="utf-8"))
