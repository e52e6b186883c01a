r"""I7 and I8: Newton's method solves LocoProp-M exactly; in the last layer this is logistic regression."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import descend, newton
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import local_problems, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, worst


def newton_is_exact(seed: int = 0, xp: Any = np) -> Identity:
    """I7: damped Newton solves M for elementwise f, in primal and dual form; K → ∞ steps converge to it."""
    stationary, limit = [], []
    eta = 1.0
    for name, batch in [(name, batch) for name in TRANSFERS if name != "softmax" for batch in (8, 3)]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = local_problems(case, "matching", target_step=4.0 * batch, weight_step=eta)[1]
        W, _ = newton(problem)
        x, V = to_numpy(problem.x), to_numpy(W) - to_numpy(problem.W0)
        y, prediction = to_numpy(problem.y_target), to_numpy(problem.transfer.f(problem.x @ W))
        terms = np.abs(x).T @ (np.abs(prediction) + np.abs(y)) + np.abs(V) / eta
        stationary.append(far(x.T @ (prediction - y) + V / eta, 0, np.max(terms)))
        largest = float(np.linalg.norm(x, 2) ** 2)  # sup f′ ≤ 1 for every transfer function here
        steps: dict[str, Any] = {
            "local_lr": 1 / (largest + 1 / eta),
            "num_local_steps": int(30 * (1 + eta * largest)),
        }
        reached, _ = descend(problem, SGD(), **steps, local_decay="constant")
        limit.append(far(reached, to_numpy(W), 1 + np.max(np.abs(to_numpy(W)))))
    reason = "condition 1 + ηλ_max times 100 eps"
    parts = (
        Measurement("gradient of M vanishes at Newton's solution", worst(stationary), 1e-8, reason),
        Measurement(
            "K → ∞ steps reach it, s < 2/(sup f′ λ_max + 1/η)", worst(limit), 1e-8, reason + "; e⁻³⁰ remains"
        ),
    )
    return Identity("I7", "exact M: one convex regression per unit, solved by damped Newton", parts)


def label_is_target(seed: int = 0, xp: Any = np) -> Identity:
    """I8: with the cross-entropy and γ = B, the target of the last layer is the label itself."""
    parts = []
    for loss, output in [("sigmoid_cross_entropy", "sigmoid"), ("softmax_cross_entropy", "softmax")]:
        errors = []
        for name in TRANSFERS:
            case = random_case(name, output, loss, seed=seed, xp=xp, batch=7)
            problem = local_problems(case, "matching", target_step=7.0)[-1]
            errors.append(far(problem.y_target, to_numpy(case.t), 1))
        parts.append(
            Measurement(
                f"{output}: y* = t at γ = B", worst(errors), 1e-14, "a few rounding errors of numbers ≤ 1"
            )
        )
    return Identity("I8", "the last layer's problem is logistic regression on the batch", tuple(parts))
