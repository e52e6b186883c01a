"""Feedback alignment, direct or not, against loops; with the network's own weights it is LocoProp."""

import naive
import numpy as np
import pytest
from bridge import (
    CASES,
    assert_close,
    draw,
    every_dtype,
    lists,
    naive_layers,
    snapshot,
    some_cases,
    stacked_arrays,
)
from numpy.testing import assert_array_equal

from locoprop_ref import Descend, FeedbackTargets, LocoProp, Targets, initialize, optimizer, transfer
from locoprop_ref.network import backward, forward
from locoprop_ref.targets import GradientTargets
from locoprop_ref.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

paths = pytest.mark.parametrize("path", ["alignment", "direct"])
POSITIONS = {"convolution": "4x4x1-c2x3/2-m2/1-4-2", "recurrent": "3x2-r3-r3-2"}


def own(layer):
    return layer.transfer


def squared(layer):
    return transfer("identity")


def errors_by_loops(backend, network, x, t, feedback, path):
    """g of every layer, example by example: the chain rule with R in place of W, in lists."""
    layers = naive_layers(backend, network)
    a_hats = naive.forward(layers, lists(backend, x))[1]
    g_last = lists(backend, network.loss.g(forward(network, x).a_hat[-1], t, network.layers[-1].transfer))
    found = [g_last]
    for m in range(len(layers) - 2, -1, -1):
        R, rows = lists(backend, feedback[m]), []
        for a_hat, g in zip(a_hats[m], found[-1] if path == "alignment" else g_last, strict=True):
            u = [sum(R[i][k] * g[k] for k in range(len(g))) for i in range(len(R))]
            slopes = naive.jacobian(layers[m][2], a_hat)
            rows.append([sum(u[i] * slopes[i][j] for i in range(len(u))) for j in range(len(u))])
        found.append(rows)
    return found[::-1]


def with_positions(words, backend):
    network = initialize(words, transfers="tanh", xp=backend.xp, device=backend.device, seed=2)
    rng = np.random.default_rng(0)
    return network, *(backend.asarray(rng.normal(size=(4, n))) for n in (network.layers[0].inputs, 2))


@some_cases
@paths
def test_errors_agree_with_loops(backend, case, path):
    """Sums of at most four terms a layer, three layers: 1e3 roundings, of â and γg."""
    network, x, t = draw(backend, case, sizes=(3, 4, 5, 2))
    rule, trace = FeedbackTargets(0.5, path), forward(network, x)
    state = rule.init(network, 3)
    given, after = rule(network, trace, t, squared, state)
    assert after is state
    wanted = errors_by_loops(backend, network, x, t, state["feedback"], path)
    for one, a_hat, g in zip(given, trace.a_hat, wanted, strict=True):
        scale = float(np.max(np.abs(backend.numpy(a_hat)))) + float(np.max(np.abs(g)))
        assert_close(backend, 2 * (a_hat - one.y_target), g, dtype="float64", units=1e3, scale=scale)


@every_dtype
@paths
def test_one_gradient_step_on_the_matching_loss_is_the_rule_itself(backend, dtype, path):
    """W̃ ← W̃ − s·γ X̃ᵀg, with the γ and the g of the rule (I1 for another g)."""
    network, x, t = draw(backend, CASES[3], dtype=dtype)
    ours = LocoProp("matching", FeedbackTargets(2.0, path), solver=Descend(optimizer("sgd"), 0.1, 1))
    state = ours.init(network, 3)
    moved, _, _ = ours.step(network, state, x, t)
    g = errors_by_loops(backend, network, x, t, state["targets"]["feedback"], path)
    inputs = naive.forward(naive_layers(backend, network), lists(backend, x))[0]
    old = stacked_arrays(backend, network)
    for layer, W0, rows, g_m in zip(moved.layers, old, inputs, g, strict=True):
        wanted = W0 - 0.2 * np.array(naive.with_ones(rows)).T @ np.array(g_m)
        assert_close(backend, layer.stacked, wanted, dtype=dtype, units=1e3)


@pytest.mark.parametrize("positions", ["dense", *POSITIONS])
def test_with_the_networks_own_weights_it_is_locoprop(backend, positions):
    """Bit for bit: the same backward pass. The weights of the layers above stand in the state."""
    network, x, t = (
        draw(backend, CASES[3]) if positions == "dense" else with_positions(POSITIONS[positions], backend)
    )
    trace = forward(network, x)
    state = {"feedback": tuple(layer.W for layer in network.layers[1:])}
    pair = (
        FeedbackTargets(3.0)(network, trace, t, own, state)[0],
        GradientTargets(3.0)(network, trace, t, own, {})[0],
    )
    for one, other in zip(*pair, strict=True):
        assert_array_equal(backend.numpy(one.y_target), backend.numpy(other.y_target))


def test_direct_feedback_of_a_convolution_has_a_matrix_for_all_positions(backend):
    """Position by position: row p·d + i of R belongs to unit i at position p."""
    network, x, t = with_positions(POSITIONS["convolution"], backend)
    rule, trace = FeedbackTargets(1.0, "direct"), forward(network, x)
    state = rule.init(network, 1)
    given, _ = rule(network, trace, t, squared, state)
    g_last = backend.numpy(backward(network, trace, t)[-1])
    R, P, d = backend.numpy(state["feedback"][0]), network.layers[0].positions, 3
    assert R.shape == (P * d, 2)
    assert P == 4
    a_hat = backend.numpy(trace.a_hat[0])
    g = a_hat - backend.numpy(given[0].y_target)
    for p in range(P):
        for b in range(4):
            row = p * 4 + b
            wanted = R[p * d : (p + 1) * d] @ g_last[b] * (1 - np.tanh(a_hat[row]) ** 2)
            np.testing.assert_allclose(g[row], wanted, rtol=0, atol=1e-14)


@paths
def test_the_matrices_come_from_the_seed_alone(backend, path):
    """The same on every library, as drawn by NumPy; other seeds, other matrices; not the weights' numbers."""
    network = initialize((3, 5, 4, 2), transfers="tanh", xp=backend.xp, device=backend.device, seed=3)
    here, again, other = (FeedbackTargets(path=path).init(network, seed)["feedback"] for seed in (3, 3, 4))
    rng = np.random.default_rng([3, 0, 2])
    for a, b, c, layer in zip(here, again, other, network.layers[1:], strict=True):
        assert_array_equal(backend.numpy(a), backend.numpy(b))
        assert not np.allclose(backend.numpy(a), backend.numpy(c))
        wanted = rng.uniform(-1, 1, a.shape) * (6 / sum(a.shape)) ** 0.5
        assert_array_equal(backend.numpy(a), wanted)
        assert path == "direct" or not np.allclose(backend.numpy(a), backend.numpy(layer.W))
    wide = FeedbackTargets(path=path, scale=2).init(network, 3)["feedback"][0]
    assert_array_equal(backend.numpy(wide), 2 * backend.numpy(here[0]))


@paths
def test_the_network_learns_to_follow_its_feedback(path, numpy_backend):
    """Its loss falls to below a third although no error goes through its own weights."""
    network = initialize((4, 12, 2), transfers=("tanh", "identity"))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    t = np.tanh(x[:, :2] - x[:, 2:])
    ours = LocoProp("matching", FeedbackTargets(1.0, path), solver=Descend(optimizer("sgd"), 0.5, 1))
    state, losses = ours.init(network, 1), []
    for _ in range(80):
        losses.append(
            float(network.loss.value(forward(network, x).a_hat[-1], t, network.layers[-1].transfer))
        )
        network, state, _ = ours.step(network, state, x, t)
    assert losses[-1] < losses[0] / 3


@paths
def test_a_run_that_is_continued_from_a_checkpoint_is_the_uninterrupted_one(path, tmp_path, numpy_backend):
    network, x, t = draw(numpy_backend, CASES[3])
    ours = LocoProp("matching", FeedbackTargets(2.0, path), solver=Descend(optimizer("adam"), 0.1, 2))
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
    for a, b in zip(whole[0].layers, again[0].layers, strict=True):
        assert_array_equal(a.stacked, b.stacked)


def test_bad_settings_are_told_in_one_sentence():
    for settings, sentence in [
        ({"step": 0}, "step must be a positive number, got 0"),
        ({"scale": -1}, "scale must be a positive number, got -1"),
        ({"path": "indirect"}, "path must be one of alignment, direct, got 'indirect'"),
    ]:
        with pytest.raises(ValueError, match="^" + sentence):
            FeedbackTargets(**settings)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        FeedbackTargets().init(initialize((2, 1), transfers="tanh"), -1)


def test_a_state_of_another_network_or_rule_is_refused(numpy_backend):
    network, x, t = draw(numpy_backend, CASES[3])
    rule, trace = FeedbackTargets(), forward(network, x)
    others = [draw(numpy_backend, CASES[3], sizes=sizes)[0] for sizes in ((3, 5, 3, 2), (3, 2))]
    single = draw(numpy_backend, CASES[3], dtype="float32")[0]
    for state in ({}, {**rule.init(network), "more": 1}, *map(rule.init, (*others, single))):
        with pytest.raises(
            ValueError, match=r"^state\['targets'\] must be what init made of this network, got"
        ):
            rule(network, trace, t, own, state)
