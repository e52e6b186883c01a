"""The rate of a step multiplies the local rate of the K steps, and η of the closed and the exact solvers."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from locoprop_ref import Descend, initialize, method, optimizer

ONCE, TWICE = (Descend(optimizer("sgd"), local_lr) for local_lr in (0.0625, 0.125))
# method → (its settings, the settings that a rate of 2 stands for), powers of two apart: the same bits
DOUBLED = {
    "backprop": ({"optimizer_name": "sgd", "learning_rate": 0.125}, {"learning_rate": 0.25}),
    "locoprop-s": ({"local": ONCE}, {"local": TWICE}),
    "locoprop-m": ({"local": ONCE}, {"local": TWICE}),
    "locoprop-s-closed": ({"weight_step": 0.125}, {"weight_step": 0.25}),
    "locoprop-m-exact": ({"weight_step": 0.125}, {"weight_step": 0.25}),
}


@pytest.mark.parametrize("name", DOUBLED)
def test_a_rate_above_one_is_not_held_at_one(name):
    settings, changed = DOUBLED[name]
    x = np.random.default_rng(0).normal(size=(9, 4))
    network = initialize((4, 3, 4), transfers="tanh", output_loss="squared_error", seed=1)

    def after(rate, **settings):
        how = method(name, **settings)
        return how.step(network, how.init(network), x, x, rate=rate)[0].layers

    ours, wanted, other = after(2.0, **settings), after(1.0, **settings | changed), after(1.0, **settings)
    for mine, theirs, single in zip(ours, wanted, other, strict=True):
        assert_array_equal(mine.W, theirs.W)
        assert np.abs(mine.W - single.W).max() > 1e-4
