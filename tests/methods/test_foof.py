"""FOOF against loops over examples, against LocoProp-S in closed form, and against itself."""

from math import inf

import naive_kfac
import numpy as np
import pytest
from bridge import (
    CASES,
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
    LOSSES,
    NET,
    SETTINGS,
    TANH,
    T,
    X,
    as_lists,
    assert_moved_alike,
    batches,
    every_loss,
    run,
)
from numpy.testing import assert_allclose

from locoprop_ref import backprop, initialize, locoprop_s_closed, network_loss
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.network import gradients

busy = {key: value for key, value in BUSY.items() if key != "kl_clip"}


# what it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "dtype"), [*((case, "float64") for case in CASES), *((case, "float32") for case in LOSSES)]
)
@pytest.mark.parametrize(("batch_size", "bias"), [(2, True), (9, False), (9, True)])
def test_on_this_batch_alone_it_is_locoprop_s_closed(backend, case, bias, batch_size, dtype):
    """s = γ/B, λ = 1/(ηB); over three batches, to rounding.

    100 roundings of the weights and of the change a step, times the condition 1 + ηλ_max of the system.
    """
    network, _, _ = draw(backend, case, bias=bias, dtype=dtype, batch=batch_size)
    gamma, eta = 3.0, 0.4
    some = batches(backend, case, dtype, batch=batch_size)[:3]
    some = [(1.0, x, t) for _, x, t in some]
    ours = FOOF(learning_rate=gamma / batch_size, damping=1 / (eta * batch_size), **ALONE)
    got, state = run(ours, network, some)
    wanted, _ = run(locoprop_s_closed(target_step=gamma, weight_step=eta), network, some)
    starts, gots, wanteds = (stacked_arrays(backend, n) for n in (network, got, wanted))
    for one, other, old, kept in zip(gots, wanteds, starts, state["layers"], strict=True):
        condition = 1 + eta * batch_size * np.linalg.norm(backend.numpy(kept["A"]), 2)
        size = np.abs(old).max() + np.abs(other - old).max()
        assert np.abs(other - old).max() > 1e-6
        assert_allclose(one, other, rtol=0, atol=300 * np.finfo(dtype).eps * condition * size)


def test_a_step_solves_with_the_whole_matrix(numpy_backend):
    """The change is that of the whole matrix A ⊗ I + λI, exact on any network; bound: condition 1e3."""
    network, x, t = draw(numpy_backend, LINEAR, sizes=(3, 4, 2))
    moved, _ = run(FOOF(learning_rate=0.5, damping=0.1, **ALONE), network, [(1.0, x, t)])
    labels = [[(1.0, row)] for row in t.tolist()]
    found = naive_kfac.moments(naive_layers(numpy_backend, network), x.tolist(), labels, "squared_error")
    both = (stacked_arrays(numpy_backend, n) for n in (network, moved))
    for (A, _, _), dW, old, new in zip(found, gradients(network, x, t), *both, strict=True):
        whole = np.kron(A, np.eye(dW.shape[1])) + 0.1 * np.eye(dW.size)
        change = -0.5 * np.linalg.solve(whole, dW.ravel()).reshape(dW.shape)
        assert np.abs(change).max() > 1e-3
        assert_allclose(new - old, change, rtol=0, atol=1e-12 * (np.abs(old).max() + np.abs(change).max()))


# loops over examples ------------------------------------------------------------------------------


@every_case
@with_and_without_bias
def test_eight_steps_agree_with_loops(backend, case, bias):
    network, _, _ = draw(backend, case, bias=bias)
    some = batches(backend, case)
    moved, _ = run(FOOF(**busy), network, some)
    layers, _ = naive_kfac.train(
        naive_layers(backend, network), as_lists(backend, some), case[2], busy, foof=True
    )
    assert_moved_alike(backend, moved, network, layers)


@every_loss
@every_dtype
def test_the_defaults_agree_with_loops(backend, case, dtype):
    network, _, _ = draw(backend, case, dtype=dtype)
    some = batches(backend, case, dtype)
    ours = FOOF(learning_rate=0.01, damping=0.1)
    moved, _ = run(ours, network, some)
    layers, _ = naive_kfac.train(
        naive_layers(backend, network), as_lists(backend, some), case[2], vars(ours), foof=True
    )
    assert_moved_alike(backend, moved, network, layers, dtype=dtype)


def test_rate_and_damping_are_by_default_those_of_locoprop_s_closed():
    """s = γ/B and λ = 1/(ηB) for γ = 100, η = 0.1 and a batch of 1000, as documented."""
    gamma, eta, batch_size = 100.0, 0.1, 1000
    closed = locoprop_s_closed()
    assert (closed.target_step, closed.weight_step) == (gamma, eta)
    assert_allclose(FOOF().learning_rate, gamma / batch_size, rtol=1e-15)
    assert_allclose(FOOF().damping, 1 / (eta * batch_size), rtol=1e-15)


# its state ----------------------------------------------------------------------------------------


def test_the_state_counts_the_steps(numpy_backend):
    _, state = run(FOOF(), NET, [(1.0, X, T)] * 3)
    assert state["step"] == 3


def test_rate_zero_warms_the_averages_alone(backend):
    network, x, t = draw(backend, TANH)
    moved, state = run(FOOF(), network, [(0.0, x, t)])
    assert naive_layers(backend, moved) == naive_layers(backend, network)
    layers = naive_layers(backend, network)
    labels = [[(1.0, row)] for row in lists(backend, t)]
    found = naive_kfac.moments(layers, lists(backend, x), labels, "squared_error")
    for layer, (A, _, _) in zip(state["layers"], found, strict=True):
        assert_allclose(backend.numpy(layer["A"]), A, rtol=0, atol=100 * 2e-16 * np.abs(A).max())
        assert np.abs(backend.numpy(layer["velocity"])).max() > 0


def test_it_learns_faster_than_gradient_descent():
    """Inputs with scales from 1 to 1/100, 60 steps: 0.6 of what SGD at its best leaves (0.40 to 0.82)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) * np.logspace(0, -2, 8)
    target = np.tanh(x @ (rng.normal(size=(8, 6)) * np.logspace(0, 2, 8)[:, None]))
    network = initialize((8, 12, 6), transfers=["tanh", "identity"])
    some = [(1.0, x, target)] * 60

    def loss(method):
        return float(network_loss(run(method, network, some)[0], x, target))

    by_sgd = min(loss(backprop("sgd", rate)) for rate in (0.03, 0.1, 0.2, 0.3))
    by_foof = loss(FOOF(learning_rate=0.3, damping=1e-2, inverse_interval=5))
    assert by_foof < 0.6 * by_sgd
    assert by_sgd < 0.25 * float(network_loss(network, x, target))


# bad inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [name for name in SETTINGS if name not in ("fisher", "clip")])
def test_bad_settings_are_told_in_one_sentence(case):
    settings, error, sentence = SETTINGS[case]
    with pytest.raises(error, match="^" + sentence):
        FOOF(**settings)


@pytest.mark.parametrize(
    ("state", "error", "sentence"),
    [
        (backprop("sgd").init(NET), TypeError, r"state\['step'\] must be an integer, got None"),
        ({"layers": ({},), "step": inf}, TypeError, r"state\['step'\] must be an integer, got inf"),
    ],
    ids=["another method", "step"],
)
def test_bad_states_are_told_in_one_sentence(state, error, sentence):
    with pytest.raises(error, match="^" + sentence):
        FOOF().step(NET, state, X, T)
