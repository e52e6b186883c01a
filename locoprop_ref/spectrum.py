r"""The effect of LocoProp-S's solvers on the gradient, along the eigenvectors of X̃ᵀX̃.

Every solver multiplies the gradient along an eigenvector with eigenvalue λ by a filter:

    K steps, no regularizer     (1 − Π(1 − s_kλ))/λ     a polynomial preconditioner
    closed form                 1/(λ + 1/η)             a damped inverse
    K steps along the gradient  Σ s_k                   BackProp's steps, without a preconditioner
"""

from typing import Any

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace


def descent_filter(eigenvalues: Any, rates: tuple[float, ...]) -> Any:
    r"""Return the filter of K gradient steps on S along an eigenvector of X̃ᵀX̃: (1 − Π(1 − s_kλ))/λ.

    Without the regularizer, W̃_K − W̃₀ = −γ Σ_i filter(λ_i) q_i q_iᵀ ∂L/∂W̃: the inner steps are a polynomial
    preconditioner. At λ = 0 the filter is Σ s_k; elsewhere it is computed with log1p and expm1, which keep
    full accuracy for small s_kλ. Compare `exact_filter`, and the constant Σ s_k of K steps along a frozen
    gradient.

    Args:
        eigenvalues: λ ≥ 0 of X̃ᵀX̃.
        rates: the step sizes s_k, see `local_rates`.

    Raises:
        ValueError, TypeError: the eigenvalues are no array of floats, or a rate is no finite number ≥ 0.

    >>> import numpy as np
    >>> descent_filter(np.array([0.0, 1.0]), (0.5, 0.5))
    array([1.  , 0.75])
    """
    checks.array("eigenvalues", eigenvalues)
    rates = tuple(checks.not_negative("rates", s) for s in checks.several("rates", rates, "numbers"))
    xp = array_namespace(eigenvalues)
    log_size, sign = xp.zeros_like(eigenvalues), xp.ones_like(eigenvalues)
    for s in rates:
        step = s * eigenvalues
        # log|1 − sλ|, computed from 1 − sλ or sλ − 1; a factor of 0 is replaced by the smallest number
        beyond = xp.where(step < 1, -step, step - 2)
        log_size += xp.log1p(xp.maximum(beyond, -1 + float(xp.finfo(eigenvalues.dtype).eps)))
        sign = xp.where(step > 1, -sign, sign)
    one_less_product = xp.where(sign > 0, -xp.expm1(log_size), 1 + xp.exp(log_size))
    positive = eigenvalues > 0
    return xp.where(positive, one_less_product / xp.where(positive, eigenvalues, 1.0), sum(rates))


def exact_filter(eigenvalues: Any, weight_step: float) -> Any:
    """Return the filter of the closed form on S along an eigenvector of X̃ᵀX̃: 1/(λ + 1/η).

    W̃ − W̃₀ = −γ Σ_i filter(λ_i) q_i q_iᵀ ∂L/∂W̃, a damped inverse. Compare `descent_filter`.

    Args:
        eigenvalues: λ ≥ 0 of X̃ᵀX̃.
        weight_step: η > 0, finite.

    Raises:
        ValueError, TypeError: the eigenvalues are no array of floats, or η is not a positive finite number.

    >>> import numpy as np
    >>> exact_filter(np.array([0.0, 1.0]), 1.0)
    array([1. , 0.5])
    """
    checks.array("eigenvalues", eigenvalues)
    return 1 / (eigenvalues + 1 / checks.positive("weight_step", weight_step))
