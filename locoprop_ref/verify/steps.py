r"""I4: inner steps of LocoProp-S are a polynomial preconditioner."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import descend, local_rates
from locoprop_ref.spectrum import descent_filter
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import (
    ELEMENTWISE,
    POSITIONS,
    Case,
    local_problems,
    positions_cases,
    random_case,
)
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst


def inner_steps_are_a_preconditioner(seed: int = 0, xp: Any = np) -> Identity:
    """I4: K steps on S multiply the gradient by Σ s(I − sX̃ᵀX̃)^k, a filter along each eigenvector."""
    dense = [
        (random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp), 1) for name in TRANSFERS
    ]
    parts = _filtered(dense)
    for where in POSITIONS:
        cases = positions_cases(where, seed, xp, hidden=ELEMENTWISE)
        parts += _filtered([(case, m) for case in cases for m in range(len(case.g))], where)
    return Identity("I4", "inner steps are a polynomial preconditioner", parts)


def _filtered(drawn: Iterable[tuple[Case, int]], where: str = "") -> tuple[Measurement, ...]:
    """Return the errors for some layers, given by their number."""
    polynomial, spectral, K = [], [], 10
    for case, m in drawn:
        problem = local_problems(case, "squared", target_step=10.0)[m]
        x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
        gradient = x.T @ to_numpy(case.g[m])
        eigenvalues, Q = np.linalg.eigh(x.T @ x)
        s = 1.5 / eigenvalues[-1]
        preconditioner = sum(s * np.linalg.matrix_power(np.eye(len(Q)) - s * x.T @ x, k) for k in range(K))
        for decay, form in itertools.product(("constant", "authors"), ("plain", "gram")):
            how: dict[str, Any] = {
                "local_lr": s,
                "num_local_steps": K,
                "local_decay": decay,
                "gradient_form": form,
            }
            W, _ = descend(problem, SGD(), **how)
            change, size = to_numpy(W) - W0, np.max(np.abs(W0)) + 10 * K * s * np.max(np.abs(gradient))
            through = descent_filter(np.maximum(eigenvalues, 0), local_rates(s, K, decay))
            spectral.append(far(change, -10 * (Q * through) @ Q.T @ gradient, size))
            if decay == "constant":
                polynomial.append(far(change, -10 * preconditioner @ gradient, size))
    reason = "rounding of K products and of W̃_K − W̃₀"
    return (
        Measurement(on(where, "ΔW̃ = −γ[Σ s(I − sX̃ᵀX̃)^k] ∂L/∂W̃"), worst(polynomial), 1e-10, reason),
        Measurement(on(where, "filter (1 − Π(1 − s_kλ))/λ"), worst(spectral), 1e-10, reason),
    )
