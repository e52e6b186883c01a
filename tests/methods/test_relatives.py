"""The relatives by name: each is the update that its literature writes.

The updates are written out here once more with plain NumPy on two-layer networks; the target rules have their
own, longer tests (`test_code_targets.py`, `test_inverse_targets.py`, `test_feedback_targets.py`).
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from locoprop_ref import CodeTargets, Descend, backprop, initialize, method, network_loss
from locoprop_ref.methods.locoprop import locoprop_s_closed
from locoprop_ref.methods.options import NAMES, OPTIMIZERS, assembled, options_of, places, takes_optimizer
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.methods.relatives import am, am_mem, dfa, dtp, fa, one_step, ste, tp
from locoprop_ref.optimizers import SGD, Adam
from locoprop_ref.training.build import build_method
from locoprop_ref.training.config import resolve

RATE = 0.1
STEP = Descend(SGD(), RATE, 1, "constant")


def problem(backend, transfers=("tanh", "tanh", "softmax"), sizes=(4, 6, 5, 3), dtype="float64"):
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(7, sizes[0])), np.eye(sizes[-1])[rng.integers(0, sizes[-1], 7)]
    how = {"output_loss": "softmax_cross_entropy", "seed": 3, "dtype": dtype}
    network = initialize(sizes, transfers=transfers, **how, xp=backend.xp, device=backend.device)
    return network, backend.asarray(x, dtype), backend.asarray(t, dtype)


def stepped(ours, network, x, t, steps=1):
    state = ours.init(network, 5)
    for _ in range(steps):
        network, state, _ = ours.step(network, state, x, t)
    return network


def parts(backend, network, x, t):
    """Inputs, pre-activations, weights without the bias, and e = ∂L/∂â of the last layer, in NumPy."""
    numpy, y, inputs, a_hats = backend.numpy, backend.numpy(x), [], []
    for layer in network.layers:
        inputs.append(y)
        a_hats.append(y @ numpy(layer.W) + numpy(layer.b))
        y = np.tanh(a_hats[-1])
    p = np.exp(a_hats[-1] - a_hats[-1].max(axis=1, keepdims=True))
    e = (p / p.sum(axis=1, keepdims=True) - numpy(t)) / len(y)
    return inputs, a_hats, [numpy(layer.W) for layer in network.layers], e


def assert_moved_along(backend, network, moved, inputs, errors):
    """W̃ ← W̃ − s X̃ᵀ e for every layer."""
    for old, new, x, e in zip(network.layers, moved.layers, inputs, errors, strict=True):
        change = (backend.numpy(old.stacked) - backend.numpy(new.stacked)) / RATE
        # W̃ is of size 1 and its change is RATE times the gradient: 1e-15, its rounding, counts 10 times
        assert_allclose(change, np.vstack([x.T @ e, e.sum(axis=0)]), rtol=0, atol=3e-14)


@pytest.mark.each("name")
@pytest.mark.parametrize("name", ["fa", "dfa"])
def test_feedback_alignment_is_backprop_through_random_weights(backend, name):
    network, x, t = problem(backend)
    ours = {"fa": fa, "dfa": dfa}[name](solver=STEP)
    R = [backend.numpy(matrix) for matrix in ours.init(network, 5)["targets"]["feedback"]]
    inputs, a_hats, _, e = parts(backend, network, x, t)
    slopes = [1 - np.tanh(a) ** 2 for a in a_hats]
    if name == "fa":
        second = slopes[1] * (e @ R[1].T)
        first = slopes[0] * (second @ R[0].T)
    else:
        first, second = (slopes[m] * (e @ R[m].T) for m in (0, 1))
    assert_moved_along(backend, network, stepped(ours, network, x, t), inputs, [first, second, e])


@pytest.mark.each("name")
@pytest.mark.parametrize("name", ["tp", "dtp"])
def test_target_propagation_goes_down_the_squared_distance_to_its_targets(backend, name):
    """The first target is a step on ŷ₂; ψ₂ brings it down; the weights follow ½‖f(â) − y*‖² and L."""
    network, x, t = problem(backend)
    ours = {"tp": tp, "dtp": dtp}[name](solver=STEP)
    (psi,) = (backend.numpy(psi["W"]) for psi in ours.init(network, 5)["targets"]["inverses"])
    inputs, a_hats, W, e = parts(backend, network, x, t)
    y = [np.tanh(a) for a in a_hats]
    top = y[1] - 10 * (e @ W[2].T)
    inverse = [np.tanh(rows @ psi[:-1] + psi[-1]) for rows in (top, y[1])]
    below = inverse[0] if name == "tp" else y[0] + inverse[0] - inverse[1]
    errors = [(1 - y[m] ** 2) * (y[m] - target) for m, target in enumerate([below, top])]
    assert_moved_along(backend, network, stepped(ours, network, x, t), inputs, [*errors, e])


def test_am_is_one_step_towards_codes_that_have_moved(backend):
    """s = ½: c₂ = â₂ − ½ ∂L/∂â₂, c₁ = â₁ − ½ (½ ∂L/∂â₂ W₂ᵀ) f′, and layers above see f(c)."""
    network, x, t = problem(backend)
    inputs, a_hats, W, e = parts(backend, network, x, t)
    b = [backend.numpy(layer.b) for layer in network.layers]
    second = 0.5 * (1 - np.tanh(a_hats[1]) ** 2) * (e @ W[2].T)
    first = 0.5 * (1 - np.tanh(a_hats[0]) ** 2) * (second @ W[1].T)
    seen = [inputs[0], np.tanh(a_hats[0] - first), np.tanh(a_hats[1] - second)]
    scores = np.exp(seen[2] @ W[2] + b[2])
    top = (scores / scores.sum(axis=1, keepdims=True) - backend.numpy(t)) / 7
    errors = [first, seen[1] @ W[1] + b[1] - (a_hats[1] - second), top]
    moved = stepped(am("sgd", CodeTargets(code_lr=0.5), STEP), network, x, t)
    assert_moved_along(backend, network, moved, seen, errors)


def test_am_adam_is_adam_but_for_its_epsilon(numpy_backend):
    """With forward inputs the codes only scale each layer's gradient, and Adam divides every scale out.

    With the ε of Adam the lowest layer, whose gradient is scaled by s², is what the two disagree in.
    """
    network, x, t = problem(numpy_backend)
    found = {}
    for epsilon in (1e-300, 1e-3):
        rule = Adam(epsilon=epsilon)
        ours = am(
            targets=CodeTargets(code_lr=0.1, inputs="forward"), solver=Descend(rule, 1e-2, 1, "constant")
        )
        adam = method("backprop", optimizer_name="adam", learning_rate=1e-2, epsilon=epsilon)
        one, other = (stepped(each, network, x, t, 30) for each in (ours, adam))
        found[epsilon] = [np.abs(a.W - b.W).max() for a, b in zip(one.layers, other.layers, strict=True)]
    assert max(found[1e-300]) < 1e-12  # 30 steps of 1e-2; the roundings of a gradient of 1e-3 to 1e-1
    assert found[1e-3][0] > 0.01  # measured: 0.1


def test_am_mem_begins_with_the_closed_form(numpy_backend):
    """The first batch is all that is remembered; layer 1 has the target â − s²g, and no input that moves."""
    network, x, t = problem(numpy_backend)
    moved = stepped(am_mem(CodeTargets(code_lr=0.5, last_layer="gradient")), network, x, t)
    closed = stepped(locoprop_s_closed(target_step=0.25, weight_step=0.1), network, x, t)
    assert_allclose(moved.layers[0].stacked, closed.layers[0].stacked, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_the_straight_through_estimator_is_backprop(numpy_backend, rule):
    assert ste(rule) == backprop(rule)
    network, x, t = problem(numpy_backend, ("sign", "relu", "softmax"))
    moved = stepped(ste(rule, 0.01), network, x, t)
    assert np.abs(moved.layers[0].W - network.layers[0].W).max() > 0


def test_the_straight_through_gradient(backend):
    """∂sign is 1 where |â| ≤ 1."""
    network, x, t = problem(backend, ("sign", "softmax"), (4, 6, 3))
    inputs, a_hats, W, _ = parts(backend, network, x, t)
    y = np.where(a_hats[0] >= 0, 1.0, -1.0)
    scores = np.exp(y @ W[1] + backend.numpy(network.layers[1].b))
    e = (scores / scores.sum(axis=1, keepdims=True) - backend.numpy(t)) / 7
    first = (np.abs(a_hats[0]) <= 1) * (e @ W[1].T)
    assert np.abs(a_hats[0]).max() > 1  # both sides of the estimator
    moved = stepped(ste("sgd", RATE), network, x, t)
    assert_moved_along(backend, network, moved, [inputs[0], y], [first, e])


@pytest.mark.parametrize("name", ["am", "dtp", "tp", "fa", "dfa", "am-mem"])
def test_sign_units_can_be_trained_by_relatives(name, numpy_backend):
    network, x, t = problem(numpy_backend, ("sign", "tanh", "softmax"))
    settings = {
        "am-mem": {"targets": CodeTargets(last_layer="gradient", last_step=2.0)},
        "fa": {"solver": STEP},  # with Adam the loss first rises, until the weights have turned to R
    }
    moved = stepped(method(name, **settings.get(name, {})), network, x, t, 100)
    assert network_loss(moved, x, t) < 0.9 * network_loss(network, x, t)


# options ------------------------------------------------------------------------------------------

PAIRS = [(name, rule) for name in METHODS for rule in (OPTIMIZERS if takes_optimizer(name) else (None,))]


@pytest.mark.parametrize(("name", "rule"), PAIRS)
def test_every_option_has_a_place_of_its_own(name, rule):
    """No two arguments of a method share an option; each option arrives where it was read."""
    found = places(name, rule)
    assert len(set(found.values())) == len(found)
    options = options_of(name, rule)
    assert set(options) - {"optimizer"} == set(found)
    assert assembled(name, options) == build_method(resolve(method=name, optimizer=rule))


def test_the_names_of_options_hide_no_argument():
    """An option that has another name than its argument is not the name of another argument there."""
    for part, names in NAMES.items():
        own = set(part.__dataclass_fields__)
        assert set(names) <= own
        assert not set(names.values()) & own


BAD = {
    "code_momentum": ("am", 1.0), "code_anchor": ("am", -1.0), "code_reduction": ("am", "max"),
    "code_inputs": ("am", "old"), "last_target_step": ("am-mem", 0.0), "memory_decay": ("am-mem", 2.0),
    "target_step": ("dtp", 0.0), "target_start": ("tp", "input"), "inverse_noise": ("dtp", -1.0),
    "feedback_scale": ("fa", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("option", BAD)
def test_an_error_names_the_option(option):
    """And not the argument of the part, which a user of the command line has never seen."""
    name, value = BAD[option]
    with pytest.raises(ValueError, match=f"^{option} must be .*, got '?{value}"):
        assembled(name, {option: value})


def test_one_step_has_the_rate_of_backprop():
    for rule in OPTIMIZERS:
        assert one_step(rule).local_lr == backprop(rule).learning_rate
        assert (one_step(rule).num_local_steps, one_step(rule).local_decay) == (1, "constant")
    with pytest.raises(ValueError, match=r"^optimizer must be one of .* \(did you mean 'adam'\?\)"):
        one_step("adma")
