r"""C1 to C3, C6 and B4: LocoProp-S among the algorithms of adaptive filtering.

The network is one linear layer with the squared error, so that g = (â − t)/B; only B4 has more layers. The
references are computed example by example, or by one least squares problem on all rows.
"""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.memory import Memory
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.network import Network, backward, forward
from locoprop_ref.regularizers import RunningMetric
from locoprop_ref.solvers import ClosedForm
from locoprop_ref.verify.cases import random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

Path = list[np.ndarray]


def _stream(
    seed: int, xp: Any, batch: int, count: int
) -> tuple[Network, list[tuple[np.ndarray, np.ndarray]]]:
    """Return a linear network of one layer, and batches of (x, t) on the host."""
    case = random_case("identity", "identity", "squared_error", seed=seed, xp=xp, batch=batch, sizes=(5, 3))
    rng = np.random.default_rng([seed, 6])
    return case.network, [(rng.normal(size=(batch, 5)), rng.normal(size=(batch, 3))) for _ in range(count)]


def _run(method: LocoProp, network: Network, stream: Any, xp: Any) -> Path:
    """Return W̃ before the first step and after every one."""
    state, path = method.init(network), [to_numpy(network.layers[0].stacked)]
    for x, t in stream:
        network, state, _ = method.step(network, state, to_backend(x, xp=xp), to_backend(t, xp=xp))
        path.append(to_numpy(network.layers[0].stacked))
    return path


def _distance(found: Path, wanted: Path) -> float:
    scale = max(float(np.max(np.abs(W))) for W in wanted)
    return worst([far(one, other, scale) for one, other in zip(found, wanted, strict=True)])


def _wide(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, np.ones((len(x), 1))])


def one_example_is_nlms(seed: int = 0, xp: Any = np) -> Identity:
    """C1: S with one example is ε-NLMS with ε = 1/η and the rate γ, exactly and for every η."""
    errors = []
    network, stream = _stream(seed, xp, 1, 6)
    for eta, gamma in ((0.01, 1.0), (1.0, 1.0), (1e4, 0.5)):
        for form in ("primal", "dual"):
            how: dict[str, Any] = {"target_step": gamma, "weight_step": eta}
            found = _run(LocoProp("squared", solver=ClosedForm(form), **how), network, stream, xp)
            wanted = found[:1]
            for x, t in stream:
                row = _wide(x)[0]
                error = t[0] - row @ wanted[-1]
                wanted.append(wanted[-1] + gamma * np.outer(row, error) / (1 / eta + row @ row))
            errors.append(_distance(found, wanted))
    parts = (Measurement("W̃ + γx̃ᵀ(t − x̃W̃)/(1/η + ‖x̃‖²)", worst(errors), 1e-10, "condition 1 + ηλ_max"),)
    return Identity("C1", "one example: S is ε-NLMS with ε = 1/η, for every η", parts)


def no_regularizer_is_kaczmarz(seed: int = 0, xp: Any = np) -> Identity:
    """C2 and C3: S with η = ∞ and γ = B is Kaczmarz (B = 1) and affine projection; γ < B relaxes by γ/B."""
    errors: list[list[float]] = [[], [], []]
    for batch in (1, 3):
        network, stream = _stream(seed, xp, batch, 6)
        for share in (1.0, 0.4):
            how = LocoProp("squared", solver=ClosedForm(), target_step=share * batch)
            found = _run(how, network, stream, xp)
            wanted = found[:1]
            for x, t in stream:
                rows, W = _wide(x), wanted[-1]
                # onto the solutions of x̃W̃ = t, by one row or by least squares of minimum norm
                change = np.outer(rows[0], t[0] - rows[0] @ W) / (rows[0] @ rows[0])
                if batch > 1:
                    change = np.linalg.lstsq(rows, t - rows @ W, rcond=None)[0]
                wanted.append(W + share * change)
            errors[2 if share < 1 else batch > 1].append(_distance(found, wanted))
    claims = ("B = 1: Kaczmarz's projection", "B = 3: affine projection", "γ < B: relaxed by γ/B")
    parts = [
        Measurement(claim, worst(error), 1e-10, "rounding times cond(X̃)")
        for claim, error in zip(claims, errors, strict=True)
    ]
    return Identity("C2", "S without regularizer: Kaczmarz and affine projection", tuple(parts))


def metric_with_memory_is_rls(seed: int = 0, xp: Any = np) -> Identity:
    """C6: with the metric δI + Σ X̃ᵀX̃ of past batches, γ = B, S is recursive least squares, which is Kalman's.

    So is the solver with memory, without decay.
    """
    delta, remembered, solved, kalman = 2.0, [], [], []
    for batch in (4, 1):
        network, stream = _stream(seed, xp, batch, 6)
        how: dict[str, Any] = {"target_step": float(batch)}
        metric = LocoProp("squared", regularizer=RunningMetric(1 / delta), solver=ClosedForm(), **how)
        found = _run(metric, network, stream, xp)
        solver = LocoProp("squared", weight_step=1 / delta, solver=Memory(decay=1.0), **how)
        W0 = found[0]
        ridge = [W0]
        for count in range(1, len(stream) + 1):
            rows = np.vstack([*(_wide(x) for x, _ in stream[:count]), np.sqrt(delta) * np.eye(len(W0))])
            right = np.vstack([*(t for _, t in stream[:count]), np.sqrt(delta) * W0])
            ridge.append(np.linalg.lstsq(rows, right, rcond=None)[0])
        remembered.append(_distance(found, ridge))
        solved.append(_distance(_run(solver, network, stream, xp), ridge))
        kalman.append(_distance(found, _kalman(W0, stream, delta)))
    reason = "condition of Σ X̃ᵀX̃ + δI"
    return Identity(
        "C6",
        "a metric with memory: recursive least squares",
        (
            Measurement("ridge regression on all batches", worst(remembered), 1e-10, reason),
            Measurement("Kalman filter, unit noise, prior I/δ", worst(kalman), 1e-10, reason),
            Measurement("so is the solver with memory, ρ = 1", worst(solved), 1e-10, reason),
        ),
    )


def _kalman(W: np.ndarray, stream: Any, delta: float) -> Path:
    """Return the means of a Kalman filter of constant weights, one row at a time."""
    path, covariance = [W], np.eye(len(W)) / delta
    for x, t in stream:
        for row, label in zip(_wide(x), t, strict=True):
            gain = covariance @ row / (1 + row @ covariance @ row)
            W = W + np.outer(gain, label - row @ W)
            covariance = covariance - np.outer(gain, row @ covariance)
        path.append(W)
    return path


def memory_is_foof(seed: int = 0, xp: Any = np) -> Identity:
    """B4: with a memory of X̃ᵀX̃, S is FOOF with its running covariance; a memory of targets adds momentum."""
    gamma, eta, rho = 3.0, 0.5, 0.7
    metric = LocoProp("squared", regularizer=RunningMetric(eta, rho), solver=ClosedForm(), target_step=gamma)
    outside = LocoProp("squared", solver=Memory(rho), target_step=gamma, weight_step=eta)
    errors = [[_foof(how, seed, xp, name, gamma, eta, rho, momentum)
               for name in ("tanh", "relu", "softmax")]
              for how, momentum in ((metric, 0.0), (outside, rho / eta))]  # fmt: skip
    reason = "condition of A + I/η"
    return Identity(
        "B4",
        "S with a memory of its inputs is FOOF with its running covariance",
        (
            Measurement("A alone: −γ(A_t + I/η)⁻¹ ∂L/∂W̃", worst(errors[0]), 1e-10, reason),
            Measurement("A and C, ridge outside: plus (ρ/η)Δ_{t−1}", worst(errors[1]), 1e-10, reason),
        ),
    )


def _foof(
    method: LocoProp, seed: int, xp: Any, name: str, gamma: float, eta: float, rho: float, momentum: float
) -> float:
    case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
    network, rng = case.network, np.random.default_rng([seed, 7])
    state, errors = method.init(network), []
    A: list[Any] = [0.0 for _ in network.layers]
    before: list[Any] = [0.0 for _ in network.layers]
    for _ in range(4):
        x = to_backend(rng.normal(size=tuple(case.x.shape)), xp=xp)
        trace = forward(network, x)
        g = backward(network, trace, case.t)
        moved, state, _ = method.step(network, state, x, case.t)
        for m, (old, new) in enumerate(zip(network.layers, moved.layers, strict=True)):
            rows, W0 = to_numpy(old.augment(trace.x[m])), to_numpy(old.stacked)
            A[m] = rho * A[m] + rows.T @ rows
            right = -gamma * rows.T @ to_numpy(g[m]) + momentum * before[m]
            before[m] = np.linalg.inv(A[m] + np.eye(len(W0)) / eta) @ right
            scale = np.max(np.abs(W0)) + np.max(np.abs(before[m]))
            errors.append(far(to_numpy(new.stacked) - W0, before[m], scale))
        network = moved
    return worst(errors)
