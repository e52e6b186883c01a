"""The controls of a notebook that runs: list them, move them, and see what each position shows.

The tests sweep every control over its range. `execute.py` keeps what both ends of every control show, for the
book: its pages have no kernel, and show these pictures instead.

A callback that raises fails no cell, because its error stands in the output widget alone. Every position is
set in a cell of its own therefore, and `Sliders.picture` looks at the output widget.
"""

import json
from dataclasses import dataclass
from math import isclose
from typing import Any

import nbformat

LIST_BOXES = """
import json as _json, ipywidgets as _w, time as _time
from ipywidgets.widgets.widget import _instances
_boxes = [_one for _one in _instances.values() if isinstance(_one, _w.interactive)]
def _positions(_c, _manual):
    if hasattr(_c, "options"):
        return list(range(len(_c.options)))
    if isinstance(_c.value, bool):
        return [False, True]
    _low, _high = _c.min, _c.max
    _n = 3 if _manual else 5
    _points = [_low + (_high - _low) * _i / (_n - 1) for _i in range(_n)]
    if hasattr(_c, "base"):
        return [_c.base**_p for _p in _points]
    whole = isinstance(_c.value, int)
    return sorted({int(round(_p)) for _p in _points}) if whole else _points
print(_json.dumps([{"out": _b.out.model_id, "manual": _b.manual, "controls": [
    {"name": _c.description, "positions": _positions(_c, _b.manual),
     "labels": [str(_o[0] if isinstance(_o, tuple) else _o) for _o in getattr(_c, "options", [])],
     "now": _c.index if hasattr(_c, "options") else _c.value}
    for _c in _b.kwargs_widgets]} for _b in _boxes]))
"""
SET = """
_b = _boxes[{box}]
_c = _b.kwargs_widgets[{control}]
_started, _clock = _time.process_time(), _time.perf_counter()
{setter}
if _b.manual:
    _b.manual_button.click()
print(_json.dumps([_time.process_time() - _started, _time.perf_counter() - _clock]))
"""


@dataclass(frozen=True)
class Control:
    """A slider, menu or button of a box.

    Args:
        name: what stands before it.
        positions: numbers over its range, in their order; of a menu, the places of its options.
        labels: the options of a menu; empty for others.
        now: where it stands.
    """

    name: str
    positions: list[Any]
    labels: list[str]
    now: Any

    def others(self) -> list[Any]:
        """Return the positions at which it does not stand.

        >>> Control("K", [1, 16, 30], [], 16).others()
        [1, 30]
        """
        return [position for position in self.positions if not isclose(position, self.now)]

    def ends(self) -> list[Any]:
        """Return the first and the last of the other positions: one where there is no second.

        >>> Control("K", [1, 8, 16, 23, 30], [], 1).ends(), Control("f", [0, 1], ["tanh", "relu"], 0).ends()
        ([8, 30], [1])
        """
        others = self.others()
        return others[:1] + others[1:][-1:]

    def label(self, position: Any) -> str:
        """Return a position in words.

        >>> Control("K", [1, 30], [], 1).label(30), Control("f", [0, 1], ["tanh", "relu"], 0).label(1)
        ('K = 30', 'f = relu')
        >>> Control("γ", [1.0, 31.6227766], [], 1.0).label(31.6227766)
        'γ = 31.6'
        """
        value = self.labels[position] if self.labels else position
        return f"{self.name} = {value if isinstance(value, str | bool) else format(value, '.3g')}"


@dataclass(frozen=True)
class Box:
    """The controls above one output; `manual`: it is drawn when a button is pressed."""

    out: str
    manual: bool
    controls: list[Control]


class Sliders:
    """The boxes of controls of a notebook whose cells have been executed.

    Args:
        client: of the notebook, with its kernel running.
        notebook: executed; every move adds a cell to it.
    """

    def __init__(self, client: Any, notebook: nbformat.NotebookNode) -> None:
        self.client, self.notebook = client, notebook
        self.boxes = [
            Box(box["out"], box["manual"], [Control(**control) for control in box["controls"]])
            for box in self._run(LIST_BOXES)
        ]

    def _run(self, source: str) -> Any:
        """Execute one more cell; return what it prints, parsed."""
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        return json.loads("".join(out.text for out in cell.outputs if out.get("name") == "stdout"))

    def press(self, box: int) -> None:
        """Press the button of a manual box, which shows nothing before."""
        self._run(f"_boxes[{box}].manual_button.click()\nprint('null')")

    def move(self, box: int, control: int, position: Any) -> tuple[float, float]:
        """Move one control; return processor time and wall time of the redraw, in seconds."""
        attribute = "index" if self.boxes[box].controls[control].labels else "value"
        setter = f"_c.{attribute} = {position!r}"
        processor, wall = self._run(SET.format(box=box, control=control, setter=setter))
        return processor, wall

    def picture(self, box: int) -> nbformat.NotebookNode:
        """Return the output that a box shows: one picture.

        Raises:
            RuntimeError: the callback failed, or something else is shown.
        """
        outputs = self.client.comm_objects[self.boxes[box].out].outputs
        for output in outputs:
            if output.output_type == "error":
                raise RuntimeError(f"a widget's callback failed: {output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                raise RuntimeError(f"a widget's callback printed to stderr: {output.text}")
        pictures = [output for output in outputs if "image/png" in output.get("data", {})]
        if len(pictures) != 1:
            raise RuntimeError(f"a box of widgets must show one picture, got {len(pictures)}")
        return pictures[0]


@dataclass(frozen=True)
class End:
    """What a box shows where one control stands at an end, and all others as the notebook has them.

    Args:
        label: the control and its position.
        alt: the picture in words.
        png: the picture.
    """

    label: str
    alt: str
    png: str


def ends(sliders: Sliders) -> list[list[End]]:
    """Return what both ends of every control show, box by box; nothing for boxes that wait for a button."""
    found: list[list[End]] = []
    for b, box in enumerate(sliders.boxes):
        found.append([])
        for c, control in enumerate([] if box.manual else box.controls):
            for position in control.ends():
                sliders.move(b, c, position)
                shown = sliders.picture(b)
                alt = shown.metadata["image/png"]["alt"]
                found[-1].append(End(control.label(position), alt, shown.data["image/png"]))
            sliders.move(b, c, control.now)
    return found
