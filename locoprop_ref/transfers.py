r"""Transfer functions f, their convex integrals F, and the functions that follow from them.

A transfer function is the gradient of a convex function, f = ∇F, so f is nondecreasing. F defines the
matching loss (`losses.py`), f′ is needed in the backward pass, and the conjugate F* determines for which
targets a local problem is bounded below.

    f        transfer function                       F*    convex conjugate, sup_a (a·y − F(a)); may be ∞
    F        convex integral, ∇F = f                 f⁻¹   inverse, where f is strictly increasing
    f′       derivative                              [low, high]   closed range of f, where F* is finite
                                                     (arctan: on the open range; F*(±π/2) = ∞)
    vjp      uᵀf′: elementwise u·f′(a); for softmax p⊙(u − ⟨p, u⟩)

Floating point: the formulas are arranged so that no intermediate result overflows before the final result
does (log cosh and softplus are finite up to the largest float). At ±inf the functions return their limits,
except for softmax, where ∞ − ∞ gives nan. f and F return nan for nan. Outside the open range, f⁻¹ returns
what the library's logarithm gives: ±inf or nan.

>>> import numpy as np
>>> tanh = transfer("tanh")
>>> tanh.F(np.array([0.0, 700.0]))  # log cosh
array([  0.        , 699.30685282])
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace

Formula = Callable[[Any, Any], Any]  # (a, xp) -> array


@dataclass(frozen=True)
class Transfer:
    r"""A transfer function with its integral, derivative, inverse and conjugate.

    Elementwise transfers act on arrays of any shape; softmax acts on the last axis, and its F and F* drop
    that axis. Build one with `transfer(name)`.

    Attributes:
        name: one of `TRANSFERS`.
        low: lower end of the closed range of f, or −inf.
        high: upper end, or inf.
        parameters: the parameters of its family, such as {"slope": 0.01}; empty for most functions.
    """

    name: str
    low: float
    high: float
    _f: Formula
    _F: Formula
    _derivative: Formula | None
    _inverse: Formula | None
    _F_star: Formula
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def elementwise(self) -> bool:
        """Whether f acts on each number separately, as all transfer functions except softmax do."""
        return self._derivative is not None

    def f(self, a: Any) -> Any:
        """Return f(a), the post-activation, in the shape of `a`.

        Args:
            a: (..., d) pre-activations.
        """
        return self._f(a, array_namespace(a))

    def F(self, a: Any) -> Any:
        """Return the convex integral F(a), elementwise, without reduction.

        Args:
            a: (..., d) pre-activations.

        Returns:
            one number for each element, (..., d); for softmax one for each row, (...).
        """
        return self._F(a, array_namespace(a))

    def derivative(self, a: Any) -> Any:
        """Return f′(a) of an elementwise transfer; `transfer` states the convention at a kink.

        Raises:
            ValueError: for softmax, whose derivative is a matrix (use `vjp`).
        """
        if self._derivative is None:
            raise ValueError(f"transfer must be elementwise for a derivative, got {self.name!r} (use vjp)")
        return self._derivative(a, array_namespace(a))

    def vjp(self, a: Any, u: Any) -> Any:
        """Return the vector–Jacobian product uᵀf′(a), in the shape of `a`.

        Args:
            a: (..., d) pre-activations.
            u: the vector from the layer above, in the shape of `a`.
        """
        if self._derivative is None:
            p, xp = self.f(a), array_namespace(a, u)
            return p * (u - xp.sum(p * u, axis=-1, keepdims=True))
        product = self.derivative(a)
        product *= u
        return product

    def inverse(self, y: Any) -> Any:
        """Return f⁻¹(y), in the shape of `y`.

        Args:
            y: (..., d) post-activations, in the open range of f.

        Raises:
            ValueError: f is not strictly increasing (relu, softmax, or a slope or alpha of 0).
        """
        if self._inverse is None:
            raise ValueError(f"transfer must be strictly increasing for an inverse, got {self.name!r}")
        return self._inverse(y, array_namespace(y))

    def F_star(self, y: Any) -> Any:
        """Return the convex conjugate F*(y), elementwise, without reduction; ∞ outside the closed range of f.

        For arctan F*(±π/2) = ∞ at the ends of its range. No float equals π/2: float64 rounds it down, so F*
        is near 37 there; float32 rounds it up, and the value is bounded near 87.

        Args:
            y: (..., d) post-activations.

        Returns:
            one number for each element, (..., d); for softmax one for each row, (...).
        """
        xp = array_namespace(y)
        inside = ~self.out_of_range(y, tolerance=0.0 if self.elementwise else None)
        if self.elementwise:
            inside = inside & ~xp.isinf(y)  # F*(∞) = ∞, without a formula
        # outside the range the formula receives a value from the inside, and its result is not used
        stand_in = xp.where(inside, y, 0.5) if self.elementwise else y
        return xp.where(inside, self._F_star(stand_in, xp), xp.inf)

    def out_of_range(self, y: Any, tolerance: float | None = None) -> Any:
        """Return which targets lie outside the closed range of f, so that the objective is unbounded below.

        At the ends of arctan's range it is unbounded below, too (F*(±π/2) = ∞), but they count as inside.

        Args:
            y: (..., d) targets.
            tolerance: the distance outside the range that is attributed to rounding, relative to the larger
                of 1 and the finite ends of the range; default 16 eps of the dtype (for a sum over classes,
                times their number), because f(â) − γg contains a few rounding errors.

        Returns:
            booleans in the shape of `y`; for softmax one for each row, true if the row has a negative entry
            or a sum other than 1.
        """
        xp = array_namespace(y)
        slack = 16 * float(xp.finfo(y.dtype).eps) if tolerance is None else tolerance
        slack *= max(1.0, *(abs(bound) for bound in (self.low, self.high) if math.isfinite(bound)), 0.0)
        if self.elementwise:
            return (y < self.low - slack) | (y > self.high + slack)
        off_sum = ~(xp.abs(xp.sum(y, axis=-1) - 1.0) <= slack * y.shape[-1])
        return off_sum | xp.any(y < -slack, axis=-1)

    def project(self, y: Any) -> Any:
        """Return the nearest point of the closed range, by clipping; for softmax that of the simplex."""
        xp = array_namespace(y)
        if self.elementwise:
            return xp.clip(y, self.low, self.high)
        return _onto_simplex(y, xp)


def _onto_simplex(y: Any, xp: Any) -> Any:
    r"""Project rows onto the simplex: max(y − θ, 0), where θ makes the row sum to 1.

    With the entries in descending order u₁ ≥ u₂ ≥ ..., θ is the largest of (u₁ + ... + u_k − 1)/k over k.
    """
    u = xp.sort(y, axis=-1, descending=True)
    k = xp.cumulative_sum(xp.ones_like(y), axis=-1)
    theta = xp.max((xp.cumulative_sum(u, axis=-1) - 1.0) / k, axis=-1, keepdims=True)
    return xp.maximum(y - theta, 0.0)


# Formulas that do not fit on one line -------------------------------------------------------------


def _log_cosh(a: Any, xp: Any) -> Any:
    # log cosh a = |a| + log(1 + e^(−2|a|)) − log 2; near 0, where that cancels, ½ log(1 + sinh²a)
    size = xp.abs(a)
    near = xp.log1p(xp.sinh(xp.minimum(size, 1.0)) ** 2) / 2
    return xp.where(size < 1, near, size + xp.log1p(xp.exp(-2 * size)) - math.log(2))


def _sech2(a: Any, xp: Any) -> Any:
    # 1 − tanh²a = 4e/(1 + e)², e = e^(−2|a|): no cancellation
    e = xp.exp(-2 * xp.abs(a))
    square = (1 + e) ** 2
    e *= 4
    e /= square
    return e


def _sigmoid(a: Any, xp: Any) -> Any:
    # as e ≤ 1, the maximum is 1 for a ≥ 0 and e otherwise; this is several times faster than xp.where
    e = xp.exp(-xp.abs(a))
    y = xp.maximum(xp.astype(a >= 0, a.dtype), e)
    e += 1
    y /= e
    return y


def _sigmoid_derivative(a: Any, xp: Any) -> Any:
    e = xp.exp(-xp.abs(a))
    return e / (1 + e) ** 2


def _softplus(a: Any, xp: Any) -> Any:
    return xp.maximum(a, 0.0) + xp.log1p(xp.exp(-xp.abs(a)))


def _softplus_integral(a: Any, xp: Any) -> Any:
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


def _softplus_conjugate(y: Any, xp: Any) -> Any:
    # F*(y) = y f⁻¹(y) − F(f⁻¹(y)); 0 at y = 0, where f⁻¹ is −∞
    a = _softplus_inverse(xp.where(y > 0, y, 1.0), xp)
    return xp.where(y > 0, y * a - _softplus_integral(a, xp), 0.0 * y)


def _softplus_inverse(y: Any, xp: Any) -> Any:
    # log(e^y − 1) = y + log(1 − e^(−y))
    return y + xp.log(-xp.expm1(-y))


def _arctan_integral(a: Any, xp: Any) -> Any:
    # a·arctan a − ½ log(1 + a²), with hypot where a² could overflow
    finite = xp.where(xp.isinf(a), 0.0, a)
    near = xp.log1p(xp.clip(finite, -1.0, 1.0) ** 2) / 2
    half_log = xp.where(xp.abs(finite) < 1, near, xp.log(xp.hypot(finite, 1.0)))
    return xp.where(xp.isinf(a), xp.inf, finite * xp.atan(finite) - half_log)


def _xlogx(y: Any, xp: Any) -> Any:
    # y log y, with 0 at 0 (entries that are negative by rounding count as 0; nan stays nan)
    return xp.where(y > 0, y * xp.log(xp.where(y > 0, y, 1.0)), 0.0 * y)


def _exp_less_line(a: Any, xp: Any) -> Any:
    # eᵃ − 1 − a
    return xp.expm1(a) - a


def _softmax(a: Any, xp: Any) -> Any:
    e = xp.exp(a - xp.max(a, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def _log_sum_exp(a: Any, xp: Any) -> Any:
    top = xp.max(a, axis=-1, keepdims=True)
    return xp.squeeze(top, axis=-1) + xp.log(xp.sum(xp.exp(a - top), axis=-1))


# Families with a parameter ------------------------------------------------------------------------


def _leaky_relu(slope: float = 0.01, derivative_at_zero: str = "slope") -> Transfer:
    s = checks.not_negative("slope", slope)
    checks.one_of("derivative_at_zero", derivative_at_zero, ("slope", "one"))
    positive = (lambda a: a > 0) if derivative_at_zero == "slope" else (lambda a: a >= 0)
    if s == 0:  # relu, except for the derivative at 0
        relu = _BY_NAME["relu"]
        f, F, low, inverse, conjugate = relu._f, relu._F, 0.0, None, relu._F_star
    else:
        f, F = lambda a, xp: xp.where(a > 0, a, s * a), lambda a, xp: xp.where(a > 0, a, s * a) * a / 2
        low, inverse = -math.inf, lambda y, xp: xp.where(y > 0, y, y / s)
        conjugate = lambda y, xp: xp.where(y > 0, y * y / 2, y * y / (2 * s))  # noqa: E731
    return Transfer(
        "leaky_relu", low, math.inf,
        f, F,
        lambda a, xp: xp.where(positive(a), xp.ones_like(a), s),
        inverse, conjugate,
        MappingProxyType({"slope": s, "derivative_at_zero": derivative_at_zero}),
    )  # fmt: skip


def _elu(alpha: float = 1.0) -> Transfer:
    α = checks.not_negative("alpha", alpha)
    if α == 0:  # relu
        return replace(_BY_NAME["relu"], name="elu", parameters=MappingProxyType({"alpha": 0.0}))
    return Transfer(
        "elu", -α, math.inf,
        _f=lambda a, xp: xp.where(a > 0, a, α * xp.expm1(xp.minimum(a, 0.0))),
        # a²/2 above 0, α(eᵃ − 1 − a) below
        _F=lambda a, xp: xp.maximum(a, 0.0) ** 2 / 2 + α * _exp_less_line(xp.minimum(a, 0.0), xp),
        _derivative=lambda a, xp: xp.where(a > 0, 1.0, α * xp.exp(xp.minimum(a, 0.0))),
        _inverse=lambda y, xp: xp.where(y > 0, y, xp.log1p(xp.minimum(y, 0.0) / α)),
        # y²/2 above 0, (y + α) log(1 + y/α) − y below
        _F_star=lambda y, xp: xp.where(y > 0, y * y / 2, α * _xlogx(1 + y / α, xp) - y),
        parameters=MappingProxyType({"alpha": α}),
    )  # fmt: skip


# The table: one line per fact ---------------------------------------------------------------------

_INF, _HALF_PI = math.inf, math.pi / 2
# fmt: off
_PLAIN = (
    Transfer("identity", -_INF, _INF,
        _f          = lambda a, xp: a,
        _F          = lambda a, xp: a * a / 2,
        _derivative = lambda a, xp: xp.ones_like(a),
        _inverse    = lambda y, xp: y,
        _F_star     = lambda y, xp: y * y / 2),
    Transfer("relu", 0.0, _INF,
        _f          = lambda a, xp: xp.maximum(a, 0.0),
        _F          = lambda a, xp: xp.maximum(a, 0.0) ** 2 / 2,
        _derivative = lambda a, xp: xp.astype(a > 0, a.dtype),
        _inverse    = None,
        _F_star     = lambda y, xp: y * y / 2),
    Transfer("tanh", -1.0, 1.0,
        _f          = lambda a, xp: xp.tanh(a),
        _F          = _log_cosh,
        _derivative = _sech2,
        _inverse    = lambda y, xp: xp.atanh(y),
        _F_star     = lambda y, xp: (_xlogx(1 + y, xp) + _xlogx(1 - y, xp)) / 2),
    Transfer("sigmoid", 0.0, 1.0,
        _f          = _sigmoid,
        _F          = _softplus,
        _derivative = _sigmoid_derivative,
        _inverse    = lambda y, xp: xp.log(y) - xp.log1p(-y),
        _F_star     = lambda y, xp: _xlogx(y, xp) + _xlogx(1 - y, xp)),
    Transfer("softplus", 0.0, _INF,
        _f          = _softplus,
        _F          = _softplus_integral,
        _derivative = _sigmoid,
        _inverse    = _softplus_inverse,
        _F_star     = _softplus_conjugate),
    Transfer("arctan", -_HALF_PI, _HALF_PI,
        _f          = lambda a, xp: xp.atan(a),
        _F          = _arctan_integral,
        _derivative = lambda a, xp: (1 / xp.hypot(a, 1.0)) ** 2,
        _inverse    = lambda y, xp: xp.tan(y),
        # float32 rounds π/2 up, and there the cosine is negative
        _F_star     = lambda y, xp: -xp.log(xp.maximum(xp.cos(y), float(xp.finfo(y.dtype).smallest_normal)))),
    Transfer("softmax", 0.0, 1.0,
        _f          = _softmax,
        _F          = _log_sum_exp,
        _derivative = None,
        _inverse    = None,
        _F_star     = lambda y, xp: xp.sum(_xlogx(y, xp), axis=-1)),
)
# fmt: on
_BY_NAME = {row.name: row for row in _PLAIN}
_FAMILIES: dict[str, Callable[..., Transfer]] = {"leaky_relu": _leaky_relu, "elu": _elu}
TRANSFERS = ("identity", "relu", "leaky_relu", "tanh", "sigmoid", "softplus", "elu", "arctan", "softmax")


def transfer(name: str, **parameters: Any) -> Transfer:
    r"""Return the transfer function with this name.

    Args:
        name: one of `TRANSFERS`.
        **parameters: `leaky_relu` takes `slope` (default 0.01, at least 0) and `derivative_at_zero`: "slope"
            (default; TensorFlow and PyTorch) or "one" (JAX); `elu` takes `alpha` (default 1, at least 0).

    At the other kinks: relu′(0) = 0 and elu′(0) = alpha.

    Raises:
        ValueError: unknown name (the nearest is suggested), or a parameter out of its range.
        TypeError: a parameter that this transfer function does not have.

    >>> transfer("leaky_relu", slope=0.1).parameters["slope"]
    0.1
    """
    checks.one_of("transfer", name, TRANSFERS)
    allowed = {"leaky_relu": ("slope", "derivative_at_zero"), "elu": ("alpha",)}.get(name, ())
    for key in parameters:
        if key not in allowed:
            wanted = ", ".join(allowed) or "no parameter"
            raise TypeError(f"transfer {name!r} takes {wanted}, got {key!r}")
    return _FAMILIES[name](**parameters) if name in _FAMILIES else _BY_NAME[name]
