"""Every notebook from top to bottom, then every position of every slider, menu and button.

At each position a box shows one picture, no error, and another picture than at the other positions. The
pictures of the book, which show both ends of every slider, are those of today.
"""

import io
import json
import time
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy as np
import pytest
from numpy.testing import assert_equal
from PIL import Image

BOOK = Path(__file__).resolve().parents[2] / "book"
ARTEFACTS = BOOK.parent / "build" / "notebooks"


def sweep(sliders):
    """Move every control over its range.

    Returns the times of all redraws, by box and control, and the pictures at both ends of every control, by
    box and label.
    """
    times, ends = {}, [{} for _ in sliders.boxes]
    for b, box in enumerate(sliders.boxes):
        if box.manual:
            sliders.press(b)
        for c, control in enumerate(box.controls):
            where = f"{b}: {control.name}"
            seen, times[where] = {shown(sliders, b): control.now}, []
            for position in control.others():
                spent = sliders.move(b, c, position)
                picture = shown(sliders, b)
                assert picture not in seen, f"{where} shows the same at {position} as at {seen[picture]}"
                seen[picture] = position
                times[where].append(spent)
                if position in control.ends() and not box.manual:
                    ends[b][control.label(position)] = picture
            sliders.move(b, c, control.now)
        times[f"{b}: manual"] = box.manual
    return times, ends


def shown(sliders, box):
    return sliders.picture(box).data["image/png"]


# of the greys of all pixels, in the mean: roundings may move a line by a pixel; the nearest two pictures that
# stand beside each other in the book are 2.5e-3 apart
SAME_PICTURE = 1e-3
# whose pictures show seconds, which differ from run to run
MEASURED = ("5-deep-autoencoder", "6-numpy-to-cupy")


def greys(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("L"), dtype=float) / 255


def assert_the_book_shows(name, ends):
    """The pictures of the book's page, at both ends of every slider, are those of today."""
    folder = BOOK / "sliders" / name
    kept = json.loads((folder / "ends.json").read_text(encoding="utf-8")) if ends else []
    labels = [[end["label"] for end in box] for box in kept]
    assert_equal(labels, [list(box) for box in ends], err_msg="run `make notebooks`")
    for box, pictures in zip(kept, ends, strict=True):
        for end in box:
            old, new = (greys((folder / end["file"]).read_bytes()), greys(b64decode(pictures[end["label"]])))
            assert old.shape == new.shape, f"{name}, {end['label']}: run `make notebooks`"
            far = np.mean(np.abs(old - new))
            words = f"{name}, {end['label']}: {far:.3g} away, run `make notebooks`"
            assert far < SAME_PICTURE or name in MEASURED, words


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
        times, ends = sweep(script.Sliders(client, notebook))
    assert_the_book_shows(name, ends)
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
        with pytest.raises((AssertionError, RuntimeError), match=complaint):
            sweep(script.Sliders(client, notebook))


@pytest.mark.full
def test_a_failing_widget_stops_the_script(script, tmp_path):
    path = tmp_path / "broken.md"
    source = BROKEN.format(divisor=1).replace("k == 3", "k == 1")
    head = "---\njupytext:\n  text_representation:\n    extension: .md\n    format_name: myst\nkernelspec:\n"
    head += "  display_name: Python 3 (ipykernel)\n  language: python\n  name: python3\n---\n\n"
    path.write_text(f"{head}```{{code-cell}} ipython3\n{source}\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="a widget's callback failed: ValueError: three"):
        script.execute(path)
