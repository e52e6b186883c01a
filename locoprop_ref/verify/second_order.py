r"""I9: K-FAC is LocoProp-S in closed form with another target; G = I gives FOOF, which is LocoProp-S."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, to_backend, to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.methods.foof import FOOF
from locoprop_ref.methods.kfac import KFAC
from locoprop_ref.methods.locoprop import LocoProp
from locoprop_ref.solvers import ClosedForm, closed_form
from locoprop_ref.targets import target
from locoprop_ref.transfers import TRANSFERS, transfer
from locoprop_ref.verify.cases import ELEMENTWISE, POSITIONS, Case, positions_cases, random_case
from locoprop_ref.verify.measure import Identity, Measurement, far, on, worst

GAMMA, DAMPING = 3.0, 0.1


def kfac_is_a_choice_of_target(seed: int = 0, xp: Any = np) -> Identity:
    """I9: the closed form with a* = â − γgG⁻¹ is K-FAC; with G = I it is FOOF and LocoProp-S."""
    parts = _kronecker(
        random_case(name, "sigmoid", "sigmoid_cross_entropy", seed=seed, xp=xp, batch=batch)
        for name in TRANSFERS
        for batch in (9, 3)
    )
    for where in POSITIONS:
        parts += _kronecker(positions_cases(where, seed, xp, hidden=ELEMENTWISE), where)
    return Identity("I9", "K-FAC is a choice of target for LocoProp-S, a* = â − γgG⁻¹", parts)


def _kronecker(cases: Iterable[Case], where: str = "") -> tuple[Measurement, ...]:
    formula, kfac, foof = [], [], []
    for case in cases:
        # the factors come from this batch alone; K-FAC's learning rate is γ/B, for B examples of R rows
        rate = GAMMA / case.x.shape[0]
        alone: dict[str, Any] = {"learning_rate": rate, "damping": DAMPING, "factor_decay": 0.0}
        stepped = KFAC(**alone, momentum=0.0, fisher="empirical")
        moved, _, _ = stepped.step(case.network, stepped.init(case.network), case.x, case.t)
        for m, layer in enumerate(moved.layers):
            x, W0, G, eta = _factors(case, m)
            gradient, step = x.T @ to_numpy(case.g[m]), eta * GAMMA
            # −ηγ (I + ηX̃ᵀX̃)⁻¹ ∂L/∂W̃ G⁻¹, with explicit inverses
            change = -step * np.linalg.inv(np.eye(len(W0)) + eta * x.T @ x) @ gradient @ np.linalg.inv(G)
            scale = np.max(np.abs(W0)) + np.max(np.abs(change))
            reached = [to_numpy(W) for W in _by_target(case, m, G, eta)]
            formula += [far(W - W0, change, scale) for W in reached]
            kfac += [far(layer.stacked, W, scale) for W in reached]
        foof.append(_foof_from_locoprop(case, FOOF(**alone)))
    reason = "cond(I + ηX̃ᵀX̃)·cond(G), both damped: below 1e4"
    return (
        Measurement(on(where, "−ηγ(I + ηX̃ᵀX̃)⁻¹ ∂L/∂W̃ G⁻¹"), worst(formula), 1e-10, reason),
        Measurement(on(where, "K-FAC's step, γ/B, 1/(ηB) on A"), worst(kfac), 1e-10, reason),
        Measurement(on(where, "G = I: FOOF is S in closed form"), worst(foof), 1e-10, "cond(I + ηX̃ᵀX̃)"),
    )


def _factors(case: Case, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return X̃, W̃₀, the damped G, and η; the damping adds 1/(ηB) to the diagonal of A = X̃ᵀX̃/B."""
    layer, g = case.network.layers[m], to_numpy(case.g[m])
    x = to_numpy(layer.augment(case.trace.x[m]))
    # B examples of R rows: A is the mean over the examples, G = (B²/R)gᵀg over the rows
    B, R = case.x.shape[0], len(x)
    G = B**2 / R * g.T @ g
    # π² = (tr A/d̃)/(tr G/d_out)
    pi = np.sqrt(np.sum(x * x) / (B * x.shape[1]) / np.mean(np.diag(G))) if np.any(G) else 1.0
    G = G + np.sqrt(DAMPING) / pi * np.eye(len(G))
    return x, to_numpy(layer.stacked), G, float(1 / (B * pi * np.sqrt(DAMPING)))


def _by_target(case: Case, m: int, G: np.ndarray, eta: float) -> list[Any]:
    """Return the primal and the dual closed form of the squared local problem with the target â − γgG⁻¹."""
    layer, xp = case.network.layers[m], array_namespace(case.x)
    g = to_backend(np.linalg.solve(G, to_numpy(case.g[m]).T).T, xp=xp)
    y_target = target(case.trace.a_hat[m], g, GAMMA)
    x, W0 = layer.augment(case.trace.x[m]), layer.stacked
    problem = LocalProblem(x, y_target, transfer("identity"), W0, eta)
    return [closed_form(problem, form=form) for form in ("primal", "dual")]


def _foof_from_locoprop(case: Case, foof: FOOF) -> float:
    """Return the distance between a step of FOOF and one of LocoProp-S in closed form, for λ = 1/(ηB)."""
    eta = 1 / (foof.damping * case.x.shape[0])
    locoprop = LocoProp("squared", solver=ClosedForm(), target_step=GAMMA, weight_step=eta)
    ours, theirs = (
        how.step(case.network, how.init(case.network), case.x, case.t)[0] for how in (foof, locoprop)
    )
    errors = []
    for one, other, old in zip(ours.layers, theirs.layers, case.network.layers, strict=True):
        wanted, W0 = to_numpy(other.stacked), to_numpy(old.stacked)
        errors.append(far(one.stacked, wanted, np.max(np.abs(W0)) + np.max(np.abs(wanted - W0))))
    return worst(errors)
