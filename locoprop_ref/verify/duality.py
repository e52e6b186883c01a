r"""B1, B2, F15 and the duality of Bregman divergences: what the matching loss and its targets mean."""

from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, to_backend, to_numpy
from locoprop_ref.losses import matching_loss
from locoprop_ref.solvers import newton
from locoprop_ref.transfers import DISCONTINUOUS, TRANSFERS, transfer
from locoprop_ref.verify.cases import local_problems, random_case
from locoprop_ref.verify.complex_step import complex_step_gradients
from locoprop_ref.verify.measure import Identity, Measurement, far, worst


def last_layer_is_implicit_sgd(seed: int = 0, xp: Any = np) -> Identity:
    """B1: M exact with γ = B in the last layer is the implicit step W̃ = W̃₀ − ηB ∂L/∂W̃ taken at the new W̃."""
    errors, eta = [], 0.5
    for output, loss in (("sigmoid", "sigmoid_cross_entropy"), ("identity", "squared_error")):
        for batch in (8, 3):
            case = random_case("tanh", output, loss, seed=seed, xp=xp, batch=batch)
            problem = local_problems(case, "matching", target_step=float(batch), weight_step=eta)[-1]
            W, _ = newton(problem)
            layers = (*case.network.layers[:-1], case.network.layers[-1].with_stacked(W))
            moved = type(case.network)(layers, case.network.loss)
            step = eta * batch * complex_step_gradients(moved, case.x, case.t)[-1]
            W0 = to_numpy(problem.W0)
            errors.append(far(W, W0 - step, np.max(np.abs(W0)) + np.max(np.abs(to_numpy(W)))))
    parts = (Measurement("W̃ = W̃₀ − ηB ∂L/∂W̃ at W̃", worst(errors), 1e-10, "condition 1 + ηλ_max"),)
    return Identity("B1", "exact M in the last layer, γ = B: implicit SGD of the network loss", parts)


def last_layer_is_irls(seed: int = 0, xp: Any = np) -> Identity:
    """B2: the same problem, by iteratively reweighted least squares with a ridge towards W̃₀, to the end."""
    errors, eta = [], 0.5
    for batch in (8, 3):
        case = random_case("tanh", "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = local_problems(case, "matching", target_step=float(batch), weight_step=eta)[-1]
        x, W0, t = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.t)
        W = np.array(W0)
        for _ in range(30):
            for j in range(W.shape[1]):
                a = x @ W[:, j]
                chance = 1 / (1 + np.exp(-a))
                weight = chance * (1 - chance)
                working = a + (t[:, j] - chance) / weight
                system = (x.T * weight) @ x + np.eye(len(W)) / eta
                W[:, j] = np.linalg.solve(system, x.T @ (weight * working) + W0[:, j] / eta)
        errors.append(far(newton(problem)[0], W, np.max(np.abs(W0)) + np.max(np.abs(W))))
    parts = (Measurement("Newton = reweighted least squares", worst(errors), 1e-10, "condition 1 + ηλ_max"),)
    return Identity("B2", "exact M in the last layer is logistic regression by IRLS", parts)


def divergence_has_a_dual(seed: int = 0, xp: Any = np) -> Identity:
    """dual: D_F(â, a*) is the divergence of F* from ŷ to y*, with â as the subgradient at ŷ."""
    dual, penalty = [], []
    rng = np.random.default_rng([seed, 15])
    for name in (*TRANSFERS, *DISCONTINUOUS):
        f = transfer(name)
        a_hat, a = (to_backend(rng.uniform(-3, 3, size=(30, 3)), xp=xp) for _ in range(2))
        y_hat, y = f.f(a_hat), f.f(a)
        D = to_numpy(matching_loss(f, a_hat, a))
        F, F_star, at_hat = (to_numpy(v) for v in (f.F(a_hat), f.F_star(y), f.F_star(y_hat)))
        product = to_numpy(a_hat) * (to_numpy(y) - to_numpy(y_hat))
        both = to_numpy(a_hat) * to_numpy(y)
        if not f.elementwise:
            product, both = product.sum(axis=-1), both.sum(axis=-1)
        scale = 1 + np.abs(F) + np.abs(F_star) + np.abs(at_hat) + np.abs(product) + np.abs(both)
        dual.append(far(D, F_star - at_hat - product, scale))
        penalty.append(far(D, F + F_star - both, scale))
    reason = "rounding of 1 + the sum of all |terms|"
    return Identity(
        "dual",
        "the matching loss is a divergence of F* and the penalty of Fenchel lifted networks",
        (
            Measurement("D_F = F*(y*) − F*(ŷ) − â(y* − ŷ)", worst(dual), 1e-13, reason),
            Measurement("F12: D_F = F(â) + F*(y*) − â y*", worst(penalty), 1e-13, reason),
        ),
    )


# ∇²F* = 1/f′ as a function of ŷ alone, written from the inverse of f
_DUAL_METRIC: dict[str, Any] = {
    "identity": lambda y: np.ones_like(y),
    "leaky_relu": lambda y: np.where(y > 0, 1.0, 100.0),
    "tanh": lambda y: 1 / (1 - y * y),
    "sigmoid": lambda y: 1 / y + 1 / (1 - y),
    "softplus": lambda y: 1 / (1 - np.exp(-y)),
    "elu": lambda y: np.where(y > 0, 1.0, 1 / (y + 1)),
    "arctan": lambda y: 1 + np.tan(y) ** 2,
}


def target_is_a_natural_gradient_step(seed: int = 0, xp: Any = np) -> Identity:
    """F15: M's target ŷ − γg is a natural-gradient step on ŷ in the metric ∇²F*, a mirror step on â.

    This is why the gradient with respect to â is subtracted from ŷ. It needs f′ > 0.
    """
    natural, mirror, gamma = [], [], 0.01
    for name, metric in _DUAL_METRIC.items():
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        problem, f = local_problems(case, "matching", target_step=gamma)[0], transfer(name)
        a_hat, y_hat, g = (to_numpy(v[0]) for v in (case.trace.a_hat, case.trace.y_hat, case.g))
        slope = to_numpy(case.g[1]) @ to_numpy(case.network.layers[1].W).T  # ∂L/∂ŷ
        wanted = y_hat - gamma * slope / metric(y_hat)
        natural.append(far(problem.y_target, wanted, 1 + np.abs(wanted)))
        # the mirror step: a* = argmin γ⟨g, a⟩ + D_F(a, â), where ∇F(a*) = ∇F(â) − γg
        a = to_numpy(f.inverse(problem.y_target))
        residual = to_numpy(f.f(to_backend(a, xp=array_namespace(case.x)))) - _rise(f, a_hat, xp) + gamma * g
        mirror.append(far(residual, 0, 1 + np.abs(a)))
    reason = "rounding of 1 + |y*|"
    return Identity(
        "F15",
        "M's target is a natural-gradient step on ŷ and a mirror step on â",
        (
            Measurement("ŷ − γ(∇²F*)⁻¹ ∂L/∂ŷ", worst(natural), 1e-12, reason),
            Measurement("a* = argmin γ⟨g, a⟩ + D_F(a, â)", worst(mirror), 1e-12, "rounding of f and of f⁻¹"),
        ),
    )


def _rise(f: Any, a: np.ndarray, xp: Any) -> np.ndarray:
    return to_numpy(f.f(to_backend(a, xp=xp)))
