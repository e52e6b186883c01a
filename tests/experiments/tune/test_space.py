"""What is searched: ranges, their ends, the untuned beginning, rounding, edges."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import PROBLEMS, SPACE, search_space
from locoprop_ref.experiments.tune.space import edges, parse_ranges, settings, untuned
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.training.options import Config


def test_every_method_and_every_problem_has_its_entry():
    assert SPACE.keys() == tuned.CONTESTANTS.keys()
    assert tuple(PROBLEMS) == tuned.PROBLEMS
    assert {options["method"] for options in tuned.CONTESTANTS.values()} <= set(METHODS)


@pytest.mark.parametrize("method", SPACE)
def test_ranges_are_ranges(method):
    for r in search_space(method):
        assert r.choices or 0 < r.low < r.high
        assert r.high <= 1 or not r.one_minus


@pytest.mark.parametrize("method", tuned.CONTESTANTS)
def test_every_end_of_every_range_is_a_setting_of_the_method(method):
    space = search_space(method)
    middle = {r.name: r.choices[0] if r.choices else (r.low * r.high) ** 0.5 for r in space}
    for r in space:
        for end in r.choices or (r.low, r.high):
            config = PROBLEMS["mnist"].config(method, seed=0, **settings({**middle, r.name: end}))
            assert isinstance(config, Config)


@pytest.mark.parametrize("method", tuned.CONTESTANTS)
def test_the_first_trial_is_the_untuned_package(method):
    """Defaults lie inside their ranges, off the edges, and three digits hold them: nothing moves them.

    But for the 20 steps that K-FAC keeps its inverses: the longest that are offered.
    """
    on = PROBLEMS["mnist"]
    space = search_space(method)
    own = on.config(method, seed=0)
    begin = untuned(method, space, own)
    assert edges(begin, space) == ({"inverse_interval": "high"} if method == "kfac" else {})
    there = on.config(method, seed=0, **settings(begin))
    changed = {
        f.name: (getattr(own, f.name), getattr(there, f.name))
        for f in dataclasses.fields(own)
        if getattr(own, f.name) != getattr(there, f.name)
    }
    # AdaGrad's default is its optimizer's own, and has no number in the Config; no range reaches infinity
    known = {
        "adagrad": {"initial_accumulator": (None, 0.1)},
        "kfac": {"kl_clip": (np.inf, 100.0)},
        "foof": {"factor_decay": (0.95, 0.0)},  # the closed form
        "shampoo": {  # RMSProp's step in length, roots as published
            "grafting": ("none", "rmsprop"),
            "learning_rate": (0.1, on.config("rmsprop", seed=0).learning_rate),
            "inverse_interval": (20, 1),
        },
    }
    assert changed == known.get(method, {})


@given(st.floats(1e-12, 1e5))
def test_three_digits_are_used_and_no_more(value):
    found = settings({"learning_rate": value})["learning_rate"]
    # half a unit in the third digit is at most 1/200 of the number
    assert_allclose(found, value, rtol=5.001e-3)
    assert float(f"{found:.2e}") == found


@given(st.floats(1e-4, 1.0))
def test_a_momentum_keeps_three_digits_of_its_distance_from_1(value):
    found = settings({"1 - momentum": value})["momentum"]
    assert 0 <= found < 1
    assert_allclose(1 - found, value, rtol=5.001e-3)
    assert len(repr(found)) <= len("0.9999") + 3


def test_edges():
    space = search_space("rmsprop")
    inside = {"learning_rate": 1e-4, "1 - momentum": 0.1, "1 - decay": 0.1, "epsilon": 1e-5, "dialect": "tf1"}
    assert edges(inside, space) == {}
    # 5 decades: a twentieth is a quarter of a decade, 10**0.25 = 1.778
    for value, found in {1.7e-6: "low", 1.9e-6: None, 5.5e-2: None, 5.7e-2: "high"}.items():
        expected = {} if found is None else {"learning_rate": found}
        assert edges({**inside, "learning_rate": value}, space) == expected
    assert edges({**inside, "1 - momentum": 1.0}, space) == {}  # no momentum: nothing beyond
    assert edges({**inside, "1 - momentum": 1.1e-3}, space) == {"1 - momentum": "low"}
    assert edges({**inside, "epsilon": 0.09}, space) == {"epsilon": "high"}
    assert edges({**inside, "epsilon": 1.1e-16}, space) == {}  # under the root, a smaller one does the same


def test_names_have_no_edge_and_numbers_to_choose_from_have():
    space = search_space("shampoo")
    values = {"learning_rate": 1e-2, "1 - momentum": 0.1, "epsilon": 1e-4, "grafting": "none"}
    found = [edges(values | {"inverse_interval": number}, space) for number in (1, 5, 20)]
    assert found == [{}, {}, {"inverse_interval": "high"}]  # there is no less than every step
    space = search_space("shampoo", {"inverse_interval": (5, 20)})
    found = [edges(values | {"inverse_interval": number}, space) for number in (5, 20)]
    assert found == [{"inverse_interval": "low"}, {"inverse_interval": "high"}]
    space = search_space("shampoo", {"inverse_interval": (4, 6)})
    assert edges(values | {"inverse_interval": 5}, space) == {}  # nothing was searched


def begin(method, space):
    return untuned(method, space, PROBLEMS["mnist"].config(method, seed=0))


def test_a_range_of_numbers_to_choose_from_keeps_those_in_it():
    space = search_space("kfac", parse_ranges(["inverse_interval=5:20"]))
    assert space[-1].choices == (5, 20)
    assert space[:-1] == search_space("kfac")[:-1]
    assert begin("kfac", space)["inverse_interval"] == 20
    space = search_space("foof", {"inverse_interval": (5, 20)})
    assert begin("foof", space)["inverse_interval"] == 5  # its default 1 is out of the range
    with pytest.raises(
        ValueError, match=r"range of inverse_interval must hold one of \[1, 5, 20\], got 2 to 3"
    ):
        search_space("kfac", {"inverse_interval": (2, 3)})
    with pytest.raises(ValueError, match=r"range of shampoo must be one of .*, got 'grafting'"):
        search_space("shampoo", {"grafting": (1, 2)})


def test_another_range():
    wide = search_space("rmsprop", parse_ranges(["learning_rate=1e-7:1", "1-momentum=1e-5:1"]))
    usual = search_space("rmsprop")
    assert (wide[0].low, wide[0].high) == (1e-7, 1.0)
    assert (wide[1].name, wide[1].low, wide[1].high) == ("1 - momentum", 1e-5, 1.0)
    assert wide[2:] == usual[2:]
    for low, high in ((1, 1), (2, 1), (0, 1), (-1, 1), (1e-3, float("inf"))):
        with pytest.raises(ValueError, match=r"(?:must be 0 < low < high|must be a finite number), got"):
            search_space("sgd", {"learning_rate": (low, high)})
