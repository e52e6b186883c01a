"""The wide search space: conditions, whole numbers, and that its name is stored."""

import dataclasses
import shlex
from itertools import pairwise
from math import inf

import pytest
from msgspec import json
from tiny_tuning import NUMPY, a_search, search, small, split_data, trials_in

from locoprop_ref.experiments.tune import PROBLEMS, search_space
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.result import command
from locoprop_ref.experiments.tune.space import edges, parse_ranges, settings, untuned
from locoprop_ref.experiments.tune.storage import Storage
from locoprop_ref.experiments.tune.trials import Work, _suggest
from locoprop_ref.experiments.tune.wide import SPACES, WIDE

SEARCHED = {"local_lr", "num_local_steps", "local_state", "target_step", "weight_step", "momentum"}


class Trial:
    """What Optuna hands to an objective: takes the least value of every range, and the choices it is told."""

    def __init__(self, **chosen):
        self.chosen, self.asked = chosen, []

    def suggest_categorical(self, name, choices):
        self.asked.append(name)
        return self.chosen.get(name, choices[0])

    def suggest_float(self, name, low, high, *, log):
        self.asked.append(name)
        assert log
        return self.chosen.get(name, low)

    def suggest_int(self, name, low, high, *, log):
        self.asked.append(name)
        assert log
        assert isinstance(low, int) and isinstance(high, int)
        return self.chosen.get(name, low)


@pytest.mark.parametrize("optimizer", ["rmsprop", "nesterov", "adam"])
@pytest.mark.parametrize("method", WIDE)
def test_a_trial_has_the_settings_of_its_optimizer_and_no_others(method, optimizer):
    trial = Trial(optimizer=optimizer)
    chosen = settings(_suggest(trial, search_space(method, space="wide")))
    assert chosen["optimizer"] == optimizer
    own = {"decay"} if optimizer != "nesterov" else set()
    assert set(chosen) == {"optimizer", *SEARCHED, *own}
    assert [name for name in trial.asked if name.startswith("local_lr")] == [f"local_lr@{optimizer}"]
    config = PROBLEMS["mnist"].config(method, seed=0, **chosen)  # refuses an option without a meaning
    assert all(getattr(config, name) == value for name, value in chosen.items())


@pytest.mark.parametrize("method", WIDE)
def test_every_end_of_every_wide_range_is_a_setting(method):
    for r in search_space(method, space="wide"):
        optimizer = r.when[1][0] if r.when else "rmsprop"
        for end in r.choices or r.record:
            trial = Trial(**{"optimizer": optimizer, r.name: end})
            chosen = settings(_suggest(trial, search_space(method, space="wide")))
            config = PROBLEMS["mnist"].config(method, seed=0, **chosen)
            wanted = round(1 - end, 12) if r.one_minus else end
            assert getattr(config, r.option) == wanted, r.name


@pytest.mark.parametrize("method", WIDE)
def test_the_wide_search_begins_at_the_package_too(method):
    """All but η = ∞, which no range reaches: it is the end beyond which the proximal term does nothing."""
    on, space = PROBLEMS["mnist"], search_space(method, space="wide")
    own = on.config(method, seed=0)
    begin = untuned(method, space, own)
    there = on.config(method, seed=0, **settings(begin))
    changed = {
        f.name: (getattr(own, f.name), getattr(there, f.name))
        for f in dataclasses.fields(own)
        if getattr(own, f.name) != getattr(there, f.name)
    }
    assert changed == {"weight_step": (inf, 1e4)}
    assert edges(begin, space) == {}


def test_a_method_without_a_wide_space_has_the_narrow_one():
    assert search_space("kfac", space="wide") == search_space("kfac")
    with pytest.raises(ValueError, match=r"^space must be one of narrow, wide, got 'wid' \(did you mean"):
        search_space("kfac", space="wid")
    assert SPACES[0] == "narrow"


def test_whole_numbers_and_conditions_in_ranges():
    ranges = parse_ranges(["num_local_steps=2:5", "local_lr@adam=1e-5:1e-4", "1-decay@rmsprop+adam=0.01:0.1"])
    space = {r.name: r for r in search_space("locoprop-m", ranges, space="wide")}
    assert space["num_local_steps"].record == [2, 5]
    assert space["local_lr@adam"].record == [1e-5, 1e-4]
    assert space["1 - decay@rmsprop+adam"].record == [0.01, 0.1]
    assert space["num_local_steps"].clipped(10) == 5
    assert isinstance(space["num_local_steps"].clipped(10), int)
    with pytest.raises(
        ValueError, match=r"^range of num_local_steps must be whole numbers from 1, got 2.5 to"
    ):
        search_space("locoprop-m", {"num_local_steps": (2.5, 5)}, space="wide")
    with pytest.raises(ValueError, match=r"^range of locoprop-m must be one of .*, got 'local_lr@rmsprop'"):
        search_space("locoprop-m", {"local_lr@rmsprop": (1e-5, 1e-4)})


def test_the_command_names_the_space_and_its_ranges():
    ranges = {"num_local_steps": (2, 5), "local_lr@adam": (1e-5, 1e-4), "1 - decay@rmsprop+adam": (0.01, 0.1)}
    space = search_space("locoprop-m", ranges, space="wide")
    of = a_search("locoprop-m", space=space, space_name="wide")
    words = shlex.split(command(of, 30, final=False))
    assert words[words.index("--space") + 1] == "wide"
    given = [after for word, after in pairwise(words) if word == "--range"]
    assert search_space("locoprop-m", parse_ranges(given), space="wide") == space
    work = Work((of,), Storage("sqlite:///x.db"))
    assert json.decode(json.encode(work), type=Work) == work


def test_a_wide_study_stands_beside_a_narrow_one(here):
    narrow = search("locoprop-s", trials=1)
    wide = search("locoprop-s", trials=3, space="wide", out="wide")
    assert "space" not in narrow["study"]
    assert wide["study"]["space"] == "wide"
    assert wide["study"]["ranges"]["num_local_steps"] == [1, 20]
    # η = 1e4 is finite, and its proximal term is that small beside what the steps are made of
    assert wide["study"]["untuned_loss"] == pytest.approx(narrow["study"]["loss"], rel=1e-4)
    assert set(wide["settings"]) - {"decay"} == {"optimizer", *SEARCHED}
    # the settings as stored give the loss as stored, bit for bit
    config = small().config("locoprop-s", seed=0, **wide["settings"])
    assert list(held_out_losses(config, split_data(), NUMPY))[-1] == wide["study"]["loss"]
    of = a_search("locoprop-s", space=search_space("locoprop-s", space="wide"), space_name="wide")
    trials = trials_in(of)
    assert len(trials) == 3
    for trial in trials:
        names = {f"local_lr@{trial.params['optimizer']}"}
        assert {name for name in trial.params if name.startswith("local_lr")} == names
    assert len(trials_in(a_search("locoprop-s"))) == 1
