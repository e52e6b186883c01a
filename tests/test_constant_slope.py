"""Local losses of constant slope, from gradient descent to S, against SciPy's least squares and SGD."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import lstsq

from locoprop_ref import LocoProp, backprop, initialize, optimizer
from locoprop_ref.local import LOCAL_LOSSES, LocalProblem, constant_slope
from locoprop_ref.regularizers import Proximal
from locoprop_ref.solvers import ClosedForm, Descend, Newton, closed_form, descend, newton


def drawn(backend, kappa, weight_step=0.7, rows=6, **settings):
    rng = np.random.default_rng(3)
    x, y, W0 = (
        backend.asarray(rng.normal(size=shape), "float64") for shape in ((rows, 4), (rows, 2), (4, 2))
    )
    return LocalProblem(x, y, constant_slope(kappa), W0, weight_step, **settings)


def batch(backend, layers=(4, 5, 3), transfers=("tanh", "softmax"), loss="softmax_cross_entropy"):
    rng = np.random.default_rng(2)
    network = initialize(
        layers, transfers=transfers, output_loss=loss, seed=1, xp=backend.xp, device=backend.device
    )
    x, t = rng.normal(size=(7, layers[0])), np.eye(layers[-1])[rng.integers(0, layers[-1], 7)]
    return network, backend.asarray(x, "float64"), backend.asarray(t, "float64")


def stepped(backend, method, network, x, t):
    moved, _, _ = method.step(network, method.init(network), x, t)
    return [backend.numpy(layer.stacked) for layer in moved.layers]


def test_a_constant_slope_is_the_derivative_of_its_integral(backend):
    a = backend.asarray([-2.0, 0.0, 3.0], "float64")
    for kappa in (0.0, 0.25, 2.0):
        f = constant_slope(kappa)
        assert_array_equal(backend.numpy(f.f(a)), kappa * np.array([-2.0, 0.0, 3.0]))
        assert_array_equal(backend.numpy(f.derivative(a)), [kappa] * 3)
        assert_array_equal(backend.numpy(f.F(a)), kappa * np.array([2.0, 0.0, 4.5]))
        # F + F* = a·f(a), exact: powers of two and small integers
        assert_array_equal(backend.numpy(f.F(a) + f.F_star(f.f(a))), backend.numpy(a * f.f(a)))
    assert_array_equal(backend.numpy(constant_slope(2).inverse(a)), [-1.0, 0.0, 1.5])
    assert backend.numpy(constant_slope(0).F_star(a)).tolist() == [np.inf, 0.0, np.inf]


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_the_linear_loss_solved_exactly_is_gradient_descent(backend, rate):
    """A1: whatever solves it, in every layer, softmax included."""
    network, x, t = batch(backend)
    eta, gamma = 0.3, 7.0
    method = LocoProp("linear", solver=ClosedForm(), target_step=gamma, weight_step=eta)
    sgd = backprop("sgd", eta * gamma)
    for how in (method, LocoProp("linear", solver=Newton(), target_step=gamma, weight_step=eta)):
        found, wanted = (m.step(network, m.init(network), x, t, rate=rate)[0].layers for m in (how, sgd))
        for one, other in zip(found, wanted, strict=True):
            # a few roundings of numbers below 2
            assert_allclose(backend.numpy(one.stacked), backend.numpy(other.stacked), rtol=0, atol=2e-15)


def test_k_steps_on_the_linear_loss_are_k_times_the_same_gradient(backend):
    network, x, t = batch(backend)
    one, three = (
        stepped(
            backend, LocoProp("linear", solver=Descend(optimizer("sgd"), 0.1, K, "constant")), network, x, t
        )
        for K in (1, 3)
    )
    sgd = stepped(backend, backprop("sgd", 1.0), network, x, t)  # s·γ = 0.1 · 10
    for W, after_one, after_three, layer in zip(sgd, one, three, network.layers, strict=True):
        assert_allclose(after_one, W, rtol=0, atol=2e-15)
        W0 = backend.numpy(layer.stacked)
        assert_allclose(after_three - W0, 3 * (W - W0), rtol=0, atol=5e-15)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 4.0])
def test_the_closed_form_is_a_least_squares_solution(backend, kappa, reduction):
    """κ/2 (x̃w − y*/κ)² and the ridge are the rows of one least squares problem, which SciPy solves."""
    problem = drawn(backend, kappa, reduction=reduction)
    x, y, W0 = (backend.numpy(a) for a in (problem.x, problem.y_target, problem.W0))
    c, eta = 1 / 6 if reduction == "mean" else 1.0, 0.7
    if kappa:
        rows = np.vstack([np.sqrt(c * kappa) * x, np.eye(4) / np.sqrt(eta)])
        wanted, *_ = lstsq(rows, np.vstack([np.sqrt(c / kappa) * y, W0 / np.sqrt(eta)]))
    else:
        wanted = W0 + eta * c * x.T @ y
    # condition number of the normal equations below 100
    assert_allclose(backend.numpy(closed_form(problem)), wanted, rtol=0, atol=1e-13)
    assert_allclose(backend.numpy(newton(problem)[0]), wanted, rtol=0, atol=1e-12)


def test_slope_one_is_the_squared_loss(numpy_backend):
    """The same bits: the slope 1 takes the path of the identity."""
    problem = drawn(numpy_backend, 1.0)
    squared = LocalProblem(problem.x, problem.y_target, LOCAL_LOSSES["squared"](None), problem.W0, 0.7)
    for form in ("primal", "dual", "inverse"):
        assert_array_equal(closed_form(problem, form=form), closed_form(squared, form=form))


def test_without_regularizer_the_change_is_of_minimum_norm(backend):
    problem = drawn(backend, 0.5, np.inf, rows=3)
    x, y, W0 = (backend.numpy(a) for a in (problem.x, problem.y_target, problem.W0))
    wanted = W0 + lstsq(x, y / 0.5 - x @ W0)[0]
    assert_allclose(backend.numpy(closed_form(problem)), wanted, rtol=0, atol=1e-13)


def test_steps_reach_the_closed_form(numpy_backend):
    problem = drawn(numpy_backend, 0.3)
    rule = optimizer("sgd")
    W, _ = descend(problem, rule, local_lr=0.2, num_local_steps=400, local_decay="constant")
    assert_allclose(W, closed_form(problem), rtol=0, atol=1e-13)


def test_the_slope_leads_from_gradient_descent_to_s(numpy_backend):
    """The step gets shorter in every direction of X̃ᵀX̃ that the batch has, the larger κ."""
    problem = drawn(numpy_backend, 0.0)
    changes = []
    for kappa in (0.0, 0.25, 0.5, 1.0):
        y = (0.0 if kappa == 0 else kappa) * (problem.x @ problem.W0) - 1.0  # residual f(â₀) − y* = 1
        how = LocalProblem(
            problem.x, y + np.zeros_like(problem.y_target), constant_slope(kappa), problem.W0, 0.7
        )
        changes.append(np.linalg.norm(closed_form(how) - problem.W0))
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 1.5 * changes[-1]


def test_what_a_constant_slope_does_not_allow_is_refused(numpy_backend):
    with pytest.raises(ValueError, match=r"^slope must be a finite number of at least 0, got -1"):
        constant_slope(-1)
    with pytest.raises(ValueError, match=r"^weight_step must be finite for the linear local loss, got inf$"):
        closed_form(drawn(numpy_backend, 0.0, np.inf))
    with pytest.raises(ValueError, match=r"^weight_step must be finite for form 'inverse', got inf$"):
        closed_form(drawn(numpy_backend, 0.5, np.inf), form="inverse")
    with pytest.raises(ValueError, match=r"^form must be auto or primal for this local loss, got 'dual'$"):
        closed_form(drawn(numpy_backend, 0.5), form="dual")
    with pytest.raises(
        ValueError, match=r"^local_loss must be one of linear, squared, matching, got 'cubic'"
    ):
        LocoProp("cubic")
    assert Proximal(1.0).metric(0, 0, {}) == 1


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_the_closed_form_of_a_convolution_is_newtons(numpy_backend, kappa):
    """The rows hold no column of ones for the one (`blocks.KeptRows`), and are an array for the other."""
    sizes = "4x4x1-c3x2-p2-3"
    network = initialize(sizes, transfers=["tanh", "identity"], output_loss="squared_error", seed=0)
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(4, 16)), rng.normal(size=(4, 3))
    parts = {"target_step": 2.0, "weight_step": 0.1}
    one, other = (
        stepped(
            numpy_backend, LocoProp(lambda layer: constant_slope(kappa), solver=how, **parts), network, x, t
        )
        for how in (ClosedForm(), Newton())
    )
    for W, wanted in zip(one, other, strict=True):
        assert_allclose(W, wanted, rtol=0, atol=1e-13)
