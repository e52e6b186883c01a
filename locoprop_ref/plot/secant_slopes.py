r"""Figures of the slopes in the exact local step: SGD, S and M on one slider, and what tangents get wrong."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.local import LocalProblem, constant_slope
from locoprop_ref.plot.style import (
    COLOURS,
    GREY,
    describe,
    label,
    label_powers_of_ten,
    line_style,
    panels,
    spell,
    styled,
)
from locoprop_ref.plot.update_path import angle
from locoprop_ref.solvers import closed_form, newton
from locoprop_ref.targets import target
from locoprop_ref.transfers import Transfer, transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

X = np.linspace(-1.0, 3.0, 9)  # inputs of the tanh unit
START, WANTED = (1.0, 0.2), (0.3, -1.5)  # weight and bias of the unit, and of the unit that set its labels
SHAPE = 1.47  # of the panel of the two weights, its width over its height
PLACES = ("SGD", "S", "M")  # at 0, 1 and 2 of the slider


def between(place: float) -> Transfer:
    r"""Return the local transfer function at a place between SGD (0), LocoProp-S (1) and LocoProp-M (2).

    From 0 to 1 it is κâ with κ the place; from 1 to 2 it goes straight from â to tanh â.

    Args:
        place: 0 ≤ place ≤ 2.

    Raises:
        ValueError, TypeError: place is no number from 0 to 2.
    """
    if not 0 <= checks.number("place", place) <= 2:
        raise ValueError(f"place must be a number from 0 to 2, got {place!r}")
    f, share = transfer("tanh"), max(place - 1, 0.0)
    if place <= 1:
        return constant_slope(place)
    return Transfer(
        "between",
        f=lambda a, xp: (1 - share) * a + share * f.f(a),
        F=lambda a, xp: (1 - share) * a * a / 2 + share * f.F(a),
        derivative=lambda a, xp: (1 - share) + share * f.derivative(a),
    )


def unit_problem(place: float, target_step: float, weight_step: float) -> LocalProblem:
    r"""Return the local problem of a tanh unit on nine inputs, with the local loss of a place, see `between`.

    g = (ŷ − t)f′(â)/9 is that of the mean of ½(ŷ − t)² over the inputs, whichever local loss is chosen.

    Args:
        place: 0 ≤ place ≤ 2.
        target_step: γ.
        weight_step: η.
    """
    f, x, local = transfer("tanh"), np.stack([X, np.ones_like(X)], axis=1), between(place)
    W0 = np.array(START)[:, None]
    a_hat, labels = x @ W0, np.tanh(x @ np.array(WANTED)[:, None])
    g = f.vjp(a_hat, f.f(a_hat) - labels) / len(X)
    return LocalProblem(x, target(local.f(a_hat), g, target_step), local, W0, weight_step)


def solution(problem: LocalProblem) -> Any:
    """Return the exact solution, in closed form where the slope is constant and by Newton's method else."""
    return closed_form(problem) if problem.transfer.name == "constant_slope" else newton(problem)[0]


def slopes_between(problem: LocalProblem, W: Any) -> np.ndarray:
    r"""Return the secant slopes D̄ of the local transfer function between X̃W̃₀ and X̃W̃, (R, d_out).

    Where both agree the slope is f′.

    Args:
        problem: a local problem with an elementwise transfer.
        W: W̃, (d̃, d_out).
    """
    f, old, new = problem.transfer, problem.x @ problem.W0, problem.x @ W
    moved = new != old
    rise, run = f.f(new) - f.f(old), np.where(moved, new - old, 1.0)
    return np.where(moved, rise / run, f.derivative(old))


@styled
def secant_slopes(place: float = 2.0, target_step: float = 30.0, weight_step: float = 0.3) -> "Figure":
    r"""Draw the secants of the local transfer function, and the exact step in the plane of two weights.

    The step is −γ(X̃ᵀD̄X̃ + I/η)⁻¹X̃ᵀg, where D̄ holds the slopes of the secants from the old to the new â.

    Args:
        place: 0 is SGD, 1 LocoProp-S, 2 LocoProp-M, with everything between, see `between`.
        target_step: γ.
        weight_step: η.

    Raises:
        ValueError, TypeError: an argument is out of its range.
    """
    problem = unit_problem(place, target_step, weight_step)
    W = solution(problem)
    said = _spread(slopes_between(problem, W))
    slope = problem.x.T @ problem.residual(problem.W0)
    turned, size = angle(-slope, W - problem.W0), float(np.linalg.norm(W - problem.W0))
    figure, (curve, plane) = panels(
        2, width=11, height=5.4, left=0.95, below=1.4,
        title=f"{said}; the step has length {spell(size)}, {turned:.0f}° from the negative gradient",
    )  # fmt: skip
    _draw_secants(curve, problem, W)
    path = np.array(
        [solution(unit_problem(p, target_step, weight_step))[:, 0] for p in np.linspace(0, 2, 21)]
    )
    _draw_valley(plane, problem, path)
    plane.plot(*path.T, color=GREY, linestyle=":", label="exact solution of every place")
    for i, name in enumerate(PLACES):
        plane.plot(*path[10 * i], marker="so^"[i], color=COLOURS[i], markersize=9, linestyle="", label=name)
    plane.plot(*START, "ko", markersize=8, label="W̃₀")
    arrow: dict[str, Any] = {"width": 0.008, "angles": "xy", "scale_units": "xy", "scale": 1, "zorder": 4}
    plane.quiver(*START, *(W - problem.W0)[:, 0], color="black", **arrow)
    label(plane, title="the local loss, and its minimum", x="weight", y="bias", legend=None)
    for panel in (curve, plane):
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, columnspacing=1.2)
    where = f"{place:g} on the slider (0 is SGD, 1 is S, 2 is M)"
    return describe(
        figure,
        f"A tanh unit on nine inputs, at {where}. The left panel shows the local transfer function with its "
        f"nine secants from the old to the new pre-activations; {said}. The right panel shows contours of "
        f"the local loss over the weight and the bias, and the step to its minimum: its length is "
        f"{spell(size)}, at an angle of {turned:.0f} degrees to the negative gradient. A dotted line joins "
        f"the minima of SGD, S and M, at distances of "
        f"{', '.join(spell(float(np.linalg.norm(path[i] - np.array(START)))) for i in (0, 10, 20))}.",
    )


def _draw_secants(panel: "Axes", problem: LocalProblem, W: Any) -> None:
    """Draw the local transfer function, and a secant for each example from its old to its new â."""
    f, old, new = problem.transfer, (problem.x @ problem.W0)[:, 0], (problem.x @ W)[:, 0]
    reach = float(max(np.abs(old).max(), np.abs(new).max()))
    z = np.linspace(-reach, reach, 201)
    panel.plot(z, f.f(z), color=GREY, linewidth=1.5, label="local transfer function")
    for i, ends in enumerate(np.stack([old, new], axis=1)):
        panel.plot(ends, f.f(ends), color=COLOURS[1], label="secant" if i == 0 else None)
    panel.plot(old, f.f(old), "ko", markersize=6, linestyle="", label="old â")
    panel.plot(new, f.f(new), "o", color="white", markeredgecolor="black", linestyle="", label="new â")
    label(
        panel, title="D̄: slopes from the old to the new â", x="pre-activation â", y="local f(â)", legend=None
    )
    panel.set_ylim(-1.1 * max(np.abs(f.f(z)).max(), 1.0), 1.1 * max(np.abs(f.f(z)).max(), 1.0))


def _draw_valley(panel: "Axes", problem: LocalProblem, path: np.ndarray) -> None:
    """Draw contours of the local loss over weight and bias, at equal steps of the root of its excess."""
    ends = np.concatenate([path, [START]])
    middle, size = (ends.max(axis=0) + ends.min(axis=0)) / 2, np.ptp(ends, axis=0)
    # one unit is as long on both axes, so that angles are seen as they are
    half = 0.62 * max(size[1], size[0] / SHAPE) * np.array([SHAPE, 1.0])
    first, second = (np.linspace(m - h, m + h, 61) for m, h in zip(middle, half, strict=True))
    W = np.stack([part.ravel() for part in np.meshgrid(first, second)])
    a = problem.x @ W
    data = np.sum(problem.transfer.F(a) - problem.y_target * a, axis=0)
    values = data + np.sum((W - problem.W0) ** 2, axis=0) / (2 * problem.weight_step)
    # on the grid the loss is at least that of the minimum, up to rounding
    excess = np.maximum(values - float(problem.value(solution(problem))), 0.0).reshape(61, 61)
    levels = np.linspace(0, np.sqrt(np.max(excess)), 12)[1:] ** 2
    panel.contour(first, second, excess, levels=levels, colors="#bbbbbb", linewidths=0.9)
    panel.set(aspect="equal")
    panel.locator_params("both", nbins=5)
    panel.grid(False)


def _spread(slopes: np.ndarray) -> str:
    """Return in words from where to where slopes reach.

    >>> _spread(np.array([1.0, 1.0])), _spread(np.array([0.0, 0.25]))
    ('all secant slopes are 1.00', 'secant slopes from 0.00 to 0.25')
    """
    low, high = (float(value) + 0.0 for value in (np.min(slopes), np.max(slopes)))
    if high - low < 0.005:
        return f"all secant slopes are {high:.2f}"
    return f"secant slopes from {low:.2f} to {high:.2f}"


@styled
def tangent_errors(
    target_steps: Any, tangent: "Mapping[str, Any]", secant: "Mapping[str, Any]", *, rounding: float = 1e-12
) -> "Figure":
    r"""Draw the relative errors of second-order predictions of a step against γ, on logarithmic axes.

    Args:
        target_steps: γ, increasing numbers of at least two decades.
        tangent: for every kind of step the error with slopes f′(â₀), at every γ; not zero.
        secant: for every kind of step the error with secant slopes.
        rounding: errors below it are drawn at it, default 1e-12: they are rounding times the condition of the
            systems, and differ from processor to processor.

    Raises:
        ValueError, TypeError: the γ are not in increasing order over two decades, no error is given, or
            another number of them, or `rounding` is not a positive number.
    """
    gamma = np.asarray(target_steps, dtype=float)
    if gamma.ndim != 1 or gamma.size < 3 or not np.all(np.diff(gamma) > 0) or gamma[-1] < 100 * gamma[0]:
        raise ValueError("target_steps must be increasing numbers over two decades, got others")
    rounding = checks.positive("rounding", rounding)
    if not tangent or not secant:
        raise ValueError("tangent and secant must hold at least one kind of step each, got none")
    curves = {name: np.asarray(values, dtype=float) for name, values in {**tangent, **secant}.items()}
    for name, values in curves.items():
        if values.shape != gamma.shape:
            raise ValueError(f"errors of {name} must be {gamma.size} numbers, got shape {values.shape}")
    exponents = {name: first_exponent(gamma, curves[name]) for name in tangent}
    grows = " and ".join(f"γ^{exponent:.2f}" for exponent in exponents.values())
    most = max(float(np.max(curves[name])) for name in secant)
    below = f"below {10.0 ** np.ceil(np.log10(most)):.0e}" if most else "none"
    title = f"tangents: for small γ the errors grow as {grows}; secants: {below}"
    figure, (panel,) = panels(width=9.5, height=5.0, left=0.95, title=title.replace("-", "−"))
    for i, (name, values) in enumerate(curves.items()):
        shown = np.maximum(values, rounding)
        panel.plot(gamma, shown, marker="os^D"[i % 4], markersize=5, **line_style(i), label=name)
    panel.set(xscale="log", yscale="log", ylim=(rounding / 30, 10 * max(np.max(v) for v in curves.values())))
    at_most = f"{rounding:.0e} and less: rounding".replace("-", "−")
    panel.annotate(at_most, (gamma[-1], rounding), xytext=(0, -18),
                   textcoords="offset points", ha="right", color=GREY, fontsize=10.5)  # fmt: skip
    label_powers_of_ten(panel.xaxis, panel.yaxis)
    label(panel, x="target step γ", y="‖Δ − formula‖ / ‖formula‖", legend="center right")
    details = "; ".join(f"{name}: {values[0]:.0e} to {values[-1]:.0e}" for name, values in curves.items())
    return describe(
        figure,
        f"Relative errors of formulas for the step against γ from {spell(gamma[0])} to {spell(gamma[-1])}, "
        f"on logarithmic axes, from the smallest to the largest γ. {details}. With tangents the errors "
        f"grow at first as {grows}.",
    )


def first_exponent(x: Any, y: Any) -> float:
    """Return the exponent p of y = c·x^p between the first number of x and the end of its first decade.

    >>> first_exponent([1.0, 10.0, 100.0], [2.0, 20.0, 50.0])
    1.0
    """
    end = int(np.searchsorted(np.asarray(x), 10 * x[0] * (1 - 1e-9)))
    return float(np.log(y[end] / y[0]) / np.log(x[end] / x[0]))
