"""Local problems: matching loss, target, value and gradient, against quadrature, loops and 50 digits."""

import high_precision_losses
import hypothesis
import naive
import numpy as np
import pytest
from bridge import CASES, ELEMENTWISE, assert_close, draw, every_dtype, lists, naive_layers, naive_transfer
from high_precision_losses import precise
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.local import LocalProblem
from locoprop_ref.losses import matching_loss
from locoprop_ref.network import backward, forward
from locoprop_ref.targets import target
from locoprop_ref.transfers import TRANSFERS, transfer

every_transfer = pytest.mark.parametrize("name", TRANSFERS)


# the target ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids="-".join)
@every_dtype
def test_target_of_every_layer_agrees_with_loops(backend, case, dtype):
    network, x, t = draw(backend, case, dtype=dtype)
    layers = naive_layers(backend, network)
    trace, by_loops = forward(network, x), naive.forward(layers, lists(backend, x))
    gs = naive.backward(layers, by_loops, lists(backend, t), case[2])
    mine = zip(trace.a_hat, trace.y_hat, backward(network, trace, t), strict=True)
    theirs = zip(by_loops[1], by_loops[2], gs, strict=True)
    for (a, y, g), (a_rows, y_rows, g_rows) in zip(mine, theirs, strict=True):
        # γg is g, known to 1000 roundings (see test_network.py), times 10
        assert_close(backend, target(y, g, 10.0), naive.target(y_rows, g_rows, 10.0), dtype=dtype, units=1e4)
        assert_close(backend, target(a, g, 10.0), naive.target(a_rows, g_rows, 10.0), dtype=dtype, units=1e4)


# value and gradient -------------------------------------------------------------------------------


def draw_problem(
    backend, name, dtype="float64", *, weight_step=2.0, reduction="sum", batch=5, d=4, units=3, seed=0
):
    rng = np.random.default_rng(seed)
    f = transfer(name)
    x, W0 = rng.normal(size=(batch, d)), rng.normal(size=(d, units))
    y = np.asarray(f.f(rng.normal(size=(batch, units))))
    arrays = [backend.asarray(v, dtype) for v in (x, y, W0)]
    return LocalProblem(arrays[0], arrays[1], f, arrays[2], weight_step, reduction), backend.asarray(
        rng.normal(size=(d, units)), dtype
    )


@every_transfer
@pytest.mark.parametrize("weight_step", [0.5, np.inf])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_dtype
def test_gradient_agrees_with_loops(backend, name, weight_step, reduction, dtype):
    problem, W = draw_problem(backend, name, dtype, weight_step=weight_step, reduction=reduction)
    parts = [lists(backend, v) for v in (problem.x, problem.y_target)]
    V0 = lists(backend, problem.W0)
    for weights in (W, problem.W0):
        wanted = naive.local_gradient(
            *parts,
            naive_transfer(problem.transfer),
            lists(backend, weights),
            V0,
            weight_step,
            reduction == "mean",
        )
        assert_close(backend, problem.gradient(weights), wanted, dtype=dtype, scale=1)


@every_transfer
@pytest.mark.parametrize("weight_step", [0.5, np.inf])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_value_is_the_objective_and_gradient_its_derivative_in_50_digits(
    numpy_backend, name, weight_step, reduction
):
    """Value to 1e-13 of its terms (about 50 numbers of size 1); gradient by differences of step 1e-20."""
    problem, W = draw_problem(
        numpy_backend, name, weight_step=weight_step, reduction=reduction, batch=3, d=2, units=2
    )
    x, y, W0 = (array.tolist() for array in (problem.x, problem.y_target, problem.W0))

    def value(V):
        return high_precision_losses.local_value(x, y, name, V, W0, weight_step, reduction == "mean")

    V, start = precise(W.tolist()), precise(W0)
    assert_allclose(float(problem.value(W)), float(value(V)), rtol=1e-13, atol=1e-13)
    assert_allclose(float(problem.value(problem.W0)), float(value(start)), rtol=1e-13, atol=1e-13)
    wanted = high_precision_losses.derivative(lambda: value(V), V)
    assert_allclose(problem.gradient(W), wanted, rtol=1e-12, atol=1e-13)


@every_transfer
@given(seed=st.integers(0, 2**32 - 1))
def test_the_objective_is_convex(name, seed):
    """value(V) ≥ value(W) + ∇(W)·(V − W) + ‖V − W‖²/2η, slack for the rounding of values of size 100."""
    from backends import OPEN

    problem, W = draw_problem(OPEN["numpy"](), name, seed=seed)
    V = np.random.default_rng([seed, 1]).normal(0, 2, W.shape)
    above = problem.value(V) - problem.value(W) - np.sum(problem.gradient(W) * (V - W))
    assert above >= np.sum((V - W) ** 2) / (2 * problem.weight_step) - 1e-12


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("squared", [True, False], ids=["S", "M"])
@every_dtype
def test_first_gradient_is_target_step_times_that_of_the_network(backend, case, squared, dtype):
    """I1. ∂L/∂W̃ by loops; bound: rounding of the terms abs(X̃)ᵀ(abs(f(â₀)) + γ abs(g)), 1e-14 in float64."""
    network, x, t = draw(backend, case, dtype=dtype)
    trace, gamma = forward(network, x), 10.0
    wanted = naive.gradients(naive_layers(backend, network), lists(backend, x), lists(backend, t), case[2])
    everything = zip(
        network.layers, trace.x, trace.a_hat, trace.y_hat, backward(network, trace, t), wanted, strict=True
    )
    for layer, x_m, a_hat, y_hat, g, dW in everything:
        wide, W0 = layer.augment(x_m), layer.stacked
        y, f = (a_hat, transfer("identity")) if squared else (y_hat, layer.transfer)
        problem = LocalProblem(wide, target(y, g, gamma), f, W0, a_hat0=a_hat)
        terms = np.abs(backend.numpy(wide)).T @ (np.abs(backend.numpy(y)) + gamma * np.abs(backend.numpy(g)))
        bound = 1e-14 if dtype == "float64" else 64 * np.finfo(dtype).eps
        # and what the loops themselves lose: 1e-13 of g, see test_network.py
        slack = gamma * 1000 * np.finfo(dtype).eps * np.abs(dW).max()
        assert (
            np.abs(backend.numpy(problem.gradient(W0)) - gamma * np.array(dW)) <= bound * terms + slack
        ).all()


def test_a_known_pre_activation_saves_a_product_and_changes_nothing(backend):
    for name in TRANSFERS:
        problem, W = draw_problem(backend, name)
        known = LocalProblem(
            problem.x, problem.y_target, problem.transfer, problem.W0, 2.0, "sum", problem.x @ problem.W0
        )
        for weights in (problem.W0, W):
            for method in ("value", "gradient", "residual"):
                with_it, without = getattr(known, method)(weights), getattr(problem, method)(weights)
                assert_array_equal(backend.numpy(with_it), backend.numpy(without))


def test_nothing_is_written_into(backend):
    for name in TRANSFERS:
        problem, W = draw_problem(backend, name, reduction="mean")
        arrays = (problem.x, problem.y_target, problem.W0, W)
        before = [lists(backend, a) for a in arrays]
        for weights in (W, problem.W0):
            problem.value(weights)
            problem.gradient(weights)
        assert [lists(backend, a) for a in arrays] == before


@hypothesis.given(
    batch=st.integers(1, 4), d=st.integers(1, 4), units=st.integers(1, 4), name=st.sampled_from(TRANSFERS)
)
def test_any_shape_agrees_with_loops(batch, d, units, name):
    from backends import OPEN

    backend = OPEN["numpy"]()
    problem, W = draw_problem(backend, name, batch=batch, d=d, units=units)
    wanted = naive.local_gradient(
        problem.x.tolist(),
        problem.y_target.tolist(),
        naive_transfer(problem.transfer),
        W.tolist(),
        problem.W0.tolist(),
        2.0,
    )
    assert_close(backend, problem.gradient(W), wanted, dtype="float64", scale=1)
    assert problem.value(W).shape == ()


# bad inputs ---------------------------------------------------------------------------------------

f = transfer("tanh")
X, Y, V = np.zeros((4, 3)), np.zeros((4, 2)), np.zeros((3, 2))
single = X.astype("float32")


def problem(**changes):
    return LocalProblem(**{"x": X, "y_target": Y, "transfer": f, "W0": V} | changes)


BAD = {
    "x list": (lambda: problem(x=X.tolist()), TypeError, "x must be an array"),
    "x vector": (lambda: problem(x=X[0]), ValueError, "x must have 2 dimensions"),
    "x empty": (lambda: problem(x=X[:0], y_target=Y[:0]), ValueError, "x must hold at least one example"),
    "x integers": (lambda: problem(x=X.astype(int)), TypeError, "x must have dtype float32 or float64"),
    "y batch": (
        lambda: problem(y_target=Y[:3]),
        ValueError,
        r"y_target must have shape \(4, any\), got \(3, 2\)",
    ),
    "y vector": (
        lambda: problem(y_target=Y[:, 0]),
        ValueError,
        r"y_target must have shape \(4, any\), got \(4,\)",
    ),
    "y none": (lambda: problem(y_target=None), TypeError, "y_target must be an array"),
    "y dtype": (
        lambda: problem(y_target=Y.astype("float32")),
        TypeError,
        "y_target must have the dtype of x",
    ),
    "W0 shape": (lambda: problem(W0=V.T), ValueError, r"W0 must have shape \(3, 2\), got \(2, 3\)"),
    "W0 dtype": (lambda: problem(W0=V.astype("float32")), TypeError, "W0 must have the dtype of x"),
    "transfer": (lambda: problem(transfer="tanh"), TypeError, "transfer must be a Transfer"),
    "a_hat0": (lambda: problem(a_hat0=X), ValueError, r"a_hat0 must have shape \(4, 2\)"),
    "a_hat0 dtype": (
        lambda: problem(a_hat0=Y.astype("float32")),
        TypeError,
        "a_hat0 must have the dtype of x",
    ),
    "η 0": (
        lambda: problem(weight_step=0),
        ValueError,
        "weight_step must be a positive number or inf, got 0",
    ),
    "η negative": (
        lambda: problem(weight_step=-1.0),
        ValueError,
        "weight_step must be a positive number or inf",
    ),
    "η nan": (lambda: problem(weight_step=np.nan), ValueError, "weight_step must be a number, got nan"),
    "η string": (lambda: problem(weight_step="inf"), TypeError, "weight_step must be a number, got 'inf'"),
    "reduction": (
        lambda: problem(reduction="avg"),
        ValueError,
        "reduction must be one of sum, mean, got 'avg'",
    ),
    "value shape": (lambda: problem().value(V.T), ValueError, r"W must have shape \(3, 2\), got \(2, 3\)"),
    "gradient shape": (
        lambda: problem().gradient(V[:2]),
        ValueError,
        r"W must have shape \(3, 2\), got \(2, 2\)",
    ),
    "gradient list": (lambda: problem().gradient(V.tolist()), TypeError, "W must be an array"),
    "gradient dtype": (lambda: problem().gradient(V.astype("float32")), TypeError, "W must have the dtype"),
    "value dtype": (lambda: problem().value(V.astype("float32")), TypeError, "W must have the dtype"),
    "γ 0": (lambda: target(Y, Y, 0.0), ValueError, "target_step must be a positive number, got 0.0"),
    "γ negative": (lambda: target(Y, Y, -10), ValueError, "target_step must be a positive number, got -10"),
    "γ inf": (lambda: target(Y, Y, np.inf), ValueError, "target_step must be a positive number, got inf"),
    "γ nan": (lambda: target(Y, Y, np.nan), ValueError, "target_step must be a number, got nan"),
    "γ none": (lambda: target(Y, Y, None), TypeError, "target_step must be a number, got None"),
    "γ array": (lambda: target(Y, Y, np.ones(2)), TypeError, "target_step must be a number"),
    "g shape": (lambda: target(Y, X, 1.0), ValueError, r"g must have shape \(4, 2\), got \(4, 3\)"),
    "g dtype": (lambda: target(Y, Y.astype("float32"), 1.0), TypeError, "g must have the dtype of y_hat"),
    "y_hat list": (lambda: target(Y.tolist(), Y, 1.0), TypeError, "y_hat must be an array"),
    "a shape": (lambda: matching_loss(f, Y, X), ValueError, r"a must have shape \(4, 2\), got \(4, 3\)"),
    "a dtype": (lambda: matching_loss(f, X, single), TypeError, "a must have the dtype of a_hat"),
    "a_hat list": (lambda: matching_loss(f, X.tolist(), X), TypeError, "a_hat must be an array"),
    "a_hat integers": (
        lambda: matching_loss(f, X.astype(int), X),
        TypeError,
        "a_hat must have dtype float32 or float64",
    ),
    "loss transfer": (lambda: matching_loss("tanh", X, X), TypeError, "transfer must be a Transfer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_sentence(case):
    call, error, sentence = BAD[case]
    with pytest.raises(error, match="^" + sentence):
        call()


def test_elementwise_names_are_all_but_softmax():
    assert [name for name in TRANSFERS if transfer(name).elementwise] == ELEMENTWISE
