"""Whole training steps against loops, and against the plain program of the authors' experiment."""

import math
from dataclasses import replace

import naive
import numpy as np
import pytest
from bridge import (
    CASES,
    assert_close,
    draw,
    every_case,
    every_dtype,
    lists,
    naive_layers,
    stacked_arrays,
    stacked_lists,
    with_and_without_bias,
)
from hundred_lines import STEPS
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.methods.backprop import BackProp, backprop
from locoprop_ref.methods.locoprop import LocoProp, locoprop_m, locoprop_s, locoprop_s_closed
from locoprop_ref.methods.registry import METHODS, method
from locoprop_ref.network import backward, forward, gradients, initialize
from locoprop_ref.optimizers import SGD, optimizer
from locoprop_ref.solvers import ClosedForm, Descend, Newton, newton

orders = pytest.mark.parametrize("order", ["jacobi", "gauss-seidel"])
losses = pytest.mark.parametrize("squared", [True, False], ids=["S", "M"])

AUTHORS = {"decay": 0.9, "momentum": 0.999, "epsilon": 1e-5}
BATCHES = (0, 1)  # two steps, so that the state of the first is seen in the second


def assert_networks_agree(backend, network, layers, *, dtype="float64", units=1e4):
    """Two training steps of two or three layers: 1e4 roundings of the largest weight of a layer."""
    for layer, wanted in zip(network.layers, stacked_lists(layers), strict=True):
        assert_close(backend, layer.stacked, wanted, dtype=dtype, units=units)


def second_batch(backend, case, dtype="float64"):
    _, x, t = draw(backend, case, seed=1, dtype=dtype)
    return x, t


# K local steps ------------------------------------------------------------------------------------


@every_case
@losses
@orders
@with_and_without_bias
def test_locoprop_agrees_with_loops(backend, case, squared, order, bias):
    """The authors' local optimizer with a larger rate, so that a step is seen; two batches, state kept."""
    network, *batch = draw(backend, case, bias=bias)
    build = locoprop_s if squared else locoprop_m
    ours = build(
        Descend(optimizer("rmsprop", **AUTHORS), local_lr=1e-3, num_local_steps=4),
        target_step=3.0,
        target_order=order,
    )
    state, layers, states = ours.init(network), naive_layers(backend, network), [None] * len(network.layers)
    for rate, (x, t) in zip((1.0, 0.5), (batch, second_batch(backend, case)), strict=True):
        network, state, info = ours.step(network, state, x, t, rate=rate)

        def solve(m, x, y, f, V0, *, rate=rate):
            V, states[m] = naive.descend(
                x, y, f, V0, ("rmsprop", "tf1", AUTHORS), local_lr=rate * 1e-3, K=4, states=states[m]
            )
            return V

        layers = naive.locoprop_step(
            layers, lists(backend, x), lists(backend, t), case[2], solve,
            squared=squared, target_step=3.0, gauss_seidel=order == "gauss-seidel",
        )  # fmt: skip
        assert_networks_agree(backend, network, layers)
        assert info == {}


@losses
@pytest.mark.parametrize(
    "settings, h",
    [
        ({"weight_step": 0.5}, {"weight_step": 0.5}),
        ({"local_reduction": "mean"}, {"mean": True}),
        ({"weight_step": 2.0, "local_reduction": "mean"}, {"weight_step": 2.0, "mean": True}),
        ({"local_decay": "constant"}, {"decay": "constant"}),
        ({"local_state": "reset"}, {"reset": True}),
    ],
    ids=str,
)
@every_dtype
def test_every_setting_agrees_with_loops(backend, squared, settings, h, dtype):
    network, *batch = draw(backend, CASES[3], dtype=dtype)
    local = {k: settings[k] for k in ("local_decay", "local_state") if k in settings}
    rest = {k: v for k, v in settings.items() if k not in local}
    rule = Descend(optimizer("momentum"), local_lr=0.01, num_local_steps=5, **local)
    ours = (locoprop_s if squared else locoprop_m)(rule, target_step=2.0, **rest)
    problem, reset = {k: v for k, v in h.items() if k != "reset"}, "reset" in h
    state, layers, states = ours.init(network), naive_layers(backend, network), [None] * 3
    for x, t in (batch, second_batch(backend, CASES[3], dtype)):
        network, state, _ = ours.step(network, state, x, t)

        def solve(m, x, y, f, V0):
            old = None if reset else states[m]
            rule = ("momentum", "tf1", {"momentum": 0.9})
            V, states[m] = naive.descend(x, y, f, V0, rule, local_lr=0.01, K=5, states=old, **problem)
            return V

        layers = naive.locoprop_step(
            layers,
            lists(backend, x),
            lists(backend, t),
            "squared_error",
            solve,
            squared=squared,
            target_step=2.0,
        )
        assert_networks_agree(backend, network, layers, dtype=dtype)


# exact solvers ------------------------------------------------------------------------------------


@every_case
@orders
@with_and_without_bias
@pytest.mark.parametrize("batch_size", [2, 9])
def test_closed_s_agrees_with_loops(backend, case, order, bias, batch_size):
    network, x, t = draw(backend, case, bias=bias, batch=batch_size)
    ours = method("locoprop-s-closed", target_step=3.0, weight_step=0.4, target_order=order)
    layers = naive.locoprop_step(
        naive_layers(backend, network), lists(backend, x), lists(backend, t), case[2],
        lambda m, x, y, f, V0: naive.closed_form(x, y, V0, 0.2),
        squared=True, target_step=3.0, gauss_seidel=order == "gauss-seidel",
    )  # fmt: skip
    moved, state, _ = ours.step(network, ours.init(network), x, t, rate=0.5)  # the rate halves η
    assert_networks_agree(backend, moved, layers)
    assert state == {"targets": {}, "layers": ({"solver": {}, "regularizer": {}},) * 3}


@pytest.mark.parametrize("case", [c for c in CASES if "softmax" not in c], ids="-".join)
@orders
def test_exact_m_solves_every_layer(backend, case, order):
    """The loops give each layer's problem; its gradient at the new weights vanishes, to its rounding."""
    network, x, t = draw(backend, case)
    ours = method("locoprop-m-exact", target_step=3.0, weight_step=0.4, target_order=order)
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    new = [backend.numpy(layer.stacked).tolist() for layer in moved.layers]
    gradients = []

    def solve(m, x, y, f, V0):
        gradient = naive.local_gradient(x, y, f, new[m], V0, 0.4)
        size = np.abs(x).T @ (1 + np.abs(y) + np.abs(np.array(x) @ new[m])) + np.abs(new[m]) / 0.4
        gradients.append((np.linalg.norm(gradient), np.linalg.norm(size)))
        return new[m]

    naive.locoprop_step(
        naive_layers(backend, network), lists(backend, x), lists(backend, t), case[2], solve,
        squared=False, target_step=3.0, gauss_seidel=order == "gauss-seidel",
    )  # fmt: skip
    assert len(gradients) == 3
    assert all(gradient <= 1e-11 * size for gradient, size in gradients), gradients


def test_exact_m_and_closed_s_coincide_on_a_linear_network(backend):
    network, x, t = draw(backend, CASES[0])
    settings = {"target_step": 2.0, "weight_step": 0.7}
    s, m = method("locoprop-s-closed", **settings), method("locoprop-m-exact", **settings)
    by_s, by_m = (a.step(network, a.init(network), x, t)[0] for a in (s, m))
    for p, q in zip(by_s.layers, by_m.layers, strict=True):
        assert_allclose(backend.numpy(p.W), backend.numpy(q.W), rtol=0, atol=1e-12)


# backprop -----------------------------------------------------------------------------------------


@every_case
@with_and_without_bias
def test_backprop_agrees_with_loops(backend, case, bias):
    network, *batch = draw(backend, case, bias=bias)
    ours = backprop("rmsprop", learning_rate=0.01, **AUTHORS)
    state, layers, states = ours.init(network), naive_layers(backend, network), None
    for rate, (x, t) in zip((1.0, 0.5), (batch, second_batch(backend, case)), strict=True):
        network, state, info = ours.step(network, state, x, t, rate=rate)
        layers, states = naive.backprop_step(
            layers,
            lists(backend, x),
            lists(backend, t),
            case[2],
            states,
            ("rmsprop", "tf1", AUTHORS),
            0.01 * rate,
        )
        assert_networks_agree(backend, network, layers)
        assert info == {}


@losses
@every_dtype
def test_one_local_sgd_step_is_backprop(backend, squared, dtype):
    """I1: LocoProp with K = 1 and plain SGD of rate s is BackProp with SGD of rate s·γ."""
    for case in CASES:
        network, x, t = draw(backend, case, dtype=dtype)
        local = Descend(SGD(), local_lr=0.01, num_local_steps=1)
        ours = (locoprop_s if squared else locoprop_m)(local, target_step=5.0)
        moved = ours.step(network, ours.init(network), x, t)[0]
        plain = BackProp(SGD(), 0.05)
        wanted = plain.step(network, plain.init(network), x, t)[0]
        for p, q in zip(stacked_arrays(backend, moved), stacked_arrays(backend, wanted), strict=True):
            assert_allclose(p, q, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(q).max())


# the authors' experiment --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["locoprop-m", "backprop"])
def test_the_authors_network_agrees_with_the_plain_program(name):
    """Six steps of the deep autoencoder, narrow, with the defaults: rates as in the first epochs, 0 included.

    Differences are roundings of the weights (1e-16) and of gradients, divided by the root of a mean square,
    added up in momentum buffers: 1e-9 of the change.
    """
    sizes = [30, 40, 20, 10, 4, 10, 20, 40, 30]
    transfers = ["tanh"] * 3 + ["identity"] + ["tanh"] * 3 + ["sigmoid"]
    images = np.random.default_rng(8).uniform(size=(6, 25, 30)) ** 4
    network = initialize(sizes, transfers=transfers, output_loss="sigmoid_cross_entropy", seed=4)
    weights = [layer.stacked for layer in network.layers]
    states = [(1.0, 0.0)] * len(weights)
    ours = method(name) if name == "locoprop-m" else backprop("rmsprop", 3e-4, momentum=0.9)
    start, state = network, ours.init(network)
    for rate, x in zip((0.0, 0.0, 0.2, 0.2, 0.4, 1.0), images, strict=True):
        weights, states = zip(*STEPS[name](weights, states, x, rate), strict=True)
        network, state, _ = ours.step(network, state, x, x, rate=rate)
        if rate == 0:
            assert all((p.W == q.W).all() for p, q in zip(start.layers, network.layers, strict=True))
    for layer, old, W in zip(network.layers, start.layers, weights, strict=True):
        change = np.abs(W - old.stacked).max()
        assert change > 1e-5  # something has moved
        assert_allclose(layer.stacked, W, rtol=0, atol=1e-9 * change)


def test_defaults_are_the_authors():
    """Local RMSProp (tf1), s = 1e-5, K = 10, γ = 10, η = ∞, sums, decay, state kept, all targets first."""
    ours = method("locoprop-m")
    assert ours == locoprop_m(
        Descend(
            optimizer("rmsprop", dialect="tf1", decay=0.9, momentum=0.999, epsilon=1e-5),
            local_lr=1e-5, num_local_steps=10, local_decay="authors", local_state="keep",
        ),
        target_step=10.0, weight_step=math.inf, local_reduction="sum", target_order="jacobi",
        project_targets=False,
    )  # fmt: skip
    assert replace(ours, local_loss="squared") == method("locoprop-s")


def test_the_defaults_of_the_closed_form_agree_with_loops(numpy_backend):
    """γ = 100 and η = 0.1, as documented."""
    network, x, t = draw(numpy_backend, CASES[3])
    ours = method("locoprop-s-closed")
    layers = naive.locoprop_step(
        naive_layers(numpy_backend, network), lists(numpy_backend, x), lists(numpy_backend, t), CASES[3][2],
        lambda m, x, y, f, V0: naive.closed_form(x, y, V0, 0.1), squared=True, target_step=100.0,
    )  # fmt: skip
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    assert_networks_agree(numpy_backend, moved, layers)
    assert ours == locoprop_s_closed("auto", target_step=100.0, weight_step=0.1)


# targets ------------------------------------------------------------------------------------------


def test_projected_targets_agree_with_loops(backend):
    """γ so large that many targets leave the range; tanh clips to [−1, 1], S never."""
    network, x, t = draw(backend, CASES[3])
    local = Descend(SGD(), local_lr=0.01, num_local_steps=3)

    def loops(squared, project):
        def solve(m, x, y, f, V0):
            if project:
                y = [[min(max(v, -1.0), 1.0) for v in row] for row in y]
            return naive.descend(x, y, f, V0, ("sgd", "tf1", {}), local_lr=0.01, K=3)[0]

        return naive.locoprop_step(
            naive_layers(backend, network), lists(backend, x), lists(backend, t), "squared_error", solve,
            squared=squared, target_step=30.0,
        )  # fmt: skip

    for project in (True, False):
        ours = locoprop_m(local, target_step=30.0, project_targets=project)
        assert_networks_agree(backend, ours.step(network, ours.init(network), x, t)[0], loops(False, project))
    ours = locoprop_s(local, target_step=30.0, project_targets=True)
    assert_networks_agree(backend, ours.step(network, ours.init(network), x, t)[0], loops(True, False))
    projected, plain = (np.array(stacked_lists(loops(False, p))[0]) for p in (True, False))
    assert np.abs(projected - plain).max() > 1e-3  # the option is no idle one


def test_with_target_step_B_the_last_target_is_the_label(backend):
    """I8, within a few roundings of numbers up to 1."""
    for case in (CASES[9 + 3], CASES[18 + 3]):
        network, x, t = draw(backend, case)
        t = backend.numpy(t)
        t = backend.asarray(t / t.sum(axis=1, keepdims=True) if "softmax" in case else t, "float64")
        trace = forward(network, x)
        g = backward(network, trace, t)[-1]
        problem = locoprop_m(target_step=5.0).local_problem(
            network.layers[-1], trace.x[-1], trace.a_hat[-1], trace.y_hat[-1], g
        )
        assert_allclose(backend.numpy(problem.y_target), backend.numpy(t), rtol=0, atol=1e-14)


# info ---------------------------------------------------------------------------------------------


@losses
def test_diagnosis_says_what_happened(backend, squared):
    """Shares by counting, local losses by the problems themselves, the cosine by its definition."""
    network, x, t = draw(backend, CASES[3])
    ours = (locoprop_s if squared else locoprop_m)(
        Descend(SGD(), local_lr=0.01, num_local_steps=2), target_step=8.0, weight_step=2.0, diagnose=True
    )
    moved, _, info = ours.step(network, ours.init(network), x, t)
    silent = replace(ours, diagnose=False).step(network, ours.init(network), x, t)[0]
    trace, dW = forward(network, x), gradients(network, x, t)
    parts = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, backward(network, trace, t), strict=True)
    problems = [ours.local_problem(*part) for part in parts]
    rows = zip(info["layers"], problems, network.layers, moved.layers, dW, strict=True)
    for m, (row, problem, old, new, gradient) in enumerate(rows):
        y = backend.numpy(problem.y_target)
        share = 0.0 if squared else np.mean([abs(v) > 1 for v in y.ravel().tolist()])
        assert_allclose(row["out_of_range"], share, rtol=0, atol=1e-15)
        assert_allclose(row["local_loss_before"], float(problem.value(old.stacked)), rtol=1e-14)
        assert_allclose(row["local_loss_after"], float(problem.value(new.stacked)), rtol=1e-14)
        assert row["local_loss_after"] < row["local_loss_before"]
        change = (backend.numpy(new.stacked) - backend.numpy(old.stacked)).ravel()
        steepest = -backend.numpy(gradient).ravel()
        cosine = change @ steepest / np.sqrt((change @ change) * (steepest @ steepest))
        assert_allclose(row["cosine_to_gradient"], cosine, rtol=1e-10)
        assert_array_equal(backend.numpy(silent.layers[m].W), backend.numpy(new.W))
    if not squared:
        assert max(row["out_of_range"] for row in info["layers"]) > 0


def test_diagnosis_of_a_step_that_does_not_move(backend):
    network, x, t = draw(backend, CASES[3])
    ours = locoprop_m(diagnose=True)
    _, _, info = ours.step(network, ours.init(network), x, t, rate=0.0)
    assert [row["cosine_to_gradient"] for row in info["layers"]] == [None] * 3


def test_softmax_as_a_hidden_layer_goes_with_everything_but_newton_and_admm(numpy_backend):
    network, x, t = draw(numpy_backend, ("softmax", "softmax", "softmax_cross_entropy"))
    for name in METHODS:
        ours = method(name)
        if name == "admm":
            with pytest.raises(ValueError, match="network must have relu in its hidden layers for admm"):
                ours.init(network)
        elif name == "locoprop-m-exact":
            with pytest.raises(ValueError, match="transfer must be elementwise for newton, got 'softmax'"):
                ours.step(network, ours.init(network), x, t)
        else:
            moved, _, _ = ours.step(network, ours.init(network), x, t)
            assert np.isfinite(moved.layers[0].W).all()


def test_newton_of_a_layer_is_newton_of_its_problem(numpy_backend):
    """The method adds nothing: the last layer's weights are those of `newton` on `local_problem`."""
    network, x, t = draw(numpy_backend, CASES[3])
    ours = method("locoprop-m-exact")
    moved, _, _ = ours.step(network, ours.init(network), x, t)
    trace = forward(network, x)
    g = backward(network, trace, t)[-1]
    problem = ours.local_problem(network.layers[-1], trace.x[-1], trace.a_hat[-1], trace.y_hat[-1], g)
    assert_array_equal(moved.layers[-1].stacked, newton(problem)[0])
    assert_array_equal(problem.x, network.layers[-1].augment(trace.x[-1]))


# bad inputs ---------------------------------------------------------------------------------------

net = initialize((3, 2), transfers="tanh")
X, T = np.ones((4, 3)), np.zeros((4, 2))
METHOD_SETTINGS = {
    "name": (
        lambda: method("locopropm"),
        ValueError,
        r"method must be one of backprop, .* \(did you mean 'locoprop-m'\?\)",
    ),
    "name none": (lambda: method(None), ValueError, "method must be one of backprop, .*, got None"),
    "setting": (lambda: method("locoprop-m", gamma=10), TypeError, ".*gamma"),
    "backprop setting": (
        lambda: method("backprop", gamma=10),
        TypeError,
        "optimizer 'rmsprop' takes .*, got 'gamma'",
    ),
    "backprop optimizer": (
        lambda: method("backprop", optimizer_name="adm"),
        ValueError,
        r"optimizer must be .* \(did you mean 'adam'\?\)",
    ),
    "learning rate": (
        lambda: method("backprop", learning_rate=0),
        ValueError,
        "learning_rate must be a positive number, got 0",
    ),
    "learning rate nan": (
        lambda: method("backprop", learning_rate=np.nan),
        ValueError,
        "learning_rate must be a number, got nan",
    ),
    "BackProp optimizer": (lambda: BackProp("sgd"), TypeError, "optimizer must be"),
    "γ 0": (
        lambda: method("locoprop-s", target_step=0),
        ValueError,
        "target_step must be a positive number, got 0",
    ),
    "γ negative": (
        lambda: method("locoprop-m", target_step=-1),
        ValueError,
        "target_step must be a positive number",
    ),
    "γ string": (
        lambda: method("locoprop-m", target_step="10"),
        TypeError,
        "target_step must be a number, got '10'",
    ),
    "η 0": (
        lambda: method("locoprop-s-closed", weight_step=0.0),
        ValueError,
        "weight_step must be a positive number or inf",
    ),
    "η negative": (
        lambda: method("locoprop-m", weight_step=-1.0),
        ValueError,
        "weight_step must be a positive number or inf",
    ),
    "η inf": (
        lambda: method("locoprop-m-exact", weight_step=np.inf),
        ValueError,
        "weight_step must be finite for newton, got inf",
    ),
    "closed M": (
        lambda: LocoProp("matching", solver=ClosedForm()),
        ValueError,
        "local_loss must be 'squared' for a closed form",
    ),
    "local loss": (
        lambda: LocoProp("matchin", Newton()),
        ValueError,
        r"local_loss must be .* \(did you mean 'matching'\?\)",
    ),
    "solver": (lambda: LocoProp("squared", solver="closed"), TypeError, "solver must be"),
    "reduction": (
        lambda: method("locoprop-m", local_reduction="average"),
        ValueError,
        "local_reduction must be one of sum, mean",
    ),
    "order": (
        lambda: method("locoprop-m", target_order="gaus-seidel"),
        ValueError,
        r"target_order must be .* \(did you mean 'gauss-seidel'\?\)",
    ),
    "form": (lambda: locoprop_s_closed("duel"), ValueError, r"form must be .* \(did you mean 'dual'\?\)"),
    "project": (lambda: method("locoprop-m", project_targets="no"), TypeError, "project_targets must be"),
    "diagnose": (lambda: method("locoprop-m", diagnose="no"), TypeError, "diagnose must be"),
}


@pytest.mark.parametrize("case", METHOD_SETTINGS)
def test_bad_settings_are_told_in_one_sentence(case):
    call, error, sentence = METHOD_SETTINGS[case]
    with pytest.raises(error, match="^" + sentence):
        call()


@pytest.mark.parametrize("name", ["sgd", "momentum", "adagrad", "adam"])
def test_an_optimizer_with_a_state_of_another_is_told_in_one_sentence(name):
    state = backprop("rmsprop").init(net)
    with pytest.raises(ValueError, match=r"^state\['layers'\]\[0\] must be what init made"):
        backprop(name).step(net, state, X, T)
