"""Figures of training: any metric of several runs against epochs and against seconds.

A run is the dict of a run file (`schema` 1): `config`, `data`, `environment`, `status`, and `epochs`, a list
of {epoch, train: {ce, mse}, test: {ce, mse}, step_seconds, eval_seconds}. Time is the sum of
`step_seconds`, without the evaluation.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.plot.style import MARKERS, describe, label, line_style, panels, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Run = Mapping[str, Any]
# what fits into a legend inside a panel: letters in a line, and lines; else it stands beside the panels
_LEGEND, _LINES = 36, 8
_UNITS = {
    "ce": "cross-entropy (nats per example)",
    "mse": "mean squared error (per pixel)",
    "accuracy": "accuracy",
}


def series(run: Run, metric: str = "train ce") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return epochs, cumulative step seconds and values of a run, with one entry for each stored epoch.

    Args:
        run: the dict of a run file.
        metric: a split and a name, such as "train ce", "test mse" or "test accuracy".

    Raises:
        ValueError: the run does not contain this metric, or has no epochs.
    """
    checks.instance("metric", metric, str, "the name of a part and of a loss, as 'train ce'")
    split, _, name = metric.partition(" ")
    epochs = run["epochs"]
    if not epochs:
        raise ValueError("runs must hold at least one epoch each, got a run with none")
    known = [f"{s} {n}" for s, values in epochs[0].items() if isinstance(values, Mapping) for n in values]
    if metric not in known:
        of = f" for the run of {run['config'].get('method')} on {run.get('data', {}).get('name')}"
        raise ValueError(f"metric must be one of {', '.join(known)}{of}, got {checks.shown(metric)}")
    # a run that diverged stores None in place of a number that is not finite
    value = [float("nan") if row[split][name] is None else row[split][name] for row in epochs]
    seconds = np.cumsum([row["step_seconds"] for row in epochs])
    return np.array([row["epoch"] for row in epochs]), seconds, np.array(value, dtype=float)


def grouped(runs: Sequence[Run], labels: Sequence[str] | None = None) -> dict[str, list[Run]]:
    """Return the runs grouped by their labels; runs with the same label are seeds of one experiment.

    By default, runs belong together if they differ only in the seed and the number of epochs. A label is the
    name of the method, followed by the options in which its runs differ from other runs of this method, and
    by the data set if there are several.
    """
    given = checks.several("runs", runs, "a list of dicts of run files")
    if not given:
        raise ValueError("runs must hold at least one run, got none")
    for run in given:
        if not isinstance(run, Mapping) or not {"config", "epochs"} <= run.keys():
            raise TypeError(f"runs must be dicts of run files, got {checks.shown(run)}")
    names = _distinct_labels(runs) if labels is None else list(labels)
    if len(names) != len(runs):
        raise ValueError(f"labels must be one for each of {len(runs)} runs, got {len(names)}")
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"labels must be words, got {checks.shown(names)}")
    groups: dict[str, list[Run]] = {}
    for name, run in zip(names, runs, strict=True):
        groups.setdefault(name, []).append(run)
    return groups


def _distinct_labels(runs: Sequence[Run]) -> list[str]:
    """Return the method of each run, with the options in which it differs from other runs of this method."""
    settings = [{k: v for k, v in run["config"].items() if k not in ("seed", "epochs")} for run in runs]
    for setting, run in zip(settings, runs, strict=True):
        data = run.get("data", {})
        setting["data"] = f"{data.get('name')} {str(data.get('sha256'))[:6]}"
    several_data = len({setting["data"] for setting in settings}) > 1
    names = []
    for setting in settings:
        alike = [other for other in settings if other["method"] == setting["method"]]
        keys = sorted(
            {key for other in alike for key in setting | other if setting.get(key) != other.get(key)}
        )
        keys = [key for key in keys if key != "data"] + (["data"] if several_data else [])
        parts = [f"{key} {setting[key]}" for key in keys if key in setting]
        names.append(_plain(", ".join([setting["method"], *parts])))
    return names


def _plain(name: str) -> str:
    r"""Return a name from a run file as one that every figure can show: a pair of dollar signs is no formula.

    >>> print(_plain("cost$1 to $2.npz"))
    cost\$1 to \$2.npz
    """
    return "".join(one if one.isprintable() else "?" for one in name).replace("$", r"\$")


def band(runs: Sequence[Run], metric: str) -> dict[str, np.ndarray]:
    """Return epoch, seconds, median, minimum and maximum of a metric, for the epochs that all runs have."""
    all_series = [series(run, metric) for run in runs]
    length = min(len(epoch) for epoch, _, _ in all_series)
    values = np.array([value[:length] for _, _, value in all_series])
    return {
        "epoch": all_series[0][0][:length],
        "seconds": np.median([seconds[:length] for _, seconds, _ in all_series], axis=0),
        "median": np.median(values, axis=0),
        "low": np.min(values, axis=0),
        "high": np.max(values, axis=0),
    }


def tasks(runs: Sequence[Run]) -> list[list[int]]:
    """Return which runs share an axis: the same task on the same data, in the order of the first of each.

    Losses of different data sets cannot be compared, nor can those of an autoencoder and of a network that
    classifies.
    """
    found: dict[tuple[Any, ...], list[int]] = {}
    for number, run in enumerate(runs):
        data = run.get("data", {})
        key = (data.get("name"), data.get("sha256"), _task(run))
        found.setdefault(key, []).append(number)
    return list(found.values())


def _task(run: Run) -> tuple[str, str | None]:
    """Return what a run learns; a run file of before this option is an autoencoder's."""
    return run["config"].get("task", "autoencode"), run["config"].get("output_loss")


@styled
def training_curves(
    runs: Sequence[Run],
    metric: str = "train ce",
    *,
    labels: Sequence[str] | None = None,
    log: bool | None = None,
    references: Mapping[str, float] | None = None,
) -> "Figure":
    """Draw a metric of several runs against epochs (left) and against cumulative step seconds (right).

    Runs of different tasks or data sets are drawn in rows of their own.

    Args:
        runs: dicts of run files; runs with the same label are seeds, of which the median and a band from the
            smallest to the largest value are drawn.
        metric: "train ce", "test mse", "test accuracy", ...
        labels: one for each run; see `grouped` for the default.
        log: whether the axis of the values is logarithmic; by default it is if all values are positive and
            the largest is more than five times the smallest.
        references: values by name that are drawn as dotted horizontal lines, such as the loss of the best
            constant output.

    Raises:
        ValueError: no run, a run does not contain the metric, or the number of labels is wrong.
    """
    if log is not None:
        checks.boolean("log", log)
    grouped(runs, labels)  # which refuses no run, and labels of another number
    rows = [
        _bands([runs[n] for n in row], metric, labels and [labels[n] for n in row]) for row in tasks(runs)
    ]
    names = [[_wrapped(name) for name in bands] for bands in rows]
    lines = max(sum(name.count("\n") + 1 for name in row) for row in names)
    beside = lines > _LINES
    split, _, name = metric.partition(" ")
    what = f"{split} {_UNITS.get(name, name)}"
    figure, axes = panels(
        2, rows=len(rows), width=15 if beside else 11, right=4.3 if beside else 0.2, sharey="row",
        height=_height(len(rows), lines if beside else 0), title=f"{what}: by epoch and by time",
        gap=0.4 if len(rows) == 1 else 1.15, left=0.85 if len(rows) == 1 else 1.05,
    )  # fmt: skip
    of_rows = [""] if len(rows) == 1 else [_spelled(runs[row[0]]) for row in tasks(runs)]
    for row, (bands, of) in enumerate(zip(rows, of_rows, strict=True)):
        left, right = axes[2 * row : 2 * row + 2]
        _draw_row(left, right, dict(zip(names[row], bands.values(), strict=True)), what, log)
        _draw_references((left, right), references or {})
        left.set_title(of, loc="left")
        handles = left.get_legend_handles_labels()
        if beside:
            right.legend(*handles, loc="center left", bbox_to_anchor=(1.02, 0.5), borderaxespad=0.0)
        else:
            left.legend(*handles, loc="best")
    told = [f"{of}: {_description(bands, metric)}" if of else _description(bands, metric)
            for bands, of in zip(rows, of_rows, strict=True)]  # fmt: skip
    told += [f"A dotted line marks {name}, {value:.4g}." for name, value in (references or {}).items()]
    return describe(figure, " ".join(told).replace(r"\$", "$"))


def _draw_references(panels_of_row: Sequence["Axes"], references: Mapping[str, float]) -> None:
    for name, value in references.items():
        for panel in panels_of_row:
            panel.axhline(value, color="#555555", linestyle=":", linewidth=1.5, label=f"{name}: {value:.4g}")


def _bands(
    runs: Sequence[Run], metric: str, labels: Sequence[str] | None
) -> dict[str, dict[str, np.ndarray]]:
    return {name: band(group, metric) for name, group in grouped(runs, labels).items()}


def _wrapped(name: str) -> str:
    """Return a name for the legend, in lines that end between an option's value and the next option.

    >>> print(_wrapped("backprop, learning_rate 0.0139, momentum 0.77, optimizer momentum"))
    backprop, learning_rate 0.0139,
    momentum 0.77, optimizer momentum
    """
    whole = name.replace(", ", ",\0").replace(" ", "\xa0").replace("\0", " ")
    lines = [fill(line, _LEGEND, break_on_hyphens=False) for line in whole.split("\n")]
    return "\n".join(lines).replace("\xa0", " ")


def _spelled(run: Run) -> str:
    """Return in words what a run learns."""
    return _plain(f"{_task(run)[0]} {run.get('data', {}).get('name')}")


def _height(rows: int, lines: int) -> float:
    """Return the height of a figure whose rows have room for a legend of so many lines."""
    return max(4.2 * rows, rows * (0.21 * lines + 0.4) + 0.8 + 0.7 * rows)


def _draw_row(left: "Axes", right: "Axes", bands: Mapping[str, Any], what: str, log: bool | None) -> None:
    """Draw the runs of one task, by epoch on the left and by time on the right."""
    from matplotlib.ticker import MaxNLocator

    low = min(float(np.nanmin(b["low"])) for b in bands.values())
    high = max(float(np.nanmax(b["high"])) for b in bands.values())
    logarithmic = (low > 0 and high > 5 * low) if log is None else log
    for i, (name, b) in enumerate(bands.items()):
        look = {**line_style(i), "marker": MARKERS[i % len(MARKERS)]}
        for panel, x in ((left, b["epoch"]), (right, b["seconds"])):
            draw_band(panel, x, b, look, number=i, name=name)
    for panel, time in ((left, "epoch"), (right, "training time (s), without evaluation")):
        label(panel, x=time, y=what, legend=None)
        if logarithmic:
            log_axis(panel)
    right.set_ylabel("")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_band(
    panel: "Axes", x: Any, b: Mapping[str, Any], look: Mapping[str, Any], *, number: int, name: str
) -> None:
    """Draw a line through the medians, with some eight markers, and a band from the minima to the maxima.

    Args:
        panel: where to draw.
        x: the abscissae.
        b: median, low and high, see `band`.
        look: colour and the other options of the line.
        number: of the line; the markers of every line begin at another point.
        name: for the legend.
    """
    every = max(1, len(x) // 8)
    panel.plot(x, b["median"], **look, markevery=(number % every, every), label=name)
    if np.any(b["high"] > b["low"]):
        panel.fill_between(x, b["low"], b["high"], color=look["color"], alpha=0.2, linewidth=0)


def log_axis(panel: Any, which: str = "y") -> None:
    """Make an axis, "x" or "y", logarithmic, with labels at 1, 2 and 5 in each decade.

    Over more than three decades only the powers of ten are labelled.
    """
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    getattr(panel, f"set_{which}scale")("log")
    axis = getattr(panel, f"{which}axis")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high <= 1000 * low else (1,)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def _description(bands: Mapping[str, Mapping[str, np.ndarray]], metric: str) -> str:
    ends = [
        f"{name} goes from {b['median'][0]:.4g} to {b['median'][-1]:.4g} in {int(b['epoch'][-1])} epochs, "
        f"{b['seconds'][-1]:.3g} s"
        for name, b in bands.items()
    ]
    return f"{metric} against epochs, left, and against training seconds, right: {'; '.join(ends)}."
