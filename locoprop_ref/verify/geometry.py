r"""D1, D2, D5, D11 and D12: other anchors and other geometries; weight decay, EG±, Perceptron and Winnow."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.losses import matching_loss
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.mirror import MirrorDescent
from locoprop_ref.network import gradients
from locoprop_ref.optimizers import SGD, Optimizer
from locoprop_ref.regularizers import DecoupledDecay, L2Decay, Regularizer
from locoprop_ref.solvers import ClosedForm, Descend, descend
from locoprop_ref.transfers import TRANSFERS, transfer
from locoprop_ref.verify.cases import local_problems, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

GAMMA, ETA = 7.0, 0.3


def decay_is_an_anchor(seed: int = 0, xp: Any = np) -> Identity:
    """D1: L2 decay is the anchor W̃₀/(1 + ηλ) with η/(1 + ηλ), the target taken at W̃₀."""
    errors, lam = [], 0.8
    shorter = ETA / (1 + ETA * lam)
    for name in TRANSFERS:
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        near = local_problems(case, "squared", target_step=GAMMA)[1]
        problem = LocalProblem(near.x, near.y_target, near.transfer, near.W0, regularizer=L2Decay(ETA, lam))
        x, y, W0 = (to_numpy(a) for a in (near.x, near.y_target, near.W0))
        wanted = np.linalg.solve(
            x.T @ x + np.eye(len(W0)) / shorter, x.T @ y + W0 / (1 + ETA * lam) / shorter
        )
        found, _, _ = ClosedForm()(problem, {}, 1.0)
        errors.append(far(found, wanted, np.max(np.abs(W0)) + np.max(np.abs(wanted))))
    sgd = _linear(L2Decay(ETA, lam), seed, xp, lambda W0, step: (W0 - step) / (1 + ETA * lam))
    return Identity(
        "D1",
        "L2 decay is another anchor and a shorter step",
        (
            Measurement("S: anchor W̃₀/(1 + ηλ), η/(1 + ηλ)", worst(errors), 1e-10, "condition 1 + ηλ_max"),
            Measurement("linear loss: (W̃₀ − ηγ ∂L/∂W̃)/(1 + ηλ)", sgd, 1e-14, "rounding of W̃ and X̃ᵀg"),
        ),
    )


def decoupled_decay_is_an_anchor(seed: int = 0, xp: Any = np) -> Identity:
    """D2: the linear local loss with the anchor (1 − κ)W̃₀ is gradient descent with decoupled decay."""
    error = _linear(DecoupledDecay(ETA, 0.2), seed, xp, lambda W0, step: 0.8 * W0 - step)
    parts = (Measurement("(1 − κ)W̃₀ − ηγ ∂L/∂W̃", error, 1e-14, "rounding of W̃ and X̃ᵀg"),)
    return Identity("D2", "decoupled decay is another anchor", parts)


def _linear(rule: Regularizer, seed: int, xp: Any, wanted: Any) -> float:
    """Return how far a step on the linear loss is from a function of W̃₀ and ηγ∂L/∂W̃."""
    errors = []
    for name in ("tanh", "relu", "softmax"):
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        method = LocoProp("linear", regularizer=rule, solver=ClosedForm(), target_step=GAMMA)
        moved, _, _ = method.step(case.network, method.init(case.network), case.x, case.t)
        by_hand = gradients(case.network, case.x, case.t)
        for new, old, dW in zip(moved.layers, case.network.layers, by_hand, strict=True):
            W0, step = to_numpy(old.stacked), ETA * GAMMA * to_numpy(dW)
            errors.append(far(new.stacked, wanted(W0, step), np.max(np.abs(W0)) + np.max(np.abs(step))))
    return worst(errors)


def exponentiated_gradient_is_a_local_problem(seed: int = 0, xp: Any = np) -> Identity:
    """D5: the linear loss with the divergence of another geometry is EG±, or the p-norm algorithm."""
    plus_minus: list[float] = []
    p_norm: list[float] = []
    beta, p = 0.5, 3.0
    for name in ("tanh", "relu", "softmax"):
        case = random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp)
        by_hand = gradients(case.network, case.x, case.t)
        for rule, errors in ((MirrorDescent(beta=beta), plus_minus), (MirrorDescent("p-norm", p=p), p_norm)):
            method = LocoProp("linear", solver=Descend(rule, ETA, 1), target_step=GAMMA)
            moved, _, _ = method.step(case.network, method.init(case.network), case.x, case.t)
            for new, old, dW in zip(moved.layers, case.network.layers, by_hand, strict=True):
                W0, step = to_numpy(old.stacked), ETA * GAMMA * to_numpy(dW)
                wanted = _halves(W0, step, beta) if errors is plus_minus else _through_norms(W0, step, p)
                errors.append(far(new.stacked, wanted, np.max(np.abs(W0)) + np.max(np.abs(wanted))))
    reason = "rounding of W̃ and of ∇Ψ(W̃)"
    return Identity(
        "D5",
        "the linear loss with another geometry: exponentiated gradient, p-norms",
        (
            Measurement("EG±: w⁺e^{−ηγ∂L} − w⁻e^{ηγ∂L}", worst(plus_minus), 1e-13, reason),
            Measurement("p-norm, p = 3, from its two links", worst(p_norm), 1e-13, reason),
        ),
    )


def _halves(W: np.ndarray, step: np.ndarray, beta: float) -> np.ndarray:
    """Return a step of EG±: w = w⁺ − w⁻ with w⁺w⁻ = β²/4."""
    plus = (np.sqrt(W * W + beta**2) + W) / 2
    minus = beta**2 / 4 / plus
    return plus * np.exp(-step) - minus * np.exp(step)


def _through_norms(W: np.ndarray, step: np.ndarray, p: float) -> np.ndarray:
    """Return a step of the p-norm algorithm, by the powers as they are written."""
    q = p / (p - 1)
    dual = np.sign(W) * np.abs(W) ** (q - 1) / np.sum(np.abs(W) ** q, axis=0) ** ((q - 2) / q) - step
    return np.sign(dual) * np.abs(dual) ** (p - 1) / np.sum(np.abs(dual) ** p, axis=0) ** ((p - 2) / p)


def sign_unit_is_a_perceptron(seed: int = 0, xp: Any = np) -> Identity:
    """D11: F = |a|, the label ±1 as the target and one step of ½ are the Perceptron; D_F = 2 max(0, −yâ).

    The Perceptron updates when yâ ≤ 0. A tie â = 0 with y = 1 is no mistake of a unit with sign(0) = 1; the
    random weights have none.
    """
    rng, errors = np.random.default_rng([seed, 11]), []
    rows, labels = rng.normal(size=(40, 4)), rng.choice([-1.0, 1.0], size=(40, 2))
    W = wanted = rng.normal(size=(4, 2))
    for x, y in zip(rows, labels, strict=True):
        W = _one_step(SGD(), x, y, W, 0.5, xp)
        mistakes = y * (x @ wanted) <= 0
        wanted = wanted + np.outer(x, y * mistakes)
        errors.append(far(W, wanted, np.max(np.abs(wanted))))
    a_hat, a = rng.normal(size=(2, 50))
    D = matching_loss(transfer("sign"), to_backend(a_hat, xp=xp), to_backend(a, xp=xp))
    loss = far(D, 2 * np.maximum(0, -np.where(a >= 0, 1, -1) * a_hat), 1 + np.abs(a_hat) + np.abs(a))
    return Identity(
        "D11",
        "a sign unit with its matching loss is a perceptron",
        (
            Measurement("one step ½ = w + y x̃ if yâ ≤ 0", worst(errors), 1e-14, "rounding of W̃, 40 examples"),
            Measurement("D_F = 2 max(0, −yâ)", loss, 1e-15, "rounding of 1 + |â| + |a*|"),
        ),
    )


def perceptron_in_eg_is_winnow(seed: int = 0, xp: Any = np) -> Identity:
    """D12: the same with EG for gradient descent is Winnow, which doubles and halves weights."""
    rng, errors = np.random.default_rng([seed, 12]), []
    rows, labels = rng.integers(-1, 2, size=(40, 4)).astype(float), rng.choice([-1.0, 1.0], size=(40, 2))
    rows[:, 0] += 0.5 * rng.normal(size=40)  # no ties
    W = wanted = rng.uniform(0.5, 1.5, size=(4, 2))
    for x, y in zip(rows, labels, strict=True):
        W = _one_step(MirrorDescent("eg"), x, y, W, np.log(2) / 2, xp)
        mistakes = y * (x @ wanted) <= 0
        wanted = wanted * 2.0 ** np.outer(x, y * mistakes)
        errors.append(far(W, wanted, wanted))
    parts = (Measurement("w·2^{y x̃} if yâ ≤ 0", worst(errors), 1e-12, "rounding of 40 logarithms"),)
    return Identity("D12", "a perceptron in the geometry of EG is Winnow", parts)


def _one_step(rule: Optimizer, x: np.ndarray, y: np.ndarray, W: np.ndarray, s: float, xp: Any) -> np.ndarray:
    """Return the weights after one step on one example of sign units with the labels as targets."""
    parts = [to_backend(a, xp=xp) for a in (x[None, :], y[None, :], W)]
    problem = LocalProblem(parts[0], parts[1], transfer("sign"), parts[2])
    return to_numpy(descend(problem, rule, local_lr=s, num_local_steps=1)[0])
