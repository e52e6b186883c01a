r"""The formulas of the transfer functions that are longer than a line.

Each is arranged so that nothing overflows before its result does, and so that nearly equal numbers are not
subtracted. `a` and `y` are arrays and `xp` is their namespace. All act elementwise, except those of softmax,
which act on the last axis.
"""

import math
from typing import Any


def onto_simplex(y: Any, xp: Any) -> Any:
    r"""Project rows onto the simplex: max(y − θ, 0), where θ makes the row sum to 1.

    With the entries in descending order u₁ ≥ u₂ ≥ ..., θ is the largest of (u₁ + ... + u_k − 1)/k over k.
    """
    u = xp.sort(y, axis=-1, descending=True)
    k = xp.cumulative_sum(xp.ones_like(y), axis=-1)
    theta = xp.max((xp.cumulative_sum(u, axis=-1) - 1.0) / k, axis=-1, keepdims=True)
    return xp.maximum(y - theta, 0.0)


def log_cosh(a: Any, xp: Any) -> Any:
    """Return log cosh a, the integral of tanh."""
    # log cosh a = |a| + log(1 + e^(−2|a|)) − log 2; near 0, where that cancels, ½ log(1 + sinh²a)
    size = xp.abs(a)
    near = xp.log1p(xp.sinh(xp.minimum(size, 1.0)) ** 2) / 2
    return xp.where(size < 1, near, size + xp.log1p(xp.exp(-2 * size)) - math.log(2))


def sech2(a: Any, xp: Any) -> Any:
    """Return 1 − tanh²a, the derivative of tanh."""
    # 1 − tanh²a = 4e/(1 + e)², e = e^(−2|a|): no cancellation
    e = xp.exp(-2 * xp.abs(a))
    square = (1 + e) ** 2
    e *= 4
    e /= square
    return e


def sigmoid(a: Any, xp: Any) -> Any:
    """Return 1/(1 + e^(−a))."""
    # as e ≤ 1, the maximum is 1 for a ≥ 0 and e otherwise; this is several times faster than xp.where
    e = xp.exp(-xp.abs(a))
    y = xp.maximum(xp.astype(a >= 0, a.dtype), e)
    e += 1
    y /= e
    return y


def sigmoid_derivative(a: Any, xp: Any) -> Any:
    """Return σ(a)(1 − σ(a))."""
    e = xp.exp(-xp.abs(a))
    return e / (1 + e) ** 2


def softplus(a: Any, xp: Any) -> Any:
    """Return log(1 + eᵃ), the integral of the sigmoid."""
    return xp.maximum(a, 0.0) + xp.log1p(xp.exp(-xp.abs(a)))


def softplus_integral(a: Any, xp: Any) -> Any:
    r"""−Li₂(−eᵃ). With u = log(1 + eᵃ), dF/du = u/(1 − e^(−u)) = Σ Bₙ uⁿ/n! (Bernoulli numbers, B₁ = +½).

    For a ≤ 0, u ≤ log 2 and the series converges like (u/2π)ⁿ; for a > 0, F(a) = a²/2 + π²/6 − F(−a).
    """
    u = xp.log1p(xp.exp(-xp.abs(a)))
    u2 = u * u
    # Σ over even n ≥ 2 of Bₙ uⁿ⁺¹/(n+1)!, by Horner's rule in u²
    tail = xp.zeros_like(u)
    for coefficient in reversed(_BERNOULLI):
        tail = coefficient + u2 * tail
    F = u + u2 / 4 + u2 * u * tail
    return xp.where(a > 0, xp.maximum(a, 0.0) ** 2 / 2 + (math.pi**2 / 6 - F), F)


# Bₙ/(n+1)! for n = 2, 4, ..., 16: the next term is below 1e-19 at u = log 2
_BERNOULLI = tuple(
    numerator / denominator / math.factorial(n + 1)
    for n, (numerator, denominator) in zip(
        range(2, 18, 2),
        [(1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510)],
        strict=True,
    )
)


def softplus_conjugate(y: Any, xp: Any) -> Any:
    """Return F*(y) for F the integral of softplus, y ≥ 0."""
    # F*(y) = y f⁻¹(y) − F(f⁻¹(y)); 0 at y = 0, where f⁻¹ is −∞
    a = softplus_inverse(xp.where(y > 0, y, 1.0), xp)
    return xp.where(y > 0, y * a - softplus_integral(a, xp), 0.0 * y)


def softplus_inverse(y: Any, xp: Any) -> Any:
    """Return log(e^y − 1), y > 0."""
    # log(e^y − 1) = y + log(1 − e^(−y))
    return y + xp.log(-xp.expm1(-y))


def arctan_integral(a: Any, xp: Any) -> Any:
    """Return a·arctan a − ½ log(1 + a²)."""
    finite = xp.where(xp.isinf(a), 0.0, a)
    return xp.where(xp.isinf(a), xp.inf, finite * xp.atan(finite) - log_length(finite, xp))


def log_length(a: Any, xp: Any) -> Any:
    """Return ½ log(1 + a²)."""
    # by hypot where a² could overflow
    near = xp.log1p(xp.clip(a, -1.0, 1.0) ** 2) / 2
    return xp.where(xp.abs(a) < 1, near, xp.log(xp.hypot(a, 1.0)))


def arctan_conjugate(y: Any, xp: Any) -> Any:
    """Return −log cos y, the conjugate of the integral of arctan, abs(y) < π/2."""
    # float32 rounds π/2 up, where the cosine is below 0
    return -xp.log(xp.maximum(xp.cos(y), float(xp.finfo(y.dtype).smallest_normal)))


def xlogx(y: Any, xp: Any) -> Any:
    """Return y log y, and 0 at 0."""
    # y log y, with 0 at 0 (entries that are negative by rounding count as 0; nan stays nan)
    return xp.where(y > 0, y * xp.log(xp.where(y > 0, y, 1.0)), 0.0 * y)


def exp_less_line(a: Any, xp: Any) -> Any:
    """Return eᵃ − 1 − a."""
    # near 0 that cancels: a² Σ aᵏ/(k + 2)!, by Horner's rule; the next term is below 1e-17 of the sum
    near = xp.clip(a, -1.0, 1.0)
    tail = xp.zeros_like(near)
    for k in range(17, 1, -1):
        tail = 1 / math.factorial(k) + near * tail
    return xp.where(xp.abs(a) < 1, near * near * tail, xp.expm1(a) - a)


def softmax(a: Any, xp: Any) -> Any:
    """Return eᵃ/Σeᵃ in every row."""
    e = xp.exp(a - xp.max(a, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def softmax_vjp(p: Any, u: Any, xp: Any) -> Any:
    """Return p⊙(u − ⟨p, u⟩) in every row, for p = softmax(a)."""
    return p * (u - xp.sum(p * u, axis=-1, keepdims=True))


def log_sum_exp(a: Any, xp: Any) -> Any:
    """Return log Σeᵃ of every row, the integral of softmax."""
    top = xp.max(a, axis=-1, keepdims=True)
    return xp.squeeze(top, axis=-1) + xp.log(xp.sum(xp.exp(a - top), axis=-1))
