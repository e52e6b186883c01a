"""What a user has is never lost: one rule for the outputs of all commands."""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import numpy as np
import pytest
from small_runs import command, environment, shell, write_data

from locoprop_ref.cli import main as cli
from locoprop_ref.cli.main import _parser
from locoprop_ref.cli.parser import path as path_option
from locoprop_ref.data.cache import cache_folder
from locoprop_ref.oracle.generate import refuse_changes

OF_MINE = "train --data=~/mine.npz --layers 9-6-9 --batch-size 20 --epochs 1 --method backprop --out"
LAYERS = ["--layers", "9-6-9", "--batch-size", "20", "--epochs", "1", "--method", "backprop"]


def call(capsys, *arguments):
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    return status, capsys.readouterr().err


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with data, a run and its network."""
    folder = tmp_path_factory.mktemp("trained")
    write_data(folder / "mine.npz")
    arguments = ["train", "--data", folder / "mine.npz", *LAYERS, "--out", folder / "run.json"]
    assert cli.main([str(a) for a in arguments]) == 0
    return folder


@pytest.fixture
def home(trained, tmp_path, monkeypatch):
    """A copy of it, which is the home folder and the working folder, with files of other programs."""
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    (tmp_path / "notes.svg").write_text("<svg/>")
    np.savez(tmp_path / "other.npz", mine=np.arange(3))
    (tmp_path / "results.json").write_text(
        json.dumps({"schema": 1, "implementation": "mine", "dtype": "float64", "results": {}})
    )
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE precious (a INTEGER)")
    for file in ("other-folder/summary.md", "tuning/curves/sgd.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text('{"mine": 1}')
    monkeypatch.setenv("LOCOPROP_REF_CACHE", str(cache_folder()))  # that of the true home folder
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# one entry: a command line that would replace something, and words of the refusal
REFUSED = {
    "apply onto its data": ("apply run.npz --data=~/mine.npz --out mine.npz", "which is the data"),
    "apply onto its data, asked": (
        "apply run.npz --data=~/mine.npz --out mine.npz --overwrite", "which is the data",
    ),
    "apply onto its network": ("apply ~/run.npz --data mine.npz --out run.npz", "which is the network"),
    "apply onto another file": ("apply run.npz --data mine.npz --out other.npz", "exists .--overwrite"),
    "train onto its data": (
        f"{OF_MINE} mine.json --overwrite", "another name than the data",
    ),
    "train onto a run": (f"{OF_MINE} ~/run.json", "run.json, which exists"),
    "train onto another file": (f"{OF_MINE} notes.json", "notes.json, which exists"),
    "plot onto its run": ("plot run.json --out run.json", "which is the run"),
    "plot onto a picture": ("plot run.json --out ~/notes.svg", "exists .--overwrite"),
    "verify onto another file": ("verify --json notes.json", "exists .--overwrite"),
    "check onto its results": ("oracle check --results results.json --json ~/results.json", "is the results"),
    "check into one file": ("oracle check --results results.json --json a --junit ./a", "must be two files"),
    "check onto another file": ("oracle check --results results.json --junit notes.txt", "exists"),
    "report onto another file": ("oracle report --out notes.txt", "exists .--overwrite"),
    "compare into another folder": (
        "compare --out other-folder --methods sgd", "out must be a new folder or one that compare wrote",
    ),
    "tune onto another file": (
        "tune sgd --problem curves --out tuning --trials 1", "out must be a folder for results of tune",
    ),
    "tune in another database": (
        "tune adam --problem curves --storage sqlite:///~/other.db --trials 1",
        "storage must be a new database .* with other tables: precious",
    ),
    "demo into another folder": ("demo --out .", "out must be a new folder, or one of a demonstration"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "words"), REFUSED.values(), ids=REFUSED)
def test_nothing_is_lost(line, words, home, capsys):
    before = contents(home)
    status, err = call(capsys, *line.split())
    assert status == 2
    assert len(err.splitlines()) == 1
    assert re.search(words, err), err
    assert contents(home) == before


def test_figures_are_replaced_only_if_asked(home, capsys):
    mine = home / "figures" / "matching-loss-relu.png"
    mine.parent.mkdir()
    mine.write_text("mine")
    status, err = call(capsys, "figures")
    assert (status, mine.read_text(), len(list(mine.parent.iterdir()))) == (2, "mine", 1)
    assert "matching-loss-relu.png" in err


def test_resuming_replaces_no_file_of_another_kind(home, capsys):
    """The checkpoint is a run's, but the file at the run file's name is not."""
    (home / "run.json").write_text('{"mine": 1}')
    before = contents(home)
    status, err = call(capsys, "train", "--data", "mine.npz", *LAYERS, "--out", "run.json", "--resume")
    assert (status, contents(home)) == (2, before)
    assert "run.json must be a run file" in err


def test_vectors_replace_no_other_file(home, capsys):
    (home / "vectors").mkdir()
    (home / "vectors" / "transfer.json").write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="must be a file of vectors, which alone is replaced"):
        refuse_changes(home / "vectors" / "transfer.json", {"version": "1", "groups": []})


def test_overwrite_replaces(home, capsys):
    for line in (
        "plot run.json --out notes.svg --overwrite",
        "apply run.npz --data mine.npz --out other.npz --overwrite",
    ):
        assert call(capsys, *line.split())[0] == 0
    assert "<svg/>" != (home / "notes.svg").read_text()
    assert np.load(home / "other.npz").files == ["y"]


def test_a_home_folder_is_meant_in_every_output(home, capsys):
    """Once `--out=~/x/o.json` made a folder whose name is a tilde."""
    assert call(capsys, "train", "--data=~/mine.npz", *LAYERS, "--out=~/x/o.json")[0] == 0
    assert call(capsys, "plot", "~/x/o.json", "--out=~/x/o.svg")[0] == 0
    assert call(capsys, "apply", "~/x/o.npz", "--data=~/mine.npz", "--out=~/x/y.npz")[0] == 0
    assert {file.name for file in (home / "x").iterdir()} == {"o.json", "o.npz", "o.svg", "y.npz"}
    assert not (home / "~").exists()


def path_options():
    """(command, option, its type) of all options whose metavar says that a file or a folder is meant."""

    def of(parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for child in action.choices.values():
                    yield from of(child)
            elif str(action.metavar).startswith(("FILE", "DIR", "RUN.json", "NETWORK.npz")):
                yield parser.prog, action.dest, action.type

    return list(of(_parser()))


def test_every_option_that_is_a_path_knows_the_home_folder():
    found = path_options()
    assert len(found) >= 20
    assert [(prog, option) for prog, option, kind in found if kind is not path_option] == []


# two at once --------------------------------------------------------------------------------------


@pytest.mark.full
def test_two_trainings_into_one_file(home):
    """Once the second one replaced what the first had reached."""
    longer = [*LAYERS[:4], "--epochs", "100000", "--method", "backprop"]
    line = ["train", "--data", "mine.npz", *longer, "--out", "long.json"]
    first = subprocess.Popen(
        command(*line), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ends = time.monotonic() + 60
        while not (home / "long.npz").exists() and time.monotonic() < ends:
            time.sleep(0.05)
        second = shell(*line, "--resume")  # which waits some seconds for a process that is about to end
        assert second.returncode == 2
        assert "out must be a run that no other train is at work on, got long.json" in second.stderr
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(60)
    assert json.loads((home / "long.json").read_text())["status"] == "interrupted"
    assert not list(home.glob(".*.lock"))
    killed = subprocess.Popen(
        command(*line, "--resume"), env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(home.glob(".*.lock")) and time.monotonic() < ends:
        time.sleep(0.05)
    killed.kill()
    killed.wait(60)
    again = shell("train", "--data", "mine.npz", *LAYERS, "--out", "long.json", "--overwrite")
    assert (again.returncode, again.stderr) == (0, "")
    assert os.listdir(home).count("long.json") == 1
