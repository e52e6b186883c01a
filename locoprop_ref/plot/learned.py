"""A figure of what networks with one input have learned: their outputs against the function to be learned."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.style import GREY, describe, label, line_style, panels, spell, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def miss(output: np.ndarray, t: np.ndarray) -> float:
    """Return the root of the mean square of output − t.

    >>> miss(np.array([3.0, 1.0]), np.array([0.0, 5.0]))  # the root of (9 + 16)/2
    3.5355339059327378
    """
    return float(np.sqrt(np.mean((output - t) ** 2)))


@styled
def learned_functions(x: Any, t: Any, outputs: Mapping[str, Any]) -> "Figure":
    """Draw the outputs of networks with one input and one output, and the labels, as functions of the input.

    The title says by how much each network misses the labels, as the root of the mean square.

    Args:
        x: inputs, in increasing order, (B, 1).
        t: labels, (B, 1).
        outputs: of the networks for these inputs, (B, 1) each, by name.

    Raises:
        ValueError, TypeError: no network, or arrays of other shapes.
    """
    if not outputs:
        raise ValueError("outputs must hold the outputs of at least one network, got none")
    x = np.asarray(checks.array("x", x, shape=(None, 1)))[:, 0]
    t = np.asarray(checks.array("t", t, shape=(len(x), 1)))[:, 0]
    curves = {
        name: np.asarray(checks.array(f"outputs[{name!r}]", y, shape=(len(x), 1)))[:, 0]
        for name, y in outputs.items()
    }
    missed = [spell(miss(y, t)) for y in curves.values()]
    figure, (panel,) = panels(
        width=8, height=4.6, above=0.85,
        title=f"the outputs miss the labels by {' and '.join(missed)} (root mean square)",
    )  # fmt: skip
    panel.plot(x, t, color=GREY, linewidth=6, alpha=0.3, label="labels t")
    for i, ((name, y), by) in enumerate(zip(curves.items(), missed, strict=True)):
        panel.plot(x, y, **line_style(i), label=f"{name}: misses them by {by}")
    low, high = (bound([bound(y) for y in (t, *curves.values())]) for bound in (np.min, np.max))
    span = high - low or 1.0
    # above the curves there is room for the legend, a line for each
    panel.set_ylim(low - 0.05 * span, high + 0.15 * (2 + len(curves)) * span)
    label(panel, title="outputs of the networks", x="input x", y="output", legend="upper center")
    ends = [
        f"{name}: from {spell(y[0])} to {spell(y[-1])}, least {spell(np.min(y))}"
        for name, y in {"labels": t, **curves}.items()
    ]
    return describe(
        figure,
        "The panel shows the labels and the outputs of the networks against the input, from left to right. "
        f"{'; '.join(ends)}. The outputs miss the labels by {' and '.join(missed)}, as the root of the mean "
        "square.",
    )
