"""What is stored: the form, no secrets, the loss of the stored settings, the command that repeats it."""

import json
import os
import platform
import shlex
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from tiny_tuning import NUMPY, a_search, search, small, split_data

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.tune import search_space, whole_problem
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.result import command
from locoprop_ref.experiments.tune.space import parse_ranges


def test_the_command_names_a_range_of_numbers_to_choose_from():
    task = a_search("kfac", space=search_space("kfac", {"inverse_interval": (5, 20)}))
    assert command(task, 30, final=False).endswith(" --range inverse_interval=5:20")


@pytest.mark.parametrize(
    ("method", "ranges"),
    [
        ("sgd", {"learning_rate": (0.00123456789, 1.5e-1)}),
        ("kfac", {"inverse_interval": (4, 6), "1 - momentum": (0.012345678, 1)}),
        ("foof", {"factor_decay": (0, 0.5)}),
    ],
)
def test_the_ranges_in_the_command_are_those_of_the_study(method, ranges):
    space = search_space(method, ranges)
    words = shlex.split(command(a_search(method, space=space), 30, final=False))
    given = [after for word, after in pairwise(words) if word == "--range"]
    assert len(given) == len(ranges)
    assert search_space(method, parse_ranges(given)) == space


def test_what_is_stored(here):
    record = search("locoprop-m", trials=3)
    path = here / "tuning" / "mnist" / "locoprop-m.json"
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == record
    assert list(record) == ["schema", "contestant", "settings", "problem", "study"]
    assert (record["schema"], record["contestant"]) == (1, "locoprop-m")
    assert list(record["settings"]) == ["local_lr", "target_step", "momentum", "decay"]
    assert record["problem"]["data"] == "tiny.npz"
    assert record["study"]["versions"]["optuna"] == optuna.__version__
    assert record["study"]["ranges"]["1 - momentum"] == [1e-4, 1]
    for secret in (str(here), platform.node(), os.environ.get("USER") or "/root", "://"):
        assert secret not in text
    # the settings as stored give the loss as stored, bit for bit
    config = small().config("locoprop-m", seed=0, **record["settings"])
    assert list(held_out_losses(config, split_data(), NUMPY))[-1] == record["study"]["loss"]


@pytest.mark.parametrize(
    "with_final", [False, pytest.param(True, marks=pytest.mark.full)], ids=["no final", "final"]
)
def test_the_stored_command_makes_the_same_bytes(here, with_final):
    on = small(epochs=3, held_out=15)
    options = {"ranges": {"1 - decay": (1e-2, 0.5)}, "seed": 2, "on": on}
    options["final"] = whole_problem(on) if with_final else None
    record = search("rmsprop", trials=3, **options)
    words = shlex.split(record["study"]["command"])
    assert words[:2] == ["locoprop-ref", "tune"]
    assert cli.main([*words[1:], "--out", "again", "--storage", "sqlite:///again.db"]) == 0
    assert Path("again/mnist/rmsprop.json").read_bytes() == Path("tuning/mnist/rmsprop.json").read_bytes()


def test_an_edge_is_said_and_stored(here, said):
    record = search("sgd", trials=3, ranges={"learning_rate": (1e-9, 1e-8)})
    assert record["study"]["edges"] == {"learning_rate": "high"}
    assert said()[-1] == "sgd: learning_rate is at the high edge of its range (--range widens it)"
