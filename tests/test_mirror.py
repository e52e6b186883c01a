"""Mirror descent: exponentiated gradient by its two halves, p-norms by their links."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import Descend, LocoProp, MirrorDescent, backprop, initialize, optimizer
from locoprop_ref.mirror import GEOMETRIES
from locoprop_ref.optimizers import SGD, Optimizer

rng = np.random.default_rng(8)
POSITIVE = rng.uniform(0.1, 1.0, (4, 3))
WEIGHTS = {
    "eg+-": rng.normal(size=(4, 3)), "eg": POSITIVE, "eg-normalized": POSITIVE / POSITIVE.sum(axis=0),
    "p-norm": rng.normal(size=(4, 3)),
}  # fmt: skip
GRADIENTS = [rng.normal(size=(4, 3)) for _ in range(5)]
RULES = {name: MirrorDescent(name, beta=0.7, p=3.5) for name in GEOMETRIES}


def run(backend, rule, W, gradients, rate=0.3, dtype="float64"):
    W = backend.asarray(W, dtype)
    state, path = rule.init(W), []
    for gradient in gradients:
        change, state = rule.update(backend.asarray(gradient, dtype), state, rate)
        W = W - change
        path.append(backend.numpy(W))
    return path, state


def by_hand(name, W, gradients, rate=0.3, beta=0.7, p=3.5):
    """The textbook's updates, unit by unit: weights w, or for EG± their two halves."""
    path = [np.array(W)]
    plus, minus = (np.array([[(math.hypot(w, beta) + s * w) / 2 for w in row] for row in W]) for s in (1, -1))
    for g in gradients:
        new = np.empty_like(path[-1])
        for j in range(new.shape[1]):
            w, gj = path[-1][:, j], g[:, j]
            if name == "eg+-":
                for i, gi in enumerate(gj):
                    plus[i, j] *= math.exp(-rate * gi)
                    minus[i, j] *= math.exp(rate * gi)
                new[:, j] = plus[:, j] - minus[:, j]
            elif name == "p-norm":
                q = p / (p - 1)
                size = sum(abs(v) ** q for v in w) ** (1 / q)
                theta = [math.copysign(abs(v) ** (q - 1), v) / size ** (q - 2) for v in w] - rate * gj
                size = sum(abs(v) ** p for v in theta) ** (1 / p)
                new[:, j] = [math.copysign(abs(v) ** (p - 1), v) / size ** (p - 2) for v in theta]
            else:
                grown = [v * math.exp(-rate * gi) for v, gi in zip(w, gj, strict=True)]
                new[:, j] = np.array(grown) / (sum(grown) if name == "eg-normalized" else 1.0)
        path.append(new)
    return path[1:]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_five_steps_are_those_of_the_textbook(backend, name):
    """D5 to D9. Rounding of numbers below 10, in exponentials and powers of moderate exponents."""
    path, _ = run(backend, RULES[name], WEIGHTS[name], GRADIENTS)
    for found, wanted in zip(path, by_hand(name, WEIGHTS[name], GRADIENTS), strict=True):
        assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_state_is_the_dual_of_the_weights(backend, name, dtype):
    """θ kept for five steps, and θ made anew from the weights: the same, so that "reset" is "keep"."""
    path, state = run(backend, RULES[name], WEIGHTS[name], GRADIENTS, dtype=dtype)
    fresh = RULES[name].init(backend.asarray(path[-1], dtype)) if name != "eg-normalized" else None
    assert backend.numpy(state["dual"]).dtype == np.dtype(dtype)
    if fresh is None:  # θ is known up to a constant for each column, and the sum up to its rounding
        found = np.exp(backend.numpy(state["dual"]))
        assert_allclose(found / found.sum(axis=0), path[-1], rtol=2e-6 if dtype == "float32" else 1e-14)
        return
    # weights below 10 known to rounding; the slope of asinh(w/0.7) is below 2, that of the others below 50
    atol = 200 * float(np.finfo(dtype).eps) * 10
    assert_allclose(backend.numpy(fresh["dual"]), backend.numpy(state["dual"]), rtol=0, atol=atol)


POTENTIALS = {
    "eg+-": lambda w: np.sum(w * np.arcsinh(w / 0.7) - np.hypot(w, 0.7)),
    "eg": lambda w: np.sum(w * np.log(w) - w),
    "eg-normalized": lambda w: np.sum(w * np.log(w)),
    "p-norm": lambda w: np.sum(np.sum(np.abs(w) ** (3.5 / 2.5), axis=0) ** (2 * 2.5 / 3.5)) / 2,
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_step_minimizes_the_linear_loss_with_its_divergence(numpy_backend, name):
    """⟨g, W⟩ + D_Ψ(W, W₀)/s is larger at every neighbour of the new weights, Ψ written once more."""
    W0, g, s, psi = WEIGHTS[name], GRADIENTS[0], 0.3, POTENTIALS[name]
    (W,), _ = run(numpy_backend, RULES[name], W0, [g], s)
    slope = np.zeros_like(W0)
    for index in np.ndindex(W0.shape):
        step = np.zeros_like(W0)
        step[index] = 1e-6
        slope[index] = (psi(W0 + step) - psi(W0 - step)) / 2e-6

    def objective(V):
        return np.sum(g * V) + (psi(V) - psi(W0) - np.sum(slope * (V - W0))) / s

    draw = np.random.default_rng(1)
    for _ in range(20):
        step = 1e-2 * draw.normal(size=W.shape)
        if name == "eg-normalized":
            step -= step.mean(axis=0)  # stays on the simplex
        step *= min(1.0, 0.5 * float(np.min(np.abs(W) / np.abs(step))))  # and keeps its signs
        assert objective(W + step) > objective(W)


def test_two_is_gradient_descent(backend):
    path, _ = run(backend, MirrorDescent("p-norm"), WEIGHTS["p-norm"], GRADIENTS)
    wanted = WEIGHTS["p-norm"] - 0.3 * np.cumsum(GRADIENTS, axis=0)
    assert_allclose(path, wanted, rtol=0, atol=1e-14)


def test_a_large_beta_is_gradient_descent_with_the_rate_s_beta(numpy_backend):
    path, _ = run(numpy_backend, MirrorDescent(beta=1e5), WEIGHTS["eg+-"], GRADIENTS, 1e-5)
    # β sinh(a) − βa = βa³/6 with a below 1e-4: 2e-8
    assert_allclose(path, WEIGHTS["eg+-"] - np.cumsum(GRADIENTS, axis=0), rtol=0, atol=1e-7)


def test_the_weights_stay_where_the_geometry_has_them(backend):
    path, _ = run(backend, RULES["eg"], WEIGHTS["eg"], GRADIENTS)
    assert min(W.min() for W in path) > 0
    path, _ = run(backend, RULES["eg-normalized"], WEIGHTS["eg-normalized"], GRADIENTS)
    assert_allclose([W.sum(axis=0) for W in path], 1, rtol=1e-14)


def test_a_column_of_zeros_has_a_dual(backend):
    zeros = backend.asarray(np.zeros((4, 2)), "float64")
    assert_array_equal(backend.numpy(MirrorDescent("p-norm", p=4.0).init(zeros)["dual"]), np.zeros((4, 2)))


@pytest.mark.parametrize("local_state", ["keep", "reset"])
def test_it_is_a_local_rule_of_locoprop_and_an_optimizer_of_backprop(backend, local_state):
    """A step on the linear loss is BackProp's by the same rule: γ∂L/∂W̃ with s is ∂L/∂W̃ with sγ."""
    network = initialize(
        (3, 4, 2), transfers=("tanh", "identity"), seed=1, xp=backend.xp, device=backend.device
    )
    x, t = (backend.asarray(np.random.default_rng(2).normal(size=s), "float64") for s in ((5, 3), (5, 2)))
    rule = MirrorDescent(beta=0.5)
    assert isinstance(rule, Optimizer)
    how = Descend(rule, 0.05, 1, local_state=local_state)
    ours, theirs = LocoProp("linear", solver=how, target_step=4.0), type(backprop("sgd"))(rule, 0.2)
    found, wanted = network, network
    state, other = ours.init(network), theirs.init(network)
    for _ in range(3):
        found, state, _ = ours.step(found, state, x, t)
        wanted, other, _ = theirs.step(wanted, other, x, t)
    for one, two, old in zip(found.layers, wanted.layers, network.layers, strict=True):
        assert_allclose(backend.numpy(one.stacked), backend.numpy(two.stacked), rtol=0, atol=1e-13)
        assert np.abs(backend.numpy(one.stacked) - backend.numpy(old.stacked)).max() > 1e-2


def test_eg_trains_a_network_of_positive_weights(numpy_backend):
    network = initialize((3, 2), transfers="identity", seed=1)
    positive = type(network)(
        tuple(layer.with_stacked(np.abs(layer.stacked) + 0.1) for layer in network.layers), network.loss
    )
    method = LocoProp("squared", solver=Descend(MirrorDescent("eg"), 0.01, 5), target_step=5.0)
    moved, _, _ = method.step(positive, method.init(positive), np.ones((4, 3)), 9 * np.ones((4, 2)))
    assert (moved.layers[0].stacked > positive.layers[0].stacked).all()


def test_sgd_is_not_eg(numpy_backend):
    """EG moves a small weight little and a large one much; gradient descent moves both alike."""
    W = np.array([[0.01], [1.0]])
    for rule, alike in ((SGD(), True), (MirrorDescent("eg"), False)):
        change, _ = rule.update(np.ones((2, 1)), rule.init(W), 0.1)
        assert bool(np.isclose(change[0, 0], change[1, 0])) is alike
    assert optimizer("sgd") == SGD()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MirrorDescent("eq"), r"^geometry must be one of eg\+-, eg, eg-normalized, p-norm, got 'eq'"),
        (lambda: MirrorDescent(beta=0.0), r"^beta must be a positive number, got 0"),
        (lambda: MirrorDescent("p-norm", p=1.5), r"^p must be at least 2, got 1.5$"),
        (lambda: MirrorDescent("eg").init(-np.ones((2, 1))), r"^W must be positive for 'eg', got a weight"),
        (
            lambda: MirrorDescent("eg-normalized").init(np.ones((2, 1))),
            r"^W must have columns of sum 1 for 'eg-normalized', got one that is 1 off$",
        ),
    ],
)
def test_what_no_geometry_allows_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
