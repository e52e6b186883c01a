"""Figures of matching losses as functions of prediction and target: contours and surfaces."""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.plot.losses import (
    MATCHING,
    PREDICTION,
    SQUARED,
    TARGET,
    drawable,
    finite,
    losses,
    point,
    span,
)
from locoprop_ref.plot.style import COLOURS, describe, label, panels, spell, styled
from locoprop_ref.transfers import Transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.01, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def _grids(f: Transfer, limits: tuple[float, float], points: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    values = span("limits", limits, points)
    return values, {key: losses(f, values[None, :], values[:, None])[key] for key in (MATCHING, SQUARED)}


def _bands() -> dict[str, Any]:
    """Return the levels, and colours that are light enough for the numbers on them."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    edges = [0.0, *LEVELS, 1e9]
    colours = ListedColormap(colormaps["cividis"](np.linspace(1.0, 0.35, len(edges) - 1)))
    return {"levels": edges, "cmap": colours, "norm": BoundaryNorm(edges, len(edges) - 1)}


@styled
def matching_loss_contours(
    name: str | Transfer,
    target: float | None = None,
    *,
    limits: tuple[float, float] = (-4.0, 4.0),
    points: int = 81,
    **parameters: Any,
) -> "Figure":
    r"""Draw contours of the matching and the squared loss over prediction and target, at the same levels.

    Args:
        name: name of an elementwise transfer function, or one of your own.
        target: a* that is marked by a line, or None.
        limits: the smallest and the largest pre-activation, on both axes.
        points: number of grid points on each axis.
        **parameters: parameters of the transfer function.

    Raises:
        ValueError, TypeError: softmax, numbers that are not finite, or limits that are not in increasing
        order.
    """
    f = drawable(name, **parameters)
    name = f.name
    values, grids = _grids(f, limits, points)
    title = f"{name}: {point(f)}"
    figure, axes = panels(2, height=5.4, below=1.2, gap=0.35, sharey=True, title=title)
    bands = _bands()
    for panel, (what, grid) in zip(axes, grids.items(), strict=True):
        # rounding may give −1e-16 where the loss is zero
        panel.contourf(values, values, np.maximum(grid, 0), **bands)
        lines = panel.contour(values, values, grid, levels=LEVELS, colors="black", linewidths=0.9)
        panel.clabel(lines, fmt="%g", fontsize=11)
        panel.plot(values, values, color=COLOURS[1], linestyle="--", label="â = a*: no loss")
        if target is not None:
            mark = finite("target", target)
            panel.axhline(mark, color="black", linewidth=2.5, label=f"a* = {spell(mark)}")
        panel.grid(False)
        label(panel, title=what, x=PREDICTION, y=TARGET if panel is axes[0] else "", legend=None)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=2)
    text = (
        f"Contours of two losses over prediction and target from {spell(values[0])} to {spell(values[-1])}, "
        f"at the same levels. Left is the matching loss of {name}: {point(f)}. Right is the squared loss, "
        "whose contours are parallel to the diagonal. On the diagonal the prediction equals the target, and "
        "both losses vanish."
    )
    return describe(figure, text if target is None else f"{text} A line marks the target {spell(target)}.")


@styled
def matching_loss_surface(
    name: str | Transfer,
    *,
    limits: tuple[float, float] = (-4.0, 4.0),
    points: int = 25,
    azimuth: float = -60.0,
    **parameters: Any,
) -> "Figure":
    r"""Draw the matching and the squared loss as surfaces over prediction and target, on the same scale.

    Args:
        name: name of an elementwise transfer function, or one of your own.
        limits: the smallest and the largest pre-activation, on both axes.
        points: number of grid points on each axis.
        azimuth: angle in degrees from which the surfaces are seen.
        **parameters: parameters of the transfer function.

    Raises:
        ValueError, TypeError: softmax, numbers that are not finite, or limits that are not in increasing
        order.
    """
    f = drawable(name, **parameters)
    name = f.name
    azimuth = finite("azimuth", azimuth)
    values, grids = _grids(f, limits, points)
    prediction, target = np.meshgrid(values, values)
    top = float(max(np.max(grid) for grid in grids.values()))
    figure, axes = panels(
        2, height=5.5, left=0, right=0.45, below=0.35, gap=0, title=f"{name}: {point(f)}",
        subplot_kw={"projection": "3d"},
    )  # fmt: skip
    for panel, (what, grid) in zip(axes, grids.items(), strict=True):
        surface: Any = panel
        look = {"cmap": "cividis", "rcount": points, "ccount": points, "linewidth": 0, "vmin": 0, "vmax": top}
        surface.plot_surface(prediction, target, grid, **look)
        surface.view_init(elev=28, azim=azimuth)
        surface.set_box_aspect(None, zoom=0.9)
        surface.set(title=what, zlim=(0, top))
        surface.set_xlabel("prediction â", labelpad=14)
        surface.set_ylabel("target a*", labelpad=14)
        surface.set_zlabel("loss", labelpad=10)
    return describe(
        figure,
        f"Two surfaces over prediction and target from {spell(values[0])} to {spell(values[-1])}, on the "
        f"same scale. Left is the matching loss of {name}: {point(f)}; it rises to "
        f"{spell(np.max(grids[MATCHING]))}. Right is the squared loss, a valley along the diagonal that "
        f"rises to {spell(np.max(grids[SQUARED]))}.",
    )
