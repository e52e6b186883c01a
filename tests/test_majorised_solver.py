"""Majorised Newton: one step is the closed form of S, none raises the objective, many are the solution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import (
    TRANSFERS,
    ClosedForm,
    DecoupledDecay,
    L2Decay,
    LocalProblem,
    LocoProp,
    Newton,
    RunningMetric,
    initialize,
    network_loss,
    transfer,
)
from locoprop_ref.majorised_solver import Majorised, largest_slope
from locoprop_ref.methods.family import Member, build

SHAPES = {"tall": (9, 4, 3), "wide": (3, 6, 2)}  # R ≥ d̃ and R < d̃
KINDS = {"proximal": None, "l2": L2Decay(0.4, 0.3), "decoupled": DecoupledDecay(0.4, 0.2),
         "running": RunningMetric(0.4, 0.9)}  # fmt: skip
STEEP = {"leaky_relu": transfer("leaky_relu", slope=3.0), "elu": transfer("elu", alpha=2.5)}


def drawn(backend, f, shape="tall", kind="proximal", dtype="float64", **settings):
    """A local problem whose weights and targets are of the size of one."""
    rows, d, units = SHAPES[shape]
    rng = np.random.default_rng(7)
    x, W0, past = rng.normal(size=(rows, d)), rng.normal(size=(d, units)), rng.normal(size=(5, d))
    y = np.asarray(f.f(rng.normal(size=(rows, units))))
    x, y, W0, past = (backend.asarray(value, dtype) for value in (x, y, W0, past))
    rule = KINDS[kind]
    state = rule.update(past, rule.init(W0)) if kind == "running" else None
    how = {"weight_step": 0.5} if rule is None else {"regularizer": rule, "regularizer_state": state}
    return LocalProblem(x, y, f, W0, **how, **settings)


def by_hand(problem, steps, bound=1.0, eta=0.5):
    """The steps from their formula, with the proximal term, each system solved anew."""
    x, y, W0 = (np.asarray(v, dtype="float64") for v in (problem.x, problem.y_target, problem.W0))
    c = 1 / len(x) if problem.reduction == "mean" else 1.0
    W = W0
    for _ in range(steps):
        gradient = c * x.T @ (np.asarray(problem.transfer.f(x @ W)) - y) + (W - W0) / eta
        W = W - np.linalg.solve(bound * c * x.T @ x + np.eye(len(W)) / eta, gradient)
    return W


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_steps_are_their_formula(backend, shape, reduction, dtype):
    problem = drawn(backend, transfer("tanh"), shape, dtype=dtype, reduction=reduction)
    W, state, info = Majorised(3)(problem, {}, 1.0)
    on_host = drawn_on_host(shape, reduction)
    # systems of a condition below 30, three of them
    eps = np.finfo(dtype).eps
    assert_allclose(backend.numpy(W), by_hand(on_host, 3), rtol=0, atol=300 * eps)
    assert (state, info) == ({}, {})


def drawn_on_host(shape, reduction):
    class Host:
        asarray = staticmethod(np.asarray)

    return drawn(Host, transfer("tanh"), shape, reduction=reduction)


@pytest.mark.each("losses")
@pytest.mark.parametrize("losses", [("identity", "squared_error"), ("sigmoid", "sigmoid_cross_entropy"),
                                    ("softmax", "softmax_cross_entropy")])  # fmt: skip
def test_one_step_is_the_closed_form_of_s(backend, losses):
    """For the whole network: the residual at W̃₀ is γg for both local losses, and so is the step."""
    last, output_loss = losses
    network = initialize((6, 5, 3), transfers=["tanh", last], output_loss=output_loss, seed=1,
                         xp=backend.xp, device=backend.device)  # fmt: skip
    rng = np.random.default_rng(0)
    x, t = backend.asarray(rng.normal(size=(10, 6))), backend.asarray(np.eye(3)[rng.integers(0, 3, 10)])
    how = {"target_step": 10.0, "weight_step": 0.1}
    moved = []
    for loss, solver in (("matching", Majorised(1)), ("squared", ClosedForm())):
        ours = LocoProp(loss, solver=solver, **how)
        after, _, _ = ours.step(network, ours.init(network), x, t)
        moved.append([backend.numpy(layer.stacked) for layer in after.layers])
    for one, other, layer in zip(*moved, network.layers, strict=True):
        # systems of a condition below 100
        assert_allclose(one, other, rtol=0, atol=1e-12)
        assert np.abs(one - backend.numpy(layer.stacked)).max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", TRANSFERS)
def test_no_step_raises_the_objective(numpy_backend, name, shape, kind):
    problem = drawn(numpy_backend, transfer(name), shape, kind)
    values = [float(problem.value(problem.W0))]
    for steps in range(1, 7):
        values.append(float(problem.value(Majorised(steps)(problem, {}, 1.0)[0])))
    falls = -np.diff(values)
    assert falls.min() > -1e-12 * abs(values[0])  # rounding alone
    assert falls[0] > 0


@pytest.mark.parametrize("name", STEEP)
def test_a_steeper_transfer_needs_a_larger_bound(numpy_backend, name):
    f = STEEP[name]
    problem = drawn(numpy_backend, f)
    steepest = largest_slope(f)
    with pytest.raises(
        ValueError, match=rf"^slope_bound must be at least {steepest:g}, .* of {name}, got 1$"
    ):
        Majorised(2)(problem, {}, 1.0)
    values = [
        float(problem.value(Majorised(steps, steepest)(problem, {}, 1.0)[0])) if steps else
        float(problem.value(problem.W0))
        for steps in range(5)
    ]  # fmt: skip
    assert (np.diff(values) < 0).all()
    assert_allclose(Majorised(2, steepest)(problem, {}, 1.0)[0], by_hand(problem, 2, steepest), rtol=1e-12)


@pytest.mark.parametrize("name", TRANSFERS)
def test_no_slope_is_larger_than_what_is_said(name):
    a = np.linspace(-6, 6, 4001)
    f = STEEP.get(name, transfer(name))
    if f.elementwise:
        slopes = np.diff(np.asarray(f.f(a))) / np.diff(a)
        assert slopes.max() <= largest_slope(f) + 1e-9
        assert slopes.max() > 0.2
    else:  # diag(y) − yyᵀ, at its largest where two classes share all
        y = np.array([0.5, 0.5, 0.0])
        assert np.linalg.eigvalsh(np.diag(y) - np.outer(y, y)).max() <= largest_slope(f)


@pytest.mark.parametrize("kind", KINDS)
def test_many_steps_are_newtons_solution(numpy_backend, kind):
    problem = drawn(numpy_backend, transfer("tanh"), kind=kind)
    exact, _, info = Newton()(problem, {}, 1.0)
    assert info["converged"]
    # the distance falls by a factor in every step; two thousand of them leave rounding alone
    assert_allclose(Majorised(2000)(problem, {}, 1.0)[0], exact, rtol=0, atol=1e-9)
    assert np.abs(Majorised(1)(problem, {}, 1.0)[0] - exact).max() > 1e-3


def test_the_rate_multiplies_eta(numpy_backend):
    problem = drawn(numpy_backend, transfer("tanh"))
    assert_allclose(Majorised(2)(problem, {}, 0.3)[0], by_hand(problem, 2, eta=0.15), rtol=1e-12)
    W, _, _ = Majorised(2)(problem, {}, 0.0)
    assert W is problem.W0


@pytest.mark.parametrize(
    ("name", "weight_step", "words"),
    [
        ("tanh", np.inf, r"^weight_step must be finite for majorised steps, got inf"),
        ("sign", 0.5, r"^transfer must be continuous for majorised steps, got 'sign'"),
    ],
)
def test_what_is_refused(name, weight_step, words):
    x = np.ones((2, 2))
    problem = LocalProblem(x, np.ones((2, 1)), transfer(name), np.ones((2, 1)), weight_step)
    with pytest.raises(ValueError, match=words):
        Majorised()(problem, {}, 1.0)


@pytest.mark.parametrize(("setting", "value"), [("num_local_steps", 0), ("slope_bound", 0.0)])
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must be "):
        Majorised(**{setting: value})


def test_a_row_of_the_family_trains(numpy_backend):
    """A solver is one more name: a row of one's own needs no further code."""
    row = Member("LocoProp-M, majorised", "minibatch", "matching", "gradient", "forward", "proximal",
                 "majorised steps", "", "-")  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 6))
    t = np.tanh(x @ rng.normal(size=(6, 3)))
    network = initialize((6, 8, 7, 3), transfers=["tanh", "tanh", "identity"], output_loss="squared_error",
                         seed=1)  # fmt: skip
    ours = build(row, num_layers=3, parallel_layers=False)
    state, before = ours.init(network), float(network_loss(network, x, t))
    for _ in range(30):
        network, state, _ = ours.step(network, state, x, t)
    assert float(network_loss(network, x, t)) < 0.8 * before
