r"""E2, E3 and F1: targets with inverses in them, of an output factor, of Jacobians, of the layers above.

K-FAC multiplies g by the inverse of an output factor; Gauss–Newton and target propagation send the error down
by the inverses of the layers above. The references are computed on the host, in whole matrices.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, to_backend, to_numpy
from locoprop_ref.gauss_newton_targets import GaussNewtonTargets, output_jacobians
from locoprop_ref.inverse_targets import InverseTargets
from locoprop_ref.methods.kronecker_targets import KroneckerTargets
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.network import Network, backward, forward
from locoprop_ref.solvers import ClosedForm
from locoprop_ref.targets import Targets, displaced
from locoprop_ref.verify.cases import Case, changes, random_case, weight_scale
from locoprop_ref.verify.host import HOST, Array
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

NOT_EQUAL = 0.01  # what does not hold must be off by more than this, relative to the change


def _jacobians(case: Case) -> list[Array]:
    """Return ∂â_M/∂â_m of every layer, (B, d_M, d_m), as products of explicit matrices."""
    layers = case.network.layers
    found = [np.stack([np.eye(layers[-1].W.shape[1])] * case.x.shape[0])]
    for m in range(len(layers) - 2, -1, -1):
        slopes = HOST[layers[m].transfer.name].slope(to_numpy(case.trace.a_hat[m]))
        found.append((found[-1] @ to_numpy(layers[m + 1].W).T) * slopes[:, None, :])
    return found[::-1]


# E2: another factor on the output side -------------------------------------------------------------


@dataclass(frozen=True)
class _GaussNewtonFactor:
    """The targets y* = f(â − γg(G + δI)⁻¹) with G = (1/B) Σ JᵀJ over the examples."""

    step: float
    damping: float

    def init(self, network: Network, seed: int = 0) -> dict[str, Any]:
        return {}

    def __call__(self, network: Network, trace: Any, t: Any, local: Any, state: Any) -> Any:
        rule, given = KroneckerTargets(self.step, self.damping), []
        parts = zip(
            network.layers,
            trace.x,
            trace.a_hat,
            backward(network, trace, t),
            output_jacobians(network, trace),
            strict=True,
        )
        for layer, x, a_hat, g, J in parts:
            rows = array_namespace(J).reshape(J, (-1, J.shape[2]))
            d = rule.displacement(g, rows.T @ rows / t.shape[0])
            given.append(displaced(layer, local(layer), x, a_hat, d))
        return given, state


def output_factor_is_a_choice_of_target(seed: int = 0, xp: Any = np) -> Identity:
    """E2: the displacement γgG⁻¹ makes S in closed form K-FAC, or a relative of it with another factor."""
    gamma, eta, damping = 3.0, 0.7, 0.2
    rules: tuple[Targets, ...] = (KroneckerTargets(gamma, damping), _GaussNewtonFactor(gamma, damping))
    errors: list[list[float]] = [[], []]
    for name in ("tanh", "relu"):
        case = random_case(name, "identity", "squared_error", seed=seed, xp=xp)
        J, B = _jacobians(case), case.x.shape[0]
        methods = [LocoProp("squared", rule, solver=ClosedForm(), weight_step=eta) for rule in rules]
        reached = [changes(method, case) for method in methods]
        for m, layer in enumerate(case.network.layers):
            x, g = to_numpy(layer.augment(case.trace.x[m])), to_numpy(case.g[m])
            empirical = sum(np.outer(row, row) for row in B * g) / B
            gauss_newton = sum(J_b.T @ J_b for J_b in J[m]) / B
            for found, change, G in zip(errors, reached, (empirical, gauss_newton), strict=True):
                # (X̃ᵀX̃ + I/η) ⊗ (G + δI), for W̃ row by row
                left, right = x.T @ x + np.eye(x.shape[1]) / eta, G + damping * np.eye(len(G))
                step = np.linalg.solve(np.kron(left, right), -gamma * np.ravel(x.T @ g))
                wanted = step.reshape(x.shape[1], -1)
                found.append(far(change[m], wanted, weight_scale(case, m, wanted)))
    reason = "cond(X̃ᵀX̃ + I/η)·cond(G + δI), below 1e4"
    return Identity(
        "E2",
        "an output factor is a choice of target: K-FAC and its relatives",
        (
            Measurement("G of the batch: K-FAC's Kronecker system", worst(errors[0]), 1e-10, reason),
            Measurement("G of Gauss–Newton: the same system", worst(errors[1]), 1e-10, reason),
        ),
    )


# E3: Gauss–Newton of a layer's weights -------------------------------------------------------------


def gauss_newton_target_is_gauss_newton(seed: int = 0, xp: Any = np) -> Identity:
    """E3: with the targets â − γJ⁺r, S without regularizer takes the Gauss–Newton step of a layer.

    It is the step of minimum norm. J must have full column rank (d_m ≤ d_M) and X̃ full row rank (B ≤ d̃); with
    one example any J will do. Beyond, the claim is false.
    """
    narrow = [_off_gauss_newton(seed, xp, (5, 3, 4), batch, m) for batch, m in ((5, 0), (4, 1))]
    alone = [_off_gauss_newton(seed, xp, (5, 6, 4), 1, 0)]
    beyond = [
        _off_gauss_newton(seed, xp, sizes, B, 0, gentle=False)
        for sizes, B in (((5, 3, 4), 9), ((5, 6, 4), 6))
    ]
    reason = "condition of J and X̃, controlled"
    return Identity(
        "E3",
        "Gauss–Newton targets: the Gauss–Newton step of a layer's weights",
        (
            Measurement("d_m ≤ d_M, B ≤ d̃: minimum-norm step", worst(narrow), 1e-10, reason),
            Measurement("B = 1: minimum-norm step, any J", worst(alone), 1e-10, reason),
            Measurement(
                "B > d̃, or J wide and B > 1: not equal, 0.01/off",
                worst([NOT_EQUAL / off for off in beyond]),
                1.0,
                "off by more than a hundredth of the step",
                kind="counterexample",
            ),
        ),
    )


def _off_gauss_newton(
    seed: int, xp: Any, sizes: tuple[int, ...], batch: int, m: int, *, gentle: bool = True
) -> float:
    """Return the distance of a layer's change from the Gauss–Newton step, relative to that step."""
    case = random_case("tanh", "identity", "squared_error", seed=seed, xp=xp, batch=batch, sizes=sizes)
    if gentle:
        case = _well_conditioned(case, xp)
    method = LocoProp("squared", GaussNewtonTargets(0.5, tau=0), solver=ClosedForm())
    x = to_numpy(case.network.layers[m].augment(case.trace.x[m]))
    wanted = _weight_step(x, _jacobians(case)[m], 0.5 * batch * to_numpy(case.g[-1]))
    return far(changes(method, case)[m], wanted, np.max(np.abs(wanted)))


def _weight_step(x: Array, J: Array, errors: Array) -> Array:
    """Return the minimum-norm solution of (x̃_b ⊗ J_b) Δ = −r_b for all examples at once, (d̃, d_m)."""
    whole = np.concatenate([np.kron(row[None, :], J_b) for row, J_b in zip(x, J, strict=True)])
    step = np.linalg.lstsq(whole, -np.ravel(errors), rcond=1e-10)[0]
    return step.reshape(x.shape[1], -1)


def _well_conditioned(case: Case, xp: Any) -> Case:
    """Return the case with singular values from 1 to ½ in every W, small biases and inputs."""
    layers = []
    for layer in case.network.layers:
        U, values, V = np.linalg.svd(to_numpy(layer.W), full_matrices=False)
        W = (U * np.linspace(1, 0.5, len(values))) @ V
        layers.append(replace(layer, W=to_backend(W, xp=xp), b=layer.b / 4))
    network = replace(case.network, layers=tuple(layers))
    x = case.x / float(np.max(np.abs(to_numpy(case.x))))
    trace = forward(network, x)
    return Case(network, x, case.t, trace, backward(network, trace, case.t))


# F1 and F2: target propagation with exact inverses -------------------------------------------------


def exact_inverses_are_gauss_newton(seed: int = 0, xp: Any = np) -> Identity:
    """F1, F2: in a linear network with exact inverses target propagation has Gauss–Newton's targets.

    With orthogonal weights besides, they are those of LocoProp.
    """
    case = random_case("identity", "identity", "squared_error", seed=seed, xp=xp, sizes=(4, 4, 4, 4))
    case, B = _well_conditioned(case, xp), case.x.shape[0]
    gamma, r = 0.7, B * to_numpy(case.g[-1])
    wanted = [gamma * r]
    for layer in case.network.layers[:0:-1]:
        wanted.append(np.linalg.solve(to_numpy(layer.W).T, wanted[-1].T).T)
    errors = [
        _displacement_error(rule, case, wanted[::-1], xp)
        for rule in (
            InverseTargets(gamma * B, correction="plain", start="output"),
            InverseTargets(gamma * B, start="output"),
            GaussNewtonTargets(gamma, tau=0),
        )
    ]
    case = _orthogonal(case, xp)
    rule = InverseTargets(gamma * B, start="output")
    errors.append(_displacement_error(rule, case, [gamma * B * to_numpy(g) for g in case.g], xp))
    reason = "condition of the product of the weights, below 8"
    claims = (
        "target propagation: d = γ r W_M⁻¹ ⋯ W_{m+1}⁻¹", "its difference correction: the same d",
        "Gauss–Newton targets, τ = 0: the same d", "orthogonal W: LocoProp's d = γBg",
    )  # fmt: skip
    parts = [Measurement(claim, error, 1e-12, reason) for claim, error in zip(claims, errors, strict=True)]
    return Identity("F1", "exact inverses, linear network: TP is Gauss–Newton", tuple(parts))


def _orthogonal(case: Case, xp: Any) -> Case:
    layers = [
        replace(layer, W=to_backend(np.linalg.qr(to_numpy(layer.W))[0], xp=xp))
        for layer in case.network.layers
    ]
    network = replace(case.network, layers=tuple(layers))
    trace = forward(network, case.x)
    return Case(network, case.x, case.t, trace, backward(network, trace, case.t))


def _displacement_error(rule: Any, case: Case, wanted: list[Array], xp: Any) -> float:
    """Return how far â − y* of the layers is from what is wanted; learned inverses are made exact before."""
    state = rule.init(case.network)
    if isinstance(rule, InverseTargets):
        exact = []
        for psi, layer in zip(state["inverses"], case.network.layers[1:], strict=True):
            V = np.linalg.inv(to_numpy(layer.W))
            exact.append({**psi, "W": to_backend(np.vstack([V, -to_numpy(layer.b) @ V]), xp=xp)})
        state = {**state, "inverses": tuple(exact)}
    given, _ = rule(case.network, case.trace, case.t, lambda layer: layer.transfer, state)
    errors = []
    for one, a_hat, d in zip(given, case.trace.a_hat, wanted, strict=True):
        scale = np.max(np.abs(to_numpy(a_hat))) + np.max(np.abs(d))
        errors.append(far(to_numpy(a_hat) - to_numpy(one.y_target), d, scale))
    return worst(errors)
