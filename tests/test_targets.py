"""Target rules, also of one's own; the code step of alternating minimization in 50 digits."""

from dataclasses import replace

import high_precision_codes
import naive_predictive
import numpy as np
import pytest
from bridge import CASES, assert_close, draw, every_case, every_dtype, lists, naive_layers, some_cases
from naive import affine, f_row
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    ClosedForm,
    Descend,
    LocalProblem,
    LocoProp,
    Proximal,
    backprop,
    gradients,
    optimizer,
    transfer,
)
from locoprop_ref.network import Trace, backward, forward, initialize
from locoprop_ref.targets import (
    GradientTargets,
    LayerTarget,
    Targets,
    code_update,
    displaced,
    network_loss_target,
    target,
)

SIZES = (3, 4, 5, 4, 3)  # M = 4: three codes


@every_case
@pytest.mark.parametrize("step", [0.3, 2.0])
def test_code_steps_agree_with_differences_in_50_digits(case, step, numpy_backend):
    """Roundings of a code, multiplied by s‖W‖‖f′‖ at every layer below: up to 10 each, two of them."""
    network, x, t = draw(numpy_backend, case, sizes=SIZES)
    if "cross" in case[2]:
        t = t / np.sum(t, axis=1, keepdims=True)
    codes = code_update(network, forward(network, x), t, step)
    layers = naive_layers(numpy_backend, network)
    by_differences = high_precision_codes.code_update(layers, x.tolist(), t.tolist(), case[2], step)
    for code, wanted in zip(codes, by_differences, strict=True):
        assert_close(numpy_backend, code, wanted, dtype="float64", units=1e4)


@every_case
@every_dtype
def test_codes_are_the_targets_of_s_with_a_geometric_schedule(backend, case, dtype):
    """I11 on every library: the same roundings; the first code above has none that is not its own."""
    network, x, t = draw(backend, case, sizes=SIZES, dtype=dtype)
    trace, s = forward(network, x), 0.5
    g, codes = backward(network, trace, t), code_update(network, trace, t, s)
    assert len(codes) == 3
    for m, code in enumerate(codes, start=1):
        wanted = backend.numpy(target(trace.a_hat[m - 1], g[m - 1], s ** (4 - m)))
        assert_close(backend, code, wanted, dtype=dtype, units=1e3)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda s, M, m: s ** (M - m + 1),
        lambda s, M, m: s ** (M - m - 1),
        lambda s, M, m: s,
        lambda s, M, m: s**m,
    ],
    ids=["s^(M-m+1)", "s^(M-m-1)", "s", "s^m"],
)
def test_no_other_schedule_fits(schedule, numpy_backend):
    """Some code is off by a thousandth of itself, a billion times the bound of the identity."""
    network, x, t = draw(numpy_backend, CASES[3], sizes=SIZES)
    trace, s = forward(network, x), 0.5
    g, codes = backward(network, trace, t), code_update(network, trace, t, s)
    off = [
        np.abs(code - target(a_hat, g_m, schedule(s, 4, m))).max() / np.abs(code).max()
        for m, (code, a_hat, g_m) in enumerate(zip(codes, trace.a_hat[:-1], g[:-1], strict=True), start=1)
    ]
    assert max(off) > 1e-3


def test_a_code_step_lowers_every_loss_of_a_code(numpy_backend):
    """Example by example in lists: a small step lowers ½‖ĉ(c) − c_above‖², the code above having moved."""
    network, x, t = draw(numpy_backend, CASES[3], sizes=SIZES)
    trace = forward(network, x)
    codes = code_update(network, trace, t, 1e-2)
    layers = naive_layers(numpy_backend, network)
    for m in (0, 1):
        W, b, _ = layers[m + 1]

        def loss(code, m=m, W=W, b=b):
            predicted = [affine(f_row(layers[m][2], row), W, b) for row in lists(numpy_backend, code)]
            return np.sum((np.array(predicted) - codes[m + 1]) ** 2) / 2

        assert loss(codes[m]) < loss(trace.a_hat[m])


def test_one_layer_has_no_codes(backend):
    network, x, t = draw(backend, CASES[3], sizes=(3, 2))
    assert code_update(network, forward(network, x), t, 1.0) == ()


def test_nothing_is_written_into(backend):
    network, x, t = draw(backend, CASES[3], sizes=SIZES)
    trace = forward(network, x)
    before = [backend.numpy(a).tolist() for a in (*trace.a_hat, *trace.y_hat, x, t)]
    first, second = (code_update(network, trace, t, 0.5) for _ in range(2))
    assert [backend.numpy(a).tolist() for a in (*trace.a_hat, *trace.y_hat, x, t)] == before
    for one, other in zip(first, second, strict=True):
        assert_allclose(backend.numpy(one), backend.numpy(other), rtol=0, atol=0)


# bad inputs ---------------------------------------------------------------------------------------

net = initialize((3, 4, 2), transfers="tanh")
X, T = np.ones((5, 3)), np.zeros((5, 2))
TRACE = forward(net, X)
OTHER = forward(initialize((3, 2), transfers="tanh"), X)
BAD = {
    "network": (("net", TRACE, T, 0.5), TypeError, "network must be a Network, got str"),
    "trace": ((net, TRACE.a_hat, T, 0.5), TypeError, "trace must be a Trace, .*, got tuple"),
    "other trace": ((net, OTHER, T, 0.5), ValueError, "trace must be of the forward pass of this network"),
    "empty trace": ((net, Trace((), (), ()), T, 0.5), ValueError, "trace must be of the forward pass"),
    "step 0": ((net, TRACE, T, 0), ValueError, "step must be a positive number, got 0"),
    "step nan": ((net, TRACE, T, np.nan), ValueError, "step must be a number, got nan"),
    "t": ((net, TRACE, T[:, :1], 0.5), ValueError, "t must have shape"),
    "t nan": ((net, TRACE, T * np.nan, 0.5), ValueError, "t must be finite, got NaN or infinity"),
    "t list": ((net, TRACE, T.tolist(), 0.5), TypeError, "t must be an array"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_told_in_one_sentence(case):
    arguments, error, sentence = BAD[case]
    with pytest.raises(error, match="^" + sentence):
        code_update(*arguments)


# target rules -------------------------------------------------------------------------------------


class Halved:
    """Every layer shall say half of what it says; it counts the batches."""

    def init(self, network, seed=0):
        return {"batches": seed}

    def __call__(self, network, trace, t, local, state):
        parts = zip(network.layers, trace.x, trace.a_hat, strict=True)
        targets = [LayerTarget(x, local(m).f(a) / 2, local(m), a) for m, x, a in parts]
        return targets, {"batches": state["batches"] + 1}


def small():
    network = initialize((3, 4, 2), transfers="tanh")
    rng = np.random.default_rng(2)
    return network, rng.normal(size=(6, 3)), rng.normal(size=(6, 2))


@pytest.mark.parametrize("local_loss", ["squared", "matching"])
def test_an_own_target_rule_is_followed(local_loss):
    """Many small steps bring every layer, by itself, as near to half of what it said as its weights can."""
    network, x, t = small()
    local = Descend(optimizer("sgd"), 0.05, 8000, "constant")
    ours = LocoProp(local_loss, Halved(), solver=local, parallel_layers=False)
    assert isinstance(ours.targets, Targets)
    moved, state, _ = ours.step(network, ours.init(network, 7), x, t)
    assert state["targets"] == {"batches": 8}
    trace = forward(network, x)
    for layer, new, x_m, a_hat in zip(network.layers, moved.layers, trace.x, trace.a_hat, strict=True):
        f = layer.transfer if local_loss == "matching" else transfer("identity")
        said, says = f.f(a_hat), f.f(new.pre_activation(x_m))
        # at the minimum the gradient X̃ᵀ(f(X̃W̃) − y*) vanishes
        assert np.abs(layer.augment(x_m).T @ (says - said / 2)).max() < 1e-6


def test_one_gamma_for_every_layer():
    network, x, t = small()
    trace = forward(network, x)
    g = backward(network, trace, t)
    given, _ = GradientTargets((0.5, 3.0))(network, trace, t, lambda layer: layer.transfer, {})
    for one, y_hat, g_m, gamma in zip(given, trace.y_hat, g, (0.5, 3.0), strict=True):
        assert_allclose(one.y_target, y_hat - gamma * g_m, rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="target_step must be one number, or one for each of 2 layers"):
        LocoProp("matching", GradientTargets((1.0,))).init(network)
    with pytest.raises(ValueError, match="target_step must be a positive number, got -1"):
        GradientTargets((1.0, -1.0))


def test_a_local_loss_of_ones_own():
    """With the identity for every layer it is LocoProp-S, with the layer's own function LocoProp-M."""
    network, x, t = small()
    pairs = [("squared", lambda layer: transfer("identity")), ("matching", lambda layer: layer.transfer)]
    for name, own in pairs:
        steps = [LocoProp(loss, parallel_layers=False) for loss in (name, own)]
        one, other = (ours.step(network, ours.init(network), x, t)[0] for ours in steps)
        for a, b in zip(one.layers, other.layers, strict=True):
            assert_array_equal(a.stacked, b.stacked)


def test_what_is_no_target_rule_is_refused():
    with pytest.raises(TypeError, match=r"targets must be a target rule.*got ClosedForm"):
        LocoProp("squared", ClosedForm())
    with pytest.raises(TypeError, match=r"targets must be a target rule.*got float"):
        LocoProp("squared", 10.0)
    with pytest.raises(ValueError, match="target_order must be 'jacobi' for another target rule"):
        LocoProp("squared", Halved(), target_order="gauss-seidel")
    with pytest.raises(TypeError, match="targets must be GradientTargets for the problem of a single layer"):
        LocoProp("squared", Halved()).local_problem(small()[0].layers[0], *[np.ones((1, 3))] * 4)


def test_a_local_loss_that_returns_no_transfer_is_refused():
    network, x, t = small()
    ours = LocoProp(lambda layer: "tanh")
    with pytest.raises(
        TypeError, match="local_loss must be a function that returns a layer's local Transfer"
    ):
        ours.step(network, ours.init(network), x, t)


def test_what_a_class_that_inherits_from_ours_returns_is_checked_and_used():
    """Nothing is taken on trust because of a base class: neither targets nor a regularizer."""

    class OneUnitTooMany(GradientTargets):
        def of_layer(self, layer, f, x, a_hat, y_hat, g, gamma):
            return LayerTarget(x, np.ones((len(x), 1 + y_hat.shape[1])), f, a_hat)

    class Nearer(Proximal):
        def scaled(self, rate):
            return Proximal(0.5 * rate * self.weight_step)

    network, x, t = small()
    with pytest.raises(ValueError, match="W0 must have shape"):
        bad = LocoProp("matching", OneUnitTooMany())
        bad.step(network, bad.init(network), x, t)
    half, whole = (
        LocoProp("squared", regularizer=rule, solver=ClosedForm(), parallel_layers=False)
        for rule in (Nearer(0.4), Proximal(0.2))
    )
    one, other = (ours.step(network, ours.init(network), x, t, rate=0.5)[0] for ours in (half, whole))
    assert_array_equal(one.layers[0].stacked, other.layers[0].stacked)


# predictive coding's first wave, a geometric γ ------------------------------------------------------


def test_geometric_steps_go_down_from_the_last_layer():
    assert GradientTargets.geometric(0.5, 3).step == (0.25, 0.5, 1.0)
    assert GradientTargets.geometric(0.5, 3, top=4).step == (1.0, 2.0, 4.0)
    for bad, sentence in [
        ((0, 3), "factor must be a positive number, got 0"),
        ((0.5, 0), "layers must be an integer of at least 1, got 0"),
        ((0.5, 3, -1), "top must be a positive number, got -1"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            GradientTargets.geometric(*bad)


@some_cases
def test_the_first_wave_of_predictive_coding_is_s_with_a_geometric_gamma(backend, case):
    """F9: a simulation in which every value node moves at all times; s = 0.5 leaves 1 rounding a layer."""
    network, x, t = draw(backend, case, sizes=SIZES)
    trace, s = forward(network, x), 0.5
    rule = GradientTargets.geometric(s, 4)
    ours, _ = rule(network, trace, t, lambda layer: transfer("identity"), {})
    g_last = lists(backend, network.loss.g(trace.a_hat[-1], t, network.layers[-1].transfer))
    waves = naive_predictive.first_errors(naive_layers(backend, network), lists(backend, x), g_last, s)
    for one, a_hat, wave in zip(ours, trace.a_hat, waves, strict=True):
        scale = float(np.max(np.abs(backend.numpy(a_hat))))  # ε is the difference of two pre-activations
        assert_close(backend, one.y_target - a_hat, wave, dtype="float64", units=1e4, scale=scale)


def test_the_first_wave_with_s_1_is_backprop(backend):
    """F10: one step of S; the solver's gradient is that of BackProp to a rounding of f(â₀) (I1)."""
    network, x, t = draw(backend, CASES[3], sizes=SIZES)
    ours = LocoProp(
        "squared", GradientTargets.geometric(1.0, 4), solver=Descend(optimizer("sgd"), 0.1, 1),
    )  # fmt: skip
    theirs = backprop("sgd", 0.1)
    moved, other = (how.step(network, how.init(network), x, t)[0] for how in (ours, theirs))
    for a, b in zip(moved.layers, other.layers, strict=True):
        assert_close(backend, a.stacked, backend.numpy(b.stacked), dtype="float64", units=1e3)


# the weight of a local loss, and the network loss itself ---------------------------------------------

MATCHING = [("tanh", "identity", "squared_error"), ("tanh", "sigmoid", "sigmoid_cross_entropy"),
            ("tanh", "softmax", "softmax_cross_entropy")]  # fmt: skip


@pytest.mark.parametrize("case", MATCHING, ids="-".join)
def test_the_last_layer_on_the_network_loss_itself(backend, case):
    """Away from W̃₀ too the gradient is ∂L/∂W̃ by the backward pass, through another trace: 1000 roundings."""
    network, x, t = draw(backend, case)
    if case[1] == "softmax":
        t = t / backend.xp.sum(t, axis=1, keepdims=True)
    trace, last = forward(network, x), network.layers[-1]
    given = network_loss_target(last, network.loss, trace.x[-1], t)
    x_last = last.augment(trace.x[-1])
    problem = LocalProblem(
        x_last, given.y_target, given.transfer, last.stacked, loss_weight=given.loss_weight
    )
    moved = last.stacked + 0.5
    network = replace(network, layers=(*network.layers[:-1], last.with_stacked(moved)))
    wanted = backend.numpy(gradients(network, x, t)[-1])
    assert_close(backend, problem.gradient(moved), wanted, dtype="float64", units=1e3, scale=10.0)


def test_a_loss_that_does_not_match_is_no_local_problem():
    network = initialize((3, 2), transfers="tanh")
    with pytest.raises(ValueError, match="network must have the matching loss of its last transfer"):
        network_loss_target(network.layers[0], network.loss, X, T)


@pytest.mark.parametrize("solver", [ClosedForm(), Descend(optimizer("sgd"), 0.01, 3, gradient_form="gram"),
                                    Descend(optimizer("sgd"), 0.01, 3, gradient_form="plain")])  # fmt: skip
def test_the_weight_of_a_local_loss_is_a_factor_of_its_part(solver):
    """With η/c for η and c·s for s nothing changes but rounding: 100 of them, well conditioned."""

    class Weighted(GradientTargets):
        def of_layer(self, *parts):
            return replace(super().of_layer(*parts), loss_weight=4.0)

    network, x, t = small()
    stronger = replace(solver, local_lr=0.04) if isinstance(solver, Descend) else solver
    closed = isinstance(solver, ClosedForm)
    steps = [
        LocoProp("squared", rule, Proximal(eta) if closed else None, how)
        for rule, eta, how in ((Weighted(), 0.2, solver), (GradientTargets(), 0.8, stronger))
    ]
    one, other = (ours.step(network, ours.init(network), x, t)[0] for ours in steps)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert_allclose(a.stacked, b.stacked, rtol=0, atol=1e-13)
    with pytest.raises(ValueError, match="loss_weight must be a positive number, got 0"):
        LocalProblem(np.ones((1, 1)), np.ones((1, 1)), transfer("tanh"), np.ones((1, 1)), loss_weight=0)


def test_a_displacement_is_of_the_pre_activation(backend):
    """For S it is y* = â − d, for M f(â − d), which no multiple of d taken off f(â) is."""
    network, x, _ = draw(backend, CASES[3])
    layer, trace = network.layers[0], forward(network, x)
    d = trace.a_hat[0] / 2
    for f in (layer.transfer, transfer("identity")):
        given = displaced(layer, f, trace.x[0], trace.a_hat[0], d)
        wanted = backend.numpy(f.f(d))
        assert_close(backend, given.y_target, wanted, dtype="float64")
        assert given.a_hat is trace.a_hat[0]
