"""How notebooks show things: a figure as an image with its words, and the package's real source.

IPython is imported when something is shown, not before.
"""

import ast
import base64
import html
import inspect
import io
import textwrap
from typing import TYPE_CHECKING, Any

from locoprop_ref.plot.save import rendered
from locoprop_ref.plot.style import alt_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture:
    """A figure as a notebook shows it: an image with its alternative text.

    JupyterLab gives the PNG of an output no such text, so it gets HTML; nbconvert reads the metadata; a
    terminal prints the text.

    Args:
        figure: from a function of `locoprop_ref.plot`.
        dpi: dots an inch; 80 makes 800 pixels of a usual figure.
    """

    def __init__(self, figure: "Figure", *, dpi: float = 80) -> None:
        self.alt = alt_text(figure)
        self.png = _fewer_colours(rendered(figure, "png", dpi=dpi))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        image = base64.b64encode(self.png).decode()
        tag = f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{image}">'
        data = {"text/html": tag, "image/png": self.png, "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt}}


def _fewer_colours(png: bytes) -> bytes:
    """Return a PNG in 64 colours: a fifth of the bytes, so that a notebook with its pictures stays small."""
    from PIL import Image

    stream, image = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    # without dithering: flat areas stay flat
    image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(stream, "png")
    return stream.getvalue()


def show(figure: "Figure", *, dpi: float = 80) -> Picture:
    """Return a figure in the form that a notebook displays, the alternative text included."""
    return Picture(figure, dpi=dpi)


def source_of(*objects: Any, docstring: bool = False) -> str:
    """Return the source of functions or classes as it stands in the package.

    Args:
        *objects: functions, methods or classes.
        docstring: whether to keep the docstring of each (default False: a notebook's text stands in for it).

    Raises:
        TypeError: something without source.
    """
    return "\n\n".join(_source(one, docstring) for one in objects)


def _source(one: Any, docstring: bool) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(one))
    except (TypeError, OSError):
        raise TypeError(f"objects must have Python source, got {one!r}") from None
    if docstring:
        return text.rstrip()
    (node,) = ast.parse(text).body
    lines: list[str | None] = [*text.splitlines()]
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            first = part.body[0]
            lines[first.lineno - 1 : first.end_lineno] = [None] * ((first.end_lineno or 0) - first.lineno + 1)
    return "\n".join(line for line in lines if line is not None).strip()


def source(*objects: Any, docstring: bool = False) -> Any:
    """Display the package's own source of functions or classes, see `source_of`."""
    from IPython.display import Markdown

    return Markdown(f"```python\n{source_of(*objects, docstring=docstring)}\n```")
