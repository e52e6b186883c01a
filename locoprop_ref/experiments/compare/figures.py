"""The figures of a comparison: losses, accuracies, cost of a step, reconstructions.

Families are told apart by colour, members of a family by line style and marker, so that twelve lines can be
read in colour, by colour-blind readers, and in grey.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.experiments.compare.claims import FIRST_ORDER, LOCOPROP, SECOND_ORDER
from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.notes import provenance_lines
from locoprop_ref.experiments.compare.reconstructions import Reconstructions, pixels_of
from locoprop_ref.experiments.compare.summary import Row, classifies, finished, loss_name, rows_of
from locoprop_ref.experiments.tuned import ALL, FASTEST, base_of, is_fast
from locoprop_ref.plot.images import reconstructions
from locoprop_ref.plot.style import alt_text, describe, label, panels, spell, styled
from locoprop_ref.plot.training import band, draw_band, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = ("loss", "accuracy")
_ACCURACIES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.998, 0.999)
# relatives of LocoProp: colour, line style, width, marker
_RELATIVES: dict[str, tuple[str, Any, float, str]] = {
    "adam-as-am": ("#0072B2", (0, (1, 1)), 1.6, "p"),
    "am-sgd": ("#D55E00", ":", 2.2, "8"),
    "am-adam": ("#D55E00", (0, (8, 2)), 2.8, "H"),
    "am-mem": ("#D55E00", "-.", 2.2, "+"),
    "dtp": ("#CC79A7", "-", 2.2, "x"),
    "offline-admm": ("#777777", "-", 2.2, "1"),
    "offline-bcd": ("#777777", "--", 2.2, "2"),
    "offline-mac": ("#777777", "-.", 2.2, "3"),
    "ste": ("#0072B2", "-", 2.2, "4"),
    "ste-frozen": ("#333333", (0, (1, 2)), 3.0, "|"),
}
_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (10, 3)))
# family: members, colours in turn, width of the line, markers
_FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], float, tuple[str, ...]]] = {
    "first-order": (FIRST_ORDER, ("#56B4E9", "#0072B2"), 1.6, ("o", "s", "^", "D", "v", "P")),
    "second-order": (SECOND_ORDER, ("#D55E00", "#E69F00", "#CC79A7"), 2.2, ("X", "*", "h")),
    "LocoProp": (LOCOPROP, ("#009E73", "#000000", "#005B42"), 2.8, ("<", ">", "d")),
}


# settings of the fewest seconds have the colour and width of their method; a marker is sides, style, angle
_FAST_LINE = (0, (2, 1, 2, 3))
_FAST_MARKERS = ((3, 1, 0), (4, 1, 0), (6, 1, 0), (7, 0, 0), (8, 1, 0), (5, 2, 0), (9, 1, 0))


def look(entry: str) -> dict[str, Any]:
    """Return colour, line style, width and marker of an entry, the same in every figure."""
    if entry in ALL and is_fast(entry):
        number = FASTEST.index(base_of(entry))
        return look(base_of(entry)) | {"linestyle": _FAST_LINE, "marker": _FAST_MARKERS[number]}
    for members, colours, width, markers in _FAMILIES.values():
        if entry in members:
            i = members.index(entry)
            return {
                "color": colours[i % len(colours)],
                "linestyle": _STYLES[i],
                "linewidth": width,
                "marker": markers[i],
            }
    if entry in _RELATIVES:
        return dict(zip(("color", "linestyle", "linewidth", "marker"), _RELATIVES[entry], strict=True))
    raise ValueError(f"entry must belong to a family, got {entry!r}")


@styled
def curves(results: Results, split: str = "train", quantity: str = "loss") -> "Figure":
    """Draw a loss, or the accuracy, against epochs (left) and against seconds (right), seeds as bands.

    Seconds are those of the clock files, see `summary.step_seconds`; an entry without is not in the right
    panel, and where nobody has any there is no right panel. Of an entry with runs that diverged the others
    are drawn, if there are any. Where labels are classified the left panel has steps above, besides epochs
    below.

    Args:
        results: of a folder.
        split: "train" or "test".
        quantity: "loss" (default) or "accuracy", which only runs that classify have.

    Raises:
        ValueError: no run that ended has an epoch; another quantity.
    """
    name = {"loss": loss_name(results)}.get(checks.one_of("quantity", quantity, QUANTITIES), quantity)
    drawn = {name: _drawn_runs(results, name) for name in results.manifest.entries}
    shown = {row.entry: row for row in rows_of(results) if drawn[row.entry]}
    if not shown:
        raise ValueError("results must hold at least one run with an epoch, got none")
    what = f"{split} {'cross-entropy (nats an example)' if name == 'ce' else name.replace('_', ' ')}"
    steps = classifies(results)  # which stand on an axis above
    timed = [row for row in shown.values() if row.epoch_seconds is not None]
    margin = 1.1 if steps else 0.85
    figure, axes = panels(
        2 if timed else 1, width=13, height=5.4, left=margin, right=3.3, above=1.15 if steps else None,
        gap=0.4, sharey=True, title=f"{what}: by epoch{', and by the clock' if timed else ''}",
    )  # fmt: skip
    left, *by_the_clock = axes
    bands = {c: band(drawn[c], f"{split} {name}") for c in shown}
    for entry, b in bands.items():
        draw_band(left, b["epoch"], b, look(entry), number=[*ALL].index(entry), name=_name(shown[entry]))
    for right in by_the_clock:
        _draw_seconds(right, bands, shown)
    label(left, x="epoch", y=what, legend=None)
    if steps:
        _axis_of_steps(left, results.manifest.steps_per_epoch)
    (_axes_of_values if quantity == "loss" else _axes_of_accuracies)(left, bands)
    figure.legend(*left.get_legend_handles_labels(), loc="center right", handlelength=3.4)
    return describe(figure, _told(results, what, bands, shown))


def has_curves(results: Results) -> bool:
    """Tell whether `curves` has anything to draw."""
    return any(_drawn_runs(results, name) for name in results.manifest.entries)


def _drawn_runs(results: Results, entry: str) -> list[dict[str, Any]]:
    runs = [run for run in finished(results, entry).values() if len(run["epochs"]) > 1]
    return [run for run in runs if run["status"] != "diverged"] or runs


def _name(row: Row) -> str:
    return f"{row.label} ({row.diverged} of {row.seeds} diverged)" if row.diverged else row.label


def _axes_of_values(panel: "Axes", bands: dict[str, dict[str, np.ndarray]]) -> None:
    """Give the losses the room: the axis ends above all final losses and above 2½ times the least loss.

    What lies above is the beginning of steep descents, from the untrained network on.
    """
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    low = min(float(np.min(b["low"])) for b in bands.values())
    high = max(float(np.max(b["high"])) for b in bands.values())
    end = max(2.5 * low, *(1.1 * float(b["high"][-1]) for b in bands.values()))
    if low <= 0:
        return
    if min(high, end) > 4 * low:
        log_axis(panel)
    if end < high:
        panel.set_ylim(low**1.05 / end**0.05, end)


def _axes_of_accuracies(panel: "Axes", bands: dict[str, dict[str, np.ndarray]]) -> None:
    """Give the accuracies the room as the losses: the share of errors is on a logarithmic scale.

    The axis ends below all last accuracies, and below that at which the errors are 2½ times the least ones.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    least = 1 - max(float(np.max(b["high"])) for b in bands.values())
    most = 1 - min(float(np.min(b["low"])) for b in bands.values())
    end = min(most, max(2.5 * least, *(1.1 * (1 - float(b["low"][-1])) for b in bands.values())))
    if least <= 0:  # no errors have no logarithm
        return
    floor = 0.5 * least
    panel.set_yscale(
        "function", functions=(lambda a: -np.log(np.maximum(1 - a, floor)), lambda v: 1 - np.exp(-v))
    )
    panel.yaxis.set_major_locator(FixedLocator(_ACCURACIES))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    panel.set_ylim(1 - end, 1 - 0.9 * least)


def _axis_of_steps(panel: "Axes", steps_per_epoch: int) -> None:
    """Say above the panel how many steps the epochs below it are."""
    above = panel.secondary_xaxis(
        "top",
        functions=(
            lambda epoch: np.multiply(epoch, steps_per_epoch),
            lambda s: np.divide(s, steps_per_epoch),
        ),
    )
    above.set_xlabel("step")


def _draw_seconds(panel: "Axes", bands: dict[str, dict[str, np.ndarray]], shown: dict[str, Row]) -> None:
    """Draw the bands of the entries that have seconds against them."""
    timed = {entry: row for entry, row in shown.items() if row.epoch_seconds is not None}
    for entry, row in timed.items():
        # a logarithmic axis has no place for the untrained network at 0 s
        after = {key: values[1:] for key, values in bands[entry].items()}
        x = after["epoch"] * row.epoch_seconds
        draw_band(panel, x, after, look(entry), number=[*ALL].index(entry), name=_name(row))
    label(panel, x="training time (s), evaluation left out", y="", legend=None)
    log_axis(panel, "x")
    without = len(shown) - len(timed)
    if without:
        has = "has" if without == 1 else "have"
        panel.set_title(f"{without} of {len(shown)} methods {has} no seconds", fontsize=11.5)


def _told(results: Results, what: str, bands: dict[str, Any], shown: dict[str, Row]) -> str:
    axes = "epochs"
    if any(row.epoch_seconds is not None for row in shown.values()):
        axes = "epochs, left, and against seconds, right"
    ends = []
    for entry, b in bands.items():
        row, epoch = shown[entry], int(b["epoch"][-1])
        time = "" if row.epoch_seconds is None else f" in {spell(epoch * row.epoch_seconds)} s"
        ends.append(f"{row.label} from {b['median'][0]:.4g} to {b['median'][-1]:.4g} at epoch {epoch}{time}")
    return (
        f"{what} against {axes}; lines are medians over seeds, bands the least to the largest. "
        f"{'; '.join(ends)}. {' '.join(provenance_lines(results))}"
    )


@styled
def cost(results: Results) -> "Figure":
    """Draw time and memory of a step as bars, a line for each entry with a clock file.

    Raises:
        ValueError: no clock file.
    """
    rows = [row for row in rows_of(results) if row.entry in results.clocks]
    if not rows:
        raise ValueError("results must hold at least one clock file, got none")
    milliseconds = [1e3 * row.step_seconds.median if row.step_seconds else None for row in rows]
    quantities: tuple[tuple[str, str, list[float | None]], ...] = (
        ("mean time of a step", "milliseconds", milliseconds),
        ("peak memory of a step", "times the parameters' bytes", [row.peak for row in rows]),
        ("state kept between steps", "times the parameters' bytes", [row.state for row in rows]),
    )
    figure, axes = panels(
        3, width=13, height=1.6 + 0.36 * len(rows), left=2.6, right=0.5, gap=0.35, sharey=True,
        title="what a step costs",
    )  # fmt: skip
    place = np.arange(len(rows))
    for panel, (title, unit, values) in zip(axes, quantities, strict=True):
        numbers = [0.0 if value is None else value for value in values]
        colours = [look(row.entry)["color"] for row in rows]
        panel.barh(place, numbers, color=colours, height=0.7)
        for y, value, number in zip(place, values, numbers, strict=True):
            panel.annotate(f" {_spelled(value)}", (number, y), va="center")
        panel.set_xlim(0, 1.28 * (max(numbers) or 1.0))
        label(panel, title=title, x=unit, y="", legend=None)
    axes[0].set_yticks(place, [row.label for row in rows])
    axes[0].invert_yaxis()
    told = "; ".join(
        f"{row.label}: " + ", ".join(f"{title} {_spelled(values[i])}" for title, _, values in quantities)
        for i, row in enumerate(rows)
    )  # fmt: skip
    return describe(
        figure,
        "Bars for each method: milliseconds of a step, then its peak and the state in multiples of the "
        f"parameters' bytes. {told}. {' '.join(provenance_lines(results))}",
    )


def _spelled(value: float | None) -> str:
    return "not measured" if value is None else spell(value)


def images(results: Results, kept: Reconstructions) -> "Figure":
    """Draw the test images above every entry's reconstructions, from `reconstructions.json`."""
    labels = {name: entry.label for name, entry in results.manifest.entries.items()}
    rows = {labels[name]: pixels_of(rows) for name, rows in kept.rows.items() if name in labels}
    figure = reconstructions(pixels_of(kept.originals), rows, shape=tuple(kept.shape))
    seed, lines = kept.seed, " ".join(provenance_lines(results))
    return describe(figure, f"{alt_text(figure)} Test images, networks of seed {seed}. {lines}")
