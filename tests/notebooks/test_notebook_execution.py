"""Every notebook from top to bottom, then every position of every slider, menu and button.

A callback of a widget that raises fails no cell: the error stands in the output widget alone. So each
position is set in a cell of its own, and the test looks at what the output widget then shows: one picture, no
error, and another picture than at the other positions.
"""

import hashlib
import json
import time
from math import isclose
from pathlib import Path

import nbformat
import pytest
from numpy.testing import assert_equal

ARTEFACTS = Path(__file__).resolve().parents[2] / "build" / "notebooks"

LIST_CONTROLS = """
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


class Session:
    """A notebook in a running kernel."""

    def __init__(self, client, notebook):
        self.client, self.notebook = client, notebook

    def run(self, source):
        """Execute one more cell; return what it prints, parsed."""
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        errors = [out for out in cell.outputs if out.output_type == "error"]
        assert not errors, errors
        return json.loads("".join(out.text for out in cell.outputs if out.get("name") == "stdout"))

    def shown(self, out):
        """The picture that an output widget shows; an error in it fails the test."""
        outputs = self.client.comm_objects[out].outputs
        for output in outputs:
            assert output.output_type != "error", f"{output.ename}: {output.evalue}"
            assert output.get("name") != "stderr", output.text
        pictures = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 1, f"{len(pictures)} pictures shown"
        return hashlib.sha256(pictures[0].encode()).hexdigest()

    def move(self, box, control, position, by_index):
        """Move one control; return processor time and wall time of the redraw, in seconds."""
        setter = f"_c.index = {position!r}" if by_index else f"_c.value = {position!r}"
        return self.run(SET.format(box=box, control=control, setter=setter))


def sweep(session):
    """Move every control over its range; return the times of all redraws, by box and control."""
    times = {}
    for b, box in enumerate(session.run(LIST_CONTROLS)):
        if box["manual"]:  # nothing is shown before the button is pressed
            session.run(f"_boxes[{b}].manual_button.click()\nprint('null')")
        for c, control in enumerate(box["controls"]):
            now = control["now"]
            positions = [p for p in control["positions"] if not isclose(p, now)]
            by_index = isinstance(control["positions"][0], int) and session.run(
                f"print(_json.dumps(hasattr(_boxes[{b}].kwargs_widgets[{c}], 'options')))"
            )
            where = f"{b}: {control['name']}"
            seen, times[where] = {session.shown(box["out"]): now}, []
            for position in positions:
                spent = session.move(b, c, position, by_index)
                picture = session.shown(box["out"])
                assert picture not in seen, f"{where} shows the same at {position} as at {seen[picture]}"
                seen[picture] = position
                times[where].append(spent)
            session.move(b, c, now, by_index)
        times[f"{b}: manual"] = box["manual"]
    return times


def markdown(notebook):
    found = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    return [out.data["text/markdown"] for out in found if "text/markdown" in out.get("data", {})]


@pytest.mark.full
def test_notebook_runs_and_every_widget_position_draws(name, text, script):
    kept = nbformat.read(text.with_suffix(".ipynb"), as_version=4)
    notebook = script.read_text(text)
    where = {"metadata": {"path": str(text.parent)}}
    client = script.Client(notebook, resources=where, timeout=300, kernel_name="python3")
    started = time.perf_counter()
    with client.setup_kernel():
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
        seconds = time.perf_counter() - started
        # the package's source, as the notebook shows it, is that of today
        assert_equal(markdown(notebook), markdown(kept), err_msg="run `make notebooks`")
        for cell in notebook.cells:
            for out in cell.get("outputs", []):
                assert out.get("name") != "stderr", out.text
        times = sweep(Session(client, notebook))
    _keep(name, seconds, times)


def _keep(name, seconds, times):
    """Write the times down, beside the screenshots.

    A redraw should not be felt, but no test asserts seconds: on a busy machine a bound on them says something
    about the machine.
    """
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    redraws = {
        control: {"positions": len(spent) + 1, "cpu_s": sorted(a for a, _ in spent)[len(spent) // 2],
                  "wall_s": sorted(b for _, b in spent)[len(spent) // 2]}
        for control, spent in times.items() if not isinstance(spent, bool) and spent
    }  # fmt: skip
    text = json.dumps({"execution_s": seconds, "redraws": redraws}, indent=1)
    (ARTEFACTS / f"{name}.json").write_text(text, encoding="utf-8")


BROKEN = """
from ipywidgets import IntSlider, interact
from IPython.display import display, Image
def draw(k=1):
    if k == 3:
        raise ValueError("three")
    display(Image(data=b"\\x89PNG" + bytes([k // {divisor}]), format="png"))
interact(draw, k=IntSlider(value=1, min=1, max=5));
"""


@pytest.mark.full
@pytest.mark.parametrize(
    ("divisor", "complaint"),
    [(1, "ValueError: three"), (2, "shows the same at 2 as at|shows the same at 3 as at")],
)
def test_the_sweep_sees_a_broken_widget(script, tmp_path, divisor, complaint):
    source = BROKEN.format(divisor=divisor)
    if divisor == 2:
        source = source.replace("k == 3", "k == 30")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = script.Client(notebook, timeout=60, kernel_name="python3")
    with client.setup_kernel():
        client.execute_cell(notebook.cells[0], 0)  # passes: the first position is sound
        with pytest.raises(AssertionError, match=complaint):
            sweep(Session(client, notebook))


@pytest.mark.full
def test_a_failing_widget_stops_the_script(script, tmp_path):
    path = tmp_path / "broken.md"
    source = BROKEN.format(divisor=1).replace("k == 3", "k == 1")
    head = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\nkernelspec:\n"
    head += "  display_name: Python 3 (ipykernel)\n  language: python\n  name: python3\n---\n\n"
    path.write_text(f"{head}```{{code-cell}} ipython3\n{source}\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="a widget's callback failed: ValueError: three"):
        script.execute(path)
