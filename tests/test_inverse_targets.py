"""Target propagation against loops; the inverses' derivative by complex steps; what it is and is not."""

import naive
import naive_inverses
import numpy as np
import pytest
from bridge import CASES, assert_close, draw, every_dtype, lists, naive_layers, snapshot, stacked_arrays
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import (
    Descend,
    GaussNewtonTargets,
    InverseTargets,
    LocoProp,
    Targets,
    initialize,
    optimizer,
    transfer,
)
from locoprop_ref.network import forward, gradients
from locoprop_ref.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SIZES = (3, 4, 5, 2)
SMOOTH = [
    ("tanh", "identity", "squared_error"),
    ("tanh", "sigmoid", "sigmoid_cross_entropy"),
    ("tanh", "softmax", "softmax_cross_entropy"),
]
every_loss = pytest.mark.parametrize("case", SMOOTH, ids="-".join)
starts = pytest.mark.parametrize("start", ["penultimate", "output"])
corrections = pytest.mark.parametrize("correction", ["difference", "plain"])
SGD = optimizer("sgd")


def own(layer):
    return layer.transfer


def as_naive(backend, network, state):
    """The inverses of a state as layers of `naive.py`."""
    found = []
    for psi, layer in zip(state["inverses"], naive_layers(backend, network), strict=False):
        rows = lists(backend, psi["W"])
        found.append((rows[:-1], rows[-1], layer[2]))
    return found


def first_target(backend, network, x, t, start, step):
    """What the target propagation starts with, as lists."""
    layers = naive_layers(backend, network)
    trace = naive.forward(layers, lists(backend, x))
    g = np.array(
        lists(backend, network.loss.g(forward(network, x).a_hat[-1], t, network.layers[-1].transfer))
    )
    if start == "output":
        return (np.array(trace[2][-1]) - step * g).tolist()
    return (np.array(trace[2][-2]) - step * g @ np.array(layers[-1][0]).T).tolist()


@every_loss
@starts
@corrections
def test_targets_agree_with_loops(backend, case, start, correction):
    """Three layers up and two down, sums of at most six terms: 1e3 roundings of numbers near 1."""
    network, x, t = draw(backend, case, sizes=SIZES)
    rule = InverseTargets(2.0, correction, start)
    state, trace = rule.init(network, 3), forward(network, x)
    given, _ = rule(network, trace, t, own, state)
    first = first_target(backend, network, x, t, start, 2.0)
    wanted = naive_inverses.propagated(
        naive_layers(backend, network),
        as_naive(backend, network, state),
        lists(backend, x),
        first,
        correction,
    )
    assert len(wanted) == (3 if start == "output" else 2)
    for one, y in zip(given, wanted, strict=False):
        assert one.loss_weight == 1.0
        assert_close(backend, one.y_target, y, dtype="float64", units=1e3)
    if start == "penultimate":
        assert given[-1].y_target is t
        assert given[-1].loss_weight == 1 / 5


@every_loss
@every_dtype
def test_the_inverses_learn_by_the_derivative_of_the_denoising_loss(backend, case, dtype):
    """Two steps of a batch, with the noise that the docstring names; 1e3 roundings of Ṽ (rate 0.1)."""
    network, x, t = draw(backend, case, sizes=SIZES, dtype=dtype)
    rule = InverseTargets(start="output", noise=0.3, optimizer=SGD, inverse_lr=0.1, inverse_steps=2)
    state = {**rule.init(network, 3), "step": 4}
    _, after = rule(network, forward(network, x), t, own, state)
    layers = naive_layers(backend, network)
    y_hats = naive.forward(layers, lists(backend, x))[2]
    rng = np.random.default_rng([3, 4, 3])
    for m, (V, c, f) in enumerate(as_naive(backend, network, state)):
        W = np.array([*V, c])
        for _ in range(2):
            noisy = np.array(y_hats[m]) + 0.3 * rng.standard_normal(np.shape(y_hats[m]))
            psi = (W[:-1].tolist(), W[-1].tolist(), f)
            W = W - 0.1 * np.array(naive_inverses.denoising_gradient(psi, layers[m + 1], noisy.tolist()))
        assert_close(backend, after["inverses"][m]["W"], W, dtype=dtype, units=1e3)
        assert np.abs(W - np.array([*V, c])).max() > 1e-4
    assert after["step"] == 5


def test_training_lowers_the_reconstruction_error(numpy_backend):
    network, x, t = draw(numpy_backend, SMOOTH[0], sizes=(3, 4, 5, 2), batch=30)
    rule = InverseTargets(optimizer=optimizer("adam"), inverse_lr=0.05, noise=0.05)
    state, trace, errors = rule.init(network), forward(network, x), []
    for _ in range(120):
        psi = as_naive(numpy_backend, network, state)[0]
        again = np.array([naive_inverses.says(psi, row) for row in trace.y_hat[1].tolist()])
        errors.append(np.mean((again - trace.y_hat[0]) ** 2))
        _, state = rule(network, trace, t, own, state)
    assert errors[-1] < errors[0] / 5
    assert state["inverses"][0]["optimizer"]["count"] == 120


def test_where_the_target_is_met_the_difference_gives_none_below(backend):
    """Exactly: ŷ + (ψ(ŷ) − ψ(ŷ)). Plain target propagation moves by its reconstruction error."""
    network, x, _ = draw(backend, SMOOTH[0], sizes=SIZES)
    trace = forward(network, x)
    t = trace.y_hat[-1]
    for correction, moves in (("difference", False), ("plain", True)):
        rule = InverseTargets(5.0, correction, "output")
        given, _ = rule(network, trace, t, own, rule.init(network))
        off = [
            np.abs(backend.numpy(one.y_target - y)).max() for one, y in zip(given, trace.y_hat, strict=True)
        ]
        assert bool(max(off) > 0.1) is moves
        assert bool(max(off) == 0) is not moves


@corrections
def test_with_exact_inverses_a_linear_network_has_gauss_newton_targets(numpy_backend, correction):
    """F1 through both rules: γ there is γ/B here, as g carries the 1/B. Conditions below 100."""
    network, x, t = draw(numpy_backend, ("identity", "identity", "squared_error"), sizes=(4, 4, 4, 4), seed=2)
    rule, trace = InverseTargets(1.5, correction, "output"), forward(network, x)
    exact = []
    for layer in network.layers[1:]:
        V = np.linalg.inv(layer.W)
        exact.append({"W": np.vstack([V, -layer.b @ V]), "optimizer": rule.optimizer.init(np.zeros((5, 4)))})
    given, _ = rule(network, trace, t, own, {**rule.init(network), "inverses": tuple(exact)})
    wanted, _ = GaussNewtonTargets(1.5 / 5, 0)(network, trace, t, own, {})
    for one, other in zip(given, wanted, strict=True):
        assert_allclose(one.y_target, other.y_target, rtol=0, atol=1e-11 * np.abs(other.y_target).max())


@pytest.mark.parametrize("local_loss", ["squared", "matching"])
def test_the_originals_step_has_one_slope_more(backend, local_loss):
    """One gradient step on ½‖f(â) − y*‖², for either local loss; the last layer learns on L itself."""
    network, x, t = draw(backend, SMOOTH[0], sizes=SIZES)
    rule = InverseTargets(2.0, forward_loss="squared_outputs")
    ours = LocoProp(local_loss, rule, solver=Descend(SGD, 0.1, 1))
    state = ours.init(network, 3)
    moved, _, _ = ours.step(network, state, x, t)
    layers = naive_layers(backend, network)
    inputs, _, y_hats = naive.forward(layers, lists(backend, x))
    psi = as_naive(backend, network, state["targets"])
    first = first_target(backend, network, x, t, "penultimate", 2.0)
    targets = naive_inverses.propagated(layers, psi, lists(backend, x), first, "difference")
    old = stacked_arrays(backend, network)
    for m, y_target in enumerate(targets):
        y = np.array(y_hats[m])
        gradient = np.array(naive.with_ones(inputs[m])).T @ ((1 - y**2) * (y - y_target))
        assert_close(backend, moved.layers[m].stacked, old[m] - 0.1 * gradient, dtype="float64", units=1e3)
    last = old[-1] - 0.1 * backend.numpy(gradients(network, x, t)[-1])
    assert_close(backend, moved.layers[-1].stacked, last, dtype="float64", units=1e3)


@pytest.mark.parametrize("settings", [{}, {"start": "output"}, {"forward_loss": "squared_outputs"}], ids=str)
def test_the_network_learns(settings, numpy_backend):
    """Its loss falls to below a third; the first layer's weights learn from nothing but targets."""
    network = initialize((4, 10, 8, 2), transfers=("tanh", "tanh", "identity"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    t = np.tanh(x[:, :2] - x[:, 2:])
    rule = InverseTargets(1.0, inverse_lr=0.01, **settings)
    ours = LocoProp("matching", rule, solver=Descend(SGD, 0.3, 1))
    state, losses = ours.init(network, 1), []
    for _ in range(60):
        losses.append(
            float(network.loss.value(forward(network, x).a_hat[-1], t, network.layers[-1].transfer))
        )
        network, state, _ = ours.step(network, state, x, t)
    assert losses[-1] < losses[0] / 3


def test_the_inverses_come_from_the_seed_alone(backend):
    network = initialize((3, 5, 4, 2), transfers="tanh", xp=backend.xp, device=backend.device)
    here, again, other = (InverseTargets(start="output").init(network, seed) for seed in (3, 3, 4))
    rng = np.random.default_rng([3, 0, 4])
    for a, b, c, shape in zip(*(s["inverses"] for s in (here, again, other)), [(4, 5), (2, 4)], strict=True):
        wanted = rng.uniform(-1, 1, shape) * (6 / sum(shape)) ** 0.5
        assert_array_equal(backend.numpy(a["W"])[:-1], wanted)
        assert not backend.numpy(a["W"])[-1].any()
        assert_array_equal(backend.numpy(a["W"]), backend.numpy(b["W"]))
        assert not np.allclose(backend.numpy(a["W"]), backend.numpy(c["W"]))


@starts
def test_a_run_that_is_continued_from_a_checkpoint_is_the_uninterrupted_one(start, tmp_path, numpy_backend):
    """The inverses, their optimizer's memory and the counter of the noise are all in the state."""
    network, x, t = draw(numpy_backend, SMOOTH[0], sizes=SIZES)
    ours = LocoProp("matching", InverseTargets(2.0, start=start), solver=Descend(SGD, 0.1, 1))
    assert isinstance(ours.targets, Targets)
    state = ours.init(network, 5)
    before = snapshot(numpy_backend, network, state)
    first = ours.step(network, state, x, t)
    assert snapshot(numpy_backend, network, state) == before
    whole = ours.step(first[0], first[1], x, t)
    run = {"config": {"method": "locoprop-m"}}
    save_checkpoint(tmp_path / "c.npz", Checkpoint(first[0], first[1], None, run))
    kept = load_checkpoint(tmp_path / "c.npz", xp=np)
    again = ours.step(kept.network, kept.state, x, t)
    assert snapshot(numpy_backend, again[0], again[1]) == snapshot(numpy_backend, whole[0], whole[1])
    assert again[1]["targets"]["step"] == 2


def test_one_layer_learns_on_the_network_loss_alone(backend):
    network, x, t = draw(backend, SMOOTH[0], sizes=(3, 2))
    rule = InverseTargets()
    given, state = rule(network, forward(network, x), t, own, rule.init(network))
    assert [one.y_target is t for one in given] == [True]
    assert state["inverses"] == ()


def test_what_it_cannot_do_is_refused_in_one_sentence(numpy_backend):
    network, x, t = draw(numpy_backend, SMOOTH[0], sizes=SIZES)
    ours = LocoProp("squared", InverseTargets())
    with pytest.raises(
        ValueError, match=r"local_loss must be 'matching' for the forward_loss 'matching', got"
    ):
        ours.step(network, ours.init(network), x, t)
    other, x, t = draw(numpy_backend, CASES[3], sizes=SIZES)  # tanh with the squared error
    ours = LocoProp("matching", InverseTargets())
    with pytest.raises(ValueError, match="network must have the matching loss of its last transfer function"):
        ours.step(other, ours.init(other), x, t)
    for words in ("4x4x1-c2x3/2-2", "3x2-r3-2"):
        positions = initialize(words, transfers="tanh")
        with pytest.raises(ValueError, match="network must have dense layers alone for learned inverses"):
            InverseTargets().init(positions)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        InverseTargets().init(network, -1)
    assert type(InverseTargets().init(network, np.int64(3))["seed"]) is int


BAD = [
    ({"step": 0}, ValueError, "step must be a positive number, got 0"),
    ({"noise": -0.1}, ValueError, "noise must be a finite number of at least 0, got -0.1"),
    ({"inverse_lr": 0}, ValueError, "inverse_lr must be a positive number, got 0"),
    ({"inverse_steps": 0}, ValueError, "inverse_steps must be an integer of at least 1, got 0"),
    ({"correction": "no"}, ValueError, "correction must be one of difference, plain, got 'no'"),
    ({"start": "top"}, ValueError, "start must be one of penultimate, output, got 'top'"),
    ({"forward_loss": "squared"}, ValueError, "forward_loss must be one of matching, squared_outputs, got"),
    ({"optimizer": "adam"}, TypeError, "optimizer must be an Optimizer, .* got str"),
]


@pytest.mark.parametrize(("settings", "error", "sentence"), BAD)
def test_bad_settings_are_told_in_one_sentence(settings, error, sentence):
    with pytest.raises(error, match="^" + sentence):
        InverseTargets(**settings)


def test_the_squared_loss_of_pre_activations_has_no_matching_target(numpy_backend):
    """A hidden layer that is linear is its own local loss in S too, and is not refused."""
    network, x, t = draw(numpy_backend, ("identity", "identity", "squared_error"), sizes=SIZES)
    rule = InverseTargets()
    given, _ = rule(network, forward(network, x), t, lambda layer: transfer("identity"), rule.init(network))
    assert len(given) == 3


def test_a_state_of_another_network_or_rule_is_refused(numpy_backend):
    network, x, t = draw(numpy_backend, CASES[3])
    rule, trace = InverseTargets(start="output"), forward(network, x)
    others = [draw(numpy_backend, CASES[3], sizes=sizes)[0] for sizes in ((3, 5, 3, 2), (3, 2))]
    single = draw(numpy_backend, CASES[3], dtype="float32")[0]
    fresh = rule.init(network)
    damaged = [{**fresh, "seed": -1}, {**fresh, "step": "4"}, {**fresh, "inverses": (1, 2)}, None, np.ones(3)]
    for state in ({}, {**rule.init(network), "more": 1}, *damaged, *map(rule.init, (*others, single))):
        with pytest.raises(
            ValueError, match=r"^state\['targets'\] must be what init made of this network, got"
        ):
            rule(network, trace, t, own, state)
