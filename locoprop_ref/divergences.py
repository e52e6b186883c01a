r"""Matching losses D_F(â, a) = F(â) − F(a) − f(a)·(â − a) without cancellation.

Where â is near a, the definition takes nearly equal numbers from each other: D is about ½f′(a)(â − a)², and
F(â), F(a) and f(a)·(â − a) may be larger by any factor. Each function here is the same D_F in a form of the
difference d = â − a whose terms have one sign, so that only a few roundings are lost. Where F(â) and F(a)
both overflow, it is a number or ∞, while the definition gives ∞ − ∞. With e(u) = eᵘ − 1 − u ≥ 0,

    sigmoid      log(1 + p·e(qd) + q·e(−pd)),    p = σ(a), q = 1 − p; tanh: the same with 2a and 2d
    softmax      log(1 + Σ p_j e(d_j − Σ p d))
    three points D(â, a) = D(m, a) + D(â, m) + (f(m) − f(a))(â − m), all ≥ 0 for m between a and â: at a kink
    remainder    D(â, a) = d² ∫₀¹ (1 − τ) f′(a + τd) dτ, by quadrature where f′ is smooth: softplus, arctan

`a_hat` and `a` are arrays of one shape and `xp` is their namespace.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from locoprop_ref import formulas

LARGE = 40.0  # e⁻⁴⁰ is below half a unit in the last place of 1, in float64 too


def squared(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return ½(â − a)², the matching loss of the identity."""
    return (a_hat - a) ** 2 / 2


def leaky_relu(a_hat: Any, a: Any, xp: Any, *, slope: float = 0.0) -> Any:
    """Return the matching loss of leaky ReLU, of ReLU for the slope 0."""
    above_hat, above = xp.maximum(a_hat, 0.0), xp.maximum(a, 0.0)
    below_hat, below = xp.minimum(a_hat, 0.0), xp.minimum(a, 0.0)
    d = below_hat - below
    own = (above_hat - above) ** 2 / 2 + (slope * d) * d / 2
    # across 0: (f(0) − f(a))(â − 0)
    return own + xp.where(a > 0, -above * below_hat, (-slope * below) * above_hat)


def elu(a_hat: Any, a: Any, xp: Any, *, alpha: float = 1.0) -> Any:
    """Return the matching loss of ELU, whose F is α(eᵃ − 1 − a) below 0 and ½a² above."""
    above_hat, above = xp.maximum(a_hat, 0.0), xp.maximum(a, 0.0)
    below_hat, below = xp.minimum(a_hat, 0.0), xp.minimum(a, 0.0)
    # below 0: αeᵃ(eᵈ − 1 − d)
    own = (above_hat - above) ** 2 / 2 + alpha * _times_exp_less_line(below, below_hat - below, xp)
    # across 0: (f(0) − f(a))(â − 0)
    return own + xp.where(a > 0, -above * below_hat, -alpha * xp.expm1(below) * above_hat)


def sigmoid(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of the sigmoid, the relative entropy of two 0/1 variables."""
    return _of_two_values(a, a_hat - a, 1, xp)


def tanh(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of tanh, the relative entropy of two ±1 variables."""
    return _of_two_values(2 * a, a_hat - a, 2, xp)


def _of_two_values(a: Any, d: Any, apart: int, xp: Any) -> Any:
    """Return log(1 + p·e(qu) + q·e(−pu)) for p = σ(a), q = σ(−a), u = apart·d."""
    # p and q exchanged with u and −u give the same: for u ≥ 0 alone
    a, size = xp.where(d >= 0, a, -a), xp.abs(d)
    p, log_p, q = formulas.sigmoid(a, xp), -formulas.softplus(-a, xp), formulas.sigmoid(-a, xp)
    up, down = (apart * q) * size, -(apart * p) * size
    small = _times_exp_less_line(log_p, up, xp) + q * formulas.exp_less_line(down, xp)
    # log(q + p·eᵘ) − pu, where p·eᵘ is all that counts
    is_large = log_p + up > LARGE
    return xp.where(is_large, log_p + up, xp.log1p(xp.where(is_large, 0.0, small)))


def softmax(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of softmax, the relative entropy Σ p log(p/p̂), one for each row."""
    log_p = a - xp.expand_dims(formulas.log_sum_exp(a, xp), axis=-1)
    p, d = xp.exp(log_p), a_hat - a
    # D does not change with a constant in d: that of the largest p, so that the mean loses no digits
    largest = xp.expand_dims(xp.argmax(a, axis=-1), axis=-1)
    d = d - xp.take_along_axis(d, largest, axis=-1)
    d = d - xp.sum(p * d, axis=-1, keepdims=True)
    small = xp.sum(_times_exp_less_line(log_p, d, xp), axis=-1)
    is_large = xp.max(log_p + d, axis=-1) > LARGE
    return xp.where(is_large, formulas.log_sum_exp(log_p + d, xp), xp.log1p(xp.where(is_large, 0.0, small)))


def _times_exp_less_line(log_p: Any, u: Any, xp: Any) -> Any:
    """Return p(eᵘ − 1 − u), which does not overflow where p·eᵘ does not, and ∞ where it does."""
    p, near = xp.exp(log_p), xp.minimum(u, 1.0)
    far = xp.exp(xp.minimum(log_p + u, 2 * LARGE)) - p * (1 + u)
    return xp.where(u > 1, far, p * formulas.exp_less_line(near, xp))


def softplus(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of softplus."""
    d = a_hat - a
    near = _remainder(lambda at, by: by * by * formulas.sigmoid(at, xp), a, xp.clip(d, -1.0, 1.0))
    return xp.where(xp.abs(d) <= 1, near, _softplus_by_signs(a_hat, a, xp))


def _softplus_by_signs(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of softplus for arguments far apart, where only a² can overflow."""

    def by_definition(u: Any, v: Any) -> Any:
        F, f = formulas.softplus_integral, formulas.softplus(v, xp)
        return F(u, xp) - F(v, xp) - (f * u - f * v)

    # above 0, F(a) = a²/2 + π²/6 − F(−a), so that D(â, a) = d²/2 − D(−â, −a)
    left, zero, below_hat = xp.minimum(a, -a), 0 * a, xp.minimum(a_hat, 0.0)
    both = (a_hat - a) ** 2 / 2 - by_definition(xp.minimum(a_hat, -a_hat), left)
    # from above 0 to below it, in three points
    down = a * a / 2 - by_definition(zero, left) + by_definition(below_hat, zero)
    down = down - (formulas.softplus(a, xp) - math.log(2)) * below_hat
    at_most_zero = by_definition(a_hat, left)
    return xp.where(a > 0, xp.where(a_hat > 0, both, down), at_most_zero)


def arctan(a_hat: Any, a: Any, xp: Any) -> Any:
    """Return the matching loss of arctan."""
    d, length = a_hat - a, xp.hypot(a, 1.0)
    # d²/(1 + a²), where a² could overflow
    bounded = xp.clip(d, -length / 2, length / 2)
    near = _remainder(lambda at, by: (by / xp.hypot(at, 1.0)) ** 2, a, bounded)
    log_length = formulas.log_length(a, xp)
    # with the same sign: â(arctan â − arctan a) − log √((1 + â²)/(1 + a²))
    same, larger = (a > 0) == (a_hat > 0), xp.maximum(xp.abs(a), 1.0)
    other = xp.where(same, a_hat, a)
    turn = xp.atan((d / larger) / (1 / larger + other * (a / larger)))
    together = a_hat * turn - (formulas.log_length(a_hat, xp) - log_length)
    apart = formulas.arctan_integral(a_hat, xp) + log_length - a_hat * xp.atan(a)
    far = xp.where(same, together, apart)
    return xp.where(xp.abs(d) <= length / 2, near, far)


def _remainder(second_order: Callable[[Any, Any], Any], a: Any, d: Any) -> Any:
    """Return ∫₀¹ (1 − τ) d² f′(a + τd) dτ by Gauss's quadrature with twelve points.

    `second_order` is d² f′ as a function of a point and of d. For softplus with |d| ≤ 1 and arctan with |d| ≤
    ½√(1 + a²) the nearest poles of f′ are so far away that the error is below 1e-17 of the result.
    """
    return sum((weight * (1 - τ)) * second_order(a + τ * d, d) for τ, weight in _points(12))


def _points(count: int) -> tuple[tuple[float, float], ...]:
    """Return points and weights of Gauss's quadrature on [0, 1]."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return tuple(zip(((points + 1) / 2).tolist(), (weights / 2).tolist(), strict=True))
