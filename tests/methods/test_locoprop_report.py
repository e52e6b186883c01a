"""What LocoProp reports of its solvers: Newton's convergence, the info of one's own, the diagnostics."""

import warnings
from math import inf

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    ClosedForm,
    LocoProp,
    Newton,
    Solver,
    backward,
    closed_form,
    forward,
    initialize,
    locoprop_m_exact,
    locoprop_s_closed,
)


def small():
    rng = np.random.default_rng(1)
    network = initialize((3, 4, 2), transfers="tanh", seed=3)
    return network, rng.normal(size=(6, 3)), rng.normal(size=(6, 2))


def test_newton_reports_how_far_it_came():
    network, x, t = small()
    ours = locoprop_m_exact(target_step=4.0)
    _, _, info = ours.step(network, ours.init(network), x, t)
    for row in info["layers"]:
        assert row["converged"] is True
        assert row["newton_steps"] >= 1
        assert 0 <= row["relative_gradient"] <= 1e-13


def test_newton_that_does_not_converge_is_warned_of():
    network, x, t = small()
    ours = locoprop_m_exact(Newton(max_newton_steps=1), target_step=40.0, weight_step=10.0)
    with pytest.warns(RuntimeWarning, match="the solver did not converge in layer 1, 2; info says how far"):
        _, _, info = ours.step(network, ours.init(network), x, t)
    assert [row["converged"] for row in info["layers"]] == [False, False]
    assert all(row["relative_gradient"] > 1e-13 for row in info["layers"])


def test_the_report_stands_beside_the_diagnostics():
    network, x, t = small()
    ours = locoprop_m_exact(diagnose=True)
    _, _, info = ours.step(network, ours.init(network), x, t)
    assert {"converged", "local_loss_after", "out_of_range"} <= info["layers"][0].keys()


def test_at_rate_zero_there_is_nothing_to_report():
    network, x, t = small()
    ours = locoprop_m_exact()
    assert ours.step(network, ours.init(network), x, t, rate=0.0)[2] == {}


class Halfway:
    """Half of the way to the closed form; it counts its calls and says how far it went."""

    def init(self, W0):
        return {"calls": 0}

    def __call__(self, problem, state, rate):
        W = problem.W0 + rate * (closed_form(problem) - problem.W0) / 2
        return W, {"calls": state["calls"] + 1}, {"length": float(np.linalg.norm(W - problem.W0))}


def test_a_solver_of_ones_own():
    network, x, t = small()
    ours = LocoProp("squared", solver=Halfway(), target_step=5.0, weight_step=0.3)
    assert isinstance(ours.solver, Solver)
    exact = LocoProp("squared", solver=ClosedForm(), target_step=5.0, weight_step=0.3)
    moved, state, info = ours.step(network, ours.init(network), x, t)
    wanted, _, _ = exact.step(network, exact.init(network), x, t)
    for layer, one, other, row in zip(
        network.layers, moved.layers, wanted.layers, info["layers"], strict=True
    ):
        assert_allclose(
            2 * (one.stacked - layer.stacked), other.stacked - layer.stacked, rtol=1e-12, atol=1e-14
        )
        assert_allclose(row["length"], np.linalg.norm(one.stacked - layer.stacked), rtol=1e-14)
    assert [entry["solver"] for entry in state["layers"]] == [{"calls": 1}] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours.step(moved, state, x, t)


@pytest.mark.parametrize(
    ("solver", "got"), [(ClosedForm, "the class ClosedForm"), ("newton", "str"), (lambda p: p, "function")]
)
def test_what_is_no_solver_is_refused(solver, got):
    with pytest.raises(TypeError, match=f"solver must be a Solver: .*, got {got}"):
        LocoProp("squared", solver=solver)


@pytest.mark.parametrize("rate", [0.25, 1.0, 2.0])
def test_the_rate_multiplies_the_change_of_minimum_norm(rate):
    """For η = inf no multiple of η is another one, so that the schedule's rate acts on the change itself."""
    network, x, t = small()
    ours = locoprop_s_closed(target_step=2.0, weight_step=inf)
    moved, _, _ = ours.step(network, ours.init(network), x, t, rate=rate)
    trace = forward(network, x)
    for layer, new, x_m, g in zip(
        network.layers, moved.layers, trace.x, backward(network, trace, t), strict=True
    ):
        wanted = -rate * 2.0 * np.linalg.pinv(layer.augment(x_m)) @ g
        assert_allclose(
            new.stacked - layer.stacked, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max() + 1e-15
        )
    still, _, _ = ours.step(network, ours.init(network), x, t, rate=0.0)
    assert_array_equal(still.layers[0].W, network.layers[0].W)
