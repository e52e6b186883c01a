"""The frontier: the train loss that a method comes to in so many seconds, with the better of two settings."""

import statistics
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from locoprop_ref.experiments.compare.figures import look
from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.notes import provenance_lines
from locoprop_ref.experiments.compare.summary import MARK, finished, loss_name, losses, rows_of
from locoprop_ref.experiments.tuned import LABELS, base_of, is_fast
from locoprop_ref.plot.style import GREY, describe, label, panels, spell, styled
from locoprop_ref.plot.training import log_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """Seconds of steps, the median train loss there, and whether the settings are the fast ones."""

    seconds: float
    loss: float
    fast: bool


def has_frontier(results: Results) -> bool:
    """Tell whether there is anything to draw: fast settings, and seconds of some method."""
    return any(is_fast(name) for name in results.manifest.entries) and bool(frontiers(results))


def frontiers(results: Results) -> dict[str, list[Point]]:
    """Return the frontier of every method that has seconds: points of falling loss at growing seconds.

    A point is an epoch of one of its entries, tuned for the loss or for the seconds: the epoch's seconds of
    steps, and the median of the train losses over seeds. What another point of the method beats in both is
    left out. An entry with a run that diverged, or with no seconds, has no points.

    Args:
        results: of a folder.
    """
    name, found = loss_name(results), dict[str, list[Point]]()
    for row in rows_of(results):
        runs = list(finished(results, row.entry).values())
        curves = [losses(run, "train", name) for run in runs]
        if row.epoch_seconds is None or not runs or not all(isfinite(curve[-1]) for curve in curves):
            continue
        medians = [statistics.median(at) for at in zip(*curves, strict=False)][1:]
        points = found.setdefault(base_of(row.entry), [])
        points += [
            Point(epoch * row.epoch_seconds, loss, is_fast(row.entry))
            for epoch, loss in enumerate(medians, start=1)
        ]
    return {method: _best(points) for method, points in found.items()}


def _best(points: list[Point]) -> list[Point]:
    kept: list[Point] = []
    for point in sorted(points, key=lambda p: (p.seconds, p.loss)):
        if not kept or point.loss < kept[-1].loss:
            kept.append(point)
    return kept


def mark_of(results: Results) -> float | None:
    """Return the final train loss of RMSProp's tuned settings, the median over seeds; None without it."""
    row = next((row for row in rows_of(results) if row.entry == MARK), None)
    return row.final_train.median if row and row.final_train and isfinite(row.final_train.median) else None


def reached(points: list[Point], mark: float) -> Point | None:
    """Return the first point whose loss is at most the mark, None where there is none."""
    return next((point for point in points if point.loss <= mark), None)


def title_of(found: dict[str, list[Point]], mark: float | None) -> str:
    """Return the message of the figure, from the numbers alone: who comes first to RMSProp's final loss."""
    if mark is None:
        return "train loss against seconds of steps"
    times = {method: point for method, points in found.items() if (point := reached(points, mark))}
    if not times:
        return f"no method comes to RMSProp's final train loss, {mark:.4g}"
    first = min(times, key=lambda method: times[method].seconds)
    settings = "fast" if times[first].fast else "tuned"
    return (
        f"{LABELS[first]} ({settings} settings) comes first to RMSProp's final train loss, {mark:.4g}: "
        f"after {spell(times[first].seconds)} s"
    )


@styled
def frontier(results: Results) -> "Figure":
    """Draw every method's frontier: a line of steps, with filled markers where its fast settings are ahead.

    Args:
        results: of a folder.

    Raises:
        ValueError: no method has seconds.
    """
    found, mark = frontiers(results), mark_of(results)
    if not found:
        raise ValueError("results must hold a method with seconds, got none")
    figure, (panel,) = panels(1, width=11, height=5.6, right=3.0, title=title_of(found, mark))
    for method, points in found.items():
        style = look(method)
        x, y = [p.seconds for p in points], [p.loss for p in points]
        panel.step(x, y, where="post", label=LABELS[method], **style, markevery=[], zorder=2)
        for fast, face in ((True, style["color"]), (False, "white")):
            which = [p for p in points if p.fast is fast]
            panel.plot(
                [p.seconds for p in which], [p.loss for p in which], linestyle="none", zorder=3,
                marker=style["marker"], color=style["color"], markerfacecolor=face,
            )  # fmt: skip
    if mark is not None:
        panel.axhline(mark, color=GREY, linewidth=1, linestyle=":", zorder=1)
        panel.annotate("RMSProp's final loss", (0.01, mark), xycoords=("axes fraction", "data"), color=GREY)
    every = [p for points in found.values() for p in points]
    least = min(p.loss for p in every)
    top = max(1.5 * least, 1.2 * (mark or least))
    shown = [p.seconds for p in every if p.loss <= top]
    log_axis(panel, "x")
    panel.set(xlim=(0.8 * min(shown), 1.25 * max(shown)), ylim=(0.97 * least, top))
    panel.set_title("open markers: tuned settings; filled ones: fast settings", fontsize=11.5)
    label(panel, x="seconds of steps, evaluation left out", y="train loss, median over seeds", legend=None)
    figure.legend(*panel.get_legend_handles_labels(), loc="center right", handlelength=3.4)
    return describe(figure, _told(results, found, mark))


def _told(results: Results, found: dict[str, list[Point]], mark: float | None) -> str:
    ends = []
    for method, points in found.items():
        there = None if mark is None else reached(points, mark)
        when = f"there after {spell(there.seconds)} s" if there else "not there"
        least = points[-1]
        ends.append(f"{LABELS[method]}: {when}, least {least.loss:.4g} after {spell(least.seconds)} s")
    to = "" if mark is None else f" There means a train loss of {mark:.4g}, RMSProp's final one."
    return (
        "Train loss against seconds of steps, a falling line of steps for each method: the better of its "
        f"tuned settings (open markers) and of its fast ones (filled).{to} {'; '.join(ends)}. "
        f"{' '.join(provenance_lines(results))}"
    )
