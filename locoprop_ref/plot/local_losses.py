r"""A figure of the decrease of a local loss: K steps of several first-order rules and the exact minimum."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.local import LocalProblem
from locoprop_ref.optimizers import Optimizer
from locoprop_ref.plot.style import (
    GREY,
    MARKERS,
    describe,
    label,
    label_powers_of_ten,
    line_style,
    panels,
    spell,
    styled,
)
from locoprop_ref.solvers import local_rates, local_steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def objective_path(
    problem: LocalProblem,
    optimizer: Optimizer,
    *,
    local_lr: float,
    num_local_steps: int,
    local_decay: str = "constant",
) -> np.ndarray:
    """Return the local objective at W̃₀ and after each of K inner steps, (K + 1,)."""
    rates = local_rates(local_lr, num_local_steps, local_decay)
    steps = local_steps(problem, optimizer, optimizer.init(problem.W0), rates)
    return np.array([float(problem.value(W)) for W in (problem.W0, *(W for W, _ in steps))])


def _share_left(gaps: np.ndarray) -> float:
    """Return which share of the first difference from the minimum the last one is."""
    if gaps[0] <= 0:  # the steps begin at the minimum
        return 0.0 if gaps[-1] <= 0 else np.inf
    return float(gaps[-1] / gaps[0])


@styled
def local_loss_falling(
    problem: LocalProblem,
    exact: Any,
    rules: Mapping[str, tuple[Optimizer, float, str]],
    *,
    num_local_steps: int,
) -> "Figure":
    r"""Draw the local objective during the inner steps with its minimum, and the difference between them.

    The title says which share of the distance to the minimum each rule leaves.

    Args:
        problem: a local problem.
        exact: the weights that minimize it, from `newton` or `closed_form`.
        rules: a local optimizer, its step size s, and the decay of s ("constant" or "authors"), by name; each
            takes K steps.
        num_local_steps: K.

    Raises:
        ValueError, TypeError: no rule, or an argument out of its range.
    """
    if not rules:
        raise ValueError("rules must hold at least one local optimizer, got none")
    minimum = float(problem.value(exact))
    k = np.arange(num_local_steps + 1)
    paths = {
        name: objective_path(problem, rule, local_lr=s, num_local_steps=num_local_steps, local_decay=decay)
        for name, (rule, s, decay) in rules.items()
    }
    left = {name: _share_left(path - minimum) for name, path in paths.items()}
    told = ", ".join(f"{name} {spell(100 * share)} %" for name, share in left.items())
    title = f"of the gap to the minimum of the local loss, {num_local_steps} steps leave\n{told}"
    figure, (loss, gap) = panels(2, left=1.1, gap=1.0, height=4.6, above=1.1, title=title)
    words = []
    for i, (name, path) in enumerate(paths.items()):
        values = path - minimum
        look = {**line_style(i), "marker": MARKERS[i], "markevery": max(1, len(k) // 10), "label": name}
        loss.plot(k, values + minimum, **look)
        # differences below the rounding error of the objective are not shown
        gap.plot(k, np.maximum(values, 1e-16 * max(1.0, abs(minimum))), **look)
        words.append(f"{name} goes from {spell(values[0])} to {spell(values[-1])}")
    loss.axhline(minimum, color=GREY, linestyle=":", label="exact minimum")
    gap.set_yscale("log")
    label_powers_of_ten(gap.yaxis)
    label(loss, title="local objective", x="inner step k", y="objective")
    label(gap, title="difference from the minimum", x="inner step k", y="objective − minimum", legend=None)
    return describe(
        figure,
        f"The left panel shows the local objective during {num_local_steps} inner steps and its exact "
        f"minimum {spell(minimum)}. The right panel shows the difference from the minimum on a logarithmic "
        f"axis. {'; '.join(words)}.",
    )
