"""MAC: its objective and codes by complex steps, its Z-step's targets, and that it never rises."""

from dataclasses import replace

import naive_offline
import numpy as np
import pytest
from bridge import assert_close, draw, every_dtype, lists, naive_layers
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import CodeTargets, Descend, LocoProp, initialize, method, network_loss
from locoprop_ref.methods.mac import MAC, predictions
from locoprop_ref.methods.offline import guarded_step, least_squares_change
from locoprop_ref.network import Trace, backward, forward

SIZES, COUNT = (3, 4, 6, 5, 2), 20  # four layers of different widths
LINEAR = ("tanh", "identity", "squared_error")
SMOOTH = [LINEAR, ("tanh", "sigmoid", "sigmoid_cross_entropy"), ("tanh", "softmax", "softmax_cross_entropy")]


def drawn(backend, case=LINEAR, **how):
    network, x, t = draw(backend, case, **{"sizes": SIZES, "batch": COUNT, **how})
    if "softmax" in case[2]:
        t = t / backend.xp.sum(t, axis=1, keepdims=True)
    return network, x, t


def codes_of(state):
    return [entry["code"] for entry in state["layers"][:-1]]


def with_codes(codes):
    return {"layers": (*({"code": code} for code in codes), {})}


def scattered(backend, network, x, seed=3, dtype="float64"):
    """Codes in the middle of nowhere."""
    rng = np.random.default_rng(seed)
    return [backend.asarray(rng.normal(size=a.shape), dtype) for a in forward(network, x).a_hat[:-1]]


@every_dtype
def test_the_objective_and_a_sweep_are_those_of_complex_steps(backend, dtype):
    """Two unguarded steps down three layers, each of which multiplies roundings by at most ten."""
    network, x, t = drawn(backend, dtype=dtype)
    mu, lr, codes = 0.02, 0.01, scattered(backend, network, x, dtype=dtype)
    numbers = [lists(backend, c) for c in codes], lists(backend, x), lists(backend, t)
    layers, ours = naive_layers(backend, network), MAC(2, lr, mu)
    wanted = float(
        np.sum(naive_offline.mac_losses(layers, [np.array(c) for c in numbers[0]], *numbers[1:], mu))
    )
    assert_close(backend, ours.objective(network, with_codes(codes), x, t), wanted, dtype=dtype)
    sweep = naive_offline.mac_sweep(layers, *numbers, mu, lr, 2)
    for code, w, start in zip(ours.code_sweep(network, codes, x, t), sweep, codes, strict=True):
        assert_close(backend, code, w, dtype=dtype, units=1e4)
        assert np.abs(backend.numpy(start) - w).max() > 1e-3


@pytest.mark.each("case")
@pytest.mark.parametrize(
    "case",
    [*SMOOTH, ("relu", "softmax", "softmax_cross_entropy"), ("tanh", "tanh", "squared_error")],
    ids="-".join,
)
def test_it_never_raises_its_objective(backend, case):
    """To a rounding, in both halves of every step, with a first step size that is far too large."""
    network, x, t = drawn(backend, case)
    ours = MAC(2, 3.0, 0.05)
    codes = list(forward(network, x).a_hat[:-1])
    values = [float(ours.objective(network, with_codes(codes), x, t))]
    for _ in range(3):
        codes = ours.code_sweep(network, codes, x, t)
        values.append(float(ours.objective(network, with_codes(codes), x, t)))
        # the W-step alone: a Z-step of no size leaves the codes where they are
        network, state, _ = replace(ours, code_lr=1e-300).step(network, with_codes(codes), x, t)
        assert [c.tolist() for c in map(backend.numpy, codes_of(state))] == [
            c.tolist() for c in map(backend.numpy, codes)
        ]
        values.append(float(ours.objective(network, state, x, t)))
    assert max(np.diff(values) / np.array(values[:-1])) <= 1e-13
    assert values[-1] < 0.8 * values[0]


def test_online_alternating_minimization_does_raise_it(numpy_backend):
    """The same codes with steps that nothing guards: the objective rises in some of eight steps."""
    network, x, t = drawn(numpy_backend)
    rule, offline = CodeTargets(3, 1.0, 0.05, anchor=1.0), MAC(3, 1.0, 0.05)
    online = LocoProp(
        "squared", rule, solver=Descend(method("backprop", optimizer_name="sgd").optimizer, 0.05, 3)
    )
    values, state = [], online.init(network)
    for _ in range(8):
        codes = rule.codes(network, forward(network, x), t)
        values.append(float(offline.objective(network, with_codes(codes), x, t)))
        network, state, _ = online.step(network, state, x, t)
        values.append(float(offline.objective(network, with_codes(codes), x, t)))
    assert max(np.diff(values) / np.array(values[:-1])) > 0.01


@pytest.mark.each("case")
@pytest.mark.parametrize("case", SMOOTH, ids="-".join)
def test_one_sweep_from_the_forward_pass_is_a_step_of_anchored_alternating_minimization(backend, case):
    """Bit for bit, as long as no step needs its guard."""
    network, x, t = drawn(backend, case)
    for steps in (1, 3):
        wanted = CodeTargets(steps, 0.01, 0.5, anchor=1.0).codes(network, forward(network, x), t)
        found = MAC(steps, 0.01, 0.5).code_sweep(network, forward(network, x).a_hat[:-1], x, t)
        for one, other in zip(found, wanted, strict=True):
            assert_array_equal(backend.numpy(one), backend.numpy(other))


def solved(network, x, t, mu):
    """The codes at the minimum of the Z-step, by gradient steps without a guard: to the last bits."""
    codes = list(forward(network, x).a_hat[:-1])
    rule = CodeTargets(coupling=mu)
    for _ in range(500):
        p = predictions(network, codes, x)
        for m in reversed(range(len(codes))):
            above = None if m == len(codes) - 1 else codes[m + 1]
            gradient = rule.gradient_above(network, m, codes[m], above, t) + codes[m] - p[m]
            codes[m] = codes[m] - 0.6 * gradient
    return codes, predictions(network, codes, x)


def test_the_solved_codes_are_targets_with_one_gamma(numpy_backend):
    """c_m = ĉ_m − g_m[c]/μ to a few roundings, and μ(ĉ − c) → g with an error linear in 1/μ."""
    _, x, t = drawn(numpy_backend)
    network = initialize(SIZES, transfers=("tanh", "tanh", "tanh", "identity"), seed=1)
    g = backward(network, forward(network, x), t)
    distances = []
    for mu in (0.5, 1e3, 1e6):
        codes, p = solved(network, x, t, mu)
        along = backward(network, Trace((), (*codes, p[-1]), tuple(np.tanh(c) for c in codes)), t)
        for code, predicted, g_m in zip(codes, p, along, strict=False):
            # the steps stop at roundings of the codes, which W carries up and down
            assert_allclose(code, predicted - g_m / mu, rtol=0, atol=1e-14 * np.abs(code).max())
        distances.append(
            max(np.abs(mu * (q - c) - g_m).max() for c, q, g_m in zip(codes, p, g, strict=False))
        )
    scale = max(np.abs(g_m).max() for g_m in g)
    assert 1e-6 * scale < distances[1] < 1e-2 * scale
    assert distances[2] < 2e-3 * distances[1]


@pytest.mark.parametrize(
    ("last", "loss", "sizes"),
    [("identity", "squared_error", SIZES), ("sigmoid", "sigmoid_cross_entropy", (3, 2))],
)
def test_the_weights_are_minimizers(numpy_backend, last, loss, sizes):
    """Hidden layers always; the last one for the squared error at once, for a cross-entropy in the end."""
    network, x, t = drawn(numpy_backend, ("tanh", last, loss), sizes=sizes)
    ours = MAC(coupling=0.1, code_lr=1e-300)
    codes = [0.5 * c for c in scattered(numpy_backend, network, x)]
    state = with_codes(codes)
    for _ in range(1 if last == "identity" else 200):
        network, state, _ = ours.step(network, state, x, t)
    rng, lowest = np.random.default_rng(0), float(ours.objective(network, state, x, t))
    for m, layer in enumerate(network.layers):
        for h in (1e-4, 1e-2, 1.0):
            for sign in (1, -1):
                W = layer.stacked + sign * h * rng.normal(size=layer.stacked.shape)
                layers = (*network.layers[:m], layer.with_stacked(W), *network.layers[m + 1 :])
                moved = float(ours.objective(replace(network, layers=layers), state, x, t))
                assert moved > lowest * (1 - 1e-13)


def test_a_step_of_the_last_layer_bounds_every_matching_loss(numpy_backend):
    """γ = B/sup f′: no halving is needed, so that one halved step is never taken."""
    for case in SMOOTH:
        for seed in range(5):
            network, x, t = drawn(numpy_backend, case, seed=seed, sizes=(3, 2))
            moved, _, _ = MAC().step(network, with_codes([]), x, t)
            assert network_loss(moved, x, t) <= network_loss(network, x, t)


def test_it_learns(numpy_backend):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    t = np.stack([x[:, 0] * x[:, 1] > 0, x[:, 0] * x[:, 1] <= 0], axis=1).astype(float)  # exclusive or
    network = initialize((2, 12, 2), transfers=("tanh", "softmax"), output_loss="softmax_cross_entropy")
    ours = MAC(coupling=0.01)
    state, before = ours.init(network), float(network_loss(network, x, t))
    for _ in range(60):
        network, state, _ = ours.step(network, state, x, t)
    assert float(network_loss(network, x, t)) < 0.5 * before


def test_codes_of_a_convolution(backend):
    """Every position is a row, and the objective goes down."""
    how = {"transfers": ("tanh", "tanh", "identity"), "xp": backend.xp, "device": backend.device}
    network = initialize("4x4x1-c2x3/2-m2/1-4-2", **how)
    rng = np.random.default_rng(0)
    x, t = backend.asarray(rng.normal(size=(4, 16))), backend.asarray(rng.normal(size=(4, 2)))
    ours, values = MAC(coupling=0.1), []
    state = ours.init(network)
    for _ in range(5):
        network, state, _ = ours.step(network, state, x, t)
        values.append(float(ours.objective(network, state, x, t)))
    assert codes_of(state)[0].shape == (16, 3)
    assert max(np.diff(values)) <= 0
    with pytest.raises(ValueError, match="network must have no recurrent layer for codes"):
        ours.init(initialize("3x2-r3-2", transfers="tanh"))


def test_a_guarded_step():
    """The first size that does not raise the objective; none at all where every one does."""
    tried = []

    def objective(a):
        tried.append(a)
        return abs(a)

    assert guarded_step(objective, 1.0, 1.0, 8.0) == -1.0
    assert tried == [1.0, -7.0, -3.0, -1.0]
    assert guarded_step(objective, 0.0, 1.0, 1.0, halvings=3) == 0.0


def test_least_squares_of_minimum_norm(backend):
    """Of full rank, of deficient rank and of fewer rows than columns; to the condition squared, below 1e4."""
    rng = np.random.default_rng(0)
    for rows, dependent in ((9, False), (9, True), (3, False)):
        x = rng.normal(size=(rows, 4))
        x = x @ np.diag([1.0, 1.0, 1.0, 0.0]) if dependent else x
        residual = rng.normal(size=(rows, 2))
        wanted = np.linalg.lstsq(x, residual, rcond=None)[0]
        found = least_squares_change(backend.asarray(x), backend.asarray(residual))
        assert_close(backend, found, wanted, dtype="float64", units=1e4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"code_steps": 0}, "code_steps must be an integer of at least 1, got 0"),
        ({"code_lr": 0}, "code_lr must be a positive number, got 0"),
        ({"coupling": 0}, "coupling must be a positive number, got 0"),
    ],
)
def test_bad_settings_are_told_in_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        MAC(**settings)
