"""The style of all figures: colours, line styles, markers, panels, and alternative texts.

The colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish. Line styles and
markers change with the colours, so that a grey print shows the same. Figures are made without pyplot and
inside `styled`, independently of the user's settings of matplotlib; no global setting is read or changed.
"""

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from locoprop_ref import checks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#555555"

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # is part of matplotlib, so letters look the same everywhere
    "font.size": 13,
    "axes.titlesize": 13,
    "figure.titlesize": 15,
    "legend.fontsize": 11.5,
    "lines.linewidth": 2.2,
    "lines.markersize": 6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "legend.framealpha": 0.9,
    "image.cmap": "cividis",  # its brightness increases evenly, also for colour-blind readers
    "svg.hashsalt": "locoprop-ref",  # fixed ids, so that the same figure gives the same bytes
    "svg.fonttype": "path",
}

P = ParamSpec("P")


def styled(draw: Callable[P, "Figure"]) -> Callable[P, "Figure"]:
    """Make a plot function use our settings over matplotlib's defaults, and leave the user's unchanged."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> "Figure":
        import matplotlib

        with matplotlib.rc_context(settings()):
            return draw(*args, **kwargs)

    return drawn


@functools.cache
def settings() -> Any:
    """Return matplotlib's defaults, updated by our settings; the backend is left unchanged."""
    import matplotlib

    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    return {**defaults, **SETTINGS}


def line_style(i: int) -> dict[str, Any]:
    """Return the colour and the line style of line number i; no two of the first 49 have both in common."""
    style = (i + i // len(COLOURS)) % len(LINE_STYLES)
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": LINE_STYLES[style]}


def panels(
    columns: int = 1,
    *,
    rows: int = 1,
    width: float = 10.0,
    height: float = 4.2,
    title: str = "",
    left: float = 0.85,
    right: float = 0.2,
    below: float = 0.7,
    above: float | None = None,
    gap: float = 0.85,
    **options: Any,
) -> tuple["Figure", list["Axes"]]:
    """Return a figure of rows × columns panels, whose title states its message, and the axes of the panels.

    The margins are fixed. When a slider redraws the figure, no layout is computed, and nothing moves.

    Args:
        columns: number of columns of panels.
        rows: number of rows of panels.
        width: width of the figure in inches, like all sizes here.
        height: height of the figure.
        title: stands above the panels.
        left: margin for the labels of the leftmost axis.
        right: margin on the right.
        below: margin for the labels of the lowest axis, and for a legend there.
        above: margin for the title and those of the panels; by default it has room for one line of title.
        gap: distance between panels.
        **options: options for `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    above = (0.8 if title else 0.4) if above is None else above
    if title:
        figure.suptitle(title, y=1 - 0.12 / height, va="top")
    panel_width = (width - left - right - gap * (columns - 1)) / columns
    panel_height = (height - above - below - gap * (rows - 1)) / rows
    figure.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=below / height,
        top=1 - above / height,
        wspace=gap / panel_width,
        hspace=gap / panel_height,
    )
    return figure, list(figure.subplots(rows, columns, squeeze=False, **options).flat)


def spell(value: float) -> str:
    """Return a number as a label, with three digits and a typographic minus sign.

    >>> spell(-0.25), spell(1234.5)
    ('−0.25', '1.23e+03')
    """
    return f"{value:.3g}".replace("-", "−")


def label(axes: "Axes", *, title: str = "", x: str, y: str, legend: Any = "best") -> None:
    """Label the axes of a panel, and show its legend at this place (None: no legend)."""
    axes.set(xlabel=x, ylabel=y)
    if title:
        axes.set_title(title)
    if legend:
        axes.legend(loc=legend)


def power_of_ten(value: float) -> str:
    """Return 10ⁿ in plain letters, or the empty string if the value is not a power of ten.

    Matplotlib typesets 10ⁿ as mathematics, which takes longer than the rest of a figure.

    >>> power_of_ten(0.001), power_of_ten(1.0), power_of_ten(2.0)
    ('10⁻³', '1', '')
    """
    exponent = round(math.log10(value)) if value > 0 else 0
    if not math.isclose(value, 10.0**exponent):
        return ""
    small = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return {0: "1", 1: "10"}.get(exponent, f"10{small}")


def label_powers_of_ten(*axes: Any) -> None:
    """Label logarithmic axes (`panel.xaxis`, `panel.yaxis`) only at powers of ten, see `power_of_ten`.

    An axis of less than two decades keeps matplotlib's ticks, because it may contain no power of ten.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    for axis in axes:
        low, high = axis.get_view_interval()
        if high >= 100 * low:
            axis.set_major_formatter(FuncFormatter(lambda value, position: power_of_ten(value)))
            axis.set_minor_locator(
                NullLocator()
            )  # drawing a hundred small ticks takes longer than all curves


def describe(figure: "Figure", text: str) -> "Figure":
    """Give a figure its alternative text, which describes it in plain words. See `alt_text`."""
    figure.set_label(text)
    return figure


def alt_text(figure: "Figure") -> str:
    """Return the alternative text of a figure."""
    from matplotlib.figure import Figure

    checks.instance("figure", figure, Figure, "a Figure, as the functions of plot return")
    return str(figure.get_label())
