r"""I3, I10 and I12: the closed form of LocoProp-S is exact; its limits are LMS and implicit SGD."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import closed_form, descend
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import (
    ELEMENTWISE,
    HIDDEN,
    POSITIONS,
    WELL_CONDITIONED,
    Case,
    local_problems,
    positions_cases,
    random_case,
)
from locoprop_ref.verify.measure import EPS, Identity, Measurement, far, on, worst

Drawn = tuple[LocalProblem, float]  # a squared local problem and its η


def closed_form_is_exact(seed: int = 0, xp: Any = np) -> Identity:
    """I3: primal = dual = inverse, the gradient vanishes, and K → ∞ steps converge to it, also at η = ∞."""
    how: dict[str, Any] = {"seed": seed, "xp": xp}
    drawn, unregularized = [], []
    for name, batch, eta in [
        (n, batch, eta) for n in TRANSFERS for batch in (9, 3) for eta in (0.1, 1.0, 10.0)
    ]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", batch=batch, **how)
        drawn.append((local_problems(case, "squared", target_step=10.0, weight_step=eta)[1], eta))
        if eta == 1 and batch == 3:
            unregularized.append(_without_regularizer(case))
    parts = _solved(drawn, unregularized)
    for where in POSITIONS:
        drawn = [
            (problem, eta)
            for case in positions_cases(where, seed, xp, hidden=ELEMENTWISE)
            for eta in (0.1, 10.0)
            for problem in local_problems(case, "squared", target_step=10.0, weight_step=eta)[:-1]
        ]
        well = random_case("tanh", "identity", "squared_error", batch=1, sizes=WELL_CONDITIONED[where], **how)
        parts += _solved(drawn, [_without_regularizer(well)], where)
    return Identity("I3", "LocoProp-S in closed form solves its local problem", parts)


def _solved(drawn: Iterable[Drawn], unregularized: list[float], where: str = "") -> tuple[Measurement, ...]:
    forms, stationary, limit, condition = [], [], [], 1.0
    for problem, eta in drawn:
        x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
        largest = float(np.linalg.norm(x, 2) ** 2)
        condition = max(condition, 1 + eta * largest)
        solution = {form: to_numpy(closed_form(problem, form=form)) for form in ("primal", "dual", "inverse")}
        W = solution["primal"]
        scale = np.max(np.abs(W0)) + np.max(np.abs(W - W0))
        forms += [far(solution[form], W, scale) for form in solution]
        r = x @ W - to_numpy(problem.y_target)
        terms = np.abs(x).T @ np.abs(r) + np.abs(W - W0) / eta
        stationary.append(far(x.T @ r + (W - W0) / eta, 0, np.max(terms)))
        if eta <= 1:
            how: dict[str, Any] = {
                "local_lr": 1 / (largest + 1 / eta),
                "num_local_steps": int(30 * (1 + eta * largest)),
            }
            reached, _ = descend(problem, SGD(), **how, local_decay="constant", gradient_form="plain")
            limit.append(far(reached, W, scale))
    bound, reason = max(1e-10, 10 * EPS * condition), "condition 1 + ηλ_max"
    remains = reason + "; e⁻³⁰ remains"
    limit_claim = "K → ∞ steps reach it" + ("" if where else ", s < 2/(λ_max + 1/η)")
    return (
        Measurement(on(where, "primal = dual = explicit inverse"), worst(forms), bound, reason),
        Measurement(on(where, "X̃ᵀ(X̃W̃ − y*) + (W̃ − W̃₀)/η = 0"), worst(stationary), bound, reason),
        Measurement(on(where, limit_claim), worst(limit), bound, remains),
        Measurement(on(where, "η = ∞: K → ∞ steps reach W̃₀ − γX̃⁺g"), worst(unregularized), bound, remains),
    )


def _without_regularizer(case: Case) -> float:
    """Return how far closed form and descent are from W̃₀ − γX̃⁺g on the first layer, whose x is Gaussian."""
    problem = local_problems(case, "squared", target_step=10.0)[0]
    x, W0, g = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.g[0])
    wanted = W0 - 10.0 * np.linalg.pinv(x) @ g
    scale = np.max(np.abs(W0)) + np.max(np.abs(wanted - W0))
    singular = np.linalg.svd(x, compute_uv=False)
    how: dict[str, Any] = {
        "local_lr": 1 / singular[0] ** 2,
        "num_local_steps": int(30 * (singular[0] / singular[-1]) ** 2),
    }
    reached, _ = descend(problem, SGD(), **how, local_decay="constant", gradient_form="plain")
    return worst([far(reached, wanted, scale), far(closed_form(problem), wanted, scale)])


def one_example_is_lms(seed: int = 0, xp: Any = np) -> Identity:
    """I10: for B = 1 and η → ∞, S in closed form is normalized LMS, with the relative error 1/(1 + η‖x̃‖²)."""
    distance, predicted = [], []
    for name in TRANSFERS:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=1)
        x, g = to_numpy(case.network.layers[1].augment(case.trace.x[1])), to_numpy(case.g[1])
        square = float(np.sum(x * x))
        eta = 2e6 / square
        problem = local_problems(case, "squared", target_step=10.0, weight_step=eta)[1]
        change = to_numpy(closed_form(problem, form="dual")) - to_numpy(problem.W0)
        lms = -10.0 * x.T @ g / square
        scale = np.max(np.abs(lms)) + np.max(np.abs(to_numpy(problem.W0)))
        distance.append(far(change, lms, scale))
        predicted.append(far(change, lms * (1 - 1 / (1 + eta * square)), scale))
    parts: tuple[Measurement, ...] = (
        Measurement(
            "W̃ − W̃₀ = −γx̃ᵀg/‖x̃‖² as η → ∞",
            worst(distance),
            1e-6,
            "1/(1 + η‖x̃‖²) at η‖x̃‖² = 2e6",
            kind="limit",
        ),
        Measurement("its relative error is 1/(1 + η‖x̃‖²)", worst(predicted), 1e-14, "rounding of W̃"),
    )
    for where in POSITIONS:
        parts += _one_example_with_positions(where, seed, xp)
    return Identity("I10", "one example and no regularizer: normalized LMS", parts)


def _one_example_with_positions(where: str, seed: int, xp: Any) -> tuple[Measurement, ...]:
    r"""Return how far one example of R rows is from its limit, the affine projection W̃₀ − γX̃⁺g.

    With one row X̃⁺g is x̃ᵀg/‖x̃‖². With more, every right singular vector of X̃, of singular value σ, has its
    own relative error 1/(1 + ησ²).
    """
    distance, predicted = [], []
    for name in HIDDEN:
        case = random_case(
            name, "identity", "squared_error", seed=seed, xp=xp, batch=1, sizes=WELL_CONDITIONED[where]
        )
        x, g = to_numpy(case.network.layers[0].augment(case.trace.x[0])), to_numpy(case.g[0])
        U, sigma, V = np.linalg.svd(x, full_matrices=False)
        eta = 2e6 / float(sigma[-1]) ** 2
        problem = local_problems(case, "squared", target_step=10.0, weight_step=eta)[0]
        change = to_numpy(closed_form(problem, form="dual")) - to_numpy(problem.W0)
        projection = -10.0 * V.T @ ((U.T @ g) / sigma[:, None])
        damped = -10.0 * V.T @ ((U.T @ g) * (sigma / (1 / eta + sigma**2))[:, None])
        scale = np.max(np.abs(projection)) + np.max(np.abs(to_numpy(problem.W0)))
        distance.append(far(change, projection, scale))
        predicted.append(far(change, damped, scale))
    return (
        Measurement(
            on(where, "R rows: −γX̃⁺g as η → ∞"),
            worst(distance),
            1e-6,
            "1/(1 + ησ²) at the least ησ² = 2e6",
            kind="limit",
        ),
        Measurement(
            on(where, "relative error 1/(1 + ησ²)"), worst(predicted), 1e-12, "rounding times cond(X̃X̃ᵀ)"
        ),
    )


def linear_network_is_implicit_sgd(seed: int = 0, xp: Any = np) -> Identity:
    """I12: on a linear one-layer network S in closed form is γ/B times the proximal-point step of size ηB."""
    parts = _implicit((4, 3), seed, xp)
    for where, words in (("convolution", "4x4x1-p2-c2x3"), ("recurrent", "1x4-r3")):
        parts += _implicit(words, seed, xp, where)
    return Identity("I12", "linear network: S in closed form is implicit SGD", parts)


def _implicit(sizes: Any, seed: int, xp: Any, where: str = "") -> tuple[Measurement, ...]:
    """Return the error for networks of one layer; with positions their last layer has one."""
    errors = []
    for batch, eta, gamma in [(8, 0.3, 8.0), (8, 2.0, 3.0), (3, 1.0, 10.0)]:
        case = random_case(
            "identity", "identity", "squared_error", seed=seed, xp=xp, batch=batch, sizes=sizes
        )
        problem = local_problems(case, "squared", target_step=gamma, weight_step=eta)[0]
        x, W0, t = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.t)
        # argmin (1/2B)‖x̃W̃ − t‖² + (1/2ηB)‖W̃ − W̃₀‖², from its normal equations
        implicit = np.linalg.solve(x.T @ x + np.eye(len(W0)) / eta, x.T @ t + W0 / eta)
        wanted = W0 + gamma / batch * (implicit - W0)
        errors.append(far(closed_form(problem), wanted, np.max(np.abs(wanted)) + np.max(np.abs(W0))))
    claim = on(where, "W̃ − W̃₀ = γ/B · the implicit step")
    return (Measurement(claim, worst(errors), 1e-10, "condition 1 + ηλ_max"),)
