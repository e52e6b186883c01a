"""One step of every minibatch row of the family against an independent short program."""

import naive_family
import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import initialize, locoprop_m, locoprop_m_exact, locoprop_s, locoprop_s_closed, method
from locoprop_ref.methods.family import FAMILY, build

# Roundings of weights and of sums with at most twenty terms in all rows, X̃ᵀX̃ + 100 I being well conditioned.
# More where two programs differ in their inverses (K-FAC's factor has a condition of 1e3, J of 100), where
# Newton stops at 100 eps, and where the weights are 10 times the difference of two others (ProxProp, γ = 10).
ROUNDING = {"K-FAC": 1e-12, "Gauss–Newton targets": 1e-12, "LocoProp-M, exact": 1e-12, "ProxProp": 1e-12}
TRANSFERS = ("tanh", "tanh", "identity")


def drawn_numbers(state):
    """What a row drew when its state was made: inverses, or feedback matrices; none for the others."""
    targets = state.get("targets", {})
    if "inverses" in targets:
        return [psi["W"] for psi in targets["inverses"]]
    return list(targets.get("feedback", ()))


@pytest.mark.parametrize("name", [row.name for row in FAMILY if row.kind == "minibatch"])
def test_one_step_is_that_of_its_second_source(name):
    rng = np.random.default_rng(4)
    network = initialize((6, 8, 7, 3), transfers=TRANSFERS, output_loss="squared_error", seed=2)
    x, t = rng.normal(size=(12, 6)), rng.normal(size=(12, 3))
    method = build(name, num_layers=3, parallel_layers=False)
    state = method.init(network, 5)
    layers = [(layer.stacked, f) for layer, f in zip(network.layers, TRANSFERS, strict=True)]
    wanted = naive_family.ROWS[name](layers, x, t, drawn_numbers(state))
    moved, _, _ = method.step(network, state, x, t)
    for new, W, (old, _) in zip(moved.layers, wanted, layers, strict=True):
        assert_allclose(new.stacked, W, rtol=0, atol=ROUNDING.get(name, 1e-14))
        # the step is more than what the comparison leaves open
        assert np.abs(W - old).max() > 1e-6


PLAIN = {"target_step": 10.0, "weight_step": 0.01}
ALONE = {"momentum": 0.0, "factor_decay": 0.0}
TODAY = {
    "LocoProp-S": locoprop_s(),
    "LocoProp-M": locoprop_m(),
    "LocoProp-S, closed form": locoprop_s_closed(**PLAIN),
    "LocoProp-M, exact": locoprop_m_exact(**PLAIN),
    # γ/B and 1/(ηB) for B = 12: the same numbers, divided by B before the inverse and not after it
    "FOOF of a batch": method("foof", learning_rate=10 / 12, damping=1 / (0.01 * 12), **ALONE),
}


@pytest.mark.parametrize("name", TODAY)
def test_the_rows_are_the_methods_of_today(name):
    """Bit by bit; FOOF to rounding, with its reason above."""
    rng = np.random.default_rng(4)
    network = initialize((6, 8, 7, 3), transfers=TRANSFERS, output_loss="squared_error", seed=2)
    batches = [(rng.normal(size=(12, 6)), rng.normal(size=(12, 3))) for _ in range(3)]
    ends = []
    for how in (build(name, num_layers=3), TODAY[name]):
        net, state = network, how.init(network)
        for x, t in batches:
            net, state, _ = how.step(net, state, x, t)
        ends.append([layer.stacked for layer in net.layers])
    for one, other in zip(*ends, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-14 if "FOOF" in name else 0)


def test_every_second_source_has_its_row():
    assert set(naive_family.ROWS) == {row.name for row in FAMILY if row.kind == "minibatch"}
