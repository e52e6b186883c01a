r"""I1 and I2: the first inner step is BackProp; the hand-written backward pass is the derivative of L."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.network import gradients
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS
from locoprop_ref.verify.cases import POSITIONS, Case, every_case, local_problems, positions_cases
from locoprop_ref.verify.complex_step import complex_step_gradients
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst


def first_step_is_backprop(seed: int = 0, xp: Any = np) -> Identity:
    """I1: the first inner gradient of S and of M is γ·∂L/∂W̃, where ∂L/∂W̃ is computed by complex steps.

    Of sign units it is what stands for ∂L/∂W̃: the complex step is given their straight-through slope.
    """
    parts = _first_step(every_case(seed, xp, (*TRANSFERS, *DISCONTINUOUS)))
    for where in POSITIONS:
        parts += _first_step(positions_cases(where, seed, xp), where)
    return Identity("I1", "the first inner step is BackProp with learning rate s·γ", parts)


def _first_step(cases: Iterable[Case], where: str = "") -> tuple[Measurement, ...]:
    errors: dict[str, list[float]] = {"squared": [], "matching": []}
    gamma = 10.0
    for case in cases:
        derivative = complex_step_gradients(case.network, case.x, case.t)
        for local_loss, found in errors.items():
            problems = local_problems(case, local_loss, target_step=gamma)
            for problem, dW, g in zip(problems, derivative, case.g, strict=True):
                prediction = to_numpy(problem.transfer.f(problem.a_hat0))
                terms = np.abs(to_numpy(problem.x)).T @ (np.abs(prediction) + gamma * np.abs(to_numpy(g)))
                # an input near a kink is the small difference of large numbers: the layer's largest terms
                scale = np.max(terms) if where else terms
                found.append(far(problem.gradient(problem.W0), gamma * dW, scale))
    reason = "rounding of " + ("the layer's largest " if where else "") + "|X̃|ᵀ(|f(â₀)| + γ|g|)"
    return (
        Measurement(on(where, "S: X̃ᵀ(â₀ − y*) = γ ∂L/∂W̃"), worst(errors["squared"]), 1e-14, reason),
        Measurement(on(where, "M: X̃ᵀ(f(â₀) − y*) = γ ∂L/∂W̃"), worst(errors["matching"]), 1e-14, reason),
    )


def backward_is_derivative(seed: int = 0, xp: Any = np) -> Identity:
    """I2: the hand-written backward pass is the derivative of L, which is computed by complex steps."""
    parts = _derivative(every_case(seed, xp, TRANSFERS), "rounding of |X̃|ᵀ|g| through three layers")
    for where in POSITIONS:
        reason = "rounding of |X̃|ᵀ|g| through layers and " + ("steps" if where == "recurrent" else "windows")
        parts += _derivative(positions_cases(where, seed, xp), reason, where)
    return Identity("I2", "the hand-written backward pass is the derivative of the loss", parts)


def _derivative(cases: Iterable[Case], reason: str, where: str = "") -> tuple[Measurement, ...]:
    errors = []
    for case in cases:
        derivative = complex_step_gradients(case.network, case.x, case.t)
        by_hand = gradients(case.network, case.x, case.t)
        for layer, x, g, dW, got in zip(
            case.network.layers, case.trace.x, case.g, derivative, by_hand, strict=True
        ):
            terms = np.abs(to_numpy(layer.augment(x))).T @ np.abs(to_numpy(g))
            errors.append(far(got, dW, terms))
    return (Measurement(on(where, "X̃ᵀg = Im L(W̃ + ih)/h"), worst(errors), 1e-12, reason),)
