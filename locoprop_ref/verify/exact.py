r"""I7 and I8: Newton's method solves LocoProp-M exactly; in the last layer this is logistic regression."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import descend, newton
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import (
    ELEMENTWISE,
    HIDDEN,
    POSITIONS,
    local_problems,
    positions_cases,
    random_case,
)
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst


def newton_is_exact(seed: int = 0, xp: Any = np) -> Identity:
    """I7: damped Newton solves M for elementwise f, in primal and dual form; K → ∞ steps converge to it."""
    dense, eta = [], 1.0
    for name, batch in [(name, batch) for name in TRANSFERS if name != "softmax" for batch in (8, 3)]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        dense.append(local_problems(case, "matching", target_step=4.0 * batch, weight_step=eta)[1])
    parts = _solved(dense, eta)
    for where in POSITIONS:
        eta = 0.1
        problems = [
            problem
            for case in positions_cases(where, seed, xp, hidden=ELEMENTWISE)
            for problem in local_problems(case, "matching", target_step=12.0, weight_step=eta)[:-1]
        ]
        parts += _solved(problems, eta, where)
    return Identity("I7", "exact M: one convex regression per unit, solved by damped Newton", parts)


def _solved(problems: Iterable[LocalProblem], eta: float, where: str = "") -> tuple[Measurement, ...]:
    stationary, limit = [], []
    for problem in problems:
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
    limit_claim = "K → ∞ steps reach it" + ("" if where else ", s < 2/(sup f′ λ_max + 1/η)")
    return (
        Measurement(on(where, "∇M = 0 at Newton's solution"), worst(stationary), 1e-8, reason),
        Measurement(on(where, limit_claim), worst(limit), 1e-8, reason + "; e⁻³⁰ remains"),
    )


def label_is_target(seed: int = 0, xp: Any = np) -> Identity:
    """I8: with the cross-entropy and γ = B, the target of the last layer is the label itself."""
    parts = _labels(TRANSFERS, (4, 5, 3, 3), seed, xp)
    for where, words in POSITIONS.items():
        parts += _labels(HIDDEN, words[0], seed, xp, where)
    return Identity("I8", "the last layer's problem is logistic regression on the batch", parts)


def _labels(
    hidden: Sequence[str], sizes: Any, seed: int, xp: Any, where: str = ""
) -> tuple[Measurement, ...]:
    parts = []
    for loss, output in [("sigmoid_cross_entropy", "sigmoid"), ("softmax_cross_entropy", "softmax")]:
        errors = []
        for name in hidden:
            case = random_case(name, output, loss, seed=seed, xp=xp, batch=7, sizes=sizes)
            problem = local_problems(case, "matching", target_step=7.0)[-1]
            errors.append(far(problem.y_target, to_numpy(case.t), 1))
        claim, reason = on(where, f"{output}: y* = t at γ = B"), "a few rounding errors of numbers ≤ 1"
        parts.append(Measurement(claim, worst(errors), 1e-14, reason))
    return tuple(parts)
