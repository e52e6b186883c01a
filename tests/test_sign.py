"""Sign units: F = |a| and the perceptron loss, the straight-through derivative, M by steps, no exact M."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    LocoProp,
    backward,
    forward,
    gradients,
    initialize,
    locoprop_m,
    locoprop_m_exact,
    matching_loss,
    optimizer,
    transfer,
)  # fmt: skip
from locoprop_ref.solvers import Descend
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS

SIGN = transfer("sign")
A = [-math.inf, -2.0, -1.0, -1e-300, -0.0, 0.0, 1e-300, 1.0, 1.5, math.inf]


def drawn(backend, sizes=(4, 6, 5, 3), transfers=("sign", "sign", "softmax"), dtype="float64"):
    rng = np.random.default_rng(0)
    network = initialize(
        sizes, transfers=transfers, output_loss="softmax_cross_entropy", seed=3,
        dtype=dtype, xp=backend.xp, device=backend.device,
    )  # fmt: skip
    x, t = rng.normal(size=(8, sizes[0])), np.eye(sizes[-1])[rng.integers(0, sizes[-1], 8)]
    return network, backend.asarray(x, dtype), backend.asarray(t, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sign_of_zero_is_one(backend, dtype):
    A_here = [a for a in A if dtype == "float64" or abs(a) != 1e-300]
    a = backend.asarray(A_here, dtype)
    wanted = [1.0 if v >= 0 else -1.0 for v in A_here]
    assert backend.numpy(SIGN.f(a)).tolist() == wanted
    assert backend.numpy(SIGN.F(a)).tolist() == [abs(v) for v in A_here]
    assert backend.numpy(SIGN.derivative(a)).tolist() == [float(-1 <= v <= 1) for v in A_here]
    everywhere = transfer("sign", straight_through="identity").derivative(a)
    assert backend.numpy(everywhere).tolist() == [1.0] * len(A_here)
    assert backend.numpy(SIGN.f(a)).dtype == np.dtype(dtype)
    assert math.isnan(float(SIGN.f(backend.asarray([math.nan], dtype))[0]))


def test_the_conjugate_is_the_indicator_of_the_range(backend):
    y = backend.asarray([-1.5, -1.0, 0.3, 1.0, 1.1], "float64")
    assert backend.numpy(SIGN.F_star(y)).tolist() == [math.inf, 0, 0, 0, math.inf]
    assert backend.numpy(SIGN.out_of_range(y)).tolist() == [True, False, False, False, True]
    assert backend.numpy(SIGN.project(y)).tolist() == [-1, -1, 0.3, 1, 1]


def test_the_matching_loss_is_the_perceptron_loss(backend):
    """2 max(0, −y â) for the label y = sign(a*), exact here: every number has few digits."""
    a_hat, a = (grid.ravel() for grid in np.meshgrid([-2.0, -0.5, 0.0, 0.25, 3.0], [-1.0, 0.0, 4.0]))
    D = matching_loss(SIGN, *(backend.asarray(v, "float64") for v in (a_hat, a)))
    label = np.where(a >= 0, 1.0, -1.0)
    assert_array_equal(backend.numpy(D), 2 * np.maximum(0, -label * a_hat))


def test_forward_and_backward_agree_with_loops(backend):
    """∂L/∂â layer by layer, one unit at a time; the derivative of sign is 1 where |â| ≤ 1."""
    network, x, t = drawn(backend)
    trace = forward(network, x)
    g = [backend.numpy(each) for each in backward(network, trace, t)]
    weights = [(backend.numpy(layer.W), backend.numpy(layer.b)) for layer in network.layers]
    seen = []
    for i, row in enumerate(backend.numpy(x)):
        said, pre = [row], []
        for W, b in weights:
            pre.append([sum(said[-1][k] * W[k, j] for k in range(len(W))) + b[j] for j in range(len(b))])
            said.append([1.0 if a >= 0 else -1.0 for a in pre[-1]])
        top = np.exp(np.array(pre[-1]))
        error = (top / top.sum() - backend.numpy(t)[i]) / 8
        for m in (2, 1, 0):
            assert_allclose(g[m][i], error, rtol=0, atol=1e-14)
            if m:
                W = weights[m][0]
                back = [sum(error[j] * W[k, j] for j in range(len(error))) for k in range(len(W))]
                inside = [abs(a) <= 1 for a in pre[m - 1]]
                seen += inside
                error = np.array(back) * inside
    assert 0 < sum(seen) < len(seen)  # both sides of the clip are met


def test_the_first_step_of_m_is_the_straight_through_estimator(backend):
    """I1, and one step of it by loops: W̃ − s·γ·X̃ᵀg."""
    network, x, t = drawn(backend)
    method = locoprop_m(Descend(optimizer("sgd"), 0.05, 1), target_step=2.0)
    moved, _, _ = method.step(network, method.init(network), x, t)
    for layer, old, dW in zip(moved.layers, network.layers, gradients(network, x, t), strict=True):
        wanted = backend.numpy(old.stacked) - 0.1 * backend.numpy(dW)
        assert_allclose(backend.numpy(layer.stacked), wanted, rtol=0, atol=1e-14)


def test_m_by_steps_is_perceptron_learning(backend):
    """K steps of a sign unit towards y* = ±1: w ← w + s Σ (y* − sign(x̃w)) x̃, by loops."""
    network, x, t = drawn(backend, sizes=(4, 3, 3), transfers=("sign", "softmax"))
    method = LocoProp("matching", solver=Descend(optimizer("sgd"), 0.1, 6, "constant"), target_step=3.0)
    trace = forward(network, x)
    g = backend.numpy(backward(network, trace, t)[0])
    moved, _, _ = method.step(network, method.init(network), x, t)
    rows = np.hstack([backend.numpy(x), np.ones((8, 1))])
    W = backend.numpy(network.layers[0].stacked)
    y = np.where(rows @ W >= 0, 1.0, -1.0) - 3.0 * g
    for _ in range(6):
        step = np.zeros_like(W)
        for row, target in zip(rows, y, strict=True):
            for j in range(3):
                said = 1.0 if row @ W[:, j] >= 0 else -1.0
                step[:, j] += 0.1 * (target[j] - said) * row
        W = W + step
    assert_allclose(backend.numpy(moved.layers[0].stacked), W, rtol=0, atol=1e-13)
    assert np.abs(W - backend.numpy(network.layers[0].stacked)).max() > 1e-3


def test_a_network_of_sign_units_learns(numpy_backend):
    network, x, t = drawn(numpy_backend)
    method, losses = locoprop_m(Descend(optimizer("sgd"), 0.02, 3), target_step=5.0), []
    state = method.init(network)
    for _ in range(150):
        losses.append(
            float(network.loss.value(forward(network, x).a_hat[-1], t, network.layers[-1].transfer))
        )
        network, state, _ = method.step(network, state, x, t)
    assert losses[-1] < 0.5 * losses[0]


def test_what_sign_does_not_allow_is_refused(numpy_backend):
    network, x, t = drawn(numpy_backend)
    method = locoprop_m_exact()
    with pytest.raises(ValueError, match=r"^transfer must be continuous for newton, got 'sign'$"):
        method.step(network, method.init(network), x, t)
    with pytest.raises(
        ValueError, match=r"^transfer must be strictly increasing for an inverse, got 'sign'$"
    ):
        SIGN.inverse(x)
    with pytest.raises(TypeError, match=r"^transfer 'sign' takes straight_through, got 'slope'$"):
        transfer("sign", slope=1.0)
    with pytest.raises(ValueError, match=r"^straight_through must be one of clipped, identity, got 'none'"):
        transfer("sign", straight_through="none")
    assert DISCONTINUOUS == ("sign",)
    assert "sign" not in TRANSFERS
