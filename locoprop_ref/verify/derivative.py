r"""I1 and I2: the first inner step is BackProp; the hand-written backward pass is the derivative of L."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.network import gradients
from locoprop_ref.verify.cases import every_case, local_problems
from locoprop_ref.verify.complex_step import complex_step_gradients
from locoprop_ref.verify.measure import Identity, Measurement, far, worst


def first_step_is_backprop(seed: int = 0, xp: Any = np) -> Identity:
    """I1: the first inner gradient of S and of M is γ·∂L/∂W̃, where ∂L/∂W̃ is computed by complex steps."""
    errors: dict[str, list[float]] = {"squared": [], "matching": []}
    gamma = 10.0
    for case in every_case(seed, xp):
        derivative = complex_step_gradients(case.network, case.x, case.t)
        for local_loss, found in errors.items():
            problems = local_problems(case, local_loss, target_step=gamma)
            for problem, dW, g in zip(problems, derivative, case.g, strict=True):
                prediction = to_numpy(problem.transfer.f(problem.a_hat0))
                terms = np.abs(to_numpy(problem.x)).T @ (np.abs(prediction) + gamma * np.abs(to_numpy(g)))
                found.append(far(problem.gradient(problem.W0), gamma * dW, terms))
    reason = "rounding of |X̃|ᵀ(|f(â₀)| + γ|g|)"
    parts = (
        Measurement("S: X̃ᵀ(â₀ − y*) = γ ∂L/∂W̃", worst(errors["squared"]), 1e-14, reason),
        Measurement("M: X̃ᵀ(f(â₀) − y*) = γ ∂L/∂W̃", worst(errors["matching"]), 1e-14, reason),
    )
    return Identity("I1", "the first inner step is BackProp with learning rate s·γ", parts)


def backward_is_derivative(seed: int = 0, xp: Any = np) -> Identity:
    """I2: the hand-written backward pass is the derivative of L, which is computed by complex steps."""
    errors = []
    for case in every_case(seed, xp):
        derivative = complex_step_gradients(case.network, case.x, case.t)
        by_hand = gradients(case.network, case.x, case.t)
        for layer, x, g, dW, got in zip(
            case.network.layers, case.trace.x, case.g, derivative, by_hand, strict=True
        ):
            terms = np.abs(to_numpy(layer.augment(x))).T @ np.abs(to_numpy(g))
            errors.append(far(got, dW, terms))
    reason = "rounding of |X̃|ᵀ|g| through three layers"
    parts = (Measurement("X̃ᵀg = Im L(W̃ + ih)/h", worst(errors), 1e-12, reason),)
    return Identity("I2", "the hand-written backward pass is the derivative of the loss", parts)
