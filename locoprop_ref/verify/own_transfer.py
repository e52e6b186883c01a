r"""I5 and I6 for a transfer function of your own: do its formulas fit each other, and is f nondecreasing?"""

from itertools import pairwise
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.transfers import Transfer
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

_QUADRATURE = "adaptive quadrature, also across kinks"
_ROUNDING = "rounding of 1 + |a f(a)|"
_DIFFERENCE = "central difference of step 1e-5"


def check_transfer(
    transfer: Transfer, *, low: float = -5.0, high: float = 5.0, points: int = 41, seed: int = 0
) -> Identity:
    r"""Measure whether the formulas of a transfer function are f = ∇F and what follows from it (I5, I6).

    For an elementwise f: it does not decrease; ∫ f dz = F(b) − F(a), which makes the matching loss D_F the
    integral of f(z) − f(a*); ∫ f′ dz = f(b) − f(a); f(a) lies in [low, high] of the transfer; and, as far as
    they are given, F(a) + F*(f(a)) = a·f(a) and f(f⁻¹(y)) = y. For another f, on rows of three numbers:
    ⟨f(a) − f(b), a − b⟩ ≥ 0, which is the same as nondecreasing, and F and uᵀf′ against differences.

    Args:
        transfer: any transfer function.
        low: smallest argument that is tried, default −5.
        high: largest argument, default 5.
        points: number of arguments in between, default 41.
        seed: of the rows that are drawn for a transfer that is not elementwise, default 0.

    Returns:
        the measurements; `verify.table([...])` prints them.

    Raises:
        ValueError: f decreases somewhere, or the formulas do not fit each other; one sentence says which.
        TypeError: transfer is no Transfer.

    >>> from locoprop_ref.transfers import transfer
    >>> check_transfer(transfer("tanh")).holds
    True
    >>> wrong = Transfer("cosine", f=lambda a, xp: xp.cos(a), F=lambda a, xp: xp.sin(a),
    ...                  derivative=lambda a, xp: -xp.sin(a))
    >>> check_transfer(wrong)
    Traceback (most recent call last):
        ...
    ValueError: transfer 'cosine' must not decrease, but f(-5) = 0.283662 and f(-4.75) = 0.0376022
    """
    checks.instance("transfer", transfer, Transfer, "a Transfer, as transfer('tanh') makes")
    low, high = checks.number("low", low), checks.number("high", high)
    if not low < high:
        raise ValueError(f"low must be below high, {high:g}, got {low:g}")
    checks.integer("points", points, minimum=2)
    checks.integer("seed", seed, minimum=0, maximum=None)
    if transfer.elementwise:
        parts = _elementwise(transfer, np.linspace(low, high, points))
    else:
        parts = _on_rows(transfer, np.random.default_rng(seed).uniform(low, high, (points, 3)))
    for part in parts:
        if not part.holds:
            raise ValueError(
                f"transfer {transfer.name!r} must fulfil {part.claim}, got an error of {part.error:.3g}, "
                f"more than {part.bound:g} ({part.reason})"
            )
    return Identity("I5, I6", f"the formulas of {transfer.name!r} fit each other", tuple(parts))


def _elementwise(f: Transfer, a: np.ndarray) -> list[Measurement]:
    y, F = f.f(a), f.F(a)
    _refuse_a_falling(f, a, y)
    scale = 1 + np.abs(a * y)
    parts = [
        Measurement(
            "∫ f dz = F(b) − F(a)", far(_integrals(f.f, a), np.diff(F), scale[1:]), 1e-9, _QUADRATURE
        ),
        Measurement(
            "∫ f′ dz = f(b) − f(a)",
            far(_integrals(f.derivative, a), np.diff(y), scale[1:]),
            1e-9,
            _QUADRATURE,
        ),
        Measurement(
            "f(a) within [low, high]", float(np.any(f.out_of_range(y))), 0.0, "counted: 0 if none is outside"
        ),
    ]
    if f._F_star is not None:
        conjugate = far(F + f.F_star(y), a * y, scale)
        parts.append(Measurement("F(a) + F*(f(a)) = a·f(a)", conjugate, 1e-9, _ROUNDING))
    if f._inverse is not None:
        parts.append(Measurement("f(f⁻¹(y)) = y", far(f.f(f.inverse(y)), y, 1 + np.abs(y)), 1e-9, _ROUNDING))
    return parts


def _refuse_a_falling(f: Transfer, a: np.ndarray, y: np.ndarray) -> None:
    """Raise a ValueError if f decreases by more than roundings between two neighbouring arguments."""
    falls = np.flatnonzero(np.diff(y) < -4 * np.finfo(float).eps * (1 + np.abs(y[1:])))
    if not np.all(np.isfinite(y)):
        raise ValueError(f"transfer {f.name!r} must be finite between {a[0]:g} and {a[-1]:g}, got {y}")
    if falls.size:
        here, there = int(falls[0]), int(falls[0]) + 1
        raise ValueError(
            f"transfer {f.name!r} must not decrease, but f({a[here]:g}) = {y[here]:g} and "
            f"f({a[there]:g}) = {y[there]:g}"
        )


def _integrals(function: Any, a: np.ndarray) -> np.ndarray:
    """Return the integral of a function between every two neighbouring arguments."""
    from scipy.integrate import quad

    def at(z: float) -> float:
        return float(function(np.array([z]))[0])

    return np.array([quad(at, *pair, epsabs=1e-12, epsrel=1e-12, limit=200)[0] for pair in pairwise(a)])


def _on_rows(f: Transfer, a: np.ndarray) -> list[Measurement]:
    b, h = np.roll(a, 1, axis=0), 1e-5
    y, direction = f.f(a), np.roll(a, 1, axis=1)
    product = np.sum((y - f.f(b)) * (a - b), axis=-1)
    slope = (f.F(a + h * direction) - f.F(a - h * direction)) / (2 * h)
    moved = (f.f(a + h * direction) - f.f(a - h * direction)) / (2 * h)
    size = 1 + np.max(np.abs(a)) ** 2
    return [
        Measurement("⟨f(a) − f(b), a − b⟩ ≥ 0", worst([0.0, *-product]), 1e-12, _ROUNDING),
        Measurement("∇F = f", far(slope, np.sum(y * direction, axis=-1), size), 1e-8, _DIFFERENCE),
        # the Jacobian of a gradient is symmetric: uᵀf′ is f′u
        Measurement(
            "uᵀf′ = the derivative of f along u", far(f.vjp(a, direction), moved, size), 1e-8, _DIFFERENCE
        ),
    ]
