r"""A figure of Bregman duality: one area between a transfer function and two lines, read along both axes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.losses import matching_loss
from locoprop_ref.plot.losses import drawable, finite
from locoprop_ref.plot.style import COLOURS, GREY, describe, label, line_style, panels, spell, styled
from locoprop_ref.transfers import Transfer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 4.0  # pre-activations from −4 to 4 are drawn


def mirror_step(f: Transfer, a_hat: float, step: float) -> tuple[float, float]:
    r"""Return (y*, a*) of a mirror step with mirror map F: y* = f(â) − γg, a* = f⁻¹(y*).

    a* is the minimum over a of γg·a + D_F(a, â). Where y* is not inside the range of f there is none, and a*
    is nan.

    Args:
        f: a strictly increasing transfer function.
        a_hat: â.
        step: γg, by which y* is below ŷ = f(â).

    Raises:
        ValueError: f is not strictly increasing.

    >>> from locoprop_ref.transfers import transfer
    >>> mirror_step(transfer("sigmoid"), 0.0, 0.25)[0]
    0.25
    """
    y = float(f.f(np.array(a_hat))) - step
    inside = f.low < y < f.high
    a = float(f.inverse(np.array(y if inside else f.f(np.array(a_hat)))))
    return y, a if inside else float("nan")


@styled
def bregman_duality(name: str | Transfer = "sigmoid", a_hat: float = 1.5, step: float = 0.6) -> "Figure":
    r"""Draw D_F(â, a*) = D_F*(y*, ŷ) for y* = ŷ − γg: as a gap above F, as an area, and as a gap above F*.

    Args:
        name: name of a strictly increasing transfer function, or one of your own.
        a_hat: â, at most 4 in size.
        step: γg, of either sign, not 0. Where f does not reach y* no a* belongs to it, which the title says,
            and no gap is drawn.

    Raises:
        ValueError, TypeError: a name of another function, or a number out of its range.
    """
    f, a0, move = drawable(name), finite("a_hat", a_hat), finite("step", step)
    name = f.name
    if abs(a0) > REACH or move == 0:
        raise ValueError(
            f"a_hat must be at most {REACH:g} in size and step not 0, got {a_hat!r} and {step!r}"
        )
    y, a = mirror_step(f, a0, move)
    y0 = float(f.f(np.array(a0)))
    found = np.isfinite(a)
    loss = float(matching_loss(f, np.array(a0), np.array(a))) if found else np.inf
    title = f"{name}, ŷ = {spell(y0)}: the target y* = {spell(y)} "
    title += f"costs D_F = D_F* = {spell(loss)}" if found else "is no value of f, and no a* belongs to it"
    figure, (primal, area, dual) = panels(
        3, width=12.5, height=5.4, right=0.45, below=1.6, gap=1.0, title=title
    )
    reach = max(REACH, abs(a) + 0.5) if found else REACH
    z = np.linspace(-reach, reach, 321)
    _draw_convex(primal, z, f.F, ("F", "D_F"), (a, a0, y))
    label(
        primal,
        title="F, with its tangent at a*" if found else "F has no tangent of slope y*",
        x="pre-activation a",
        y="F(a)",
        legend=None,
    )
    _draw_area(area, f, z, (a0, y0), (a, y))
    label(
        area,
        title="f: the same number as an area" if found else "f does not reach y*",
        x="pre-activation a",
        y="y",
        legend=None,
    )
    _draw_convex(dual, f.f(z), f.F_star, ("F*", "D_F*"), (y0, y if found else np.nan, a0))
    label(dual, title=_conjugate_at(f, y, found), x="post-activation y", y="F*(y)", legend=None)
    for panel in (primal, area, dual):
        panel.legend(loc="upper center", bbox_to_anchor=(0.45, -0.18), ncols=2, columnspacing=1.0)
    details = (
        f"The pre-activation of the target is {spell(a)}. The gap in the left panel, the shaded area, and "
        f"the gap in the right panel are all {spell(loss)}."
        if found
        else "The function does not reach the target, so there is no gap to draw."
    )
    return describe(
        figure,
        f"The left panel shows F of {name}, the right one its conjugate F*, and the panel in the middle the "
        f"function itself, with the present point at {spell(a0)}, {spell(y0)}, and the target {spell(y)} on "
        f"the vertical axis. {details}",
    )


def _conjugate_at(f: Transfer, y: float, found: bool) -> str:
    """Return what the panel of F* shows; at an end of the range, not reached by f, F* may be finite."""
    outside = not found and not np.isfinite(f.F_star(np.array(y)))
    return "F* is infinite at y*" if outside else "F*, with its tangent at ŷ"


def _draw_convex(
    panel: "Axes", z: np.ndarray, function: Any, names: tuple[str, str], where: tuple[float, float, float]
) -> None:
    """Draw a convex curve, its tangent at the first place with the given slope, and the gap at the second."""
    touch, at, slope = where
    curve, (low, high) = function(z), (float(np.min(function(z))), float(np.max(function(z))))
    panel.plot(z, curve, **line_style(0), label=names[0])
    if np.isfinite(touch):
        on = float(function(np.array(touch)))
        panel.plot(
            z, on + slope * (z - touch), color=GREY, linewidth=1.3, label=f"tangent, slope {spell(slope)}"
        )
        panel.plot([touch], [on], "ko", markersize=7)
        if np.isfinite(at):
            ends = on + slope * (at - touch), float(function(np.array(at)))
            panel.plot([at, at], ends, color=COLOURS[1], linewidth=5, solid_capstyle="butt",
                       label=f"{names[1]} = {spell(ends[1] - ends[0])}")  # fmt: skip
            low, high = min(low, ends[0]), max(high, ends[1])
    panel.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _draw_area(
    panel: "Axes", f: Transfer, z: np.ndarray, now: tuple[float, float], goal: tuple[float, float]
) -> None:
    """Draw f, the step from ŷ to y* on the vertical axis, and the area between f, y* and â."""
    (a0, y0), (a, y) = now, goal
    panel.plot(z, f.f(z), **line_style(0), label="f")
    if np.isfinite(a):
        inside = np.linspace(min(a, a0), max(a, a0), 101)
        panel.fill_between(
            inside, f.f(inside), y, color=COLOURS[1], alpha=0.45, linewidth=0, label="area D_F"
        )
        panel.plot([a], [y], "ks", markersize=8, label="(a*, y*)")
    panel.axhline(y, color=GREY, linewidth=1.3)
    panel.plot([a0, a0], [y0, y], color=COLOURS[2], linewidth=3, label="−γg, on ŷ")
    panel.plot([a0], [y0], "ko", markersize=8, label="(â, ŷ)")
