"""Make the notebooks from their text: NAME.md → NAME.ipynb, run from top to bottom, outputs stored.

    python notebooks/execute.py              all of them
    python notebooks/execute.py 2 3          those whose names begin so
    python notebooks/execute.py --text       the other way: code cells that a formatter changed, into the text

A failing cell stops it, and leaves the old notebook as it was. What a code host cannot show, the sliders, is
left out of the stored outputs: a static picture stands beside each. What both ends of every slider show is
kept in book/sliders, for the pages of the book.
"""

import ast
import base64
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from queue import Empty
from typing import Any

os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import jupytext
import nbformat
from jupyter_core.utils import ensure_async, run_sync
from nbclient import NotebookClient

from locoprop_ref.data.files import write_atomically

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sliders import End, Sliders, ends


class Client(NotebookClient):
    """nbclient that nudges a silent kernel.

    Now and then a kernel does not wake up for a request (its event loop missed the signal of the socket,
    while the outputs of widgets went to and fro); it sits idle and would until the next request. After two
    seconds without an answer we send one that does nothing.
    """

    async def async_start_new_kernel_client(self, **kwargs: Any) -> Any:
        """Return the kernel's client, whose `get_msg` waits in slices, with a nudge after each."""
        client = await super().async_start_new_kernel_client(**kwargs)
        wait = client.shell_channel.get_msg

        async def nudging(timeout: float | None = None) -> Any:
            ends = time.monotonic() + (float("inf") if timeout is None else timeout)
            while True:
                left = ends - time.monotonic()
                try:
                    return await ensure_async(wait(timeout=max(0.0, min(2.0, left))))
                except Empty:
                    if left <= 0:
                        raise
                    client.kernel_info()

        client.shell_channel.get_msg = nudging
        return client

    start_new_kernel_client = run_sync(async_start_new_kernel_client)


FOLDER = Path(__file__).resolve().parent
SCREEN = 40  # lines
WIDGET = "application/vnd.jupyter.widget-view+json"
NAMES = [*sorted(path.stem for path in FOLDER.glob("[0-9]-*.md")), "check-your-implementation"]


def read_text(path: Path) -> nbformat.NotebookNode:
    """Return the notebook that a .md file describes, with cell ids that depend on nothing but their place."""
    notebook = jupytext.read(path)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for place, cell in enumerate(notebook.cells):
        cell.metadata = {}
        cell.id = f"cell-{place:02d}"
    return nbformat.from_dict(notebook)


def folded(source: str) -> bool:
    r"""Return whether a code cell opens folded: imports alone, sliders, checks, and what fills a screen.

    A reader sees their outputs, and opens the code with a click. A cell that imports what it teaches is open.

    >>> folded("import numpy as np"), folded("loss = 3\nprint(loss)")
    (True, False)
    >>> folded("from math import pi\n\nprint(pi)"), folded("import numpy as np\n\nnp.set_printoptions(2)")
    (False, True)
    """
    return (
        all(sets_up(statement) for statement in ast.parse(source).body)
        or "interact(" in source
        or "interact.options(" in source
        or re.search("^(identity = |for identity in )", source, re.MULTILINE) is not None
        or source.count("assert") > 1
        or len(source.splitlines()) > SCREEN
    )


def sets_up(statement: ast.stmt) -> bool:
    """Return whether a statement is an import, or says how numbers are printed."""
    return isinstance(statement, ast.Import | ast.ImportFrom) or ast.unparse(statement).startswith(
        "np.set_printoptions("
    )


def stored(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return an executed notebook as it is kept: no widgets, no times of execution, cells folded."""
    for cell in notebook.cells:
        is_folded = cell.cell_type == "code" and folded(cell.source)
        cell.metadata = {"jupyter": {"source_hidden": True}} if is_folded else {}
        if cell.cell_type == "code":
            cell.outputs = in_one_piece(
                output for output in cell.outputs if WIDGET not in output.get("data", {})
            )
            for output in cell.outputs:
                # one copy of a picture, or of a listing, is enough
                if {"image/png", "text/markdown"} & set(output.get("data", {})):
                    output.data.pop("text/html", None)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook


def in_one_piece(outputs: Iterable[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Return outputs with neighbouring pieces of one stream joined: where it is cut depends on the clock."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output.output_type == "stream" and before.get("name") == output.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def widget_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the errors that callbacks of widgets raised: they stand in the widgets' own outputs alone."""
    widgets = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {})
    outputs = [
        out for widget in widgets.get("state", {}).values() for out in widget["state"].get("outputs", [])
    ]
    return [f"{out['ename']}: {out['evalue']}" for out in outputs if out["output_type"] == "error"]


def execute(path: Path) -> tuple[nbformat.NotebookNode, list[list[End]]]:
    """Run the notebook that a .md file describes; return it, and what the ends of its sliders show.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
        RuntimeError: the callback of a widget failed.
    """
    notebook = read_text(path)
    cells = len(notebook.cells)
    where = {"metadata": {"path": str(path.parent)}}
    client = Client(notebook, resources=where, timeout=300, kernel_name="python3")
    with client.setup_kernel():
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
        client.set_widgets_metadata()
        errors = widget_errors(notebook)
        if errors:
            raise RuntimeError(f"{path.name}: a widget's callback failed: {'; '.join(errors)}")
        shown = ends(Sliders(client, notebook))
    del notebook.cells[cells:]  # in which the sliders were moved
    return notebook, shown


def keep_ends(name: str, shown: Sequence[Sequence[End]]) -> None:
    """Write what the ends of a notebook's sliders show: pictures, and ends.json with their words."""
    folder = FOLDER.parent / "book" / "sliders" / name
    boxes = []
    for b, box in enumerate(shown):
        files = [f"{b}-{e}.png" for e in range(len(box))]
        boxes.append(
            [{"file": file, "label": end.label, "alt": end.alt} for file, end in zip(files, box, strict=True)]
        )
        for file, end in zip(files, box, strict=True):
            picture = base64.b64decode(end.png)
            write_atomically(folder / file, lambda out, picture=picture: out.write(picture))
    if boxes:
        text = json.dumps(boxes, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / "ends.json", lambda out: out.write(text.encode()))
    kept = {"ends.json", *(one["file"] for box in boxes for one in box)}
    for old in folder.glob("*") if folder.is_dir() else ():
        if old.name not in kept:
            old.unlink()


def take_back(path: Path) -> None:
    """Copy the code cells of a notebook that a formatter has changed into the .md file beside it.

    Cells that mean something else are left as they are: the text is what people edit.
    """
    text, notebook = read_text(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    new = path.read_text(encoding="utf-8")
    for ours, theirs in zip(text.cells, notebook.cells, strict=False):
        if ours.source != theirs.source:
            if {ours.cell_type, theirs.cell_type} != {"code"} or meaning(ours) != meaning(theirs):
                sys.exit(
                    f"execute.py: {path.name} is not what its notebook was made from: make notebooks first"
                )
            fenced = [f"```{{code-cell}} ipython3\n{cell.source}\n```" for cell in (ours, theirs)]
            new = new.replace(*fenced, 1)
    if new != path.read_text(encoding="utf-8"):
        write_atomically(path, lambda file: file.write(new.encode()))


def meaning(cell: nbformat.NotebookNode) -> str:
    """Return what Python makes of a code cell: formatting does not change it."""
    return ast.dump(ast.parse(cell.source))


def main(beginnings: list[str]) -> None:
    """Execute the notebooks whose names begin so, or all."""
    if beginnings == ["--text"]:
        for name in NAMES:
            take_back(FOLDER / f"{name}.md")
        return
    chosen = [name for name in NAMES if not beginnings or name.startswith(tuple(beginnings))]
    if not chosen:
        sys.exit(f"execute.py: notebook must begin as one of {', '.join(NAMES)}, got {' '.join(beginnings)}")
    for name in chosen:
        started = time.perf_counter()
        notebook, shown = execute(FOLDER / f"{name}.md")
        text = nbformat.writes(stored(notebook)) + "\n"
        path = FOLDER / f"{name}.ipynb"
        write_atomically(path, lambda file, text=text: file.write(text.encode()))
        keep_ends(name, shown)
        print(
            f"{name}: {time.perf_counter() - started:.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
