"""K-FAC against the whole Fisher matrix, against loops over examples, and against itself."""

from dataclasses import replace
from math import inf

import naive_kfac
import numpy as np
import pytest
from bridge import (
    draw,
    every_case,
    every_dtype,
    lists,
    naive_layers,
    stacked_arrays,
    with_and_without_bias,
)
from factored_runs import (
    ALONE,
    BUSY,
    LINEAR,
    NET,
    SETTINGS,
    SIGMOID_OUT,
    SOFTMAX_OUT,
    TANH,
    T,
    X,
    as_lists,
    assert_moved_alike,
    batches,
    every_loss,
    run,
)
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import backprop, gradients, initialize, network_loss
from locoprop_ref.methods.fisher import sample_output
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.kronecker import damping_shares, running_average
from locoprop_ref.network import forward

fishers = pytest.mark.parametrize("fisher", ["sampled", "empirical"])


def damped(A, G, F, damping):
    """F = A ⊗ G with the damping of both factors, multiplied out: the whole matrix that K-FAC solves with."""
    on_A, on_G = naive_kfac.shifts(A, G, damping)
    eye_A, eye_G = np.eye(len(A)), np.eye(len(G))
    return F + on_A * np.kron(eye_A, G) + on_G * np.kron(A, eye_G) + damping * np.kron(eye_A, eye_G)


# the whole Fisher matrix, where it is a Kronecker product ----------------------------------------


@every_case
@with_and_without_bias
def test_with_one_example_a_step_solves_with_the_whole_matrix(numpy_backend, case, bias):
    """B = 1: F = x̃x̃ᵀ ⊗ ddᵀ. The bound: 1e-16 times the condition of the damped matrix, below 1e4 squared."""
    network, x, t = draw(numpy_backend, case, bias=bias, batch=1)
    ours = KFAC(learning_rate=0.5, damping=0.1, fisher="empirical", **ALONE)
    moved, _ = run(ours, network, [(1.0, x, t)])
    layers = naive_layers(numpy_backend, network)
    found = naive_kfac.moments(layers, x.tolist(), [[(1.0, t[0].tolist())]], case[2])
    both = (stacked_arrays(numpy_backend, n) for n in (network, moved))
    rows = zip(found, gradients(network, x, t), *both, strict=True)
    for (A, G, F), dW, old, new in rows:
        assert_allclose(F, np.kron(A, G), rtol=0, atol=1e-14 * np.abs(F).max())
        change = -0.5 * np.linalg.solve(damped(A, G, F, 0.1), dW.ravel()).reshape(dW.shape)
        assert np.abs(change).max() > 0 or not np.any(dW)
        assert_allclose(new - old, change, rtol=0, atol=1e-9 * (np.abs(old).max() + np.abs(change).max()))


@pytest.mark.parametrize("sizes", [(3, 2), (3, 4, 3, 2)], ids=str)
@with_and_without_bias
def test_linear_networks_have_the_whole_fisher_matrix(numpy_backend, sizes, bias):
    """Identity transfers and squared error: d does not depend on x̃, so that F = A ⊗ G at any B.

    The expectation over the network's own labels is a mean over finitely many (`naive_kfac.outcomes`): a
    batch with each example once for each of them has the true Fisher matrix for its empirical one. It sets
    the inverses, at rate 0; the step after, on another batch, keeps them. The bounds: 100 roundings of F; the
    condition of the damped matrix, below 1e5, for its inverse and its solution.
    """
    network, x, t = draw(numpy_backend, LINEAR, sizes=sizes, bias=bias)
    layers = naive_layers(numpy_backend, network)
    labels = naive_kfac.own_labels(layers, x.tolist(), "squared_error")
    every_x = np.repeat(x, len(labels[0]), axis=0)
    every_t = np.array([answer for distribution in labels for _, answer in distribution])
    ours = KFAC(learning_rate=0.5, damping=0.05, momentum=0.0, fisher="empirical", factor_interval=2)
    _, state = run(ours, network, [(0.0, every_x, every_t)])
    moved, state, _ = ours.step(network, state, x, t)
    found = naive_kfac.moments(layers, x.tolist(), labels, "squared_error")
    both = (stacked_arrays(numpy_backend, n) for n in (network, moved))
    rows = zip(state["layers"], found, gradients(network, x, t), *both, strict=True)
    for kept, (A, G, F), dW, old, new in rows:
        assert_allclose(np.kron(kept["A"], kept["G"]), F, rtol=0, atol=100 * 2e-16 * np.abs(F).max())
        whole = np.linalg.inv(damped(A, G, F, 0.05))
        inverse = np.kron(kept["A_inverse"], kept["G_inverse"])
        assert_allclose(inverse, whole, rtol=0, atol=1e-11 * np.abs(whole).max())
        change = -0.5 * (whole @ dW.ravel()).reshape(dW.shape)
        scale = np.abs(old).max() + np.abs(change).max()
        assert np.abs(change).max() > 1e-3
        # the velocity of the first step, on a batch whose labels cancel, is rounding
        assert_allclose(new - old, change, rtol=0, atol=1e-11 * scale)


# loops over examples ------------------------------------------------------------------------------


@every_case
@with_and_without_bias
@fishers
def test_eight_steps_agree_with_loops(backend, case, bias, fisher):
    network, _, _ = draw(backend, case, bias=bias)
    some = batches(backend, case)
    moved, _ = run(KFAC(**BUSY, fisher=fisher), network, some, seed=7)
    layers, lengths = naive_kfac.train(
        naive_layers(backend, network), as_lists(backend, some), case[2], BUSY,
        seed=7 if fisher == "sampled" else None,
    )  # fmt: skip
    assert min(lengths) < 3e-5 < max(lengths)  # the clip cuts some steps and not others
    assert_moved_alike(backend, moved, network, layers)


@every_loss
@every_dtype
def test_the_defaults_agree_with_loops(backend, case, dtype):
    """No clip, an inverse every 20 steps; float32 with a damping that its rounding can bear."""
    network, _, _ = draw(backend, case, dtype=dtype)
    some = batches(backend, case, dtype)
    ours = KFAC(learning_rate=0.01, damping=0.1)
    moved, _ = run(ours, network, some, seed=3)
    layers, _ = naive_kfac.train(
        naive_layers(backend, network), as_lists(backend, some), case[2], vars(ours), seed=3
    )
    assert_moved_alike(backend, moved, network, layers, dtype=dtype)


@every_loss
def test_factors_are_means_over_examples(backend, case):
    """100 roundings: sums of five products."""
    network, x, t = draw(backend, case)
    _, state = run(KFAC(fisher="empirical"), network, [(1.0, x, t)])
    labels = [[(1.0, row)] for row in lists(backend, t)]
    found = naive_kfac.moments(naive_layers(backend, network), lists(backend, x), labels, case[2])
    for kept, (A, G, _) in zip(state["layers"], found, strict=True):
        assert_allclose(backend.numpy(kept["A"]), A, rtol=0, atol=100 * 2e-16 * np.abs(A).max())
        assert_allclose(backend.numpy(kept["G"]), G, rtol=0, atol=100 * 2e-16 * np.abs(G).max())


def test_running_averages_begin_as_plain_means():
    """Martens and Grosse: min(1 − 1/k, decay); the numbers are small integers over 4 and 2: exact."""
    numbers, average = (4.0, 8.0, 0.0, 12.0), 99.0
    seen = []
    for k, new in enumerate(numbers, start=1):
        average = running_average(average, new, k, 0.5)
        seen.append(average)
    assert seen == [4.0, 6.0, 3.0, 7.5]
    assert running_average(5.0, 3.0, 9, 0.0) == 3.0


@every_dtype
def test_damping_is_split_by_the_traces(backend, dtype):
    """By hand: mean eigenvalues 9 and 1/4, π = 6, √λ = 0.1; to 10 roundings."""
    A, G = backend.asarray(9 * np.eye(5), dtype), backend.asarray(np.eye(2) / 4, dtype)
    on_A, on_G = damping_shares(A, G, 0.01)
    assert str(on_A.dtype).endswith(dtype)
    got = [float(on_A), float(on_G)]
    assert_allclose(got, [0.6, 0.1 / 6], rtol=10 * np.finfo(dtype).eps)
    for zero in ((0 * A, G), (A, 0 * G), (0 * A, 0 * G)):
        assert_allclose([float(s) for s in damping_shares(*zero, 0.01)], [0.1, 0.1], rtol=1e-7)


@every_dtype
@fishers
def test_no_derivative_no_step(backend, fisher, dtype):
    """A last layer of dead units: its G is 0, its damped inverse is finite, and nothing moves."""
    network, x, t = draw(backend, ("relu", "relu", "squared_error"), sizes=(3, 2), dtype=dtype)
    dead = replace(network.layers[0], b=network.layers[0].b * 0 - 100)
    network = replace(network, layers=(dead,))
    moved, state = run(KFAC(fisher=fisher), network, [(1.0, x, t), (1.0, x, t)])
    assert_array_equal(backend.numpy(moved.layers[0].W), backend.numpy(dead.W))
    assert np.isfinite(backend.numpy(state["layers"][0]["G_inverse"])).all()


def test_the_clip_bounds_the_length_of_a_step(numpy_backend):
    """Without momentum the step's squared length in the damped metric is κ at most, and κ where it is cut."""
    network, x, t = draw(numpy_backend, TANH)
    for kappa in (1e-6, 1e-2, 1e6):
        ours = KFAC(damping=0.1, fisher="empirical", kl_clip=kappa, **ALONE)
        moved, state = run(ours, network, [(1.0, x, t)])
        free, _ = run(replace(ours, kl_clip=inf), network, [(1.0, x, t)])
        lengths = []
        for net in (moved, free):
            length = 0.0
            both = (stacked_arrays(numpy_backend, n) for n in (net, network))
            for kept, new, old in zip(state["layers"], *both, strict=True):
                metric = np.kron(np.linalg.inv(kept["A_inverse"]), np.linalg.inv(kept["G_inverse"]))
                length += (new - old).ravel() @ metric @ (new - old).ravel()
            lengths.append(length)
        # rounding of new − old, 1e-16 of weights near 1, against steps as short as 1e-5
        assert_allclose(lengths[0], min(kappa, lengths[1]), rtol=1e-9)


# draws from the network's output ------------------------------------------------------------------


@every_loss
def test_sampled_factors_tend_to_the_fisher_factors(numpy_backend, case):
    """20000 draws for one example: each entry within five standard errors of its expectation.

    An entry is the mean of d_i d_j over the draws. Its standard error, √(variance/20000), comes from the
    distribution itself: over all outcomes for the entropies; for normal draws d is normal too, and the
    variance of d_i d_j is G_ii G_jj + G_ij² (Isserlis). Five of them fail once in two million; the seed is
    fixed.
    """
    network, x, t = draw(numpy_backend, case, batch=1)
    layers, loss, N = naive_layers(numpy_backend, network), case[2], 20_000
    (labels,) = naive_kfac.own_labels(layers, x.tolist(), loss)
    _, state = run(KFAC(), network, [(0.0, np.repeat(x, N, axis=0), np.repeat(t, N, axis=0))])
    for m, kept in enumerate(state["layers"]):
        d = [naive_kfac.pairs(layers, x[0].tolist(), answer, loss)[m][1] for _, answer in labels]
        p = [p for p, _ in labels]
        G = sum(q * np.outer(v, v) for q, v in zip(p, d, strict=True))
        fourth = sum(q * np.outer(v, v) ** 2 for q, v in zip(p, d, strict=True))
        variance = fourth - G**2 if loss != "squared_error" else np.outer(np.diag(G), np.diag(G)) + G**2
        error = 5 * np.sqrt(np.maximum(variance, 0) / N) + 1e-12 * np.abs(G).max()  # the last: rounding
        assert np.median(error) < 0.2 * np.abs(G).max()  # the bound is one that could be missed
        assert (np.abs(kept["G"] - G) <= error).all(), (kept["G"], G, error)


@pytest.mark.each("case")
@every_loss
def test_draws_are_of_the_kind_the_loss_wants(backend, case):
    network, x, _ = draw(backend, case, batch=200)
    a_hat = forward(network, x).a_hat[-1]
    t = backend.numpy(sample_output(network, a_hat, seed=1, step=2))
    assert t.shape == (200, 2)
    if case is not TANH:
        assert set(np.unique(t).tolist()) == {0.0, 1.0}
    if case is SOFTMAX_OUT:
        assert_array_equal(t.sum(axis=1), np.ones(200))
    assert_array_equal(t, backend.numpy(sample_output(network, a_hat, seed=1, step=2)))
    for other in ({"seed": 2, "step": 2}, {"seed": 1, "step": 3}):
        assert np.any(t != backend.numpy(sample_output(network, a_hat, **other)))


def test_draws_are_none_of_the_numbers_that_weights_begin_with(numpy_backend):
    """One seed serves both. A correlation of 10,000 independent pairs is beyond 0.05 once in two million."""
    network, x, _ = draw(numpy_backend, SIGMOID_OUT, batch=5000)
    a_hat = 0 * forward(network, x).a_hat[-1]
    for seed in range(3):
        weights = np.random.default_rng(seed).random(10000)
        for step in range(3):
            drawn = numpy_backend.numpy(sample_output(network, a_hat, seed=seed, step=step)).ravel()
            assert abs(np.corrcoef(weights, drawn)[0, 1]) < 0.05
            assert abs(drawn.mean() - 0.5) < 0.025


@every_dtype
@pytest.mark.parametrize("case", [SIGMOID_OUT, SOFTMAX_OUT], ids="-".join)
def test_a_certain_output_is_drawn_as_it_is(backend, case, dtype):
    network, _, _ = draw(backend, case, dtype=dtype, batch=1)
    t = np.eye(2)[np.arange(1000) % 2]
    drawn = sample_output(network, backend.asarray(400 * t - 200, dtype), seed=0, step=0)
    assert drawn.dtype == network.layers[0].W.dtype
    assert_array_equal(backend.numpy(drawn), t)


@every_loss
def test_the_seed_decides_the_run(backend, case):
    network, _, _ = draw(backend, case)
    some = batches(backend, case)
    ours = KFAC(inverse_interval=1)  # so that the draws of all eight steps matter
    first, again, other = (naive_layers(backend, run(ours, network, some, seed)[0]) for seed in (5, 5, 6))
    assert first == again != other
    first, other = (
        naive_layers(backend, run(KFAC(fisher="empirical"), network, some, seed)[0]) for seed in (5, 6)
    )
    assert first == other  # draws nothing


# its state ----------------------------------------------------------------------------------------


def test_the_state_keeps_the_seed_and_counts_the_steps():
    _, state = run(KFAC(), NET, [(1.0, X, T)] * 3, seed=2)
    assert (state["seed"], state["step"]) == (2, 3)


def test_rate_zero_warms_the_averages_alone(backend):
    network, x, t = draw(backend, TANH)
    ours = KFAC(inverse_interval=1, kl_clip=1e-3)
    moved, state = run(ours, network, [(0.0, x, t), (0.0, x, t)])
    assert naive_layers(backend, moved) == naive_layers(backend, network)
    _, warm = run(ours, network, [(1.0, x, t)])
    for cold, warmed in zip(state["layers"], warm["layers"], strict=True):
        assert_allclose(backend.numpy(cold["A"]), backend.numpy(warmed["A"]), rtol=1e-14)  # one batch twice
        assert np.abs(backend.numpy(cold["G"])).max() > 0
        assert np.abs(backend.numpy(cold["velocity"])).max() > 0


def test_it_learns_faster_than_gradient_descent(numpy_backend):
    """Inputs with scales from 1 to 1/100, 60 steps: half of what SGD at its best leaves (0.34 to 0.82).

    Ill-conditioned inputs are what A undoes. SGD's rate is the best of a grid on this very problem; K-FAC's
    settings are one guess.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) * np.logspace(0, -2, 8)
    target = np.tanh(x @ (rng.normal(size=(8, 6)) * np.logspace(0, 2, 8)[:, None]))
    network = initialize((8, 12, 6), transfers=["tanh", "identity"])
    some = [(1.0, x, target)] * 60

    def loss(method):
        return float(network_loss(run(method, network, some)[0], x, target))

    by_sgd = min(loss(backprop("sgd", rate)) for rate in (0.03, 0.1, 0.2, 0.3))
    by_kfac = loss(KFAC(learning_rate=0.1, damping=1e-3, inverse_interval=5))
    assert by_kfac < 0.5 * by_sgd
    assert by_sgd < 0.25 * float(network_loss(network, x, target))


# bad inputs ---------------------------------------------------------------------------------------

STATES = {
    "another method": (backprop("sgd").init(NET), TypeError, r"state\['step'\] must be an integer, got None"),
    "no step": ({"layers": ({},), "seed": 0}, TypeError, r"state\['step'\] must be an integer, got None"),
    "no seed": ({"layers": ({},), "step": 0}, TypeError, r"state\['seed'\] must be an integer, got None"),
    "step": ({"layers": ({},), "seed": 0, "step": -1}, ValueError, r"state\['step'\] must be an integer of"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_bad_settings_are_told_in_one_sentence(case):
    settings, error, sentence = SETTINGS[case]
    with pytest.raises(error, match="^" + sentence):
        KFAC(**settings)


@pytest.mark.parametrize("case", STATES)
def test_bad_states_are_told_in_one_sentence(case):
    state, error, sentence = STATES[case]
    with pytest.raises(error, match="^" + sentence):
        KFAC().step(NET, state, X, T)


@pytest.mark.parametrize(("seed", "error"), [(-1, ValueError), (0.5, TypeError), (True, TypeError)])
def test_bad_seeds_are_told_in_one_sentence(seed, error):
    with pytest.raises(error, match=r"^seed must be an integer"):
        KFAC().init(NET, seed)
