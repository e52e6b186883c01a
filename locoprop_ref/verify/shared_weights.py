r"""L3 and L5: S in closed form on weights that all positions share; the mean is over examples, not rows."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.methods.base import Method
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import ClosedForm, Descend
from locoprop_ref.verify.cases import ELEMENTWISE, POSITIONS, Case, local_problems, positions_cases
from locoprop_ref.verify.complex_step import complex_step_gradients, rows_by_definition
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst

GAMMA, ETA = 10.0, 0.1


def shared_weights_are_one_problem(seed: int = 0, xp: Any = np) -> Identity:
    """L3: S in closed form solves one problem over all R rows; FOOF of B examples and K → ∞ steps agree.

    The rows X̃ and ∂L/∂W̃ come from the definitions: W̃₀ − ηγ(I + ηX̃ᵀX̃)⁻¹ ∂L/∂W̃.
    """
    parts: tuple[Measurement, ...] = ()
    for where in POSITIONS:
        errors: dict[str, list[float]] = {"forms": [], "foof": [], "steps": []}
        for case in positions_cases(where, seed, xp, hidden=ELEMENTWISE):
            rows = [x for x, _ in rows_by_definition(case.network, case.x)]
            wanted = [
                to_numpy(layer.stacked)
                - ETA * GAMMA * np.linalg.solve(np.eye(x.shape[1]) + ETA * x.T @ x, gradient)
                for layer, x, gradient in zip(
                    case.network.layers,
                    rows,
                    complex_step_gradients(case.network, case.x, case.t),
                    strict=True,
                )
            ]
            largest = max(float(np.linalg.norm(x, 2) ** 2) for x in rows)
            for claim, method in _solvers(case.x.shape[0], largest):
                errors[claim].append(_distance(case, method, wanted))
        reason = "condition 1 + ηλ_max"
        parts += (
            Measurement(on(where, "primal = dual = the definition"), worst(errors["forms"]), 1e-10, reason),
            Measurement(on(where, "FOOF, X̃ᵀX̃/B for B examples"), worst(errors["foof"]), 1e-10, reason),
            Measurement(
                on(where, "K → ∞ steps of SGD"), worst(errors["steps"]), 1e-10, reason + "; e⁻³⁰ remains"
            ),
        )
    return Identity(
        "L3", "S on shared weights is one problem over all rows: W̃₀ − ηγ(I + ηX̃ᵀX̃)⁻¹ ∂L/∂W̃", parts
    )


def _solvers(examples: int, largest: float) -> tuple[tuple[str, Method], ...]:
    """Return the methods whose step must be the same; `largest` is λ_max of X̃ᵀX̃."""
    s, K = 1 / (largest + 1 / ETA), int(30 * (1 + ETA * largest))
    steps = Descend(SGD(), s, K, local_decay="constant")
    how: dict[str, Any] = {"target_step": GAMMA, "weight_step": ETA, "parallel_layers": False}
    return (
        ("forms", LocoProp("squared", solver=ClosedForm("primal"), **how)),
        ("forms", LocoProp("squared", solver=ClosedForm("dual"), **how)),
        (
            "foof",
            FOOF(GAMMA / examples, damping=1 / (ETA * examples), factor_decay=0.0, parallel_layers=False),
        ),
        ("steps", LocoProp("squared", solver=steps, **how)),
    )


def _distance(case: Case, method: Method, wanted: list[np.ndarray]) -> float:
    """Return how far the weights are from the wanted ones after a step, relative to their size."""
    moved, _, _ = method.step(case.network, method.init(case.network), case.x, case.t)
    pairs = zip(moved.layers, wanted, strict=True)
    return worst([far(layer.stacked, W, 1 + np.max(np.abs(W))) for layer, W in pairs])


def mean_is_over_examples(seed: int = 0, xp: Any = np) -> Identity:
    """L5: the reduction "mean" divides the local loss by B, not by R: (γ/B) ∂L/∂W̃; S closed has η/B for η."""
    parts: tuple[Measurement, ...] = ()
    for where in POSITIONS:
        gradient, closed = [], []
        for case in positions_cases(where, seed, xp, hidden=ELEMENTWISE):
            B, derivative = case.x.shape[0], complex_step_gradients(case.network, case.x, case.t)
            for local_loss in ("squared", "matching"):
                problems = local_problems(case, local_loss, target_step=GAMMA, local_reduction="mean")
                for problem, dW, g in zip(problems, derivative, case.g, strict=True):
                    prediction = to_numpy(problem.transfer.f(problem.a_hat0))
                    terms = np.abs(to_numpy(problem.x)).T @ (np.abs(prediction) + GAMMA * np.abs(to_numpy(g)))
                    gradient.append(far(problem.gradient(problem.W0), GAMMA / B * dW, np.max(terms) / B))
            how: dict[str, Any] = {"target_step": GAMMA, "parallel_layers": False}
            mean = LocoProp("squared", solver=ClosedForm(), weight_step=ETA, local_reduction="mean", **how)
            total = LocoProp("squared", solver=ClosedForm(), weight_step=ETA / B, **how)
            summed, _, _ = total.step(case.network, total.init(case.network), case.x, case.t)
            closed.append(_distance(case, mean, [to_numpy(layer.stacked) for layer in summed.layers]))
        reason = "rounding of the layer's largest |X̃|ᵀ(|f(â₀)| + γ|g|)/B"
        parts += (
            Measurement(on(where, "first gradient (γ/B) ∂L/∂W̃"), worst(gradient), 1e-14, reason),
            Measurement(on(where, "S closed: η/B for η"), worst(closed), 1e-10, "condition 1 + ηλ_max"),
        )
    return Identity("L5", "the mean is over B examples, not over R rows", parts)
