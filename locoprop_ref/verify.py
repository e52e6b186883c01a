r"""The identities that must hold, as code: claim → measured error, bound, reason of the bound.

Every function takes a seed and an array namespace, draws small random networks with biases, and measures. It
runs in float64; references are computed on the host, from a second source wherever there is one.

>>> [result.id for result in verify(seed=1) if not result.holds]
[]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from locoprop_ref import check
from locoprop_ref.backend import namespace, to_backend, to_numpy
from locoprop_ref.complex_step import STEP, complex_step_gradients, complex_transfer
from locoprop_ref.local import LocalProblem, matching_loss
from locoprop_ref.method import locoprop_m, locoprop_s
from locoprop_ref.network import Network, Trace, backward, forward, gradients, initialize, layer_input
from locoprop_ref.optimizer import SGD
from locoprop_ref.solve import closed_form, descend, local_rates, newton
from locoprop_ref.spectrum import descent_filter
from locoprop_ref.transfer import TRANSFERS, Transfer, transfer

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Measurement:
    """One measured part of an identity: it holds when error ≤ bound (nan never holds)."""

    claim: str
    error: float
    bound: float
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound


@dataclass(frozen=True)
class Identity:
    """An identity of the method with the measurements of its parts."""

    id: str
    claim: str
    parts: tuple[Measurement, ...]

    @property
    def holds(self) -> bool:
        """Whether every part holds."""
        return all(part.holds for part in self.parts)


@dataclass(frozen=True)
class Case:
    """A random network with a batch, its forward and backward pass."""

    network: Network
    x: Any
    t: Any
    trace: Trace
    g: tuple[Any, ...]


def random_case(
    hidden: str, output: str, loss: str, *, seed: int, xp: Any, batch: int = 6, sizes: Any = (4, 5, 3, 3)
) -> Case:
    """Draw a network with biases and a batch whose targets fit the loss (label rows for cross-entropies)."""
    rng = np.random.default_rng([seed, TRANSFERS.index(hidden), TRANSFERS.index(output), batch])
    transfers = [hidden] * (len(sizes) - 2) + [output]
    network = initialize(sizes, transfers=transfers, output_loss=loss, seed=rng, xp=xp)
    t = rng.normal(size=(batch, sizes[-1]))
    if loss == "sigmoid_cross_entropy":
        t = np.asarray(t > 0, dtype=float)
    if loss == "softmax_cross_entropy":
        t = np.eye(sizes[-1])[np.argmax(t, axis=1)]
    x, t = to_backend(rng.normal(size=(batch, sizes[0])), xp=xp), to_backend(t, xp=xp)
    trace = forward(network, x)
    return Case(network, x, t, trace, backward(network, trace, t))


def every_case(seed: int, xp: Any) -> Iterator[Case]:
    """Yield a network of every transfer function under every network loss."""
    for name in TRANSFERS:
        yield random_case(name, name, "squared_error", seed=seed, xp=xp)
        yield random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        yield random_case(name, "softmax", "softmax_cross_entropy", seed=seed, xp=xp)


def _problems(case: Case, local_loss: str, **settings: Any) -> list[LocalProblem]:
    build = locoprop_m if local_loss == "matching" else locoprop_s
    method, trace = build(**settings), case.trace
    parts = zip(case.network.layers, trace.x, trace.a_hat, trace.y_hat, case.g, strict=True)
    return [method.local_problem(*part) for part in parts]


def _far(got: Any, wanted: Any, scale: Any) -> float:
    """Return max |got − wanted|/scale; 0/0 is 0, nan stays nan."""
    distance = np.abs(to_numpy(got) - wanted)
    return _worst(distance / np.where(scale == 0, np.finfo(float).tiny, scale))


def _worst(errors: Any) -> float:
    """Return the largest error, nan if one is (Python's own max would lose it)."""
    return float(np.max(errors))


def first_step_is_backprop(seed: int = 0, xp: Any = np) -> Identity:
    """I1: the first inner gradient of S and of M is γ·∂L/∂W̃, the latter by complex steps."""
    errors: dict[str, list[float]] = {"squared": [], "matching": []}
    gamma = 10.0
    for case in every_case(seed, xp):
        derivative = complex_step_gradients(case.network, case.x, case.t)
        for local_loss, found in errors.items():
            problems = _problems(case, local_loss, target_step=gamma)
            for problem, dW, g in zip(problems, derivative, case.g, strict=True):
                prediction = to_numpy(problem.transfer.f(problem.a_hat0))
                terms = np.abs(to_numpy(problem.x)).T @ (np.abs(prediction) + gamma * np.abs(to_numpy(g)))
                found.append(_far(problem.gradient(problem.W0), gamma * dW, terms))
    reason = "rounding of the terms |X̃|ᵀ(|f(â₀)| + γ|g|), whose difference it is"
    parts = (
        Measurement("S: X̃ᵀ(â₀ − y*) = γ ∂L/∂W̃", _worst(errors["squared"]), 1e-14, reason),
        Measurement("M: X̃ᵀ(f(â₀) − y*) = γ ∂L/∂W̃", _worst(errors["matching"]), 1e-14, reason),
    )
    return Identity("I1", "the first inner step is BackProp with learning rate s·γ", parts)


def backward_is_derivative(seed: int = 0, xp: Any = np) -> Identity:
    """I2: the hand-written backward pass is the derivative of L, by complex steps."""
    errors = []
    for case in every_case(seed, xp):
        derivative = complex_step_gradients(case.network, case.x, case.t)
        by_hand = gradients(case.network, case.x, case.t)
        for layer, x, g, dW, got in zip(
            case.network.layers, case.trace.x, case.g, derivative, by_hand, strict=True
        ):
            terms = np.abs(to_numpy(layer_input(layer, x))).T @ np.abs(to_numpy(g))
            errors.append(_far(got, dW, terms))
    reason = "rounding of |X̃|ᵀ|g| through three layers"
    parts = (Measurement("X̃ᵀg = Im L(W̃ + ih)/h", _worst(errors), 1e-12, reason),)
    return Identity("I2", "the backward pass by hand is the derivative of the loss", parts)


def closed_form_is_exact(seed: int = 0, xp: Any = np) -> Identity:
    """I3: primal = dual = inverse, the gradient vanishes, K → ∞ steps get there, with and without η."""
    forms, stationary, limit, unregularized, condition = [], [], [], [], 1.0
    for name, batch, eta in [
        (n, batch, eta) for n in TRANSFERS for batch in (9, 3) for eta in (0.1, 1.0, 10.0)
    ]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = _problems(case, "squared", target_step=10.0, weight_step=eta)[1]
        x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
        largest = float(np.linalg.norm(x, 2) ** 2)
        condition = max(condition, 1 + eta * largest)
        solution = {form: to_numpy(closed_form(problem, form=form)) for form in ("primal", "dual", "inverse")}
        W = solution["primal"]
        scale = np.max(np.abs(W0)) + np.max(np.abs(W - W0))
        forms += [_far(solution[form], W, scale) for form in solution]
        r = x @ W - to_numpy(problem.y_target)
        terms = np.abs(x).T @ np.abs(r) + np.abs(W - W0) / eta
        stationary.append(_far(x.T @ r + (W - W0) / eta, 0, np.max(terms)))
        if eta <= 1:
            steps = int(30 * (1 + eta * largest))
            reached, _ = descend(
                problem,
                SGD(),
                local_lr=1 / (largest + 1 / eta),
                num_local_steps=steps,
                local_decay="constant",
            )
            limit.append(_far(reached, W, scale))
        if eta == 1 and batch == 3:
            unregularized.append(_without_regularizer(case))
    bound, reason = max(1e-10, 10 * EPS * condition), "condition 1 + ηλ_max of the system"
    parts = (
        Measurement("primal = dual = explicit inverse", _worst(forms), bound, reason),
        Measurement("X̃ᵀ(X̃W̃ − y*) + (W̃ − W̃₀)/η = 0", _worst(stationary), bound, reason),
        Measurement(
            "K → ∞ steps reach it, s < 2/(λ_max + 1/η)", _worst(limit), bound, reason + "; e⁻³⁰ to go"
        ),
        Measurement(
            "η = ∞: K → ∞ steps reach W̃₀ − γX̃⁺g", _worst(unregularized), bound, reason + "; e⁻³⁰ to go"
        ),
    )
    return Identity("I3", "LocoProp-S in closed form solves its local problem", parts)


def _without_regularizer(case: Case) -> float:
    """Return how far closed form and descent are from W̃₀ − γX̃⁺g, on the first layer (its x is Gaussian)."""
    problem = _problems(case, "squared", target_step=10.0)[0]
    x, W0, g = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.g[0])
    wanted = W0 - 10.0 * np.linalg.pinv(x) @ g
    scale = np.max(np.abs(W0)) + np.max(np.abs(wanted - W0))
    singular = np.linalg.svd(x, compute_uv=False)
    steps = int(30 * (singular[0] / singular[-1]) ** 2)
    reached, _ = descend(
        problem, SGD(), local_lr=1 / singular[0] ** 2, num_local_steps=steps, local_decay="constant"
    )
    return _worst([_far(reached, wanted, scale), _far(closed_form(problem), wanted, scale)])


def inner_steps_are_a_preconditioner(seed: int = 0, xp: Any = np) -> Identity:
    """I4: K steps on S are the polynomial Σ s(I − sX̃ᵀX̃)^k, seen also through its eigenvalue filter."""
    polynomial, spectral, K = [], [], 10
    for name in TRANSFERS:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        problem = _problems(case, "squared", target_step=10.0)[1]
        x, W0 = to_numpy(problem.x), to_numpy(problem.W0)
        gradient = x.T @ to_numpy(case.g[1])
        eigenvalues, Q = np.linalg.eigh(x.T @ x)
        s = 1.5 / eigenvalues[-1]
        preconditioner = sum(s * np.linalg.matrix_power(np.eye(len(Q)) - s * x.T @ x, k) for k in range(K))
        for decay in ("constant", "authors"):
            W, _ = descend(problem, SGD(), local_lr=s, num_local_steps=K, local_decay=decay)
            change, size = to_numpy(W) - W0, np.max(np.abs(W0)) + 10 * K * s * np.max(np.abs(gradient))
            through = descent_filter(np.maximum(eigenvalues, 0), local_rates(s, K, decay))
            spectral.append(_far(change, -10 * (Q * through) @ Q.T @ gradient, size))
            if decay == "constant":
                polynomial.append(_far(change, -10 * preconditioner @ gradient, size))
    reason = "K products with a matrix of norm ≤ 1; W̃_K − W̃₀ is a difference"
    parts = (
        Measurement("W̃_K − W̃₀ = −γ[Σ s(I − sX̃ᵀX̃)^k] ∂L/∂W̃", _worst(polynomial), 1e-10, reason),
        Measurement("filter (1 − Π(1 − s_kλ))/λ on each eigenvector", _worst(spectral), 1e-10, reason),
    )
    return Identity("I4", "inner steps are a polynomial preconditioner", parts)


def _sample(f: Transfer, rng: np.random.Generator) -> np.ndarray:
    """Draw moderate arguments, kinks included where f acts elementwise."""
    a = rng.uniform(-4, 4, size=(40, 3))
    if f.elementwise:
        a[0] = 0.0
    return a


def _line_integral(f: Transfer, a: np.ndarray, xp: Any) -> np.ndarray:
    r"""Return ∫₀¹ f(ua)·a du by Gauss–Legendre on 16 panels: F(a) − F(0), never across the kink at 0."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = np.zeros(a.shape)
    for panel in range(16):
        for node, weight in zip(nodes, weights, strict=True):
            u = (panel + (1 + node) / 2) / 16
            total += weight / 32 * to_numpy(f.f(to_backend(u * a, xp=xp))) * a
    return total if f.elementwise else total.sum(axis=-1)


def matching_loss_is_integral(seed: int = 0, xp: Any = np) -> Identity:
    """I5: D_F by formula is the integral of f(z) − f(a*); it is ≥ 0, 0 at a*, 0 for two negatives (ReLU)."""
    integral, negative, at_target = [], [], []
    for name in TRANSFERS:
        rng, f = np.random.default_rng([seed, 5]), transfer(name)
        a_hat, a = _sample(f, rng), _sample(f, rng)
        on = [to_backend(values, xp=xp) for values in (a_hat, a)]
        D, y = to_numpy(matching_loss(f, *on)), to_numpy(f.f(on[1]))
        linear = y * (a_hat - a) if f.elementwise else np.sum(y * (a_hat - a), axis=-1)
        scale = 1 + np.abs(to_numpy(f.F(on[0]))) + np.abs(to_numpy(f.F(on[1]))) + np.abs(linear)
        wanted = _line_integral(f, a_hat, xp) - _line_integral(f, a, xp) - linear
        integral.append(_far(D, wanted, scale))
        negative.append(float(np.max(-D / scale)))
        at_target.append(_far(matching_loss(f, on[1], on[1]), 0, scale))
    both_negative = -np.random.default_rng(seed).uniform(0, 9, size=(2, 50))
    relu = to_numpy(matching_loss(transfer("relu"), *(to_backend(values, xp=xp) for values in both_negative)))
    reason = "rounding of 1 + |F(â)| + |F(a*)| + |f(a*)(â − a*)|, whose difference it is"
    parts = (
        Measurement("D_F(â, a*) = ∫ f(z) − f(a*) dz from a* to â", _worst(integral), 1e-12, reason),
        Measurement("D_F ≥ 0", abs(_worst([0.0, *negative])), 1e-12, reason),
        Measurement("D_F(a*, a*) = 0", _worst(at_target), 1e-12, reason),
        Measurement(
            "ReLU: D_F = 0 exactly when both are negative", float(np.max(np.abs(relu))), 0.0, "exact"
        ),
    )
    return Identity("I5", "the matching loss is the integral of its transfer function", parts)


def transfer_is_gradient(seed: int = 0, xp: Any = np) -> Identity:
    """I6: ∇F = f, F + F*∘f = a·f, f∘f⁻¹ = id, F and f against a complex second source."""
    values, slope, conjugate, inverse = [], [], [], []
    for name in TRANSFERS:
        f = transfer(name)
        a = _sample(f, np.random.default_rng([seed, 6]))
        on = to_backend(a, xp=xp)
        y, F = to_numpy(f.f(on)), to_numpy(f.F(on))
        product = a * y if f.elementwise else np.sum(a * y, axis=-1)
        scale = 1 + np.abs(product)
        _, F_complex = complex_transfer(name, f.parameters)
        values.append(_far(F, F_complex(a.astype(complex)).real, scale))
        for column in range(a.shape[1]):
            step = np.zeros(a.shape, complex)
            step[:, column] = STEP * 1j
            derivative = F_complex(a + step).imag / STEP
            by_column = derivative[:, column] if f.elementwise else derivative
            column_scale = scale[:, column] if f.elementwise else scale
            slope.append(_far(y[:, column], by_column, column_scale))
        conjugate.append(_far(F + to_numpy(f.F_star(f.f(on))), product, scale))
        if f._inverse is not None:
            inverse.append(_far(f.f(f.inverse(f.f(on))), y, 1 + np.abs(y)))
    reason = "rounding of 1 + |a f(a)|"
    parts = (
        Measurement("F = its definition, in complex arithmetic", _worst(values), 1e-12, reason),
        Measurement("∇F = f, kinks included", _worst(slope), 1e-12, reason),
        Measurement("F(a) + F*(f(a)) = a·f(a)", _worst(conjugate), 1e-12, reason),
        Measurement("f(f⁻¹(y)) = y", _worst(inverse), 1e-12, reason),
    )
    return Identity("I6", "the transfer function is the gradient of F", parts)


def newton_is_exact(seed: int = 0, xp: Any = np) -> Identity:
    """I7: damped Newton solves M for elementwise f, primal and dual; K → ∞ steps reach the same point."""
    stationary, limit = [], []
    eta = 1.0
    for name, batch in [(name, batch) for name in TRANSFERS if name != "softmax" for batch in (8, 3)]:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        problem = _problems(case, "matching", target_step=4.0 * batch, weight_step=eta)[1]
        W, _ = newton(problem)
        x, V = to_numpy(problem.x), to_numpy(W) - to_numpy(problem.W0)
        y, prediction = to_numpy(problem.y_target), to_numpy(problem.transfer.f(problem.x @ W))
        terms = np.abs(x).T @ (np.abs(prediction) + np.abs(y)) + np.abs(V) / eta
        stationary.append(_far(x.T @ (prediction - y) + V / eta, 0, np.max(terms)))
        largest = float(np.linalg.norm(x, 2) ** 2)  # sup f′ ≤ 1 for all of them
        steps: dict[str, Any] = {
            "local_lr": 1 / (largest + 1 / eta),
            "num_local_steps": int(30 * (1 + eta * largest)),
        }
        reached, _ = descend(problem, SGD(), **steps, local_decay="constant")
        limit.append(_far(reached, to_numpy(W), 1 + np.max(np.abs(to_numpy(W)))))
    reason = "condition 1 + ηλ_max, Newton's own tolerance 100 eps"
    parts = (
        Measurement("gradient of M vanishes at Newton's solution", _worst(stationary), 1e-8, reason),
        Measurement(
            "K → ∞ steps reach it, s < 2/(sup f′ λ_max + 1/η)", _worst(limit), 1e-8, reason + ", e⁻³⁰ to go"
        ),
    )
    return Identity("I7", "exact M: one convex regression per unit, solved by damped Newton", parts)


def label_is_target(seed: int = 0, xp: Any = np) -> Identity:
    """I8: with cross-entropy and γ = B the last layer's target is the label itself."""
    parts = []
    for loss, output in [("sigmoid_cross_entropy", "sigmoid"), ("softmax_cross_entropy", "softmax")]:
        errors = []
        for name in TRANSFERS:
            case = random_case(name, output, loss, seed=seed, xp=xp, batch=7)
            problem = _problems(case, "matching", target_step=7.0)[-1]
            errors.append(_far(problem.y_target, to_numpy(case.t), 1))
        parts.append(
            Measurement(f"{output}: y* = t at γ = B", _worst(errors), 1e-14, "a few roundings of numbers ≤ 1")
        )
    return Identity("I8", "the last layer's problem is logistic regression on the batch", tuple(parts))


def one_example_is_lms(seed: int = 0, xp: Any = np) -> Identity:
    """I10: B = 1 and η → ∞ is normalised LMS, with the relative error 1/(1 + η‖x̃‖²)."""
    distance, predicted = [], []
    for name in TRANSFERS:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=1)
        x, g = to_numpy(layer_input(case.network.layers[1], case.trace.x[1])), to_numpy(case.g[1])
        square = float(np.sum(x * x))
        eta = 2e6 / square
        problem = _problems(case, "squared", target_step=10.0, weight_step=eta)[1]
        change = to_numpy(closed_form(problem, form="dual")) - to_numpy(problem.W0)
        lms = -10.0 * x.T @ g / square
        scale = np.max(np.abs(lms)) + np.max(np.abs(to_numpy(problem.W0)))
        distance.append(_far(change, lms, scale))
        predicted.append(_far(change, lms * (1 - 1 / (1 + eta * square)), scale))
    parts = (
        Measurement("W̃ − W̃₀ = −γx̃ᵀg/‖x̃‖² as η → ∞", _worst(distance), 1e-6, "1/(1 + η‖x̃‖²) at η‖x̃‖² = 2e6"),
        Measurement("its relative error is 1/(1 + η‖x̃‖²)", _worst(predicted), 1e-14, "rounding of W̃"),
    )
    return Identity("I10", "one example, no regularizer: normalised LMS", parts)


def linear_network_is_implicit_sgd(seed: int = 0, xp: Any = np) -> Identity:
    """I12: on a linear one-layer network S in closed form is γ/B times the proximal-point SGD step ηB."""
    errors = []
    for batch, eta, gamma in [(8, 0.3, 8.0), (8, 2.0, 3.0), (3, 1.0, 10.0)]:
        case = random_case(
            "identity", "identity", "squared_error", seed=seed, xp=xp, batch=batch, sizes=(4, 3)
        )  # fmt: skip
        problem = _problems(case, "squared", target_step=gamma, weight_step=eta)[0]
        x, W0, t = to_numpy(problem.x), to_numpy(problem.W0), to_numpy(case.t)
        # argmin (1/2B)‖x̃W̃ − t‖² + (1/2ηB)‖W̃ − W̃₀‖², by its normal equations
        implicit = np.linalg.solve(x.T @ x + np.eye(len(W0)) / eta, x.T @ t + W0 / eta)
        wanted = W0 + gamma / batch * (implicit - W0)
        errors.append(_far(closed_form(problem), wanted, np.max(np.abs(wanted)) + np.max(np.abs(W0))))
    parts = (Measurement("W̃ − W̃₀ = γ/B · implicit step", _worst(errors), 1e-10, "condition 1 + ηλ_max"),)
    return Identity("I12", "linear network: S in closed form is implicit SGD", parts)


IDENTITIES: tuple[Callable[..., Identity], ...] = (
    first_step_is_backprop,
    backward_is_derivative,
    closed_form_is_exact,
    inner_steps_are_a_preconditioner,
    matching_loss_is_integral,
    transfer_is_gradient,
    newton_is_exact,
    label_is_target,
    one_example_is_lms,
    linear_network_is_implicit_sgd,
)


def verify(seed: int = 0, xp: Any = None) -> list[Identity]:
    """Measure every identity, in float64.

    Args:
        seed: of the random networks, an integer ≥ 0.
        xp: array namespace that the package computes with, default NumPy's.
    """
    check.integer("seed", seed, minimum=0)
    xp = namespace("numpy") if xp is None else xp
    return [identity(seed, xp) for identity in IDENTITIES]


def table(results: list[Identity]) -> str:
    """Return the results as a table for the terminal, a line a measurement."""
    lines = [f"{'':5}{'measured':>9}  {'bound':>8}  claim"]
    for result in results:
        lines.append(f"{result.id:5}{'':9}  {'':8}  {result.claim}")
        for part in result.parts:
            mark = "ok" if part.holds else "FAILS"
            lines.append(f"{mark:5}{part.error:9.1e}  {part.bound:8.1e}    {part.claim}  [{part.reason}]")
    return "\n".join(lines)


def as_json(results: list[Identity], *, seed: int, backend: str) -> dict[str, Any]:
    """Return the results as a JSON object; a nan or infinite error is null, and does not hold."""

    def finite(value: float) -> float | None:
        return value if abs(value) < inf else None

    def row(part: Measurement) -> dict[str, Any]:
        measured = {"error": finite(part.error), "bound": part.bound, "holds": part.holds}
        return {"claim": part.claim, **measured, "reason": part.reason}

    rows = [
        {"id": r.id, "claim": r.claim, "holds": r.holds, "parts": [row(part) for part in r.parts]}
        for r in results
    ]
    return {"schema": 1, "seed": seed, "backend": backend, "dtype": "float64", "identities": rows}
