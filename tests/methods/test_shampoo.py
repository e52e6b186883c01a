"""Shampoo against a program that forms every factor anew; roots in 50 digits and by another algorithm."""

import itertools
from dataclasses import replace

import naive_shampoo
import numpy as np
import pytest
from bridge import (
    CASES,
    assert_close,
    draw,
    every_dtype,
    lists,
    naive_layers,
    stacked_arrays,
    stacked_lists,
    with_and_without_bias,
)
from high_precision import mp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import fractional_matrix_power

from locoprop_ref.methods.roots import inverse_root
from locoprop_ref.methods.shampoo import Shampoo
from locoprop_ref.network import gradients, initialize, network_loss
from locoprop_ref.optimizers import AdaGrad

roots = pytest.mark.parametrize("root", [1, 2, 3, 4, 7])


# inverse roots ------------------------------------------------------------------------------------


def of_condition(condition, d=6, seed=0):
    """A symmetric matrix with eigenvalues from 1 down to 1/condition, as floats have it."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    A = Q * np.logspace(0, -np.log10(condition), d) @ Q.T
    return (A + A.T) / 2


def in_fifty_digits(A, root, ridge):
    eigenvalues, Q = mp.eigsy(mp.matrix(A.tolist()))
    powers = mp.diag([(value + mp.mpf(ridge)) ** (mp.mpf(-1) / root) for value in eigenvalues])
    return np.array((Q * powers * Q.T).tolist(), dtype=float)


@roots
@pytest.mark.parametrize("condition", [1.0, 1e3, 1e6, 1e10])
def test_roots_agree_with_fifty_digits_and_with_schur_pade(root, condition):
    """A is decomposed up to d·eps·λ_max, which (λ + ε)^{−1/p} multiplies by its slope: κ/p, relative."""
    A, ridge = of_condition(condition), 0.1 / condition
    got = inverse_root(A, root, ridge=ridge)
    wanted = in_fifty_digits(A, root, ridge)
    kappa = (1 + ridge) / (1 / condition + ridge)
    within = 6 * np.finfo(float).eps * max(kappa / root, 1) * np.abs(wanted).max()
    assert_allclose(got, wanted, rtol=0, atol=within)
    by_schur_pade = fractional_matrix_power(A + ridge * np.eye(6), -1 / root)
    assert_allclose(got, by_schur_pade, rtol=0, atol=20 * within)  # that algorithm has its own rounding


@roots
@every_dtype
def test_the_root_multiplied_out_is_the_inverse(backend, root, dtype):
    """Xᵖ(A + εI) = I: p + 1 products of a matrix of condition 10, each d roundings."""
    A = backend.asarray(of_condition(100.0), dtype)
    got = inverse_root(A, root, ridge=0.1)
    power = np.linalg.matrix_power(backend.numpy(got).astype(float), root)
    product = power @ (backend.numpy(A).astype(float) + 0.1 * np.eye(6))
    assert_allclose(product, np.eye(6), rtol=0, atol=10 * 6 * (root + 1) * np.finfo(dtype).eps)
    assert_close(backend, got, backend.numpy(got).T, dtype=dtype)


@every_dtype
def test_rounded_zeros_are_not_magnified(backend, dtype):
    """Rank 3 of 60: no eigenvalue of the root above the clip's (eps·λ_max)^{−1/4}, all above 0."""
    G = np.random.default_rng(1).normal(size=(60, 3)) * 30
    A = backend.asarray(G @ G.T, dtype)
    got = np.linalg.eigvalsh(backend.numpy(inverse_root(A, 4, ridge=1e-30)).astype(float))
    largest = np.linalg.eigvalsh(G @ G.T)[-1]
    clip = (np.finfo(dtype).eps * largest) ** -0.25
    assert_allclose(got[-1], clip, rtol=1e-4)  # float32's rounding of a sum over 60, of numbers of that size
    assert_allclose(got[0], largest**-0.25, rtol=1e-3)  # seen in the rounding of entries 1e2 times as large


@every_dtype
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_roots_of_very_small_and_very_large_matrices(backend, dtype, size):
    """(cA + cεI)^{−1/2} = c^{−1/2}(A + εI)^{−1/2}, to the rounding of a condition of 10."""
    A = of_condition(100.0)
    got = inverse_root(backend.asarray(A * size, dtype), 2, ridge=0.1 * size)
    assert_close(backend, got, size**-0.5 * in_fifty_digits(A, 2, 0.1), dtype=dtype)


def test_both_triangles_count_alike(backend):
    """A product that is not symmetric to the last bit: the same root from it and from its transpose."""
    A = of_condition(10.0)
    uneven = A + np.triu(np.full((6, 6), 1e-3), 1)
    got = inverse_root(backend.asarray(uneven), 4, ridge=0.1)
    assert_close(backend, got, in_fifty_digits((uneven + uneven.T) / 2, 4, 0.1), dtype="float64")
    other = inverse_root(backend.asarray(uneven.T), 4, ridge=0.1)
    assert_close(backend, got, backend.numpy(other), dtype="float64")


@every_dtype
def test_roots_of_zero_and_of_nan(backend, dtype):
    zero = backend.asarray(np.zeros((3, 3)), dtype)
    assert_close(backend, inverse_root(zero, 4, ridge=1e-4), 10 * np.eye(3), dtype=dtype)
    for value in (np.nan, np.inf):
        A = np.eye(3)
        A[1, 1] = value
        assert np.isnan(backend.numpy(inverse_root(backend.asarray(A, dtype), 4, ridge=1.0))).all()


BAD_ROOTS = {
    "matrix": (([[1.0]], 4), {"ridge": 1.0}, TypeError, "matrix must be an array"),
    "not square": ((np.ones((2, 3)), 4), {"ridge": 1.0}, ValueError, r"matrix must have shape \(3, any\)"),
    "vector": ((np.ones(2), 4), {"ridge": 1.0}, ValueError, "matrix must have 2 dimensions"),
    "root": ((np.eye(2), 0), {"ridge": 1.0}, ValueError, "root must be an integer of at least 1, got 0"),
    "ridge": ((np.eye(2), 4), {"ridge": 0.0}, ValueError, "ridge must be a positive number, got 0.0"),
}


@pytest.mark.parametrize("case", BAD_ROOTS)
def test_bad_matrices_are_told_in_one_sentence(case):
    arguments, settings, error, sentence = BAD_ROOTS[case]
    with pytest.raises(error, match="^" + sentence):
        inverse_root(*arguments, **settings)


# whole steps --------------------------------------------------------------------------------------

RATES = (1.0, 0.5, 0.0, 1.0, 2.0)
PLAIN = Shampoo(learning_rate=0.1, epsilon=0.1, inverse_interval=1)
COMBINATIONS = [
    {"statistics": statistics, "grafting": grafting, "momentum": momentum}
    | {"factor_interval": every, "inverse_interval": inverse}
    for statistics, grafting, (every, inverse), momentum in itertools.product(
        ("sum", "average"), ("none", "sgd", "rmsprop"), ((1, 1), (2, 3)), (0.0, 0.9)
    )
]


def batches_of(backend, case, dtype="float64"):
    return [draw(backend, case, seed=seed, dtype=dtype)[1:] for seed in range(len(RATES))]


def assert_steps_agree(backend, case, how, *, bias=True, dtype="float64"):
    """Five steps. A root is off by κ roundings, κ = (λ_max + ε)/ε ≤ 1e3 here, and so is the weight."""
    network, *_ = draw(backend, case, bias=bias, dtype=dtype)
    batches, state = batches_of(backend, case, dtype), how.init(network)
    in_lists = [
        (rate, *(lists(backend, array) for array in batch))
        for rate, batch in zip(RATES, batches, strict=True)
    ]
    steps = naive_shampoo.train(naive_layers(backend, network), in_lists, case[2], vars(how))
    for rate, (x, t), layers in zip(RATES, batches, steps, strict=True):
        network, state, info = how.step(network, state, x, t, rate=rate)
        assert info == {}
        for layer, wanted in zip(network.layers, stacked_lists(layers), strict=True):
            assert_close(backend, layer.stacked, wanted, dtype=dtype, units=1e3)


@pytest.mark.parametrize("settings", COMBINATIONS, ids=lambda s: "-".join(map(str, s.values())))
def test_every_combination_agrees_with_the_naive_program(backend, settings):
    assert_steps_agree(backend, CASES[3], replace(PLAIN, factor_decay=0.7, **settings))


@with_and_without_bias
@every_dtype
@pytest.mark.parametrize("case", [CASES[1], CASES[9 + 3], CASES[18 + 3]], ids="-".join)
def test_networks_agree_with_the_naive_program(backend, case, bias, dtype):
    how = replace(PLAIN, momentum=0.5, statistics="average", grafting="rmsprop", inverse_interval=2)
    assert_steps_agree(backend, case, how, bias=bias, dtype=dtype)


@pytest.mark.parametrize(
    "settings",
    [{"root": 2}, {"epsilon": 2.0}, {"factor_decay": 0.0}, {"grafting_decay": 0.2, "grafting_epsilon": 0.5}],
    ids=str,
)
def test_every_number_agrees_with_the_naive_program(numpy_backend, settings):
    how = replace(PLAIN, statistics="average", grafting="rmsprop", factor_decay=0.7)
    assert_steps_agree(numpy_backend, CASES[3], replace(how, **settings))


@every_dtype
@pytest.mark.parametrize("warm", [False, True], ids=["first", "second"])
def test_the_update_is_a_kronecker_product_times_the_gradient(backend, warm, dtype):
    """vec of one update is (L^{1/4} ⊗ R^{1/4})⁻¹ vec ∇, the matrix built densely (rows end to end).

    A first update is also ∇R^{−1/2}, since L and R share their eigenvalues then; a second one is not.
    """
    network, x, t = draw(backend, CASES[3], dtype=dtype)
    state, batches = PLAIN.init(network), [(x, t)]
    if warm:
        batches = [draw(backend, CASES[3], seed=7, dtype=dtype)[1:], (x, t)]
        _, state, _ = PLAIN.step(network, state, *batches[0], rate=0.0)
    moved, _, _ = PLAIN.step(network, state, x, t)
    arrays = (stacked_arrays(backend, n) for n in (network, moved))
    seen = [[backend.numpy(G).astype(float) for G in gradients(network, *batch)] for batch in batches]
    for old, new, *Gs in zip(*arrays, *seen, strict=True):
        L, R = (0.1 * np.eye(len(S)) + S for S in (sum(G @ G.T for G in Gs), sum(G.T @ G for G in Gs)))
        dense = np.linalg.inv(np.kron(fractional_matrix_power(L, 0.25), fractional_matrix_power(R, 0.25)))
        wanted = old - 0.1 * (dense @ Gs[-1].ravel()).reshape(old.shape)
        # κ of L and R is below 1e3, and their quarter roots and a tenth stand before it
        assert_allclose(new, wanted, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(wanted).max())


@every_dtype
def test_one_weight_is_adagrad(backend, dtype):
    """1×1: L = R = ε + Σg², and so w ← w − learning_rate·g/√(ε + Σg²); a rounding or two a step."""
    network, *_ = draw(backend, CASES[0], sizes=(1, 1), bias=False, dtype=dtype)
    how, adagrad = PLAIN, AdaGrad(dialect="tf1", initial_accumulator=0.1)
    state, total, w = how.init(network), 0.1, float(backend.numpy(network.layers[0].W)[0, 0])
    accumulated, by_adagrad = adagrad.init(network.layers[0].W), network.layers[0].W
    for seed in range(6):
        _, x, t = draw(backend, CASES[0], sizes=(1, 1), seed=seed, dtype=dtype)
        g = float(np.mean((backend.numpy(x) * w - backend.numpy(t)) * backend.numpy(x), dtype=float))
        change, accumulated = adagrad.update(gradients(network, x, t)[0], accumulated, 0.1)
        total, by_adagrad = total + g * g, by_adagrad - change
        w -= 0.1 * g / np.sqrt(total)
        network, state, _ = how.step(network, state, x, t)
        assert_close(backend, network.layers[0].W, [[w]], dtype=dtype, scale=1.0)
        assert_close(backend, network.layers[0].W, backend.numpy(by_adagrad), dtype=dtype, scale=1.0)


@every_dtype
@pytest.mark.parametrize("grafting", ["sgd", "rmsprop"])
def test_a_grafted_update_has_the_other_length_and_its_own_direction(backend, grafting, dtype):
    network, x, t = draw(backend, CASES[3], dtype=dtype)
    plain = PLAIN.step(network, PLAIN.init(network), x, t)[0]
    how = replace(PLAIN, grafting=grafting, grafting_decay=0.6, grafting_epsilon=0.3)
    grafted = how.step(network, how.init(network), x, t)[0]
    arrays = (stacked_arrays(backend, n) for n in (network, plain, grafted))
    for old, one, other, G in zip(*arrays, gradients(network, x, t), strict=True):
        G = backend.numpy(G).astype(float)
        rule = G if grafting == "sgd" else G / np.sqrt(0.6 + 0.4 * G**2 + 0.3)
        # changes are differences of weights up to 20 times as large: 100 roundings of the weights
        near = 100 * np.finfo(dtype).eps * np.abs(old).max()
        assert_allclose(np.linalg.norm(other - old), 0.1 * np.linalg.norm(rule), rtol=0, atol=near)
        direction = (one - old) / np.linalg.norm(one - old)
        assert_allclose(other - old, np.linalg.norm(other - old) * direction, rtol=0, atol=near)


def test_a_layer_without_gradient_stays(numpy_backend):
    """∇ = 0 exactly: nothing over nothing is no step, with and without grafting."""
    network, x, _ = draw(numpy_backend, CASES[0], sizes=(3, 2))
    t = x @ network.layers[0].W + network.layers[0].b
    for grafting in ("none", "sgd", "rmsprop"):
        how = replace(PLAIN, grafting=grafting)
        moved, _, _ = how.step(network, how.init(network), x, t)
        assert_array_equal(moved.layers[0].stacked, network.layers[0].stacked)


# its state ----------------------------------------------------------------------------------------

WHOLE = Shampoo(momentum=0.9, statistics="average", grafting="rmsprop", factor_interval=2, inverse_interval=3)
everything = pytest.mark.parametrize("how", [Shampoo(), WHOLE], ids=["plain", "whole"])


@everything
def test_rate_zero_moves_no_weight_but_warms_the_statistics(backend, how):
    network, x, t = draw(backend, CASES[3])
    still, warm, _ = how.step(network, how.init(network), x, t, rate=0.0)
    assert naive_layers(backend, still) == naive_layers(backend, network)
    assert warm["count"] == 1
    for layer, G in zip(warm["layers"], gradients(network, x, t), strict=True):
        G = backend.numpy(G)
        for got, wanted in zip(layer["factors"], (G @ G.T, G.T @ G), strict=True):
            assert_close(backend, got, wanted, dtype="float64")
        assert all(np.abs(backend.numpy(root)).max() > 0 for root in layer["roots"])


def large_network(dtype="float32"):
    sizes, transfers = (150, 220, 60, 220, 150), ["tanh", "relu", "tanh", "sigmoid"]
    network = initialize(sizes, transfers=transfers, output_loss="sigmoid_cross_entropy", dtype=dtype)
    return network, np.random.default_rng(3).random((200, sizes[0])).astype(dtype)


def test_float32_goes_with_float64():
    """Condition 1e5, beyond what float32's d·eps would allow: λ_max = 17, d = 220, ε = 1e-4.

    An eigenvalue is off by eps·λ_max = 2e-6, that is by 2 % where it is 0 and ε stands alone, and its quarter
    root by 0.5 %.
    """
    moves = {}
    for dtype in ("float32", "float64"):
        network, x = large_network(dtype)
        moved, _, _ = Shampoo().step(network, Shampoo().init(network), x, x)
        moves[dtype] = [new.W - old.W for new, old in zip(moved.layers, network.layers, strict=True)]
    for one, other in zip(moves["float32"], moves["float64"], strict=True):
        assert_allclose(np.linalg.norm(one - other), 0, rtol=0, atol=0.005 * np.linalg.norm(other))


@pytest.mark.parametrize("statistics", ["sum", "average"])
@pytest.mark.parametrize("grafting", ["none", "sgd", "rmsprop"])
def test_shampoo_learns(numpy_backend, statistics, grafting):
    """Thirty steps on one batch, grafted ones in gentle lengths: the loss falls by a fifth at least."""
    network, x, t = draw(numpy_backend, CASES[3], batch=8)
    t = np.tanh(t)
    rate = {"none": 0.1, "sgd": 0.3, "rmsprop": 0.03}[grafting]
    how = Shampoo(statistics=statistics, grafting=grafting, learning_rate=rate)
    state, before = how.init(network), network_loss(network, x, t)
    for _ in range(30):
        network, state, _ = how.step(network, state, x, t)
    assert network_loss(network, x, t) < 0.8 * before


# bad inputs ---------------------------------------------------------------------------------------

BAD = {
    "learning_rate": (0, ValueError, "learning_rate must be a positive number, got 0"),
    "epsilon": (0.0, ValueError, "epsilon must be a positive number, got 0.0"),
    "momentum": (1.0, ValueError, "momentum must be at least 0 and below 1, got 1.0"),
    "statistics": ("averag", ValueError, r"statistics must be .* \(did you mean 'average'\?\)"),
    "factor_decay": (-0.1, ValueError, "factor_decay must be at least 0 and below 1, got -0.1"),
    "root": (2.5, TypeError, "root must be an integer, got 2.5"),
    "grafting": (None, ValueError, "grafting must be one of none, sgd, rmsprop, got None"),
    "grafting_decay": (1, ValueError, "grafting_decay must be at least 0 and below 1, got 1"),
    "grafting_epsilon": (np.inf, ValueError, "grafting_epsilon must be a positive number, got inf"),
    "factor_interval": (0, ValueError, "factor_interval must be an integer of at least 1, got 0"),
    "inverse_interval": (True, TypeError, "inverse_interval must be an integer, got True"),
    "parallel_layers": ("no", TypeError, "parallel_layers must be True or False, got 'no'"),
}


@pytest.mark.parametrize("name", Shampoo.__dataclass_fields__)
def test_bad_settings_are_told_in_one_sentence(name):
    value, error, sentence = BAD[name]
    with pytest.raises(error, match="^" + sentence):
        Shampoo(**{name: value})


def test_a_state_without_its_count_is_refused_in_one_sentence():
    network, x = initialize((3, 2), transfers="tanh"), np.ones((4, 3))
    with pytest.raises(TypeError, match=r"^state\['count'\] must be an integer, got None"):
        Shampoo().step(network, {"layers": ({},)}, x, x[:, :2])
