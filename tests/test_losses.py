"""Losses: the matching loss against 50 digits and quadrature; network losses where outputs saturate."""

import high_precision_losses
import naive
import numpy as np
import pytest
from bridge import every_dtype, lists, naive_transfer
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref.losses import OUTPUT_LOSSES, matching_loss, output_loss
from locoprop_ref.transfers import TRANSFERS, transfer

every_transfer = pytest.mark.parametrize("name", TRANSFERS)
number = st.floats(-30, 30)


def random_rows(seed, shape=(4, 3), size=3.0):
    return np.random.default_rng(seed).normal(0, size, shape)


# the matching loss --------------------------------------------------------------------------------


@every_transfer
@every_dtype
def test_matching_loss_agrees_with_its_definition_in_50_digits(backend, name, dtype):
    """I5. Bound: 16 roundings of 1 + abs(F(â)) + abs(F(a)) + abs(f(a)(â − a)), whose difference it is."""
    f = transfer(name)
    a_hat, a = backend.asarray(random_rows(1), dtype), backend.asarray(random_rows(2), dtype)
    got = backend.numpy(matching_loss(f, a_hat, a))
    rows = zip(lists(backend, a_hat), lists(backend, a), strict=True)
    wanted, size = zip(*(high_precision_losses.matching_loss(name, *row) for row in rows), strict=True)
    assert got.dtype == np.dtype(dtype)
    error = np.abs(got - np.array(wanted, dtype=float))
    assert (error <= 16 * np.finfo(dtype).eps * np.array(size, dtype=float)).all()


@every_transfer
def test_matching_loss_agrees_with_quadrature(name):
    """F by composite Gauss–Legendre from 0, which shares no error with a formula; never across the kink."""
    f = transfer(name)
    a_hat, a = random_rows(3, (3, 2), 2.0), random_rows(4, (3, 2), 2.0)
    got = matching_loss(f, a_hat, a)
    got = got.sum(axis=-1) if f.elementwise else got
    wanted = [naive.divergence(naive_transfer(f), *z) for z in zip(a_hat.tolist(), a.tolist(), strict=True)]
    assert_allclose(got, wanted, rtol=0, atol=1e-12 * 20)  # F and f·a up to 20 here


@every_transfer
@given(a_hat=st.lists(number, min_size=2, max_size=2), a=st.lists(number, min_size=2, max_size=2))
def test_matching_loss_is_a_divergence(name, a_hat, a):
    """Never negative, zero at a, to the rounding of its terms; relu: exactly zero for two negatives."""
    f, p, q = transfer(name), np.array([a_hat]), np.array([a])
    terms = 1 + np.abs(f.F(p)).max() + np.abs(f.F(q)).max() + np.abs(f.f(q) * (p - q)).sum()
    assert matching_loss(f, p, q).min() >= -1e-14 * terms
    assert_allclose(matching_loss(f, q, q), 0, rtol=0, atol=0 if f.elementwise else 1e-14 * terms)
    if name == "relu":
        assert_array_equal(matching_loss(f, -np.abs(p), -np.abs(q)), 0)


@given(a_hat=number, a=number)
def test_matching_loss_of_the_identity_is_half_the_square(a_hat, a):
    got = matching_loss(transfer("identity"), np.array([a_hat]), np.array([a]))
    # a²/2 − b²/2 − b(a − b): four roundings of numbers up to the larger square
    assert_allclose(got, (a_hat - a) ** 2 / 2, rtol=0, atol=1e-14 * max(a_hat**2, a**2, 1e-300))


@every_transfer
def test_matching_loss_tells_near_from_far(name):
    """Strictly positive for points that f tells apart: the loss is no constant."""
    f = transfer(name)
    a, b = np.array([[0.5, -1.0]]), np.array([[1.5, -1.0]])
    assert matching_loss(f, a, b).max() > 0.03


# network losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
def test_network_loss_stays_finite_where_the_output_saturates(backend, name):
    """Values by hand at â = ±10⁴: cross-entropy is abs(â) for a wrong, 0 for a right answer."""
    last = {"sigmoid_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}.get(name, "tanh")
    a_hat, t = backend.asarray([[1e4, -1e4]], "float64"), backend.asarray([[0.0, 1.0]], "float64")
    loss, f = output_loss(name), transfer(last)
    wanted = {"squared_error": 2.5, "sigmoid_cross_entropy": 2e4, "softmax_cross_entropy": 2e4}[name]
    assert_allclose(backend.numpy(loss.value(a_hat, t, f)), wanted, rtol=1e-15)
    g = {"squared_error": [0.0, 0.0], "sigmoid_cross_entropy": [1, -1], "softmax_cross_entropy": [1, -1]}
    assert_allclose(backend.numpy(loss.g(a_hat, t, f)), [g[name]], atol=1e-15)


@pytest.mark.parametrize("name", OUTPUT_LOSSES)
@pytest.mark.parametrize("last", TRANSFERS)
def test_a_network_loss_goes_with_its_own_last_transfer(name, last):
    """A cross-entropy has the formulas of one transfer: with another they would be silently wrong."""
    loss, f, a = output_loss(name), transfer(last), np.zeros((2, 2))
    wanted = {"sigmoid_cross_entropy": "sigmoid", "softmax_cross_entropy": "softmax"}.get(name, last)
    for call in (lambda: loss.check_transfer(f), lambda: loss.value(a, a, f), lambda: loss.g(a, a, f)):
        if last == wanted:
            call()
            continue
        with pytest.raises(
            ValueError, match=f"^the last transfer must be '{wanted}' for {name}, got '{last}'$"
        ):
            call()
