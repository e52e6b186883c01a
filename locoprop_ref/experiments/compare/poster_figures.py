"""The figures of the presets poster and poster-signs: test error within the first epoch, and by epoch.

Errors are shares of the test images, in percent on a logarithmic axis, so that the ends of the curves have
room as their beginnings have. Every title is computed from the numbers that are drawn.
"""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref.experiments.compare.figures import look
from locoprop_ref.experiments.compare.folder import Results
from locoprop_ref.experiments.compare.notes import provenance_lines
from locoprop_ref.experiments.compare.plan import is_offline
from locoprop_ref.experiments.compare.summary import finished
from locoprop_ref.experiments.tuned import ALL
from locoprop_ref.plot.style import describe, label, panels, spell, styled
from locoprop_ref.plot.training import draw_band, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# the step at which the title of the first epoch compares, where it was evaluated: "within 20 batches"
TITLE_STEP = 20
Band = Mapping[str, np.ndarray]


def drawn(results: Results) -> "dict[str, Figure]":
    """Return what can be drawn of a folder, by the stem of the file."""
    found = {}
    if bands_of_steps(results):
        found["first-epoch"] = first_epoch(results)
    if bands_of_epochs(results):
        found["epochs"] = epochs(results)
    return found


def errors_of_steps(run: Mapping[str, Any]) -> dict[int, float]:
    """Return the test error of a run in percent after every evaluated step of the first epoch."""
    rows = run["epochs"][1].get("steps", []) if len(run["epochs"]) > 1 else []
    return {one["step"]: _percent(one["test"].get("accuracy")) for one in rows}


def errors_of_epochs(run: Mapping[str, Any]) -> dict[int, float]:
    """Return the test error of a run in percent after every epoch; the untrained network's is left out."""
    return {row["epoch"]: _percent(row["test"]["accuracy"]) for row in run["epochs"][1:]}


def _percent(accuracy: float | None) -> float:
    return 100.0 if accuracy is None else round(100 * (1 - accuracy), 6)  # 1 − 0.9 is 0.09999…


def bands_of_steps(results: Results) -> dict[str, Band]:
    """Return the errors within the first epoch of every entry that has some: step, median, low, high."""
    return _bands(results, errors_of_steps)


def bands_of_epochs(results: Results) -> dict[str, Band]:
    """Return the errors by epoch of every entry: epoch (as "step"), median, low, high."""
    return _bands(results, errors_of_epochs)


def _bands(results: Results, errors: Any) -> dict[str, Band]:
    found: dict[str, Band] = {}
    for entry in results.manifest.entries:
        curves = [errors(run) for run in finished(results, entry).values() if run["status"] != "diverged"]
        steps = sorted(set.intersection(*map(set, curves))) if curves else []
        if steps:
            values = np.array([[curve[step] for step in steps] for curve in curves])
            found[entry] = {
                "step": np.array(steps),
                "median": np.median(values, axis=0),
                "low": np.min(values, axis=0),
                "high": np.max(values, axis=0),
            }
    return found


@styled
def first_epoch(results: Results) -> "Figure":
    """Draw the test error against the steps of the first epoch, both on logarithmic axes, seeds as bands.

    Raises:
        ValueError: no run has evaluations within its first epoch.
    """
    bands = bands_of_steps(results)
    if not bands:
        raise ValueError("results must hold a run with evaluate_steps, got none")
    shown = sorted({int(step) for b in bands.values() for step in b["step"]})
    at = TITLE_STEP if TITLE_STEP in shown else shown[len(shown) // 2]
    title = _in_lines(f"after {at} batches: {_ranking(results, bands, at)}", width=11)
    figure, (panel,) = panels(width=11, height=5.8, right=3.4, title=title)
    for entry, b in bands.items():
        _draw(panel, results, entry, b)
    _axes(panel, "batches of the first epoch", bands)
    log_axis(panel, "x")
    panel.set_xticks(shown, [str(step) for step in shown])
    panel.minorticks_off()
    figure.legend(*panel.get_legend_handles_labels(), loc="center right", handlelength=3.4)
    return describe(figure, _told(results, "the first epoch's batches", bands))


@styled
def epochs(results: Results) -> "Figure":
    """Draw the test error by epoch, seeds as bands; methods that take all images at once by iteration, right.

    A horizontal line on the right is the least error of the others after their first epoch.

    Raises:
        ValueError: no run that ended has an epoch.
    """
    bands = bands_of_epochs(results)
    if not bands:
        raise ValueError("results must hold at least one run with an epoch, got none")
    online = {name: b for name, b in bands.items() if not is_offline(name)}
    offline = {name: b for name, b in bands.items() if is_offline(name)}
    parts = [part for part in (online, offline) if part]
    width = 8 + 4.5 * (len(parts) - 1) + 3
    title = _in_lines(_title_of_ends(results, online, offline), width)
    figure, axes = panels(len(parts), width=width, height=5.8, right=3.4, sharey=True, title=title)
    from matplotlib.ticker import MaxNLocator

    handles: list[Any] = []
    names: list[str] = []
    for panel, part in zip(axes, parts, strict=True):
        for entry, b in part.items():
            _draw(panel, results, entry, b)
        what = "epoch" if part is online else "iteration on all images"
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        label(panel, x=what, y="test error (%)" if panel is axes[0] else "", legend=None)
        if part is offline and online:
            least = min(float(b["median"][0]) for b in online.values())
            panel.axhline(least, color="#009E73", linestyle=":", label="best online, first epoch")
        more = panel.get_legend_handles_labels()
        handles, names = handles + more[0], names + more[1]
    _axes(axes[0], "epoch" if online else "iteration on all images", bands)
    figure.legend(handles, names, loc="center right", handlelength=3.4)
    return describe(figure, _told(results, "epochs", bands))


def _draw(panel: "Axes", results: Results, entry: str, b: Band) -> None:
    name = results.manifest.entries[entry].label
    draw_band(panel, b["step"], b, look(entry), number=[*ALL].index(entry), name=name)


def _axes(panel: "Axes", x: str, bands: Mapping[str, Band]) -> None:
    label(panel, x=x, y="test error (%)", legend=None)
    if min(float(np.min(b["low"])) for b in bands.values()) > 0:  # no errors have no logarithm
        log_axis(panel)


def _ranking(results: Results, bands: Mapping[str, Band], step: int) -> str:
    """Return the errors after a step of the best entry and of those it is about, from the least on."""
    at = {entry: _value(b, step) for entry, b in bands.items()}
    known = {entry: value for entry, value in at.items() if value is not None}
    best = min(known, key=lambda entry: known[entry])
    of_note = {"am-adam", "adam", "sgd", "ste", "dtp"} if "ste" in known else {"am-adam", "adam", "sgd"}
    chosen = sorted((entry for entry in known if entry in {best, *of_note}), key=lambda entry: known[entry])
    return ", ".join(f"{_label(results, entry)} {spell(known[entry])} %" for entry in chosen) + " test error"


def _value(b: Band, step: int) -> float | None:
    (found,) = np.nonzero(b["step"] == step)
    return float(b["median"][found[0]]) if len(found) else None


def _title_of_ends(results: Results, online: Mapping[str, Band], offline: Mapping[str, Band]) -> str:
    """Return the errors at the end: the best online entry, those it is about, and the best offline one."""
    ends = {entry: float(b["median"][-1]) for entry, b in online.items()}
    told = []
    if ends:
        best = min(ends, key=lambda entry: ends[entry])
        of_note = {"am-adam", "adam", "ste", "dtp", "ste-frozen"} if "ste" in ends else {"am-adam", "adam"}
        chosen = sorted((entry for entry in ends if entry in {best, *of_note}), key=lambda entry: ends[entry])
        told.append(", ".join(f"{_label(results, entry)} {ends[entry]:.2f} %" for entry in chosen))
    if offline:
        best = min(offline, key=lambda entry: float(np.min(offline[entry]["median"])))
        least = float(np.min(offline[best]["median"]))
        told.append(f"best offline, {_label(results, best)}, {least:.1f} %")
    return "test error at the end: " + "; ".join(told)


def _in_lines(title: str, width: float) -> str:
    """Return a title in lines of about the same length that fit over a figure of that many inches."""
    words = title.replace(" %", "\N{NO-BREAK SPACE}%")
    broken = [textwrap.wrap(words, letters) for letters in range(20, int(7 * width) + 1)]
    lines = next(lines for lines in broken if len(lines) == len(broken[-1]))
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _label(results: Results, entry: str) -> str:
    return results.manifest.entries[entry].label


def _told(results: Results, what: str, bands: Mapping[str, Band]) -> str:
    ends = [
        f"{_label(results, entry)} from {b['median'][0]:.4g} at {b['step'][0]} to {b['median'][-1]:.4g} at "
        f"{b['step'][-1]}"
        for entry, b in bands.items()
    ]
    return (
        f"test error in percent against {what}; lines are medians over seeds, bands the least to the "
        "largest. "
        f"{'; '.join(ends)}. {' '.join(provenance_lines(results))}"
    )
