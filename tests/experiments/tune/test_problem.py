"""The reduced problem, which never sees the test set, and the whole one of the final."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from small_runs import arrays, write_data
from tiny_tuning import FINAL, search, small, split_data

from locoprop_ref.experiments.tune import PROBLEMS, reduced_problem, whole_problem
from locoprop_ref.experiments.tune import problem as problem_module
from locoprop_ref.experiments.tune.problem import tuning_data
from locoprop_ref.training import Examples
from locoprop_ref.training.build import epoch_rate
from locoprop_ref.training.config import resolve


def test_the_reduced_problems():
    mnist, curves = PROBLEMS["mnist"], PROBLEMS["curves"]
    assert (mnist.width, mnist.examples, mnist.held_out, mnist.batch_size) == (0.25, 10_000, 5_000, 1000)
    assert (curves.layers, curves.width, curves.batch_size) == ("784-100-50-6-50-100-784", 1.0, 500)
    assert mnist.layers == resolve(preset="paper").layers
    config = curves.config("rmsprop", seed=0)
    rates = [epoch_rate(config, epoch) for epoch in range(config.epochs)]
    assert rates[:2] == [0.0, 0.5]  # 10 % of the 12 epochs' rates is missing
    assert min(rates[2:]) > 0.75


def test_a_shorter_problem_keeps_the_form_of_its_schedule():
    assert reduced_problem("mnist", epochs=5).schedule_epochs == 20
    assert reduced_problem("mnist", epochs=5, schedule_epochs=9).schedule_epochs == 9


def test_training_and_held_out_images_are_different_training_images(here):
    numbered = np.arange(60, dtype=np.float32)[:, None].repeat(9, axis=1) / 100
    write_data("tiny.npz", x_train=numbered, x_test=np.full((20, 9), 0.99, np.float32))
    data = tuning_data(small(), None)
    train_rows, held_out = (np.round(x[:, 0] * 100).astype(int) for x in (data.x_train, data.x_test))
    assert (len(train_rows), len(held_out)) == (40, 20)
    assert sorted([*train_rows, *held_out]) == list(range(60))
    assert_array_equal(np.r_[train_rows, held_out], np.random.default_rng(0).permutation(60))
    other = tuning_data(small(split_seed=1), None)
    assert not np.array_equal(other.x_train, data.x_train)


class Poisoned:
    """A data set whose test set cannot be looked at."""

    def __init__(self):
        self.name, self.source, self.notes, self.x_train = "tiny.npz", "folder", (), arrays()["x_train"]

    def __getattr__(self, name):
        raise AssertionError(f"the test set was reached: {name}")


def test_the_test_set_is_never_touched(here, monkeypatch):
    monkeypatch.setattr(problem_module, "load", lambda data, data_dir: Poisoned())
    with pytest.raises(AssertionError, match="reached"):
        _ = problem_module.load("tiny.npz", data_dir=None).x_test  # the poison works
    assert search()["study"]["complete"] == 3


def test_another_test_set_gives_the_same_bytes(here):
    search(out="one", storage="sqlite:///one.db")
    write_data("tiny.npz", x_test=arrays()["x_test"][::-1], labels_test=None, labels_train=None)
    search(out="other", storage="sqlite:///other.db")
    assert Path("one/mnist/rmsprop.json").read_bytes() == Path("other/mnist/rmsprop.json").read_bytes()


def test_examples_hold_no_test_set(here):
    """The types say `test`; what is in it are the held-out training images."""
    data = split_data()
    assert isinstance(data, Examples)
    held_out = tuning_data(small(), None).x_test
    rows = {row.tobytes() for row in arrays()["x_train"]}
    assert {row.tobytes() for row in held_out} <= rows


def test_the_whole_problem_keeps_what_the_reduced_one_has_of_its_own():
    assert whole_problem(PROBLEMS["curves"]) is None
    whole = whole_problem(PROBLEMS["mnist"])
    assert (whole.width, whole.examples, whole.layers) == (1.0, None, resolve(preset="paper").layers)
    rates = [epoch_rate(whole.config("sgd", seed=0), epoch) for epoch in range(whole.epochs)]
    # the authors': a fifth more every epoch up to the fifth, then down to 0 in 95; the first warms averages
    assert_allclose(rates, [0, 0.2, 0.4, 0.6, 0.8, 94 / 95], rtol=1e-12)
    assert (FINAL.data, FINAL.layers, FINAL.batch_size, FINAL.held_out) == ("tiny.npz", "9-6-3-6-9", 10, 20)


def test_a_final_trains_on_all_images_that_are_not_held_out(here):
    data = split_data(FINAL)
    assert (len(data.x_train), len(data.x_test)) == (40, 20)
