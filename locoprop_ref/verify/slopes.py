r"""I13, A1, A2 and A5: SGD, LocoProp-S and LocoProp-M are one formula, with slopes in it.

Unit by unit, with g_j the j-th column of g, the exact solution of a local problem is

    w̃_j = w̃₀_j − γ (X̃ᵀD̄_jX̃ + I/η)⁻¹ X̃ᵀg_j,

where D̄_j is diagonal and holds the secant slopes of the local transfer function between the old and the new
â_j: 0 for the linear loss, 1 for S, those of f for M. Where they agree, the slope is f′.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from locoprop_ref.backend import to_numpy
from locoprop_ref.local import LocalProblem, constant_slope
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.network import gradients
from locoprop_ref.optimizers import SGD
from locoprop_ref.solvers import ClosedForm, closed_form, descend, local_rates, local_steps, newton
from locoprop_ref.transfers import TRANSFERS
from locoprop_ref.verify.cases import Case, local_problems, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

SMOOTH = ("tanh", "sigmoid", "softplus", "arctan")
# what a tangent needs: γ small, and far above the rounding of Newton's solution
SMALL = (1e-2, 1e-4)


def matching_loss_is_second_order(seed: int = 0, xp: Any = np) -> Identity:
    """I13: M preconditions the gradient by its slopes, with secants exactly, with tangents for small γ."""
    secant, steps, exact, inexact = [], [], [], []
    for name, batch, m in [(n, b, m) for n in TRANSFERS if n != "softmax" for b in (8, 3) for m in (0, 1)]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = local_problems(case, "matching", target_step=10.0, weight_step=1.0)[m]
        secant.append(_secant_error(problem, newton(problem)[0], 10.0 * to_numpy(case.g[m])))
        steps.append(_steps_error(local_problems(case, "matching", target_step=10.0)[m], case, m))
    for name in SMOOTH:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=8)
        errors = np.array([_tangent_errors(case, gamma) for gamma in SMALL])
        slopes = np.log(errors[0] / errors[1]) / np.log(SMALL[0] / SMALL[1])
        exact.append(abs(slopes[0] - 1))
        inexact.append(abs(slopes[1] - 1))
    return Identity(
        "I13",
        "LocoProp-M is a second-order method, whose curvature has slopes of f",
        (
            Measurement(
                "exact M: −γ(X̃ᵀD̄_jX̃ + I/η)⁻¹ ∂L/∂w̃_j, secants", worst(secant), 1e-10, "condition 1 + ηλ_max"
            ),
            Measurement(
                "K steps: the ordered product, secants", worst(steps), 1e-10, "rounding of K products"
            ),
            Measurement(
                "exact M: tangents, error linear in γ",
                worst(exact),
                0.05,
                "slope 1 in log-log, terms of γ²",
                kind="limit",
            ),
            Measurement(
                "K steps: tangents, error linear in γ",
                worst(inexact),
                0.05,
                "slope 1 in log-log, terms of γ²",
                kind="limit",
            ),
        ),
    )


def _slopes(problem: LocalProblem, W: Any) -> np.ndarray:
    """Return the secant slopes of the local transfer function between X̃W̃₀ and X̃W̃, or f′ where they agree."""
    before, after = problem.x @ problem.W0, problem.x @ W
    rise = to_numpy(problem.transfer.f(after)) - to_numpy(problem.transfer.f(before))
    run, tangent = to_numpy(after) - to_numpy(before), to_numpy(problem.transfer.derivative(before))
    return np.where(run == 0, tangent, rise / np.where(run == 0, 1, run))


def _hessians(x: np.ndarray, slopes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield X̃ᵀD_jX̃ of every unit."""
    for column in slopes.T:
        yield (x.T * column) @ x


def _solved(x: np.ndarray, slopes: np.ndarray, gradient: np.ndarray, eta: float) -> np.ndarray:
    """Return (X̃ᵀD_jX̃ + I/η)⁻¹ times the j-th column of the gradient, for every unit."""
    ridge, columns = np.eye(x.shape[1]) / eta, zip(_hessians(x, slopes), gradient.T, strict=True)
    return np.stack([np.linalg.solve(H + ridge, column) for H, column in columns], axis=1)


def _secant_error(problem: LocalProblem, W: Any, step: np.ndarray) -> float:
    x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
    wanted = W0 - _solved(x, _slopes(problem, W), x.T @ step, problem.weight_step)
    return far(W, wanted, np.max(np.abs(W0)) + np.max(np.abs(wanted)))


def _steps_error(problem: LocalProblem, case: Case, m: int, K: int = 4) -> float:
    x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
    rates = local_rates(0.5 / float(np.linalg.norm(x, 2) ** 2), K)
    path = [problem.W0, *(W for W, _ in local_steps(problem, SGD(), {}, rates))]
    curved = [list(_hessians(x, _slopes(problem, W))) for W in path[:-1]]
    gradient, change = 10.0 * x.T @ to_numpy(case.g[m]), np.zeros(W0.shape)
    for j in range(W0.shape[1]):
        for k, s in enumerate(rates):
            term = s * gradient[:, j]
            for later in range(k + 1, K):
                term = term - rates[later] * curved[later][j] @ term
            change[:, j] -= term
    return far(to_numpy(path[-1]) - W0, change, np.max(np.abs(W0)) + np.max(np.abs(change)))


def _tangent_errors(case: Case, gamma: float) -> tuple[float, float]:
    """Return the relative distances of exact M and of K steps from what f′ at the old â predicts."""
    eta, K = 1.0, 5
    problem = local_problems(case, "matching", target_step=gamma, weight_step=eta)[1]
    x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
    slopes = to_numpy(problem.transfer.derivative(problem.a_hat0))
    gradient = gamma * x.T @ to_numpy(case.g[1])
    exact = -_solved(x, slopes, gradient, eta)
    s = 1 / (float(np.linalg.norm(x, 2) ** 2) + 1 / eta)
    W, _ = descend(problem, SGD(), local_lr=s, num_local_steps=K, local_decay="constant")
    powers = []
    for H, column in zip(_hessians(x, slopes), gradient.T, strict=True):
        factor = np.eye(len(H)) - s * (H + np.eye(len(H)) / eta)
        powers.append(-s * sum(np.linalg.matrix_power(factor, k) @ column for k in range(K)))
    pairs = ((newton(problem, tolerance=1e-14)[0], exact), (W, np.stack(powers, axis=1)))
    found = [np.linalg.norm(to_numpy(W) - W0 - wanted) / np.linalg.norm(wanted) for W, wanted in pairs]
    return float(found[0]), float(found[1])


def linear_loss_is_sgd(seed: int = 0, xp: Any = np) -> Identity:
    """A1: the linear local loss is gradient descent with the rate ηγ; a slope κ leads from it to S."""
    plain, slider, gamma, eta = [], [], 7.0, 0.3
    for name in TRANSFERS:
        case = random_case(name, "softmax", "softmax_cross_entropy", seed=seed, xp=xp)
        method = LocoProp("linear", solver=ClosedForm(), target_step=gamma, weight_step=eta)
        moved, _, _ = method.step(case.network, method.init(case.network), case.x, case.t)
        by_hand = gradients(case.network, case.x, case.t)
        for new, old, dW in zip(moved.layers, case.network.layers, by_hand, strict=True):
            W0, step = to_numpy(old.stacked), eta * gamma * to_numpy(dW)
            plain.append(far(new.stacked, W0 - step, np.max(np.abs(W0)) + np.max(np.abs(step))))
        slider += [_constant_slope_error(case, kappa, gamma, eta) for kappa in (0.25, 1.0, 4.0)]
    return Identity(
        "A1",
        "the linear local loss is gradient descent; a constant slope κ leads to LocoProp-S",
        (
            Measurement("f = F = 0: SGD with the rate ηγ", worst(plain), 1e-14, "rounding of X̃ᵀg and of W̃"),
            Measurement("F = κa²/2: −γ(κX̃ᵀX̃ + I/η)⁻¹ ∂L/∂W̃", worst(slider), 1e-10, "condition 1 + κηλ_max"),
        ),
    )


def _constant_slope_error(case: Case, kappa: float, gamma: float, eta: float) -> float:
    method = LocoProp(lambda layer: constant_slope(kappa), target_step=gamma, weight_step=eta)
    layer, trace, g = case.network.layers[1], case.trace, case.g[1]
    problem = method.local_problem(layer, trace.x[1], trace.a_hat[1], trace.y_hat[1], g)
    x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
    change = -gamma * np.linalg.inv(kappa * x.T @ x + np.eye(len(W0)) / eta) @ x.T @ to_numpy(g)
    return far(closed_form(problem), W0 + change, np.max(np.abs(W0)) + np.max(np.abs(change)))


def closed_form_is_proxprop(seed: int = 0, xp: Any = np) -> Identity:
    """A2: S in closed form with γ = α and η = τ is ProxProp's exact step, W̃₀ − α(W̃₀ − W̃_prox)."""
    errors, alpha, tau = [], 0.4, 0.7
    for name, batch in [(name, batch) for name in TRANSFERS for batch in (8, 3)]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = local_problems(case, "squared", target_step=alpha, weight_step=tau)[1]
        x, W0, g = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.g[1])
        # W̃_prox = argmin ½‖X̃W̃ − (â − g)‖² + (1/2τ)‖W̃ − W̃₀‖², as one least squares problem
        rows = np.vstack([x, np.eye(len(W0)) / np.sqrt(tau)])
        right = np.vstack([x @ W0 - g, W0 / np.sqrt(tau)])
        proximal = np.linalg.lstsq(rows, right, rcond=None)[0]
        wanted = W0 - alpha * (W0 - proximal)
        errors.append(far(closed_form(problem), wanted, np.max(np.abs(W0)) + np.max(np.abs(proximal))))
    parts = (Measurement("W̃₀ − α(W̃₀ − W̃_prox)", worst(errors), 1e-10, "condition 1 + ηλ_max"),)
    return Identity("A2", "S in closed form is ProxProp's exact step", parts)


def newton_step_is_natural_gradient(seed: int = 0, xp: Any = np) -> Identity:
    """A5: one full Newton step on M is the natural gradient of a layer of stochastic units.

    Unit j says 1 with probability σ(â) and else 0 (sigmoid), or ±1 with P(+1) = σ(2â) (tanh). The Fisher
    matrix is summed over the batch and over what each unit may say.
    """
    parts = []
    for name, says in (("sigmoid", (0.0, 1.0)), ("tanh", (-1.0, 1.0))):
        errors = []
        for batch in (8, 3):
            case = random_case(name, name, "squared_error", seed=seed, xp=xp, batch=batch)
            gamma, eta = 0.1, 2.0
            problem = local_problems(case, "matching", target_step=gamma, weight_step=eta)[1]
            x, W0, g = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.g[1])
            change = np.empty(W0.shape)
            for j in range(W0.shape[1]):
                fisher = np.eye(len(W0)) / eta
                for row in x:
                    a = float(row @ W0[:, j])
                    chances = np.exp([a * y for y in says])
                    chances /= chances.sum()
                    mean = float(chances @ np.array(says))
                    # ∂ log P(y)/∂w = (y − mean) x
                    for y, chance in zip(says, chances, strict=True):
                        fisher += chance * np.outer((y - mean) * row, (y - mean) * row)
                change[:, j] = -gamma * np.linalg.solve(fisher, x.T @ g[:, j])
            W, _ = newton(problem, max_newton_steps=1)
            errors.append(far(W, W0 + change, np.max(np.abs(W0)) + np.max(np.abs(change))))
        parts.append(Measurement(f"{name}: −γ(Fisher + I/η)⁻¹ ∂L/∂w̃_j", worst(errors), 1e-10, "1 + ηλ_max"))
    claim = "a Newton step on M is the natural gradient of stochastic units"
    return Identity("A5", claim, tuple(parts))
