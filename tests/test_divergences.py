"""Matching losses near and far: relative errors against 50 digits, overflow, and the definition."""

import math

import high_precision_losses
import numpy as np
import pytest
from bridge import every_dtype
from numpy.testing import assert_allclose, assert_array_equal

from locoprop_ref import constant_slope
from locoprop_ref.losses import matching_loss
from locoprop_ref.transfers import TRANSFERS, Transfer, transfer

every_transfer = pytest.mark.parametrize("name", TRANSFERS)

CENTRES = (-20.0, -0.4, 0.0, 2.0, 18.0)
DIFFERENCES = (1e-6, 0.1, 0.9, 8.0)


def pairs(dtype):
    """Rows of two (â, a): every centre with every difference, in a row with another pair."""
    a = np.array([c for c in CENTRES for _ in DIFFERENCES for _ in "+-"])
    d = np.array([s * d for _ in CENTRES for d in DIFFERENCES for s in (1, -1)])
    a, d = np.stack([a, np.roll(a, 5)], axis=1), np.stack([d, np.roll(d, 1)], axis=1)
    a = a.astype(dtype)
    return a + d.astype(dtype), a


@every_transfer
@every_dtype
@pytest.mark.each("name")
def test_no_digits_are_lost_however_near_the_arguments_are(backend, name, dtype):
    """By its definition in 50 digits, with differences from 1e-6 on; relative errors.

    Bound: 64 roundings. Up to 34 were seen, of tanh and sigmoid where D is 1e-15 and below: an error of half
    a rounding in an exponent of 40 makes one of 20 in the power.
    """
    a_hat, a = pairs(dtype)
    got = backend.numpy(matching_loss(transfer(name), backend.asarray(a_hat), backend.asarray(a)))
    rows = zip(a_hat.astype(float).tolist(), a.astype(float).tolist(), strict=True)
    wanted = [high_precision_losses.matching_loss(name, *row)[0] for row in rows]
    assert_allclose(got, np.array(wanted, dtype=float), rtol=64 * np.finfo(dtype).eps, atol=0)


def test_softmax_keeps_the_digits_of_a_rare_class():
    """D is of the size of its probability, 1e-26, far below a rounding of the mean of the differences."""
    a_hat, a = np.array([[0.3, -59.2, -60.0]]), np.array([[0.0, -60.0, -61.0]])
    wanted = high_precision_losses.matching_loss("softmax", a_hat[0].tolist(), a[0].tolist())[0]
    # 64 roundings: half a rounding in an exponent of 60 makes one of 30 in the power
    assert_allclose(matching_loss(transfer("softmax"), a_hat, a), [float(wanted)], rtol=64 * 2.0**-52)


@pytest.mark.parametrize("name", ["identity", "relu", "leaky_relu", "elu", "softplus"])
@every_dtype
def test_losses_beyond_the_largest_float_are_infinite(name, dtype):
    """F(â) and F(a) overflow both: their difference is not a number, D is ∞."""
    huge = 0.9 * float(np.finfo(dtype).max)
    a_hat, a = np.array([huge, huge / 2], dtype), np.array([huge / 2, huge], dtype)
    with np.errstate(over="ignore"):
        assert_array_equal(matching_loss(transfer(name), a_hat, a), [math.inf, math.inf])


@every_transfer
@every_dtype
def test_no_loss_of_large_numbers_is_nan(name, dtype):
    large = np.array([0.0, 1.0, 50.0, 800.0, 1e18, 1e37], dtype)
    large = np.concatenate([large, -large])
    a_hat, a = np.stack(np.meshgrid(large, large), axis=0).reshape(2, -1, 2)
    with np.errstate(over="ignore"):
        D = matching_loss(transfer(name), a_hat, a)
    assert (D >= 0).all()  # which nan is not


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "arctan"])
def test_losses_grow_like_the_distance_where_f_is_bounded(name):
    """D(−s, s)/s tends to f(∞) − f(−∞): F(∓s) grows like −f(∓∞)s."""
    f, s = transfer(name), np.array([1e6, 1e100, 1e300])
    assert_allclose(matching_loss(f, -s, s) / s, f.high - f.low, rtol=1e-4)


def test_losses_without_a_form_of_their_own_follow_the_definition():
    f = transfer("tanh")
    own = Transfer("own", f=f._f, F=f._F, derivative=f._derivative, low=-1, high=1)
    a_hat, a = np.random.default_rng(0).normal(size=(2, 5, 3))
    wanted = f.F(a_hat) - f.F(a) - f.f(a) * (a_hat - a)
    assert_array_equal(matching_loss(own, a_hat, a), wanted)
    p = transfer("softmax")
    rows = Transfer("rows", f=p._f, F=p._F, vjp=p._vjp)
    assert_allclose(matching_loss(rows, a_hat, a), matching_loss(p, a_hat, a), rtol=1e-13)


def test_losses_of_constant_slope_and_of_sign():
    a_hat, a = np.array([2.0, -2.0, 3.0, -1e9]), np.array([1.0, 1.0, -5.0, -1e9 - 1])
    assert_array_equal(matching_loss(constant_slope(0.5), a_hat, a), (a_hat - a) ** 2 / 4)
    assert_array_equal(matching_loss(transfer("sign"), a_hat, a), [0, 4, 6, 0])
    assert_array_equal(matching_loss(transfer("sign"), a_hat, 0 * a), [0, 4, 0, 2e9])  # sign(0) = 1


def test_losses_with_a_slope_or_alpha():
    """Across the kink, by the definition; 16 roundings of numbers up to 10."""
    a_hat, a = np.array([2.0, -2.0, -1.0]), np.array([-1.0, 1.5, -3.0])
    for f in (transfer("leaky_relu", slope=0.3), transfer("elu", alpha=2.0), transfer("elu", alpha=0)):
        wanted = f.F(a_hat) - f.F(a) - f.f(a) * (a_hat - a)
        assert_allclose(matching_loss(f, a_hat, a), wanted, rtol=0, atol=16 * 10 * 2.0**-52)


def test_a_form_of_ones_own_must_be_a_function():
    f = transfer("tanh")
    with pytest.raises(TypeError, match=r"^D must be a function of two arrays and their namespace, got"):
        Transfer("own", f=f._f, F=f._F, derivative=f._derivative, D=1.0)
