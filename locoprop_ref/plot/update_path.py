r"""A figure of the total update during the inner steps: its angle to the gradient, and its length."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import to_numpy
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import SGD
from locoprop_ref.plot.style import GREY, MARKERS, describe, label, line_style, panels, spell, styled
from locoprop_ref.solvers import local_rates, local_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def angle(u: np.ndarray, v: np.ndarray) -> float:
    r"""Return the angle between two arrays in degrees: 2·atan2(‖û − v̂‖, ‖û + v̂‖), accurate for small angles.

    The angle is zero if one of the arrays is zero.
    """
    lengths = np.linalg.norm(u), np.linalg.norm(v)
    if 0.0 in lengths:
        return 0.0
    a, b = u / lengths[0], v / lengths[1]
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(a - b), np.linalg.norm(a + b))))


def update_path(
    problem: LocalProblem, *, local_lr: float, num_local_steps: int, local_decay: str = "constant"
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the angle between W̃_k − W̃₀ and −∂L/∂W̃, and the length of W̃_k − W̃₀, for k = 1..K gradient steps.

    The gradient of the local problem at W̃₀ is γ·∂L/∂W̃, so the first step has the angle 0. Lengths are
    measured in units of the first step.

    Returns:
        (K,) angles in degrees and (K,) lengths ‖W̃_k − W̃₀‖/‖sγ·∂L/∂W̃‖.
    """
    W0, gradient = to_numpy(problem.W0), to_numpy(problem.gradient(problem.W0))
    rates = local_rates(local_lr, num_local_steps, local_decay)
    changes = [to_numpy(W) - W0 for W, _ in local_steps(problem, SGD(), {}, rates)]
    first = local_lr * np.linalg.norm(gradient)
    lengths = [np.linalg.norm(change) / first if first > 0 else 0.0 for change in changes]
    return np.array([angle(change, -gradient) for change in changes]), np.array(lengths)


@styled
def update_against_gradient(
    problems: Mapping[str, LocalProblem],
    *,
    local_lr: float,
    num_local_steps: int,
    local_decay: str = "constant",
) -> "Figure":
    r"""Draw the angle between the total update and the negative gradient, and the update's length.

    Args:
        problems: the local problem of a layer by the name of the method, for example S and M.
        local_lr: step size s > 0 of plain gradient steps.
        num_local_steps: K ≥ 1.
        local_decay: "constant" (default here, so that the steps are comparable) or "authors".

    Raises:
        ValueError, TypeError: no problem, s ≤ 0, K < 1, or an unknown decay.
    """
    if not checks.instance("problems", problems, Mapping, "a dict of local problems by name"):
        raise ValueError("problems must hold at least one local problem, got none")
    settings: dict[str, Any] = {
        "local_lr": local_lr,
        "num_local_steps": num_local_steps,
        "local_decay": local_decay,
    }
    frozen = np.cumsum(local_rates(**settings)) / local_lr
    k = np.arange(1, num_local_steps + 1)
    paths = {name: update_path(problem, **settings) for name, problem in problems.items()}
    turned = ", ".join(f"{name} has turned by {spell(angles[-1])}°" for name, (angles, _) in paths.items())
    figure, (turn, reach) = panels(2, title=f"after {num_local_steps} inner steps {turned}")
    words = []
    for i, (name, (angles, lengths)) in enumerate(paths.items()):
        look = {**line_style(i), "marker": MARKERS[i], "markevery": max(1, len(k) // 10)}
        turn.plot(k, angles, **look, label=name)
        reach.plot(k, lengths, **look, label=name)
        ends = f"{spell(angles[-1])} degrees and {spell(lengths[-1])} first steps"
        words.append(f"{name} ends with {ends}")
    reach.plot(k, frozen, color=GREY, linestyle=":", label="along the frozen gradient")
    label(turn, title="angle between update and −gradient", x="inner step k", y="angle (degrees)")
    label(reach, title="length of the update", x="inner step k", y="length (first steps)")
    turn.set_ylim(bottom=min(0.0, turn.get_ylim()[0]), top=max(1.0, turn.get_ylim()[1]))
    return describe(
        figure,
        f"The left panel shows the angle between the total update and the negative gradient, and the right "
        f"panel the length of the update, during {num_local_steps} inner steps of size {spell(local_lr)}. "
        f"All begin with angle 0 and length 1. {'; '.join(words)}; along the frozen gradient the length "
        f"would be {spell(frozen[-1])}.",
    )
