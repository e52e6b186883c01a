"""The table of a comparison, as text and in Markdown."""

from collections.abc import Callable
from math import isfinite

from msgspec import UNSET, UnsetType

from locoprop_ref.experiments.compare.summary import MARK, Row, Spread


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _reached(value: Spread | None) -> str:
    if value is None:
        return ""
    return _number(value.median) if isfinite(value.median) else "not reached"


def _loss(value: Spread | None) -> str:
    if value is None:
        return ""
    median, low, high = (
        f"{v:.4g}" if isfinite(v) else "diverged" for v in (value.median, value.low, value.high)
    )
    alone = value.low == value.high or not isfinite(value.median)
    return median if alone else f"{median} ({low} to {high})"


def _percent(value: Spread | UnsetType | None) -> str:
    if not isinstance(value, Spread):
        return ""
    median, low, high = (f"{100 * share:.2f}" for share in (value.median, value.low, value.high))
    return median if value.low == value.high else f"{median} ({low} to {high})"


COLUMNS: dict[str, Callable[[Row], str]] = {
    "method": lambda row: row.label,
    "epochs": lambda row: "" if row.epochs is UNSET else str(row.epochs),
    "test accuracy (%)": lambda row: _percent(row.test_accuracy),
    "final train": lambda row: _loss(row.final_train),
    "final test": lambda row: _loss(row.final_test),
    "best train": lambda row: _loss(row.best_train),
    "best test": lambda row: _loss(row.best_test),
    "s/epoch": lambda row: _number(row.epoch_seconds),
    f"epochs to {MARK}": lambda row: _reached(row.epochs_to_mark),
    f"s to {MARK}": lambda row: _reached(row.seconds_to_mark),
    "state": lambda row: _number(row.state),
    "peak": lambda row: _number(row.peak),
    "counted": lambda row: _number(row.counted),
}


# columns that are there only where a row has this number
_ONLY_WITH: dict[str, Callable[[Row], object]] = {
    "epochs": lambda row: row.epochs,
    "test accuracy (%)": lambda row: row.test_accuracy,
}


def columns(rows: list[Row]) -> list[list[str]]:
    """Return the table's cells as text, the head first."""
    left_out = {name for name, of in _ONLY_WITH.items() if all(of(row) is UNSET for row in rows)}
    if all(row.entry != MARK for row in rows):  # nothing to be measured against
        left_out |= {f"epochs to {MARK}", f"s to {MARK}"}
    kept = {name: cell for name, cell in COLUMNS.items() if name not in left_out}
    return [list(kept), *([cell(row) for cell in kept.values()] for row in rows)]


def text_table(rows: list[Row]) -> str:
    """Return the table in aligned columns."""
    cells = columns(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for name, *others in cells:
        padded = [name.ljust(widths[0]), *(c.rjust(w) for c, w in zip(others, widths[1:], strict=True))]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown_table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    head, *body = columns(rows)
    lines = [f"| {' | '.join(head)} |", "|" + "|".join([" :-- ", *[" --: "] * (len(head) - 1)]) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(line)} |" for line in body)])
