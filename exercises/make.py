"""Make notebooks of the exercises: with solutions for nbgrader, and without them.

    python exercises/make.py        writes build/exercises/source (nbgrader's) and build/exercises/student

In the texts a solution stands between the markers BEGIN SOLUTION and END SOLUTION, hidden tests between
BEGIN HIDDEN TESTS and END HIDDEN TESTS, as nbgrader has them. A cell with the tag `test` is a graded test of
as many points as its other tag says; one with the tag `answer` is a question with its model answer, for which
the teacher gives the points.
"""

import json
import re
from pathlib import Path
from typing import Any

import jupytext

from locoprop_ref.data.files import write_atomically
from locoprop_ref.exercises import EXERCISES

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER.parent / "build" / "exercises"
ASSIGNMENT = "locoprop"
# what stands in the place of a solution
STUBS = {"code": "raise NotImplementedError  # your code here", "markdown": "*Write your answer here.*"}


def notebook(name: str) -> dict[str, Any]:
    """Return the notebook of an exercise in nbgrader's format, with its solution."""
    read = jupytext.read(FOLDER / f"{name}.md")
    cells = []
    for place, cell in enumerate(read.cells):
        made: dict[str, Any] = {"cell_type": cell.cell_type, "id": f"cell-{place:02d}", "source": cell.source}
        made["metadata"] = _graded(cell, f"{name}-{place}")
        if cell.cell_type == "code":
            made |= {"outputs": [], "execution_count": None}
        cells.append(made)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def _graded(cell: Any, grade_id: str) -> dict[str, Any]:
    """Return nbgrader's metadata of a cell; {} if it is neither a solution nor graded."""
    tags = cell.metadata.get("tags", [])
    points = [int(tag.removeprefix("points-")) for tag in tags if tag.startswith("points-")]
    solution = "### BEGIN SOLUTION" in cell.source
    if not solution and not points:
        return {}
    what = {
        "grade": bool(points),
        "locked": bool(points) and not solution,
        "solution": solution,
        "task": False,
    }
    graded = what | {"schema_version": 3, "cell_type": cell.cell_type, "grade_id": grade_id}
    return {"nbgrader": graded | ({"points": points[0]} if points else {})}


def for_students(text: str, cell_type: str = "code") -> str:
    """Return the source of a cell without its solution and without its hidden tests."""
    text = re.sub(
        r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION",
        rf"\1{STUBS[cell_type]}",
        text,
        flags=re.S | re.M,
    )
    return re.sub(r"### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n?", "", text, flags=re.S).rstrip()


def write(out: Path) -> None:
    """Write the notebooks of all exercises, with solutions and without."""
    for exercise in EXERCISES:
        with_solution = notebook(exercise.name)
        plain = [
            cell | {"source": for_students(cell["source"], cell["cell_type"]), "metadata": {}}
            for cell in with_solution["cells"]
        ]
        for folder, content in (
            (out / "source" / ASSIGNMENT, with_solution),
            (out / "student", with_solution | {"cells": plain}),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            data = json.dumps(content, ensure_ascii=False, indent=1).encode()
            write_atomically(folder / f"{exercise.name}.ipynb", lambda file, data=data: file.write(data))


if __name__ == "__main__":
    write(OUT)
    print(f"{len(EXERCISES)} exercises: {OUT}")
