"""Objects for notebooks: figures as images with alternative text, and the source code of the package.

IPython is imported only when something is displayed.
"""

import ast
import base64
import html
import inspect
import io
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from locoprop_ref import checks
from locoprop_ref.plot.listing import listing
from locoprop_ref.plot.save import rendered
from locoprop_ref.plot.style import alt_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Picture:
    """A figure in the form that a notebook displays: an image with its alternative text.

    JupyterLab cannot attach an alternative text to a PNG output, so it receives HTML. nbconvert reads the
    text from the metadata, and a terminal prints it.

    Args:
        figure: a figure from a function of `locoprop_ref.plot`.
        dpi: dots per inch; with 80 most figures are 800 pixels wide.
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
    """Return the PNG with 64 colours, at a fifth of its size, so that notebooks with figures stay small."""
    from PIL import Image

    stream, image = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    # without dithering, areas of one colour keep one colour
    image.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(stream, "png")
    return stream.getvalue()


def show(figure: "Figure", *, dpi: float = 80) -> Picture:
    """Return the figure in the form that a notebook displays, with its alternative text."""
    return Picture(figure, dpi=dpi)


def interact(draw: Callable[..., Any], /, *, button: str | None = None, **controls: Any) -> Any:
    """Show controls above what a function returns, as ipywidgets' `interact`; sliders redraw when released.

    A figure takes a few tenths of a second. While a slider is dragged, ipywidgets would ask for one at every
    position, and they would wait for each other.

    Args:
        draw: the function; it is called with the values of the controls, now and after every change.
        button: the words on a button; the function is then called when it is pressed, and only then. None
            (default) for no button.
        **controls: a widget, or an abbreviation that ipywidgets knows, for each argument.

    Raises:
        ImportError: ipywidgets is not installed.
        TypeError: button is no string.
    """
    import ipywidgets

    for control in controls.values():
        if hasattr(control, "continuous_update"):
            control.continuous_update = False
    if button is None:
        return ipywidgets.interact(draw, **controls)
    words = checks.instance("button", button, str, "the words on a button, or None")
    return ipywidgets.interact.options(manual=True, manual_name=words)(draw, **controls)


def source_of(*objects: Any, docstring: bool = False) -> str:
    """Return the source code of functions or classes of the package.

    Args:
        *objects: functions, methods or classes.
        docstring: whether to keep the docstrings; default False, because the notebook's text explains the
            code.

    Raises:
        TypeError: an object has no Python source.
    """
    checks.boolean("docstring", docstring)
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


class Source:
    """Source code in the form that a notebook displays: HTML for JupyterLab, Markdown for books and slides.

    Args:
        code: Python source.
    """

    def __init__(self, code: str) -> None:
        self.code = code

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {
            "text/html": listing(self.code),
            "text/markdown": f"```python\n{self.code}\n```",
            "text/plain": self.code,
        }


def source(*objects: Any, docstring: bool = False) -> Source:
    """Display the source code of functions or classes of the package, see `source_of`."""
    return Source(source_of(*objects, docstring=docstring))
