"""Kronecker targets against K-FAC, which is another code path, and against loops with explicit inverses."""

import numpy as np
import pytest
from bridge import CASES, assert_close, draw, every_dtype, lists, snapshot
from factored_runs import every_loss
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import ClosedForm, KroneckerTargets, LocoProp, Targets, initialize, locoprop_s_closed
from locoprop_ref.methods.fisher import sample_output
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.kronecker import damping_shares, output_factor
from locoprop_ref.network import backward, forward
from locoprop_ref.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SIZES = "4x4x1-c2x3/2-4-2"
fishers = pytest.mark.parametrize("fisher", ["sampled", "empirical"])


def own(layer):
    return layer.transfer


def drawn_convolution(case, backend=None):
    xp, device = (None, None) if backend is None else (backend.xp, backend.device)
    network = initialize(
        SIZES, transfers=[case[0], case[0], case[1]], output_loss=case[2], xp=xp, device=device
    )
    rng = np.random.default_rng(3)
    t = np.eye(2)[rng.integers(2, size=5)]
    x = rng.normal(size=(5, 16))
    return network, *((x, t) if backend is None else (backend.asarray(x), backend.asarray(t)))


@fishers
@every_loss
@pytest.mark.parametrize("positions", ["dense", "convolution"])
def test_s_in_closed_form_with_these_targets_is_kfac(backend, case, fisher, positions):
    """E2, layer by layer: K-FAC's damping, split by the traces, gives every layer its own η and δ.

    Both solve with (A + 1/(ηB)) and (G + δI), whose conditions are below 1e4 together: 1e4 roundings of the
    weights and their change.
    """
    network, x, t = draw(backend, case, seed=4) if positions == "dense" else drawn_convolution(case, backend)
    damping, gamma, B = 0.1, 3.0, x.shape[0]
    kfac = KFAC(gamma / B, damping, momentum=0.0, fisher=fisher, factor_decay=0.0)
    moved, state, _ = kfac.step(network, kfac.init(network, 7), x, t)
    for m, layer in enumerate(network.layers):
        kept = state["layers"][m]
        on_A, on_G = (float(share) for share in damping_shares(kept["A"], kept["G"], damping))
        rule = KroneckerTargets(gamma, on_G, fisher)
        ours = LocoProp("squared", rule, weight_step=1 / (B * on_A), solver=ClosedForm())
        got, _, _ = ours.step(network, ours.init(network, 7), x, t)
        wanted = backend.numpy(moved.layers[m].stacked)
        scale = 2 * float(np.max(np.abs(backend.numpy(layer.stacked)))) + float(np.max(np.abs(wanted)))
        assert np.abs(wanted - backend.numpy(layer.stacked)).max() > 1e-3
        assert_close(backend, got.layers[m].stacked, wanted, dtype="float64", units=1e4, scale=scale)


@every_loss
@every_dtype
def test_targets_agree_with_explicit_inverses_of_a_running_average(backend, case, dtype):
    """Two batches. The condition of G + δI is below 100: 1e4 roundings of â and its displacement."""
    network, x, t = draw(backend, case, dtype=dtype)
    rule = KroneckerTargets(2.0, 0.5, "empirical", factor_decay=0.8)
    state, averages = rule.init(network), None
    for seed in (0, 1):
        _, x, t = draw(backend, case, seed=seed, dtype=dtype)
        trace = forward(network, x)
        gs = [np.array(lists(backend, g)) for g in backward(network, trace, t)]
        new = [sum(np.outer(5 * row, 5 * row) for row in g) / 5 for g in gs]  # B = 5
        averages = (
            new if averages is None else [0.5 * a + 0.5 * n for a, n in zip(averages, new, strict=True)]
        )
        given, state = rule(network, trace, t, own, state)
        for one, layer, a_hat, g, G in zip(given, network.layers, trace.a_hat, gs, averages, strict=True):
            d = 2 * g @ np.linalg.inv(G + 0.5 * np.eye(len(G)))
            wanted = backend.numpy(layer.transfer.f(a_hat - backend.asarray(d, dtype)))
            scale = 1 + float(np.abs(d).max())
            assert_close(backend, one.y_target, wanted, dtype=dtype, units=1e4, scale=scale)
    assert state["step"] == 2


def test_every_sampled_step_draws_labels_of_its_own(backend):
    """G of the second step is made of the second draw, with the seed that `init` was given."""
    network, x, t = draw(backend, CASES[3])
    rule, trace = KroneckerTargets(fisher="sampled"), forward(network, x)
    _, state = rule(network, trace, t, own, rule.init(network, 11))
    _, state = rule(network, trace, t, own, state)
    drawn = sample_output(network, trace.a_hat[-1], seed=11, step=1)
    for G, g in zip(state["G"], backward(network, trace, drawn), strict=True):
        assert_array_equal(backend.numpy(G), backend.numpy(output_factor(g, 5)))


def test_without_a_factor_it_is_s_itself(numpy_backend):
    """A damping far above G leaves the direction of g: δγ for γ. The rest is G/δ, below 1e-9."""
    network, x, t = draw(numpy_backend, CASES[3])
    ours = LocoProp("squared", KroneckerTargets(3e10, 1e10), weight_step=0.2, solver=ClosedForm())
    plain = locoprop_s_closed(target_step=3.0, weight_step=0.2)
    one, other = (how.step(network, how.init(network), x, t)[0] for how in (ours, plain))
    for a, b in zip(one.layers, other.layers, strict=True):
        assert_allclose(a.stacked, b.stacked, rtol=0, atol=1e-8)


def test_it_is_another_direction_than_that_of_s(numpy_backend):
    """Not equal, by this much: the best multiple of S's step leaves more than a tenth of K-FAC's."""
    network, x, t = draw(numpy_backend, CASES[3])
    ours = LocoProp("squared", KroneckerTargets(3.0, 0.01), weight_step=0.2, solver=ClosedForm())
    plain = locoprop_s_closed(target_step=3.0, weight_step=0.2)
    one, other = (
        how.step(network, how.init(network), x, t)[0].layers[0].stacked - network.layers[0].stacked
        for how in (ours, plain)
    )
    cosine = np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine < 0.995


@fishers
def test_a_run_that_is_continued_from_a_checkpoint_is_the_uninterrupted_one(fisher, tmp_path, numpy_backend):
    network, x, t = draw(numpy_backend, CASES[3])
    ours = LocoProp("squared", KroneckerTargets(1.0, 0.1, fisher, 0.9), weight_step=0.1, solver=ClosedForm())
    assert isinstance(ours.targets, Targets)
    state = ours.init(network, 5)
    before = snapshot(numpy_backend, network, state)
    first = ours.step(network, state, x, t)
    assert snapshot(numpy_backend, network, state) == before  # nothing is written into
    whole = ours.step(first[0], first[1], x, t)
    run = {"config": {"method": "locoprop-s-closed"}}
    save_checkpoint(tmp_path / "c.npz", Checkpoint(first[0], first[1], None, run))
    kept = load_checkpoint(tmp_path / "c.npz", xp=np)
    again = ours.step(kept.network, kept.state, x, t)
    for a, b in zip(whole[0].layers, again[0].layers, strict=True):
        assert_array_equal(a.stacked, b.stacked)
    for a, b in zip(whole[1]["targets"]["G"], again[1]["targets"]["G"], strict=True):
        assert_array_equal(a, b)
    assert again[1]["targets"]["step"] == 2
    assert again[1]["targets"]["seed"] == 5


BAD = [
    ({"step": 0}, ValueError, "step must be a positive number, got 0"),
    ({"damping": 0}, ValueError, "damping must be a positive number, got 0"),
    ({"fisher": "own"}, ValueError, "fisher must be one of sampled, empirical, got 'own'"),
    ({"factor_decay": 1}, ValueError, "factor_decay must be at least 0 and below 1, got 1"),
]


@pytest.mark.parametrize(("settings", "error", "sentence"), BAD)
def test_bad_settings_are_told_in_one_sentence(settings, error, sentence):
    with pytest.raises(error, match="^" + sentence):
        KroneckerTargets(**settings)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        KroneckerTargets().init(initialize((2, 1), transfers="tanh"), -1)


def test_a_state_of_another_network_or_rule_is_refused(numpy_backend):
    network, x, t = draw(numpy_backend, CASES[3])
    rule, trace = KroneckerTargets(), forward(network, x)
    others = [draw(numpy_backend, CASES[3], sizes=sizes)[0] for sizes in ((3, 5, 3, 2), (3, 2))]
    single = draw(numpy_backend, CASES[3], dtype="float32")[0]
    for state in ({}, {**rule.init(network), "more": 1}, *map(rule.init, (*others, single))):
        with pytest.raises(
            ValueError, match=r"^state\['targets'\] must be what init made of this network, got"
        ):
            rule(network, trace, t, own, state)
