"""A figure of the same computation on several array libraries: time of a step and difference from NumPy."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.style import COLOURS, describe, label, label_powers_of_ten, panels, spell, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def library_comparison(
    seconds: Mapping[str, float], difference: Mapping[str, float], *, bound: float
) -> "Figure":
    """Draw the time of a step and the largest difference from NumPy's result, with one bar per library.

    Args:
        seconds: the time of a step, by library.
        difference: the largest relative difference from NumPy, for the same libraries; 0 is drawn leftmost.
        bound: the largest difference that is allowed.

    Raises:
        ValueError, TypeError: no library, different libraries in the two arguments, or numbers below 0.
    """
    if not seconds or set(seconds) != set(difference):
        raise ValueError(
            f"difference must be of the libraries {', '.join(seconds) or '(none)'}, got "
            f"{', '.join(difference)}"
        )
    names = list(seconds)
    times = [1e3 * checks.positive("seconds", seconds[name]) for name in names]
    errors = [checks.not_negative("difference", difference[name]) for name in names]
    floor = 1e-17
    worst = max(errors)
    agree = f"they agree to within {worst:.0e}" if worst else "their numbers are equal"
    title = f"one source, {len(names)} array libraries: {agree}"
    figure, (left, right) = panels(2, left=1.9, gap=0.5, sharey=True, title=title)
    place = np.arange(len(names))
    left.barh(place, times, color=COLOURS[0])
    # the axis begins at the floor, so that equal numbers have no bar
    right.barh(place, np.maximum(errors, floor), color=COLOURS[1], hatch="//", edgecolor="white")
    right.axvline(checks.positive("bound", bound), color="black", linestyle="--", label=f"bound {bound:.0e}")
    right.set(xscale="log", xlim=(floor, 100 * bound))
    label_powers_of_ten(right.xaxis)
    left.set_yticks(place, names)
    left.invert_yaxis()
    for y, time, error in zip(place, times, errors, strict=True):
        left.annotate(f" {spell(time)}", (time, y), va="center")
        right.annotate(f" {error:.0e}" if error else " equal", (max(error, floor), y), va="center")
    left.set_xlim(0, 1.25 * max(times))
    label(left, title="time of a step", x="milliseconds", y="", legend=None)
    label(right, title="largest difference from NumPy", x="relative difference", y="", legend="lower right")
    details = "; ".join(
        f"{n}: {spell(t)} ms, difference {e:.0e}" for n, t, e in zip(names, times, errors, strict=True)
    )
    text = f"Bars show the time of a step and the difference from NumPy for each array library. {details}."
    return describe(figure, text)
