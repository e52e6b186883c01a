"""Regularizers: the proximal term, and one of one's own with a matrix, against differences and in solvers."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    ClosedForm,
    Descend,
    LocalProblem,
    LocoProp,
    Newton,
    Proximal,
    Regularizer,
    closed_form,
    descend,
    initialize,
    optimizer,
    transfer,
)
from locoprop_ref.optimizers import SGD


@dataclass(frozen=True)
class Mahalanobis:
    """½⟨Δ, PΔ⟩ + ⟨C, W̃⟩, whose gradient does not vanish at W̃₀; it remembers how many rows it has seen."""

    P: np.ndarray
    C: np.ndarray

    def init(self, W0):
        return {"rows": 0}

    def value(self, W, W0, state):
        return 0.5 * np.sum((W - W0) * (self.P @ (W - W0))) + np.sum(self.C * W)

    def gradient(self, W, W0, state):
        return self.P @ (W - W0) + self.C

    def metric(self, W, W0, state):
        return self.P

    def scaled(self, rate):
        return Mahalanobis(self.P / rate, self.C)

    def update(self, x, state):
        return {"rows": state["rows"] + x.shape[0]}


def problem(name="identity", regularizer=None, **settings):
    rng = np.random.default_rng(4)
    x, y, W0 = rng.normal(size=(7, 3)), rng.uniform(-0.5, 0.5, size=(7, 2)), rng.normal(size=(3, 2))
    return LocalProblem(x, y, transfer(name), W0, regularizer=regularizer, **settings)


def own():
    A = np.random.default_rng(5).normal(size=(3, 3))
    return Mahalanobis(A @ A.T + np.eye(3), np.random.default_rng(6).normal(size=(3, 2)))


def differences(value, W, h=1e-6):
    """Central differences, whose error is of size h² and eps/h: below 1e-8 here."""
    slope = np.zeros_like(W)
    for i in np.ndindex(W.shape):
        step = np.zeros_like(W)
        step[i] = h
        slope[i] = (value(W + step) - value(W - step)) / (2 * h)
    return slope


@pytest.mark.parametrize("make", [lambda: Proximal(0.3), own], ids=["proximal", "own"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_gradient_of_the_whole_problem_is_that_of_its_value(make, reduction):
    ours = problem("tanh", make(), reduction=reduction)
    W = ours.W0 + 0.3
    assert_allclose(ours.gradient(W), differences(ours.value, W), rtol=0, atol=1e-8)


@pytest.mark.parametrize("form", ["auto", "primal"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_closed_form_solves_an_own_quadratic_regularizer(form, reduction):
    ours = problem(regularizer=own(), reduction=reduction)
    W = closed_form(ours, form=form)
    assert_allclose(ours.gradient(W), np.zeros((3, 2)), atol=1e-12)
    assert np.abs(W - ours.W0).max() > 0.1


@pytest.mark.parametrize("form", ["plain", "gram"])
def test_steps_reach_what_the_closed_form_solves(form):
    ours = problem(regularizer=own())
    W, _ = descend(
        ours, SGD(), local_lr=0.02, num_local_steps=3000, local_decay="constant", gradient_form=form
    )
    assert_allclose(W, closed_form(ours), rtol=0, atol=1e-10)


def test_a_scaled_regularizer_goes_less_far():
    whole, half = (ClosedForm()(problem(regularizer=own()), {}, rate) for rate in (1.0, 0.5))
    wanted = closed_form(problem(regularizer=own().scaled(0.5)))
    assert_array_equal(half[0], wanted)
    assert np.abs(half[0] - whole[0]).max() > 1e-3


def test_what_an_own_regularizer_does_not_allow_is_refused():
    with pytest.raises(ValueError, match="form must be auto or primal for this regularizer, got 'dual'"):
        closed_form(problem(regularizer=own()), form="dual")
    with pytest.raises(ValueError, match="weight_step is short for a regularizer, got both"):
        problem(regularizer=Proximal(1.0), weight_step=0.5)
    with pytest.raises(TypeError, match="regularizer must be a Regularizer, as Proximal"):
        problem(regularizer="none")
    with pytest.raises(TypeError, match=r"regularizer must be a Regularizer, as .*got the class Proximal"):
        LocoProp("squared", regularizer=Proximal)
    with pytest.raises(ValueError, match=r"weight_step is short for regularizer=Proximal\(0.1\)"):
        LocoProp("squared", regularizer=own(), weight_step=0.1)


def test_weight_step_is_short_for_the_proximal_term():
    short, long = problem(weight_step=0.4), problem(regularizer=Proximal(0.4))
    assert_array_equal(closed_form(short), closed_form(long))
    assert LocoProp("squared", weight_step=0.4).regularizer == Proximal(0.4)
    assert replace(LocoProp("squared"), weight_step=0.4).weight_step == 0.4


def test_a_regularizer_with_memory_keeps_its_state_in_that_of_the_method():
    network = initialize((3, 2), transfers="identity", bias=False)
    ours = LocoProp("squared", regularizer=own(), solver=Descend(optimizer("sgd"), 1e-3, 2))
    assert isinstance(ours.regularizer, Regularizer)
    state = ours.init(network)
    for _ in range(2):
        network, state, _ = ours.step(network, state, np.ones((5, 3)), np.zeros((5, 2)))
    assert state["layers"][0]["regularizer"] == {"rows": 10}


def test_infinite_eta_is_no_regularizer():
    none = Proximal()
    assert none.metric(0, 0, {}) == 0
    assert none.gradient(np.ones(1), np.zeros(1), {}) is None
    assert Newton().init(np.ones((1, 1))) == {}
