"""The problems poster and poster-signs: relatives' ranges, offline budgets, a tiny search, its command."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_up_images import write_images
from numpy.testing import assert_equal

from locoprop_ref.backend import namespace
from locoprop_ref.cli import main as cli
from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.tune import PROBLEMS, reduced_problem, search_space, tune
from locoprop_ref.experiments.tune.final import rate_of
from locoprop_ref.experiments.tune.objective import held_out_losses
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.experiments.tune.space import RELATIVES_SPACE, SPACE, edges, settings, untuned
from locoprop_ref.training import examples

NETWORKS = {"poster": "36-5-4-3", "poster-signs": "36-8-4-3"}
OFFLINE = ("offline-admm", "offline-bcd", "offline-mac")
EVERY = [(problem, name) for problem in NETWORKS for name in tuned.usual_entries(problem)]
SMALL = {"batch_size": 10, "examples": 60, "held_out": 40}


def small(problem):
    return reduced_problem(problem, data="images.npz", layers=NETWORKS[problem], **SMALL)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A new working directory with images.npz in it."""
    monkeypatch.chdir(tmp_path)
    tuning_data.cache_clear()
    return write_images(tmp_path / "images.npz")


def test_every_relative_with_settings_of_its_own_has_ranges():
    own = {name for name in tuned.RELATIVES if tuned.lender(name) is None}
    assert_equal(set(RELATIVES_SPACE), own)
    assert not RELATIVES_SPACE.keys() & SPACE.keys()
    with pytest.raises(ValueError, match="method adam-as-am has the settings of am-adam and is not searched"):
        search_space("adam-as-am", problem="poster")


def test_the_problems():
    """One epoch of the training images that are not held out; 40 iterations on 12,000 for offline methods."""
    on = PROBLEMS["poster"]
    assert_equal((on.data, on.layers, on.transfer), ("mnist", "784-100-100-10", "relu"))
    assert_equal((on.batch_size, on.epochs, on.schedule), (200, 1, "constant"))
    assert_equal((on.examples, on.held_out), (None, 5_000))
    assert_equal(on.for_method("adam"), on)
    for name in OFFLINE:
        there = on.for_method(name)
        assert_equal((there.epochs, there.examples, there.held_out), (40, 12_000, 5_000))
        assert_equal(there.for_method(name), there)
        assert_equal(there.config(name, seed=0).batch_size, None)
    explicit = reduced_problem("poster", epochs=3, examples=500)
    assert_equal(
        (explicit.for_method("offline-admm").epochs, explicit.for_method("offline-admm").examples), (3, 500)
    )
    # ADMM's outputs are fitted to 0 and 1: they are judged by that loss, the others by theirs
    losses = {
        name: on.config(name, seed=0).output_loss
        for name in ("offline-admm", "offline-bcd", "offline-mac", "am-adam")
    }
    assert_equal(set(map(losses.get, ("offline-admm", "offline-bcd"))), {"squared_error"})
    assert_equal(set(map(losses.get, ("offline-mac", "am-adam"))), {"softmax_cross_entropy"})
    signs = PROBLEMS["poster-signs"]
    assert_equal((signs.layers, signs.transfer), ("784-200-200-10", "sign,tanh,softmax"))


def test_records_name_the_transfer_only_where_it_is_not_the_usual_one():
    assert_equal(PROBLEMS["poster"].record("ab")["transfer"], "relu")
    for problem in ("mnist", "curves", "lenet", "sequential-mnist"):
        assert "transfer" not in PROBLEMS[problem].record("ab")


@pytest.mark.parametrize(("problem", "method"), EVERY)
def test_ranges_begin_untuned_and_every_end_is_a_setting(problem, method):
    """The package's defaults lie inside, off the edges, but for the first of numbers to choose from."""
    space, on = search_space(method, problem=problem), PROBLEMS[problem].for_method(method)
    begin = untuned(method, space, on.config(method, seed=0))
    assert_equal(edges(begin, space), {})
    for r in space:
        for end in r.choices or (r.low, r.high):
            on.config(method, seed=0, **settings({**begin, r.name: end}))
    assert_equal(rate_of(method), space[0].option)


def test_the_epsilon_of_adam_is_searched_alike_for_all_who_have_it():
    ranges = {
        name: {r.option: r.record for r in search_space(name, problem="poster")}
        for name in ("adam", "am-adam", "dtp", "ste")
    }
    for option in ("epsilon", "momentum"):
        assert_equal({str(found[option]) for found in ranges.values()}, {str(ranges["adam"][option])})
    rates = {str(found.get("learning_rate", found.get("local_lr"))) for found in ranges.values()}
    assert_equal(len(rates), 1)


@pytest.mark.parametrize(("problem", "method"), EVERY)
def test_every_method_runs(images, method, problem):
    """From the untuned settings: a finite held-out loss."""
    on = small(problem).for_method(method)
    config = on.config(
        method, seed=0, **settings(untuned(method, search_space(method), on.config(method, seed=0)))
    )
    data = examples(tuning_data(on, None), config, namespace("numpy"))
    losses = list(held_out_losses(config, data, namespace("numpy")))
    assert_equal(len(losses), 41 if method in OFFLINE else 2)
    assert np.isfinite(losses).all()


@pytest.mark.full
def test_online_and_offline_methods_in_one_search(images):
    """Each on its own problem, which its file names, and whose command makes the same file again."""
    found = tune(["am-sgd", "offline-bcd"], small("poster"), trials=1, progress=False)
    assert_equal(list(found), ["am-sgd", "offline-bcd"])
    assert_equal([found[name]["problem"]["epochs"] for name in found], [1, 40])
    command = found["offline-bcd"]["study"]["command"]
    assert "--epochs" not in command and "--examples 60" in command
    words = [*command.split()[1:], "--out", "again", "--storage", "sqlite:///again.db"]
    assert_equal(cli.main(words), 0)
    assert_equal(json.loads(Path("again/poster/offline-bcd.json").read_text()), found["offline-bcd"])
