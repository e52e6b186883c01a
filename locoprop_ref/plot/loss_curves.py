"""Figures of matching losses as functions of the prediction, and of objectives with targets out of range."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.plot.losses import (
    AFTER,
    MATCHING,
    PREDICTION,
    SQUARED,
    drawable,
    finite,
    losses,
    point,
    span,
)
from locoprop_ref.plot.style import COLOURS, GREY, describe, label, line_style, panels, spell, styled
from locoprop_ref.transfers import Transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def matching_loss_curves(
    name: str | Transfer,
    targets: Sequence[float] = (-2.0, 0.0, 2.0),
    *,
    predictions: tuple[float, float] = (-4.0, 4.0),
    **parameters: Any,
) -> "Figure":
    r"""Draw the matching loss, the squared loss and the squared loss after f, for several targets.

    Args:
        name: name of an elementwise transfer function, or one of your own.
        targets: a*, pre-activations.
        predictions: the smallest and the largest â.
        **parameters: parameters of the transfer function.

    Raises:
        ValueError, TypeError: softmax, no target, or limits that are not in increasing order.
    """
    f = drawable(name, **parameters)
    name = f.name
    if not len(targets):
        raise ValueError("targets must hold at least one number, got none")
    a_hat = span("predictions", predictions, 401)
    figure, axes = panels(3, width=13, title=f"{name}: {point(f)}", sharex=True)
    for i, a in enumerate(finite("targets", a) for a in targets):
        for panel, values in zip(axes, losses(f, a_hat, a).values(), strict=True):
            panel.plot(a_hat, values, **line_style(i), label=f"a* = {spell(a)}")
            panel.plot([a], [0.0], marker="o", color=COLOURS[i % len(COLOURS)], clip_on=False)
    for panel, title in zip(axes, (MATCHING, SQUARED, AFTER), strict=True):
        label(panel, title=title, x=PREDICTION, y="loss", legend=None)
    axes[0].legend(loc="upper center")
    named = ", ".join(spell(a) for a in targets)
    return describe(
        figure,
        f"Three panels show losses against predictions from {spell(a_hat[0])} to {spell(a_hat[-1])}, with "
        f"one line for each of the targets {named}, where the loss is zero. Left is the matching loss of "
        f"{name}: {point(f)}. In the middle is the squared loss of pre-activations, which is a parabola. "
        "Right is the squared loss after the transfer function, which is flat wherever the function is, and "
        "not convex unless the function is linear.",
    )


@styled
def matching_loss_at(
    name: str | Transfer,
    target: float = 1.0,
    prediction: float = -1.5,
    *,
    limits: tuple[float, float] = (-4.0, 4.0),
    **parameters: Any,
) -> "Figure":
    r"""Draw one matching loss twice: as the area between f and f(a*), and as a curve with its slope.

    D_F(â, a*) = ∫ f(z) − f(a*) dz from a* to â, and its derivative with respect to â is f(â) − f(a*).

    Args:
        name: name of an elementwise transfer function, or one of your own.
        target: a*.
        prediction: â, where the area ends and the slope is drawn.
        limits: the smallest and the largest pre-activation shown.
        **parameters: parameters of the transfer function.

    Raises:
        ValueError, TypeError: softmax, numbers that are not finite, or limits that are not in increasing
        order.
    """
    f = drawable(name, **parameters)
    name = f.name
    a, at, z = finite("target", target), finite("prediction", prediction), span("limits", limits, 401)
    y_target = float(f.f(np.array(a)))
    slope = float(f.f(np.array(at))) - y_target
    here = {key: float(value) for key, value in losses(f, at, a).items()}
    figure, (area, curve) = panels(
        2, height=4.7, below=1.2, title=f"{name}: the matching loss is an area, and its slope is f(â) − f(a*)"
    )
    _draw_area(area, f, a, at, z, here[MATCHING])
    values = losses(f, z, a)
    for i, (key, value) in enumerate(values.items()):
        curve.plot(z, value, **line_style(i), label=key.removeprefix("squared after f: "))
    tangent = here[MATCHING] + slope * (z - at)
    curve.plot(z, tangent, color=GREY, linewidth=1.5, label=f"slope f(â) − f(a*) = {spell(slope)}")
    curve.plot([at], [here[MATCHING]], "ko", markersize=7)
    top = 1.1 * max(float(np.max(values[MATCHING])), here[MATCHING], 1.0)
    curve.set_ylim(-0.08 * top, top)
    label(
        curve,
        title=f"losses for a* = {spell(a)}, slope at â = {spell(at)}",
        x=PREDICTION,
        y="loss",
        legend=None,
    )
    figure.legend(*curve.get_legend_handles_labels(), loc="lower center", ncols=4, columnspacing=1.2)
    return describe(
        figure,
        f"The left panel shows {name}. The area between its curve and the level f(a*) = {spell(y_target)} is "
        f"shaded from the target {spell(a)} to the prediction {spell(at)}; it is the matching loss, "
        f"{spell(here[MATCHING])}. The right panel shows this loss against the prediction, with the squared "
        f"loss ({spell(here[SQUARED])} at this prediction), the squared loss after f "
        f"({spell(here[AFTER])}), and the tangent of slope f(â) − f(a*) = {spell(slope)}.",
    )


def _draw_area(panel: Any, f: Transfer, a: float, at: float, z: np.ndarray, area: float) -> None:
    """Draw f, the level f(a*), and the area between them from a* to â."""
    between = np.linspace(a, at, 201)
    level = float(f.f(np.array(a)))
    panel.plot(z, f.f(z), **line_style(0), label=f"f = {f.name}")
    look = {"color": COLOURS[1], "alpha": 0.35, "hatch": "//"}
    panel.fill_between(between, f.f(between), level, **look, label=f"area D_F = {spell(area)}")
    panel.axhline(level, color=GREY, linestyle=":", label=f"f(a*) = {spell(level)}")
    for x, letter in ((a, "a*"), (at, "â")):
        panel.plot([x], f.f(np.array([x])), "ko", markersize=7)
        panel.annotate(letter, (x, float(f.f(np.array(x)))), xytext=(-16, 8), textcoords="offset points")
    low, high = panel.get_ylim()
    panel.set_ylim(low, high + 0.45 * (high - low))  # room for the legend
    label(
        panel,
        title="the transfer function and the area",
        x="pre-activation z",
        y="f(z)",
        legend="upper left",
    )


@styled
def target_objective(
    name: str | Transfer,
    y_target: float = 0.5,
    *,
    limits: tuple[float, float] = (-8.0, 8.0),
    **parameters: Any,
) -> "Figure":
    r"""Draw the objective of LocoProp-M, F(â) − y*·â, for a target y* of the post-activation.

    If y* is inside the range of f, the minimum is where f(â) = y*. If y* is on the boundary, the objective
    approaches an infimum but does not attain it (for ReLU it does). If y* is outside, the objective is
    unbounded below, and the weights stay bounded only because of the proximal term, or because the steps are
    few.

    Args:
        name: name of an elementwise transfer function, or one of your own.
        y_target: y*, inside or outside the range of f.
        limits: the smallest and the largest pre-activation shown.
        **parameters: parameters of the transfer function.

    Raises:
        ValueError, TypeError: softmax, numbers that are not finite, or limits that are not in increasing
        order.
    """
    f = drawable(name, **parameters)
    name = f.name
    y, z = finite("y_target", y_target), span("limits", limits, 401)
    floor = -float(f.F_star(np.array(y)))
    outside = floor == -np.inf
    verdict = "is unbounded below" if outside else f"is at least −F*(y*) = {spell(floor)}"
    figure, (left, right) = panels(2, title=f"{name}, y* = {spell(y)}: the local objective {verdict}")
    left.plot(z, f.f(z), **line_style(0), label=f"f = {name}")
    left.axhline(y, **line_style(1), label=f"y* = {spell(y)}" + (", out of range" if outside else ""))
    low, high = left.get_ylim()
    left.set_ylim(low, high + 0.35 * (high - low))
    label(left, title="transfer function and target", x="pre-activation â", y="f(â)", legend="upper left")
    right.plot(z, f.F(z) - y * z, **line_style(0), label="F(â) − y*·â")
    if not outside:
        right.axhline(floor, color=GREY, linestyle=":", label=f"infimum {spell(floor)}")
    label(right, title="local objective in â", x="pre-activation â", y="F(â) − y*·â")
    return describe(
        figure,
        f"The left panel shows {name} and the level y* = {spell(y)}, which lies "
        f"{'outside' if outside else 'inside'} its closed range. The right panel shows the objective "
        f"F(â) − y*·â against the pre-activation from {spell(z[0])} to {spell(z[-1])}: it {verdict}.",
    )
