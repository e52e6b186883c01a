r"""Figures of one unit under S and M: a saturated tanh unit, and a partly inactive ReLU."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.local import LocalProblem
from locoprop_ref.plot.style import COLOURS, GREY, describe, label, line_style, panels, spell, styled
from locoprop_ref.solvers import closed_form, newton
from locoprop_ref.targets import target
from locoprop_ref.transfers import transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSS_SLOPE = 0.2  # ∂L/∂ŷ of the saturated unit, whose output should decrease
X = np.linspace(-2.0, 2.0, 9)  # inputs of the ReLU unit, whose output should increase


def minimizers(a_hat: float, target_step: float) -> tuple[float, float]:
    r"""Return the pre-activations at which S and M have their minima, for a tanh unit at â with ∂L/∂ŷ = 0.2.

    For S this is â − γg with g = ∂L/∂ŷ·f′(â). For M it is f⁻¹(f(â) − γg), which is infinite where the target
    is out of range. For small γ this is â − γ·∂L/∂ŷ, without the factor f′(â), and for a saturated unit it is
    â − ½log(1 + 2γ·∂L/∂ŷ).
    """
    f, a = transfer("tanh"), np.array([[checks.number("a_hat", a_hat)]])
    g = f.vjp(a, np.full_like(a, LOSS_SLOPE))
    y_target = target(f.f(a), g, target_step)
    with np.errstate(divide="ignore"):
        m = f.inverse(f.project(y_target))
    return float(target(a, g, target_step)[0, 0]), float(m[0, 0])


@styled
def saturated_unit(a_hat: float = 2.5, target_step: float = 5.0) -> "Figure":
    r"""Draw S and M for a tanh unit that is more or less saturated: the objectives, and the distances moved.

    Args:
        a_hat: pre-activation â₀ of the unit, 0 (linear) to 5 (saturated).
        target_step: γ.

    Raises:
        ValueError, TypeError: a number is not finite, or γ ≤ 0.
    """
    a = checks.not_negative("a_hat", a_hat)
    s, m = minimizers(a, target_step)
    f, z = transfer("tanh"), np.linspace(-3.0, 6.0, 361)
    y_target = float(f.f(np.array(a))) - target_step * LOSS_SLOPE * float(f.derivative(np.array(a)))
    objectives = {"S": (z - s) ** 2 / 2 - (a - s) ** 2 / 2, "M": f.F(z) - y_target * z}
    objectives["M"] = objectives["M"] - (float(f.F(np.array(a))) - y_target * a)
    moved = {name: a - goal for name, goal in (("S", s), ("M", m))}
    figure, (left, right) = panels(2, title=_distances(f"a tanh unit at â₀ = {spell(a)}", moved))
    for i, ((name, values), goal) in enumerate(zip(objectives.items(), (s, m), strict=True)):
        left.plot(z, values, **line_style(i), label=f"{name}: minimum at {spell(goal)}")
        if np.isfinite(goal):
            left.plot([goal], [np.interp(goal, z, values)], marker="osv"[i], color=COLOURS[i], markersize=9)
    left.plot([a], [0], "k*", markersize=14, label=f"now: â₀ = {spell(a)}")
    left.set_ylim(-1.6, 2.5)
    label(
        left,
        title=f"local objectives, γ = {spell(target_step)}",
        x="pre-activation â",
        y="objective − its value at â₀",
        legend="lower left",
    )
    starts = np.linspace(0.0, 5.0, 101)
    moves = np.array([[start - goal for goal in minimizers(start, target_step)] for start in starts])
    for i, name in enumerate(objectives):
        right.plot(starts, moves[:, i], **line_style(i), label=name)
    right.axhline(target_step * LOSS_SLOPE, color=GREY, linestyle=":", label="γ·∂L/∂ŷ")
    right.axvline(a, color="black", linewidth=1)
    right.set_ylim(0.0, 4.0 * target_step * LOSS_SLOPE)
    label(
        right,
        title="distance of the minimum from â₀",
        x="saturation â₀",
        y="â₀ − minimizer",
        legend="upper right",
    )
    return describe(
        figure,
        f"A tanh unit at the pre-activation {spell(a)}, whose output should decrease. The left panel shows "
        f"the objective of S, with its minimum at {spell(s)}, and that of M, with its minimum at {spell(m)}. "
        "The right panel shows the distance to the minimum against the saturation: for S it is γ·∂L/∂ŷ times "
        "the slope of tanh.",
    )


def _distances(what: str, moved: dict[str, float]) -> str:
    """Say how far S and M move a unit."""
    told = (
        f"{name} moves it by {spell(distance)}" if np.isfinite(distance) else f"{name} moves it without end"
        for name, distance in moved.items()
    )
    return f"{what}: {', '.join(told)}"


def half_dead_problems(shift: float, target_step: float, weight_step: float) -> dict[str, LocalProblem]:
    r"""Return S and M for a ReLU unit ŷ = relu(x − shift) on nine inputs, where every output should increase.

    ∂L/∂ŷ = −1 for every example, so g = −1 where the unit is active, and 0 where it is inactive.
    """
    f, x = transfer("relu"), np.stack([X, np.ones_like(X)], axis=1)
    W0 = np.array([[1.0], [-checks.number("shift", shift)]])
    a_hat = x @ W0
    g = f.vjp(a_hat, -np.ones_like(a_hat))
    return {
        "S": LocalProblem(x, target(a_hat, g, target_step), transfer("identity"), W0, weight_step),
        "M": LocalProblem(x, target(f.f(a_hat), g, target_step), f, W0, weight_step),
    }


def solutions(problems: dict[str, LocalProblem]) -> dict[str, Any]:
    """Return the exact solutions of S (closed form) and of M (Newton's method)."""
    return {"S": closed_form(problems["S"]), "M": newton(problems["M"])[0]}


def _misses(problems: dict[str, LocalProblem], solved: dict[str, Any], off: np.ndarray) -> str:
    """Say how far the outputs of the active examples are from their targets after S and after M."""
    said = f"a ReLU that is inactive for {int(np.sum(off))} of {len(off)} examples"
    if np.all(off):
        return f"{said}: neither S nor M changes it"
    goals = problems["M"].y_target[~off]
    left = {
        name: float(np.sqrt(np.mean((np.maximum(problems["M"].x @ W, 0)[~off] - goals) ** 2)))
        for name, W in solved.items()
    }
    told = ", ".join(f"after {name} by {spell(distance)}" for name, distance in left.items())
    return f"{said};\nthe others miss their targets {told}"


@styled
def half_dead_unit(shift: float = 1.0, target_step: float = 2.0, weight_step: float = 10.0) -> "Figure":
    r"""Draw S and M for a ReLU unit that is inactive for part of its batch: targets, and the resulting lines.

    S asks the inactive examples to stay exactly where they are. M only asks them to stay inactive.

    Args:
        shift: the unit is active for x > shift; above 2 it is never active, and neither S nor M changes it.
        target_step: γ.
        weight_step: η.

    Raises:
        ValueError, TypeError: an argument out of its range.
    """
    problems = half_dead_problems(shift, target_step, weight_step)
    solved = solutions(problems)
    x, W0 = problems["S"].x, problems["S"].W0
    off = (x @ W0)[:, 0] <= 0
    figure, axes = panels(
        2, height=4.5, above=1.1, gap=0.4, sharey=True, title=_misses(problems, solved, off)
    )
    for i, (panel, (name, problem)) in enumerate(zip(axes, problems.items(), strict=True)):
        panel.plot(X, x @ W0, color=GREY, label="present pre-activation")
        panel.plot(X, x @ solved[name], **line_style(i), label=f"after {name}, solved exactly")
        goals = problem.y_target[:, 0]
        panel.plot(X[~off], goals[~off], "k^", markersize=9, label="target, active")
        if name == "S":
            panel.plot(
                X[off],
                goals[off],
                "ks",
                markerfacecolor="none",
                markersize=9,
                label="target, inactive: unchanged",
            )
        elif np.any(off):
            panel.fill_between(
                X[off], -4.5, 0, color=COLOURS[5], alpha=0.25, label="target, inactive: anywhere below 0"
            )
        panel.axhline(0, color="black", linewidth=1)
        label(
            panel,
            title=f"LocoProp-{name}",
            x="input x",
            y="pre-activation â" if i == 0 else "",
            legend="upper left",
        )
    axes[0].set_ylim(-4.5, 9.0)
    change = {name: float(np.linalg.norm(W - W0)) for name, W in solved.items()}
    return describe(
        figure,
        f"A ReLU unit on nine inputs, inactive for {int(np.sum(off))} of them, whose output should increase. "
        f"The left panel shows S: the targets of the inactive inputs are their present values; "
        f"the weights change by {spell(change['S'])}. The right panel shows M: the inactive "
        f"inputs may go anywhere below zero; the weights change by {spell(change['M'])}.",
    )
