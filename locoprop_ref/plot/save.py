"""Figures as bytes and as files, SVG or PNG: the same bytes in every run, written as a whole."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locoprop_ref import checks
from locoprop_ref.data.files import user_path, write_atomically
from locoprop_ref.plot.style import alt_text, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
MOST_DPI = 10_000  # more than any printer has


def rendered(figure: "Figure", file_format: str = "png", *, dpi: float = 150) -> bytes:
    """Return a figure as SVG or PNG, with its alternative text as description and without a date.

    Args:
        figure: a figure from any function of `locoprop_ref.plot`.
        file_format: "svg" or "png".
        dpi: dots per inch of the PNG, 10,000 at most; default 150, which suits paper and screen.

    Raises:
        ValueError, TypeError: an unknown format, or dots that are no number in this range.
    """
    import matplotlib

    checks.one_of("file_format", file_format, FORMATS)
    if checks.positive("dpi", dpi) > MOST_DPI:
        raise ValueError(f"dpi must be at most {MOST_DPI}, got {checks.shown(dpi)}")
    metadata: dict[str, Any] = {"Description": alt_text(figure)}
    metadata |= {"Date": None, "Creator": None} if file_format == "svg" else {"Software": None}
    stream = io.BytesIO()
    with matplotlib.rc_context(settings()):
        figure.savefig(stream, format=file_format, dpi=dpi, metadata=metadata)
    return stream.getvalue()


def figure_path(path: object, name: str = "path") -> Path:
    """Return the path of a figure's file, as `files.user_path` does.

    Raises:
        ValueError: it ends neither in .svg nor in .png.
    """
    found = user_path(path, name)
    if found.suffix[1:] not in FORMATS:
        raise ValueError(f"{name} must end in .svg or .png, got {checks.shown(str(found))}")
    return found


def save(figure: "Figure", path: str | os.PathLike[str], *, dpi: float = 150) -> Path:
    """Write a figure to `path`, as SVG or PNG according to its suffix; create folders, replace an old file.

    Raises:
        ValueError: the name has another suffix.
        OSError: the file cannot be written.
    """
    path = figure_path(path)
    data = rendered(figure, path.suffix[1:], dpi=dpi)
    write_atomically(path, lambda file: file.write(data))
    return path
