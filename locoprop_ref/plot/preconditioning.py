r"""A figure of a problem with two weights: gradient step, K inner steps and exact step in the same valley."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import SGD
from locoprop_ref.plot.style import COLOURS, GREY, describe, label, panels, spell, styled
from locoprop_ref.solvers import closed_form, local_rates, local_steps
from locoprop_ref.transfers import transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

START, MINIMUM = (-1.5, 1.0), (1.0, 0.5)  # W̃₀, and the point where the squared loss vanishes
FRAME = ((-2.4, 2.4), (-1.6, 2.2))  # the weights that the picture shows


def two_weights(correlation: float, weight_step: float) -> LocalProblem:
    r"""Return the squared problem with X̃ᵀX̃ = [[1, ρ], [ρ, 1]]: eigenvalues 1 + ρ and 1 − ρ.

    Args:
        correlation: ρ of the two inputs, −1 < ρ < 1.
        weight_step: η.

    Raises:
        ValueError, TypeError: ρ or η is out of its range.
    """
    if not -1 < checks.number("correlation", correlation) < 1:
        raise ValueError(f"correlation must be above -1 and below 1, got {correlation!r}")
    x = np.linalg.cholesky(np.array([[1.0, correlation], [correlation, 1.0]])).T
    W0, minimum = np.array(START)[:, None], np.array(MINIMUM)[:, None]
    return LocalProblem(x, x @ minimum, transfer("identity"), W0, weight_step)


def descent_path(problem: LocalProblem, local_lr: float, num_local_steps: int) -> np.ndarray:
    """Return W̃₀ and the weights after each of K constant steps on the squared loss only, (K + 1, 2)."""
    alone = replace(problem, weight_step=np.inf)
    rates = local_rates(local_lr, num_local_steps, "constant")
    steps = [W for W, _ in local_steps(alone, SGD(), {}, rates)]
    return np.array([problem.W0, *steps])[:, :, 0]


def exact_path(problem: LocalProblem) -> np.ndarray:
    """Return the exact solutions for η from 0.01 (near W̃₀) to 1000 (near the minimum), (61, 2)."""
    steps = np.logspace(-2, 3, 61)
    return np.array([closed_form(replace(problem, weight_step=float(eta)))[:, 0] for eta in steps])


@styled
def preconditioned_step(
    weight_step: float = 5.0, local_lr: float = 0.5, num_local_steps: int = 10, correlation: float = 0.9
) -> "Figure":
    r"""Draw one gradient step, K inner steps and the exact step on the contours of the squared local loss.

    Args:
        weight_step: η of the exact step.
        local_lr: s of the gradient steps.
        num_local_steps: K.
        correlation: ρ of the two inputs; the valley has eigenvalues 1 + ρ and 1 − ρ.

    Raises:
        ValueError, TypeError: an argument is out of its range.
    """
    problem = two_weights(correlation, weight_step)
    curvatures = f"{spell(1 + correlation)} and {spell(1 - correlation)}"
    path, exact = descent_path(problem, local_lr, num_local_steps), closed_form(problem)[:, 0]
    left = [float(np.linalg.norm(point - np.array(MINIMUM))) for point in (path[0], path[-1], exact)]
    title = (
        f"distance from the minimum: {spell(left[0])} at W₀,\n"
        f"{spell(left[1])} after {num_local_steps} inner steps, {spell(left[2])} after the exact step"
    )
    figure, (axes,) = panels(width=8, height=6.5, above=1.1, title=title)
    _draw_valley(axes, problem)
    homing = exact_path(problem)
    axes.plot(*homing.T, color=GREY, linestyle=":", label="exact steps for every η")
    axes.plot(
        *path.T,
        color=COLOURS[0],
        marker="o",
        markersize=4,
        label=f"K = {num_local_steps} steps, s = {spell(local_lr)}",
    )
    arrow: dict[str, Any] = {"width": 0.006, "angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 4}
    along = num_local_steps * (path[1] - path[0])
    beyond = "" if _inside(path[0] + along) else ", beyond the frame"
    axes.quiver(*path[0], *along, color=COLOURS[2], **arrow, label=f"K times the first step{beyond}")
    axes.quiver(
        *path[0], *(exact - path[0]), color=COLOURS[1], **arrow, label=f"exact step, η = {spell(weight_step)}"
    )
    axes.plot(*path[0], "ko", markersize=8)
    axes.plot(*MINIMUM, "k*", markersize=14)
    axes.annotate("W₀", path[0], xytext=(-26, -4), textcoords="offset points")
    axes.set(xlim=FRAME[0], ylim=FRAME[1], aspect="equal")
    label(axes, title=f"inputs of correlation {spell(correlation)}: curvatures {curvatures}",
          x="weight of input 1", y="weight of input 2", legend="lower left")  # fmt: skip
    return describe(
        figure,
        f"Contours of a squared loss of two weights, which form a valley with curvatures {curvatures}. "
        f"From the start at the upper left, {num_local_steps} inner steps of size {spell(local_lr)} "
        f"end at a distance of {spell(left[1])} from the minimum. The exact step with "
        f"η = {spell(weight_step)} ends at a distance of {spell(left[2])}. K times the first step is a "
        f"straight line{beyond and ', which leaves the frame'}.",
    )


def _inside(point: np.ndarray) -> bool:
    """Return whether a point lies in the frame."""
    return all(low <= number <= high for number, (low, high) in zip(point, FRAME, strict=True))


def _draw_valley(axes: Any, problem: LocalProblem) -> None:
    """Draw contours of ½‖X̃W̃ − y*‖² at equal steps of its square root."""
    first, second = np.meshgrid(np.linspace(*FRAME[0], 97), np.linspace(*FRAME[1], 77))
    W = np.stack([first.ravel(), second.ravel()])
    loss = np.sum((problem.x @ W - problem.y_target) ** 2, axis=0).reshape(first.shape) / 2
    levels = np.linspace(0, np.sqrt(np.max(loss)), 14)[1:] ** 2
    axes.contour(first, second, loss, levels=levels, colors="#999999", linewidths=0.9)
    axes.grid(False)
