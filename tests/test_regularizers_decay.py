"""Regularizers with another anchor or a memory: decay, recursive least squares, FOOF's running covariance."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import lstsq

from locoprop_ref import (
    ClosedForm,
    DecoupledDecay,
    L2Decay,
    LocalProblem,
    LocoProp,
    Proximal,
    Regularizer,
    RunningMetric,
    backward,
    closed_form,
    forward,
    gradients,
    initialize,
    transfer,
)  # fmt: skip

KINDS = {
    "l2": L2Decay(0.4, 0.3),
    "l2-alone": L2Decay(decay=0.3),
    "decoupled": DecoupledDecay(0.4, 0.2),
    "running": RunningMetric(0.4, 0.9),
}


def drawn(backend, regularizer, name="identity", state=None, **settings):
    rng = np.random.default_rng(4)
    x, y, W0 = (backend.asarray(rng.normal(size=s), "float64") for s in ((7, 3), (7, 2), (3, 2)))
    if "gram" in regularizer.init(W0):
        seen = backend.asarray(rng.normal(size=(5, 3)), "float64")
        state = regularizer.update(seen, regularizer.init(W0))
    return LocalProblem(
        x, y, transfer(name), W0, regularizer=regularizer, regularizer_state=state, **settings
    )


def network_and_batches(backend, sizes, transfers, loss, count, B=5):
    network = initialize(
        sizes, transfers=transfers, output_loss=loss, seed=3, xp=backend.xp, device=backend.device
    )
    rng = np.random.default_rng(6)
    batches = [(rng.normal(size=(B, sizes[0])), rng.normal(size=(B, sizes[-1]))) for _ in range(count)]
    return network, [tuple(backend.asarray(a, "float64") for a in batch) for batch in batches]


@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_and_metric_are_derivatives_of_the_value(backend, kind):
    """Quadratic in W̃, so that central differences with the step 1 are exact up to rounding."""
    problem = drawn(backend, KINDS[kind])
    W = backend.numpy(problem.W0) + 0.3
    rule, state = problem.regularization, problem.memory
    assert isinstance(rule, Regularizer)

    def value(change):
        return float(rule.value(backend.asarray(W + change, "float64"), problem.W0, state))

    wanted, curvature = np.zeros((3, 2)), np.zeros((3, 3))
    unit = [np.eye(3)[:, [i]] * np.eye(2)[j] for i in range(3) for j in range(2)]
    for step, (i, j) in zip(unit, np.ndindex(3, 2), strict=True):
        wanted[i, j] = (value(step) - value(-step)) / 2
    for i in range(3):
        for j in range(3):
            one, other = unit[2 * i], unit[2 * j]
            curvature[i, j] = value(one + other) - value(one) - value(other) + value(0)
    found = rule.gradient(backend.asarray(W, "float64"), problem.W0, state)
    # values below 100, of which a few are added
    assert_allclose(backend.numpy(found), wanted, rtol=0, atol=1e-12)
    P = rule.metric(problem.W0, problem.W0, state)
    P = P * np.eye(3) if isinstance(P, float) else backend.numpy(P)
    assert_allclose(P, curvature, rtol=0, atol=1e-12)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", KINDS)
def test_the_closed_form_is_a_least_squares_solution(backend, kind, reduction):
    """Data, anchor and metric as the rows of one least squares problem, solved by SciPy."""
    problem = drawn(backend, KINDS[kind], reduction=reduction)
    x, y, W0 = (backend.numpy(a) for a in (problem.x, problem.y_target, problem.W0))
    c = 1 / np.sqrt(7) if reduction == "mean" else 1.0
    rows, right = [c * x], [c * y]
    if kind in ("l2", "running"):
        rows, right = [*rows, np.eye(3) / np.sqrt(0.4)], [*right, W0 / np.sqrt(0.4)]
    if kind.startswith("l2"):
        rows, right = [*rows, np.sqrt(0.3) * np.eye(3)], [*right, np.zeros((3, 2))]
    if kind == "decoupled":
        rows, right = [*rows, np.eye(3) / np.sqrt(0.4)], [*right, 0.8 * W0 / np.sqrt(0.4)]
    if kind == "running":
        rng = np.random.default_rng(4)
        for shape in ((7, 3), (7, 2), (3, 2)):
            rng.normal(size=shape)
        past = rng.normal(size=(5, 3))  # what the metric has seen
        rows, right = [*rows, np.sqrt(0.9) * past], [*right, np.sqrt(0.9) * past @ W0]
    wanted = lstsq(np.vstack(rows), np.vstack(right))[0]
    assert_allclose(backend.numpy(closed_form(problem)), wanted, rtol=0, atol=1e-13)


def test_l2_decay_is_a_proximal_term_with_another_anchor(backend):
    """D1: anchor W̃₀/(1 + ηλ) and η/(1 + ηλ); with η kept it is another method, by this much."""
    eta, lam = 0.4, 0.3
    ours = drawn(backend, L2Decay(eta, lam))
    found = backend.numpy(closed_form(ours))
    anchor, shorter = ours.W0 / (1 + eta * lam), eta / (1 + eta * lam)
    moved = LocalProblem(ours.x, ours.y_target, ours.transfer, anchor, shorter)
    assert_allclose(found, backend.numpy(closed_form(moved)), rtol=0, atol=1e-14)
    kept = LocalProblem(ours.x, ours.y_target, ours.transfer, anchor, eta)
    assert np.abs(found - backend.numpy(closed_form(kept))).max() > 1e-3


@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", ["l2", "decoupled"])
def test_decay_with_the_linear_loss_is_decayed_gradient_descent(backend, kind):
    network, [(x, t)] = network_and_batches(backend, (3, 4, 2), ("tanh", "identity"), "squared_error", 1)
    method = LocoProp("linear", regularizer=KINDS[kind], solver=ClosedForm(), target_step=2.0)
    moved, _, _ = method.step(network, method.init(network), x, t)
    for new, old, dW in zip(moved.layers, network.layers, gradients(network, x, t), strict=True):
        W0, step = backend.numpy(old.stacked), 0.4 * 2.0 * backend.numpy(dW)
        wanted = (W0 - step) / (1 + 0.4 * 0.3) if kind == "l2" else 0.8 * W0 - step
        assert_allclose(backend.numpy(new.stacked), wanted, rtol=0, atol=1e-15 * 10)


def test_l2_decay_is_not_decoupled_decay(numpy_backend):
    """A false claim. In closed form, with the decay that makes the anchors the same, they are far apart."""
    eta, lam = 0.4, 0.3
    l2 = closed_form(drawn(numpy_backend, L2Decay(eta, lam)))
    decoupled = closed_form(drawn(numpy_backend, DecoupledDecay(eta, eta * lam / (1 + eta * lam))))
    assert np.abs(l2 - decoupled).max() > 1e-3 * np.abs(l2).max()
    strong = closed_form(drawn(numpy_backend, L2Decay(4.0, 3.0)))
    other = closed_form(drawn(numpy_backend, DecoupledDecay(4.0, 12 / 13)))
    assert np.abs(strong - other).max() > 0.2 * np.abs(strong).max()


@pytest.mark.parametrize("B", [2, 5])
def test_a_metric_that_remembers_is_recursive_least_squares(backend, B):
    """C6: after every batch the ridge regression on all rows so far, from SciPy's least squares."""
    network, batches = network_and_batches(backend, (3, 2), "identity", "squared_error", 4, B)
    method = LocoProp("squared", regularizer=RunningMetric(0.5), solver=ClosedForm(), target_step=float(B))
    state, start = method.init(network), backend.numpy(network.layers[0].stacked)
    rows, right = [np.eye(4) / np.sqrt(0.5)], [start / np.sqrt(0.5)]
    for x, t in batches:
        network, state, _ = method.step(network, state, x, t)
        rows.append(np.hstack([backend.numpy(x), np.ones((B, 1))]))
        right.append(backend.numpy(t))
        wanted = lstsq(np.vstack(rows), np.vstack(right))[0]
        # condition number of the normal equations below 100
        assert_allclose(backend.numpy(network.layers[0].stacked), wanted, rtol=0, atol=1e-13)


def test_it_is_the_kalman_filter_of_constant_weights(numpy_backend):
    """C6 again: prior covariance ηI, unit noise, one example at a time, with the gain of the textbook."""
    network, batches = network_and_batches(numpy_backend, (3, 2), "identity", "squared_error", 5, 1)
    method = LocoProp("squared", regularizer=RunningMetric(0.5), solver=ClosedForm(), target_step=1.0)
    state, W, covariance = method.init(network), network.layers[0].stacked, 0.5 * np.eye(4)
    for x, t in batches:
        network, state, _ = method.step(network, state, x, t)
        row = np.append(x[0], 1.0)
        gain = covariance @ row / (1 + row @ covariance @ row)
        W = W + np.outer(gain, t[0] - row @ W)
        covariance = covariance - np.outer(gain, row @ covariance)
        assert_allclose(network.layers[0].stacked, W, rtol=0, atol=1e-13)


def test_a_metric_that_forgets_is_foof_with_its_running_covariance(backend):
    """B4: Δ = −γ(A_t + I/η)⁻¹X̃ᵀg, A_t = ρA_{t−1} + X̃ᵀX̃, with explicit inverses, in both layers."""
    network, batches = network_and_batches(backend, (3, 4, 2), ("tanh", "identity"), "squared_error", 4)
    method = LocoProp("squared", regularizer=RunningMetric(0.5, 0.8), solver=ClosedForm(), target_step=3.0)
    state, A = method.init(network), [0, 0]
    for x, t in batches:
        trace = forward(network, x)
        g = backward(network, trace, t)
        moved, state, _ = method.step(network, state, x, t)
        for m, (old, new) in enumerate(zip(network.layers, moved.layers, strict=True)):
            rows = np.hstack([backend.numpy(trace.x[m]), np.ones((5, 1))])
            A[m] = 0.8 * A[m] + rows.T @ rows
            step = 3.0 * np.linalg.inv(A[m] + 2.0 * np.eye(len(A[m]))) @ rows.T @ backend.numpy(g[m])
            wanted = backend.numpy(old.stacked) - step
            assert_allclose(backend.numpy(new.stacked), wanted, rtol=0, atol=1e-13)
            assert_allclose(backend.numpy(state["layers"][m]["regularizer"]["gram"]), A[m], rtol=1e-13)
        network = moved


def test_the_first_batch_of_a_memory_is_the_closed_form(numpy_backend):
    network, [(x, t)] = network_and_batches(numpy_backend, (3, 2), "identity", "squared_error", 1)
    ours, today = (
        LocoProp("squared", regularizer=rule, solver=ClosedForm("primal"), target_step=3.0)
        for rule in (RunningMetric(0.5, 0.8), Proximal(0.5))
    )
    one, other = (m.step(network, m.init(network), x, t)[0].layers[0].stacked for m in (ours, today))
    assert_allclose(one, other, rtol=0, atol=1e-15 * 10)


@pytest.mark.each("kind")
@pytest.mark.parametrize("kind", ["l2", "decoupled", "running"])
def test_the_smaller_the_rate_the_nearer_the_solution_to_where_it_stands(backend, kind):
    far = []
    for rate in (1.0, 0.1, 1e-3, 1e-6):
        problem = drawn(backend, KINDS[kind])
        W, _, _ = ClosedForm()(problem, {}, rate)
        far.append(np.abs(backend.numpy(W - problem.W0)).max())
    assert far == sorted(far, reverse=True)
    assert far[-1] < 1e-4


@pytest.mark.parametrize("rule", [L2Decay(0.4, 0.0), DecoupledDecay(0.4, 0.0)])
def test_no_decay_is_the_proximal_term(numpy_backend, rule):
    one, other = (closed_form(drawn(numpy_backend, each), form="primal") for each in (rule, Proximal(0.4)))
    assert_allclose(one, other, rtol=0, atol=1e-14)


def test_without_memory_the_state_is_empty(backend):
    for rule in (L2Decay(0.4, 0.3), DecoupledDecay(0.4)):
        assert rule.init(None) == {}
        state = {}
        assert rule.update(None, state) is state
    assert RunningMetric(1.0).init(backend.asarray(np.ones((3, 2)), "float32"))["gram"].shape == (3, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: L2Decay(-1.0), r"^weight_step must be a positive number"),
        (lambda: L2Decay(1.0, -0.1), r"^decay must be a finite number of at least 0, got -0.1$"),
        (lambda: DecoupledDecay(np.inf), r"^weight_step must be a"),
        (lambda: DecoupledDecay(1.0, 1.0), r"^decay must be at least 0 and below 1, got 1.0$"),
        (lambda: RunningMetric(np.inf), r"^weight_step must be a"),
        (lambda: RunningMetric(1.0, 1.5), r"^decay must be at least 0 and at most 1, got 1.5$"),
    ],
)
def test_settings_out_of_their_range_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_equal_settings_are_equal():
    assert_array_equal(
        [L2Decay(1.0).scaled(0.5).weight_step, RunningMetric(2.0).scaled(0.5).weight_step], [0.5, 1]
    )
    assert DecoupledDecay(1.0, 0.2).scaled(0.5) == DecoupledDecay(0.5, 0.1)
