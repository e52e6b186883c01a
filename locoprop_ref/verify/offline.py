r"""F14 and MAC: the methods that see all examples at once are LocoProp-S with codes."""

from typing import Any

import numpy as np

from locoprop_ref.backend import to_backend, to_numpy
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.layers import Layer
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.admm import activation_block
from locoprop_ref.methods.mac import MAC, predictions
from locoprop_ref.methods.offline import fitted
from locoprop_ref.network import Network, Trace, backward, forward
from locoprop_ref.solvers import closed_form
from locoprop_ref.transfers import transfer
from locoprop_ref.verify.cases import Case, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, worst

REASON = "condition of X̃, squared"


def weights_of_admm_are_a_closed_form(seed: int = 0, xp: Any = np) -> Identity:
    """F14: S with η = ∞ and codes for inputs and targets is ADMM's step of the weights, X̃⁺Z."""
    rng = np.random.default_rng([seed, 14])
    W, b = (to_backend(rng.normal(size=size), xp=xp) for size in ((4, 3), 3))
    layer = Layer(W, b, transfer("relu"))
    z = rng.normal(size=(9, 3))
    errors = []
    for of_rank in ((1, 1, 1, 1), (1, 0, 1, 0)):
        x = rng.normal(size=(9, 4)) * of_rank
        rows, codes = to_backend(x, xp=xp), to_backend(z, xp=xp)
        problem = LocalProblem(layer.augment(rows), codes, transfer("identity"), layer.stacked)
        wide, W0 = np.hstack([x, np.ones((9, 1))]), to_numpy(layer.stacked)
        wanted = W0 + np.linalg.lstsq(wide, z - wide @ W0, rcond=None)[0]
        if all(of_rank):
            wanted = np.linalg.lstsq(wide, z, rcond=None)[0]
        found = (closed_form(problem), fitted(layer, rows, codes).stacked)
        errors.append(worst([far(one, wanted, np.max(np.abs(wanted))) for one in found]))
    return Identity(
        "F14",
        "S without regularizer, inputs and targets codes: the blocks of ADMM",
        (
            Measurement("rank X̃ = d̃: X̃⁺Z, whatever W̃₀", errors[0], 1e-10, REASON),
            Measurement("else W̃₀ + X̃⁺(Z − X̃W̃₀)", errors[1], 1e-10, REASON),
            Measurement("activations: the closed form of Wᵀ", _activations(rng, xp), 1e-10, "condition of W"),
        ),
    )


def _activations(rng: Any, xp: Any) -> float:
    """Return how far ADMM's activations are from those of one least squares problem on stacked rows."""
    gamma, beta, W, b = 3.0, 0.7, rng.normal(size=(4, 3)), rng.normal(size=3)
    z, above = rng.normal(size=(9, 4)), rng.normal(size=(9, 3))
    upper = Layer(to_backend(W, xp=xp), to_backend(b, xp=xp), transfer("relu"))
    found = activation_block(upper, to_backend(z, xp=xp), to_backend(above, xp=xp), gamma, beta)
    rows = np.vstack([gamma**0.5 * np.eye(4), beta**0.5 * W.T])
    right = np.vstack([gamma**0.5 * np.maximum(z, 0).T, beta**0.5 * (above - b).T])
    wanted = np.linalg.lstsq(rows, right, rcond=None)[0].T
    return far(found, wanted, np.max(np.abs(wanted)))


def codes_of_mac_are_targets(seed: int = 0, xp: Any = np) -> Identity:
    """MAC: the solved Z-step has uniform targets, BackProp's for μ → ∞; a sweep is a step of anchored AM."""
    uniform, limit = [], []
    case = random_case("tanh", "softmax", "softmax_cross_entropy", seed=seed, xp=xp, sizes=(4, 5, 4, 3))
    layers = tuple(layer.with_stacked(0.4 * layer.stacked) for layer in case.network.layers)
    network = Network(layers, case.network.loss)  # with small weights, so that the Z-step is soon solved
    trace = forward(network, case.x)
    forward_g = backward(network, trace, case.t)
    for mu in (1.0, 1e6):
        codes, predicted, along = _solved(network, case, mu)
        for code, p, g, g0 in zip(codes, predicted, along, forward_g, strict=False):
            uniform.append(far(code, to_numpy(p - g / mu), np.max(np.abs(to_numpy(code)))))
            if mu > 1:
                limit.append(far(mu * (p - code), to_numpy(g0), np.max(np.abs(to_numpy(g0)))))
    sweep = MAC(2, 0.1, 1.0).code_sweep(network, trace.a_hat[:-1], case.x, case.t)
    anchored = CodeTargets(2, 0.1, anchor=1.0).codes(network, trace, case.t)
    sweeps = [far(c, to_numpy(a), np.ones(c.shape)) for c, a in zip(sweep, anchored, strict=True)]
    return Identity(
        "MAC",
        "the codes of all examples are targets of S",
        (
            Measurement("Z-step solved: c_m = ĉ_m − g_m/μ for every m", worst(uniform), 1e-12, "rounding"),
            Measurement(
                "μ = 1e6: μ(ĉ − c) is BackProp's g",
                worst(limit),
                1e-4,
                "O(1/μ), roundings times μ",
                kind="limit",
            ),
            Measurement("a sweep: one step of anchored AM", worst(sweeps), 0.0, "the same operations"),
        ),
    )


def _solved(network: Network, case: Case, mu: float) -> tuple[list[Any], list[Any], tuple[Any, ...]]:
    """Return the codes at the minimum of the Z-step, what the layers predict, and g along the codes."""
    codes, rule = list(forward(network, case.x).a_hat[:-1]), CodeTargets(coupling=mu)
    for _ in range(25):  # each contracts by a fifth or better on these networks
        predicted = predictions(network, codes, case.x)
        for m in reversed(range(len(codes))):
            above = codes[m + 1] if m + 1 < len(codes) else None
            gradient = rule.gradient_above(network, m, codes[m], above, case.t) + codes[m] - predicted[m]
            codes[m] = codes[m] - 0.9 * gradient
    predicted = predictions(network, codes, case.x)
    said = tuple(layer.transfer.f(c) for layer, c in zip(network.layers, codes, strict=False))
    return codes, predicted, backward(network, Trace((), (*codes, predicted[-1]), said), case.t)
