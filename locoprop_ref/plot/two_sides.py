r"""A figure of the two sides of a preconditioned gradient: weight steps from below, code steps from above."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.style import (
    COLOURS,
    describe,
    label,
    label_powers_of_ten,
    line_style,
    panels,
    spell,
    styled,
)
from locoprop_ref.spectrum import descent_filter, exact_filter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Filter = Callable[[Any], Any]


def damped_descent_filter(eigenvalues: Any, damping: float, num_steps: int) -> Any:
    r"""Return the filter of K steps on a damped quadratic, s Σ_k (1 − s(λ + δ))^k, with s = 1/(λ_max + δ).

    For K → ∞ it is `exact_filter`, 1/(λ + δ).

    Args:
        eigenvalues: λ ≥ 0, not all 0.
        damping: δ > 0.
        num_steps: K ≥ 1.

    Raises:
        ValueError, TypeError: δ or K is out of its range.

    >>> damped_descent_filter(np.array([0.0, 3.0]), 1.0, 2)
    array([0.4375, 0.25  ])
    """
    shifted = np.asarray(eigenvalues) + checks.positive("damping", damping)
    K = checks.integer("num_steps", num_steps)
    return descent_filter(shifted, (1 / float(np.max(shifted)),) * K)


@styled
def two_sided_filters(
    below: Any, above: Any, *, weight_step: float = 1.0, coupling: float = 1.0, num_steps: int = 10
) -> "Figure":
    r"""Draw the filters of a two-sided step: 1/(λ + 1/η) from below, 1/(ρ + μ) from above, and their product.

    Along an eigenvector of X̃ᵀX̃ with eigenvalue λ and one of WWᵀ/B with eigenvalue ρ, the gradient is
    multiplied by both. Instead of the exact solutions K steps may be taken on either side, with the step size
    1/(λ_max + 1/η) for the weights and 1/(ρ_max + μ) for the codes (μ being the weight 1 of the anchor).

    Args:
        below: eigenvalues λ ≥ 0 of X̃ᵀX̃, not all 0.
        above: eigenvalues ρ ≥ 0 of WWᵀ/B, W the weights of the layer above, not all 0.
        weight_step: η.
        coupling: μ, which is 1/γ.
        num_steps: K, on both sides.

    Raises:
        ValueError, TypeError: no eigenvalue is positive, one is negative, or an argument is out of its range.
    """
    lam, rho = _eigenvalues("below", below), _eigenvalues("above", above)
    dampings = (1 / checks.positive("weight_step", weight_step), checks.positive("coupling", coupling))
    K = checks.integer("num_steps", num_steps)
    factors = exact_filter(lam, 1 / dampings[0])[:, None] * exact_filter(rho, 1 / dampings[1])
    steps = _steps(lam, dampings[0], K)[:, None] * _steps(rho, dampings[1], K)
    apart = float(np.max(np.abs(steps / factors - 1)))
    figure, (left, right, grid) = panels(
        3, width=12, height=4.9, below=1.35, right=1.15,
        title=f"exact: the gradient is multiplied by {spell(factors.min())} to {spell(factors.max())}; "
        f"K = {K} {_plural(K)} at most {spell(100 * apart)} % off",
    )  # fmt: skip
    names = ("X̃ᵀX̃", "WWᵀ/B"), ("λ", "ρ"), ("1/η", "μ"), ("from below: weights", "from above: codes")
    sides = zip((left, right), (lam, rho), dampings, *names, strict=True)
    for panel, values, damping, matrix, letter, symbol, title in sides:
        _draw_side(panel, values, damping, K, f"1/({letter} + {symbol}), {symbol} = {spell(damping)}")
        label(panel, title=title, x=f"eigenvalue {letter} of {matrix}", y="filter", legend=None)
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    grid.grid(False)
    whole: dict[str, Any] = {"nbins": 5, "integer": True}
    grid.locator_params("both", **whole)
    image = grid.imshow(np.log10(factors), origin="lower", aspect="auto", cmap="cividis")
    bar = figure.add_axes((1 - 0.98 / 12, grid.get_position().y0, 0.014, grid.get_position().height))
    figure.colorbar(image, cax=bar)
    label(grid, title="their product, log₁₀", x="eigenvector of WWᵀ/B", y="eigenvector of X̃ᵀX̃",
          legend=None)  # fmt: skip
    return describe(
        figure,
        f"The left panel shows the filter from below against {lam.size} eigenvalues of the inputs from "
        f"{spell(lam[0])} to {spell(lam[-1])}, damped by {spell(dampings[0])}. The panel in the middle shows "
        f"the filter from above against {rho.size} eigenvalues of the weights above from {spell(rho[0])} to "
        f"{spell(rho[-1])}, damped by {spell(dampings[1])}. Both panels show the exact filter and that of "
        f"{K} {_plural(K)}. The right panel shows the product of the exact filters for every pair: "
        f"from {spell(factors.min())} to {spell(factors.max())}.",
    )


def _eigenvalues(name: str, values: Any) -> np.ndarray:
    """Return eigenvalues in increasing order, rounding below zero taken away."""
    found = np.sort(np.asarray(values, dtype=float).ravel())
    if not found.size or not found[-1] > 0 or found[0] < -1e-10 * found[-1]:
        raise ValueError(f"{name} must be eigenvalues of at least 0, one of them positive, got others")
    return np.maximum(found, 0.0)


def _plural(K: int) -> str:
    return "step" if K == 1 else "steps"


def _steps(values: np.ndarray, damping: float, num_steps: int) -> np.ndarray:
    return np.asarray(damped_descent_filter(values, damping, num_steps))


def _draw_side(panel: "Axes", values: np.ndarray, damping: float, num_steps: int, exact: str) -> None:
    """Draw the exact filter and that of K steps, with a mark at each eigenvalue."""
    top, low = values[-1], 1e-4 * values[-1]
    grid, marks = np.logspace(np.log10(low), np.log10(top), 120), np.maximum(values, low)
    for i, (name, K) in enumerate({exact: None, f"K = {num_steps} {_plural(num_steps)}": num_steps}.items()):
        at_grid, at_marks = (
            exact_filter(where, 1 / damping) if K is None else _steps(where, damping, K)
            for where in (grid, marks)
        )
        panel.plot(grid, at_grid, **line_style(i), label=name)
        panel.plot(marks, at_marks, linestyle="", marker="os"[i], markersize=5, color=COLOURS[i])
    panel.set(xscale="log", yscale="log")
    low, high = panel.get_ylim()
    high = max(high, 1.5 * panel.dataLim.y1)  # a filter that is nearly constant has no margin of its own
    panel.set_ylim(min(low, high / 200), high)
    label_powers_of_ten(panel.xaxis, panel.yaxis)
