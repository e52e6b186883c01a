r"""A figure of the effect of inner steps on the gradient along each eigenvector of X̃ᵀX̃."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
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
from locoprop_ref.solvers import local_rates
from locoprop_ref.spectrum import descent_filter, exact_filter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = np.ndarray[tuple[int], np.dtype[np.float64]]
Curve = Callable[[Any], Any]
EIGENVALUE = "eigenvalue λ of X̃ᵀX̃"


@styled
def inner_step_filters(
    eigenvalues: Any,
    *,
    local_lr: float,
    num_local_steps: int,
    weight_step: float,
    local_decay: str = "constant",
) -> "Figure":
    r"""Draw the filters of K inner steps, the exact solution and a frozen gradient against eigenvalues.

    The left panel shows the filter that multiplies the gradient: (1 − Π(1 − s_kλ))/λ, 1/(λ + 1/η), or Σs_k.
    The right panel shows λ times the filter, which is the fraction of the distance to the unregularized
    minimum that is covered along this eigenvector.

    Args:
        eigenvalues: λ of X̃ᵀX̃; eigenvalues that are zero up to rounding are drawn at the left end.
        local_lr: s.
        num_local_steps: K.
        weight_step: η of the exact solution.
        local_decay: "constant" (default here) or "authors".

    Raises:
        ValueError, TypeError: no eigenvalue is positive, one is negative, or an argument is out of its range.
    """
    values = np.sort(np.asarray(eigenvalues, dtype=float).ravel())
    top = float(values[-1]) if values.size else 0.0
    # because of rounding, zero eigenvalues may be a few eps of the largest one
    if not top > 0 or values[0] < -1e-10 * top:
        raise ValueError("eigenvalues must be at least 0, one of them positive, got others")
    rates = local_rates(local_lr, num_local_steps, local_decay)
    checks.positive("weight_step", weight_step)
    low = 1e-6 * top
    values, grid = np.maximum(values, low), np.logspace(np.log10(low), np.log10(top), 200)
    curves: dict[str, Curve] = {
        f"K = {num_local_steps} inner steps": lambda lam: descent_filter(lam, rates),
        f"exact solution, η = {spell(weight_step)}": lambda lam: exact_filter(lam, weight_step),
        "K steps along the frozen gradient": lambda lam: np.full_like(lam, sum(rates)),
    }
    figure, (gain, way) = panels(
        2,
        width=11,
        height=5.0,
        below=1.2,
        above=1.1,
        title=_weights_of(curves, values),
    )
    _draw(gain, curves, grid, values, power=0)
    gain.set(xscale="log", yscale="log")
    inner, exact, frozen = (curve(grid) for curve in curves.values())
    # where the inner steps diverge, their filter is huge or negative and may leave the panel
    least = min(np.min(inner[inner > 0], initial=np.inf), np.min(exact), np.min(frozen))
    gain.set_ylim(0.5 * least, 2 * max(np.max(exact), np.max(frozen)))
    label(
        gain, title="factor that multiplies the gradient", x=EIGENVALUE, y="filter (step size)", legend=None
    )

    _draw(way, curves, grid, values, power=1)
    way.axhline(1.0, color=GREY, linewidth=1)
    way.set(xscale="log", ylim=(-0.05, 2.0))
    label(
        way, title="λ · filter: fraction of the way to the minimum", x=EIGENVALUE, y="fraction", legend=None
    )
    label_powers_of_ten(gain.xaxis, gain.yaxis, way.xaxis)
    figure.legend(*gain.get_legend_handles_labels(), loc="lower center", ncols=3)
    return describe(figure, _description(curves, values))


def _weights_of(curves: dict[str, Curve], values: Values) -> str:
    """Say how many times the factor at the least eigenvalue is that at the largest one."""
    told = []
    for name, curve in zip(("inner steps", "exact solution"), curves.values(), strict=False):
        least, largest = (float(number) for number in curve(values[[0, -1]]))
        told.append(f"{name} {spell(least / largest)}" if largest > 0 else f"{name} of another sign")
    return "the factor at the smallest λ, divided by that at the largest:\n" + ", ".join(told)


def _draw(panel: "Axes", curves: dict[str, Curve], grid: Values, values: Values, *, power: int) -> None:
    """Draw λ^power times every curve; the first two, which depend on λ, have a mark at each eigenvalue."""
    for i, (name, curve) in enumerate(curves.items()):
        panel.plot(grid, grid**power * curve(grid), **line_style(i), label=name)
        if i < 2:
            marks = values**power * curve(values)
            panel.plot(values, marks, linestyle="", marker="os"[i], markersize=4, color=COLOURS[i])


def _description(curves: dict[str, Curve], values: Values) -> str:
    ends = {name: curve(values[[0, -1]]) for name, curve in curves.items()}
    details = "; ".join(
        f"{name}: {spell(low)} at the smallest, {spell(high)} at the largest"
        for name, (low, high) in ends.items()
    )
    shares = "; ".join(f"{name}: {spell(values[-1] * most)}" for name, (_, most) in ends.items())
    return (
        f"The left panel shows the factor that multiplies the gradient along each of {values.size} "
        f"eigenvectors, against the eigenvalue from {spell(values[0])} to {spell(values[-1])}. {details}. "
        f"The right panel shows this factor times the eigenvalue, the fraction of the way to the minimum; "
        f"at the largest eigenvalue: {shares}."
    )
