"""Codes of alternating minimization against complex steps; when they are LocoProp's, or Adam on BackProp."""

from dataclasses import replace

import naive_alternating
import numpy as np
import pytest
from bridge import CASES, assert_close, draw, every_dtype, lists, naive_layers, some_cases, stacked_arrays
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    ClosedForm,
    CodeTargets,
    Descend,
    LocoProp,
    Memory,
    Targets,
    backprop,
    initialize,
    optimizer,
    transfer,
)
from locoprop_ref.network import backward, forward
from locoprop_ref.targets import GradientTargets, code_update

SIZES = (3, 4, 6, 5, 2)  # four layers of different widths, B = 7 unlike any of them
LINEAR = ("tanh", "identity", "squared_error")
SMOOTH = [LINEAR, ("tanh", "sigmoid", "sigmoid_cross_entropy"), ("tanh", "softmax", "softmax_cross_entropy")]
# weaker cases cannot see a misplaced μ, heavy ball instead of Nesterov, or the anchor
BUSY = {"code_steps": 3, "code_lr": 0.1, "momentum": 0.9, "coupling": 0.5, "anchor": 1.0}
SGD = optimizer("sgd")


def own(layer):
    return layer.transfer


def squared(layer):
    return transfer("identity")


def drawn(backend, case, **how):
    network, x, t = draw(backend, case, sizes=SIZES, batch=7, **how)
    if "softmax" in case[2]:
        t = t / backend.xp.sum(t, axis=1, keepdims=True)
    return network, x, t


def codes_by_steps(backend, network, x, t, loss, rule):
    h = {"steps": rule.code_steps, "lr": rule.code_lr, "momentum": rule.momentum, "coupling": rule.coupling}
    h |= {"anchor": rule.anchor, "reduction": rule.reduction, "batch": x.shape[0]}
    layers = naive_layers(backend, network)
    return naive_alternating.codes(layers, lists(backend, x), lists(backend, t), loss, h)


@pytest.mark.parametrize("case", SMOOTH, ids="-".join)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_dtype
def test_codes_agree_with_complex_steps(backend, case, reduction, dtype):
    """Three steps down three layers, each of which multiplies roundings by s‖W‖² < 10: 1e5 roundings."""
    network, x, t = drawn(backend, case, dtype=dtype)
    rule = CodeTargets(**BUSY, reduction=reduction)
    wanted = codes_by_steps(backend, network, x, t, case[2], rule)
    trace = forward(network, x)
    for code, w, a_hat in zip(rule.codes(network, trace, t), wanted, trace.a_hat, strict=False):
        assert_close(backend, code, w, dtype=dtype, units=1e5)
        # the factor 2/(Rd) of a mean makes the lower codes move less, but every one of them moves
        assert np.abs(w - backend.numpy(a_hat)).max() > 1e-6


@some_cases
def test_one_step_gives_the_targets_of_s_with_a_geometric_gamma(backend, case):
    """γ_m = s^{M−m}/μ for hidden layers (I11 with μ); with μ = 1 the codes are those of `code_update`."""
    network, x, t = draw(backend, case, sizes=SIZES, batch=7)
    trace, s = forward(network, x), 0.5
    for mu in (1.0, 0.25):
        rule = CodeTargets(code_lr=s, coupling=mu, last_layer="gradient", inputs="forward")
        given, _ = rule(network, trace, t, squared, rule.init(network))
        geometric = GradientTargets.geometric(s, 4, top=1 / mu)
        wanted, _ = geometric(network, trace, t, squared, {})
        for one, other in zip(given[:-1], wanted[:-1], strict=True):
            assert_close(backend, one.y_target, backend.numpy(other.y_target), dtype="float64", units=1e4)
    rule = CodeTargets(code_lr=s)
    for code, w in zip(rule.codes(network, trace, t), code_update(network, trace, t, s), strict=True):
        assert_close(backend, code, backend.numpy(w), dtype="float64", units=1e3)


def stepped(rule, network, x, t, local_loss="squared", solver=None, **settings):
    ours = LocoProp(local_loss, rule, solver=solver or ClosedForm(), **settings)
    return ours.step(network, ours.init(network), x, t)[0]


def test_with_forward_inputs_a_step_is_that_of_s_and_with_moved_ones_not(numpy_backend):
    """To 1e4 roundings; with moved inputs some layer is off by more than a twentieth."""
    network, x, t = drawn(numpy_backend, LINEAR)
    s, mu = 0.5, 0.5
    gammas = (s**3 / mu, s**2 / mu, s / mu, 2.0)
    wanted = stepped(GradientTargets(gammas), network, x, t, weight_step=0.3)
    settings = {"code_lr": s, "coupling": mu, "last_layer": "gradient", "last_step": 2.0}
    forward_ones = stepped(CodeTargets(**settings, inputs="forward"), network, x, t, weight_step=0.3)
    moved_ones = stepped(CodeTargets(**settings), network, x, t, weight_step=0.3)
    off = []
    for old, a, b, c in zip(*(n.layers for n in (network, wanted, forward_ones, moved_ones)), strict=True):
        change = np.abs(a.stacked - old.stacked).max()
        assert_allclose(b.stacked, a.stacked, rtol=0, atol=1e-12)
        off.append(np.abs(c.stacked - a.stacked).max() / change)
    assert off[0] < 1e-10  # the first layer's input is x in both
    assert max(off) > 0.05


def test_with_adam_it_is_adam_on_backprop(numpy_backend):
    """K = 1, forward inputs, ε = 0 (1e-300): Adam divides every γ_m out. 30 steps, 1e-11 of the weights.

    The published faster start therefore rests on ε and on the rate: with an ε that matters they part.
    """
    network = initialize((4, 6, 5, 3), transfers=("tanh", "tanh", "identity"), seed=1)
    rng = np.random.default_rng(2)
    batches = [(rng.normal(size=(8, 4)), rng.normal(size=(8, 3))) for _ in range(30)]
    for epsilon, equal in ((1e-300, True), (1e-3, False)):
        adam = optimizer("adam", epsilon=epsilon)
        codes = CodeTargets(code_lr=0.3, coupling=0.1, inputs="forward")
        ours = LocoProp("squared", codes, solver=Descend(adam, 0.01, 1))
        ends = []
        for how in (ours, backprop("adam", 0.01, epsilon=epsilon)):
            net, state = network, how.init(network)
            for x, t in batches:
                net, state, _ = how.step(net, state, x, t)
            ends.append(net)
        off = max(
            np.abs(a.stacked - b.stacked).max() for a, b in zip(ends[0].layers, ends[1].layers, strict=True)
        )
        assert (off < 1e-11) if equal else (off > 1e-3)


@pytest.mark.parametrize("case", SMOOTH, ids="-".join)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@every_dtype
def test_a_step_of_adam_with_the_conventions_of_the_published_code(backend, case, reduction, dtype):
    """Moved inputs, the mean of squares, no anchor. Adam's first step is s·g/(abs(g) + ε) (torch).

    From the codes by complex steps: hidden layers 2/(Bd) X̃ᵀ(X̃W̃ − c), the last X̃ᵀ(∂L/∂â) at moved inputs. The
    bound: g to 1e5 roundings of its terms, against ε = 0.1.
    """
    network, x, t = drawn(backend, case, dtype=dtype)
    rule = CodeTargets(**(BUSY | {"anchor": 0.0}), reduction=reduction)
    adam = optimizer("adam", dialect="torch", epsilon=0.1)
    moved = stepped(rule, network, x, t, solver=Descend(adam, 0.05, 1))
    codes = codes_by_steps(backend, network, x, t, case[2], rule)
    old, inputs = stacked_arrays(backend, network), backend.numpy(x).astype(float)
    for m, W in enumerate(old):
        rows = np.hstack([inputs, np.ones((7, 1))])
        a = rows @ W
        if m < 3:
            weight = 2 / codes[m].size if reduction == "mean" else 1.0
            g = weight * rows.T @ (a - codes[m])
            inputs = np.tanh(codes[m])
        else:
            exponentials = np.exp(a)
            said = {"identity": a, "sigmoid": 1 / (1 + np.exp(-a)),
                    "softmax": exponentials / exponentials.sum(axis=1, keepdims=True)}[case[1]]  # fmt: skip
            g = rows.T @ (said - backend.numpy(t)) / 7
        wanted = W - 0.05 * g / (np.abs(g) + 0.1)
        assert_close(backend, moved.layers[m].stacked, wanted, dtype=dtype, units=1e5)


@pytest.mark.parametrize("case", SMOOTH, ids="-".join)
def test_the_last_layer_goes_down_the_network_loss(backend, case):
    """Three steps of it, at the moved inputs, which a gradient taken once would not follow."""
    network, x, t = drawn(backend, case)
    rule = CodeTargets(**BUSY)
    moved = stepped(rule, network, x, t, solver=Descend(SGD, 0.2, 3, "constant")).layers[-1]
    trace, last = forward(network, x), network.layers[-1]
    rows = last.augment(network.layers[-2].transfer.f(rule.codes(network, trace, t)[-1]))
    W = last.stacked
    for _ in range(3):
        W = W - 0.2 * (rows.T @ network.loss.g(rows @ W, t, last.transfer))
    assert_close(backend, moved.stacked, backend.numpy(W), dtype="float64", units=1e3)
    once = stepped(
        replace(rule, last_layer="gradient"), network, x, t, solver=Descend(SGD, 0.2, 3, "constant")
    )
    assert np.abs(backend.numpy(once.layers[-1].stacked - moved.stacked)).max() > 1e-4


def test_k_steps_on_the_top_code_are_a_polynomial_in_the_weights_above(numpy_backend):
    """−(s/μ) g Σ_k (I − (s/μ)WWᵀ/B)^k for a linear layer under a linear output: WWᵀ from above."""
    network, x, t = drawn(numpy_backend, ("identity", "identity", "squared_error"))
    s, mu, K = 0.3, 0.7, 5
    trace = forward(network, x)
    g, W = backward(network, trace, t)[-2], network.layers[-1].W
    inner = np.eye(len(W)) - (s / mu) * W @ W.T / 7
    wanted = -(s / mu) * g @ sum(np.linalg.matrix_power(inner, k) for k in range(K))
    code = CodeTargets(code_steps=K, code_lr=s, coupling=mu).codes(network, trace, t)[-1]
    assert_allclose(code - trace.a_hat[-2], wanted, rtol=0, atol=1e-12 * np.abs(code).max())


def test_a_matching_local_loss_has_the_code_behind_its_transfer_function(backend):
    network, x, t = drawn(backend, LINEAR)
    trace, rule = forward(network, x), CodeTargets(**BUSY)
    codes = rule.codes(network, trace, t)
    for local in (own, squared):
        given, _ = rule(network, trace, t, local, {})
        for m, code in enumerate(codes):
            assert_array_equal(
                backend.numpy(given[m].y_target), backend.numpy(local(network.layers[m]).f(code))
            )
        assert given[0].x is trace.x[0]
        assert_array_equal(backend.numpy(given[1].x), backend.numpy(own(network.layers[0]).f(codes[0])))


def test_with_a_memory_it_is_am_mem(numpy_backend):
    """Its first batch is the closed form, with the codes for targets and inputs; to 1e4 roundings."""
    network, x, t = drawn(numpy_backend, LINEAR)
    rule = CodeTargets(**BUSY, last_layer="gradient", last_step=3.0)
    one, other = (
        stepped(rule, network, x, t, weight_step=0.3, solver=how) for how in (Memory(0.9), ClosedForm())
    )
    for a, b in zip(one.layers, other.layers, strict=True):
        assert_allclose(a.stacked, b.stacked, rtol=0, atol=1e-12)


def test_codes_of_a_convolution(backend):
    """One step is I11; the second one goes along the derivative by central differences of its loss."""
    network = initialize(
        "4x4x1-c2x3/2-m2/1-4-2", transfers=("tanh", "tanh", "identity"), xp=backend.xp, device=backend.device
    )
    rng, s = np.random.default_rng(0), 0.3
    x, t = backend.asarray(rng.normal(size=(4, 16))), backend.asarray(rng.normal(size=(4, 2)))
    trace, upper = forward(network, x), network.layers[1]
    first, second = (CodeTargets(code_steps=k, code_lr=s).codes(network, trace, t) for k in (1, 2))
    wanted, _ = GradientTargets.geometric(s, 3)(network, trace, t, squared, {})
    for code, w in zip(first, wanted, strict=False):
        assert_close(backend, code, backend.numpy(w.y_target), dtype="float64", units=1e4)

    def loss(code):  # of the lowest code, under the code above, which has taken both of its steps
        predicted = upper.pre_activation(upper.rows(backend.xp.tanh(code)))
        return float(backend.xp.sum((predicted - second[1]) ** 2)) / 2

    def slopes(code):  # an error of 1e-10: h² and a rounding over h
        found, zero = [], np.zeros(code.shape)
        for place in np.ndindex(code.shape):
            h = zero.copy()
            h[place] = 1e-5
            found.append((loss(code + backend.asarray(h)) - loss(code - backend.asarray(h))) / 2e-5)
        return backend.asarray(np.reshape(found, code.shape))

    code = trace.a_hat[0]
    for _ in range(2):
        code = code - s * slopes(code)
    assert_allclose(backend.numpy(second[0]), backend.numpy(code), rtol=0, atol=1e-8)
    moved = stepped(CodeTargets(code_steps=2, code_lr=s), network, x, t, solver=Descend(SGD, 0.1, 2))
    assert bool(backend.xp.all(backend.xp.isfinite(moved.layers[1].stacked)))


def test_one_layer_has_no_codes(backend):
    network, x, t = draw(backend, LINEAR, sizes=(3, 2))
    given, _ = CodeTargets()(network, forward(network, x), t, squared, {})
    assert [one.y_target is t for one in given] == [True]


def test_nothing_is_written_into(backend):
    network, x, t = drawn(backend, LINEAR)
    trace = forward(network, x)
    before = [backend.numpy(a).tolist() for a in (*trace.a_hat, *trace.y_hat, x, t)]
    first, second = (CodeTargets(**BUSY).codes(network, trace, t) for _ in range(2))
    assert [backend.numpy(a).tolist() for a in (*trace.a_hat, *trace.y_hat, x, t)] == before
    for one, other in zip(first, second, strict=True):
        assert_array_equal(backend.numpy(one), backend.numpy(other))


def test_what_it_cannot_do_is_refused_in_one_sentence(numpy_backend):
    assert isinstance(CodeTargets(), Targets)
    recurrent = initialize("3x2-r3-2", transfers="tanh")
    with pytest.raises(ValueError, match="network must have no recurrent layer for codes: paths through it"):
        LocoProp("squared", CodeTargets()).init(recurrent)
    network, x, t = drawn(numpy_backend, CASES[3])  # tanh with the squared error
    with pytest.raises(ValueError, match="network must have the matching loss of its last transfer function"):
        stepped(CodeTargets(), network, x, t, solver=Descend())
    stepped(CodeTargets(last_layer="gradient"), network, x, t)


BAD = [
    ({"code_steps": 0}, "code_steps must be an integer of at least 1, got 0"),
    ({"code_lr": 0}, "code_lr must be a positive number, got 0"),
    ({"last_step": 0}, "last_step must be a positive number, got 0"),
    ({"coupling": 0}, "coupling must be a positive number, got 0"),
    ({"momentum": 1}, "momentum must be at least 0 and below 1, got 1"),
    ({"anchor": -1}, "anchor must be a finite number of at least 0, got -1"),
    ({"reduction": "sums"}, "reduction must be one of sum, mean, got 'sums'"),
    ({"inputs": "back"}, "inputs must be one of moved, forward, got 'back'"),
    ({"last_layer": "loss"}, "last_layer must be one of network_loss, gradient, got 'loss'"),
]


@pytest.mark.parametrize(("settings", "sentence"), BAD)
def test_bad_settings_are_told_in_one_sentence(settings, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        CodeTargets(**settings)
