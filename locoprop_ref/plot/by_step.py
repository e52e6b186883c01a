r"""A figure of training by minibatch: a metric of several methods, and the errors of learned inverses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.style import MARKERS, describe, label, line_style, panels, spell, styled
from locoprop_ref.plot.training import log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves = Mapping[str, Any]


@styled
def learning_by_step(
    steps: Any, methods: Curves, inverses: Curves, *, metric: str = "train loss"
) -> "Figure":
    """Draw a metric of several methods, and the reconstruction errors of inverses, after the same steps.

    Args:
        steps: the numbers of minibatches after which the values were measured, increasing.
        methods: the values of the metric, one for each of them, by the name of the method; smaller is better.
        inverses: the mean squared error of reconstructions over the variance of what they reconstruct, by
            the name of the inverse.
        metric: what is measured, for the labels.

    Raises:
        ValueError, TypeError: no method, no inverse, a number that is not positive, or values that are not
            one for each step.
    """
    x = np.asarray(steps)
    for name, curves in {"methods": methods, "inverses": inverses}.items():
        _check(name, curves, len(x))
    last = {name: float(values[-1]) for name, values in methods.items()}
    best, worst = min(last, key=last.__getitem__), max(last, key=last.__getitem__)
    figure, (left, right) = panels(
        2, width=11, height=4.8,
        title=f"{metric} after {x[-1]} batches: lowest {best}, {spell(last[best])}; "
        f"highest {worst}, {spell(last[worst])}",
    )  # fmt: skip
    _draw(left, x, methods)
    label(left, title=f"{metric} of {len(methods)} methods", x="batches", y=metric, legend="lower left")
    _draw(right, x, inverses)
    right.axhline(1.0, color="black", linewidth=1)
    left_over = [float(values[-1]) for values in inverses.values()]
    title = f"reconstruction error: {spell(min(left_over))} to {spell(max(left_over))} at the end"
    low, high = right.get_ylim()
    right.set_ylim(low, high * (high / low) ** 0.5)  # room for the legend
    label(right, title=title, x="batches", y="share of the variance", legend="upper right")
    ends = [
        f"{name} from {spell(v[0])} to {spell(v[-1])}" for name, v in (*methods.items(), *inverses.items())
    ]
    return describe(
        figure,
        f"The left panel shows the {metric} of {len(methods)} methods against the number of batches, up to "
        f"{x[-1]}, the right one the reconstruction error of {len(inverses)} learned inverses as a share of "
        f"the variance: {'; '.join(ends)}.",
    )


def _check(name: str, curves: Curves, count: int) -> None:
    if not checks.instance(name, curves, Mapping, "a dict of values by name"):
        raise ValueError(f"{name} must hold at least one curve, got none")
    for of, values in curves.items():
        if len(values) != count:
            raise ValueError(f"{name}[{of!r}] must hold {count} values, one for each step, got {len(values)}")
        if not np.all(np.asarray(values) > 0):
            raise ValueError(f"{name}[{of!r}] must be positive, got {min(values)}")


def _draw(axes: "Axes", x: np.ndarray, curves: Curves) -> None:
    every = max(1, len(x) // 5)
    for i, (name, values) in enumerate(curves.items()):
        axes.plot(
            x,
            values,
            **line_style(i),
            marker=MARKERS[i % len(MARKERS)],
            markevery=(i % every, every),
            label=name,
        )
    log_axis(axes)
