"""Copy the notebooks into build/lab/notebooks, with an index that shows a picture of each, for `make lab`.

JupyterLab saves by itself whatever is opened in it, so that it works on a copy: the clone stays as it is. A
notebook that you have changed there is kept there; delete the file to get the stored one again.
"""

import base64
import hashlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from locoprop_ref.data.files import write_atomically

BOOK = Path(__file__).resolve().parent
REPOSITORY = BOOK.parent
WIDTH = 320  # of a thumbnail, in pixels

sys.path.insert(0, str(BOOK))
import generate  # noqa: E402


def text_of(notebook: dict[str, Any], place: int = 0) -> str:
    """Return the source of a cell."""
    return "".join(notebook["cells"][place]["source"])


def thumbnail(notebook: dict[str, Any]) -> bytes | None:
    """Return the first picture of a notebook as a small PNG file, or None."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                picture = Image.open(io.BytesIO(base64.b64decode("".join(output["data"]["image/png"]))))
                picture.thumbnail((WIDTH, 2 * WIDTH))
                file = io.BytesIO()
                picture.convert("RGB").save(file, "PNG")
                return file.getvalue()
    return None


def summary(notebook: dict[str, Any]) -> tuple[str, str]:
    """Return the title of a notebook, and what it says that it takes ("" where it says nothing)."""
    text = text_of(notebook)
    takes = re.search(r"\*\*It takes\*\* ([^.;]*)", text)
    return text.partition("\n")[0].lstrip("# "), takes[1] if takes else ""


def with_links(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a notebook that says, after its title, where its mathematics stands and what to try next."""
    page = BOOK / "derivations" / f"{generate.DERIVATIONS[name]}.md"
    title = page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
    first, _, rest = text_of(notebook).partition("\n")
    exercises = ", ".join(f"`{exercise}`" for exercise in generate.EXERCISES_AFTER[name])
    where = (
        f"[All notebooks](index.ipynb) · the mathematics: *{title}* in the book (`make book`) · to try "
        f"yourself afterwards: {exercises} (`locoprop-ref exercises list`)"
    )
    linked = f"{first}\n\n{where}\n{rest}"
    cells = [notebook["cells"][0] | {"source": linked}, *notebook["cells"][1:]]
    return notebook | {"cells": cells}


def index(notebooks: dict[str, dict[str, Any]], pictures: set[str]) -> dict[str, Any]:
    """Return the notebook with the list of all others."""
    rows = ["# Notebooks of locoprop-ref", "", "| | | takes |", "|---|---|---|"]
    for name, notebook in notebooks.items():
        title, takes = summary(notebook)
        picture = f"[![](thumbnails/{name}.png)]({name}.ipynb)" if name in pictures else ""
        rows.append(f"| {picture} | **[{title}]({name}.ipynb)** | {takes} |")
    rows += ["", "This folder is a copy: what you change here stays here, and the clone stays as it is."]
    cell = {"cell_type": "markdown", "id": "index", "metadata": {}, "source": "\n".join(rows)}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def write(folder: Path) -> list[str]:
    """Write the copy and its index; return the names of the notebooks that were changed and are kept."""
    (folder / "thumbnails").mkdir(parents=True, exist_ok=True)
    record = folder / ".copied.json"
    copied = json.loads(record.read_text()) if record.exists() else {}
    notebooks, pictures, kept = {}, set(), []
    for name in generate.NOTEBOOKS:
        source = REPOSITORY / "notebooks" / f"{name}.ipynb"
        notebooks[name] = json.loads(source.read_text(encoding="utf-8"))
        small = thumbnail(notebooks[name])
        if small:
            pictures.add(name)
            write_atomically(
                folder / "thumbnails" / f"{name}.png", lambda file, small=small: file.write(small)
            )
        content = json.dumps(with_links(notebooks[name], name), ensure_ascii=False, indent=1).encode()
        path = folder / f"{name}.ipynb"
        if path.exists() and digest(path.read_bytes()) != copied.get(path.name):
            kept.append(path.name)
            continue
        write_atomically(path, lambda file, content=content: file.write(content))
        copied[path.name] = digest(content)
    page = json.dumps(index(notebooks, pictures), ensure_ascii=False, indent=1).encode()
    write_atomically(folder / "index.ipynb", lambda file: file.write(page))
    answers = (REPOSITORY / "answers" / "notebooks.md").read_bytes()
    write_atomically(folder.parent / "answers" / "notebooks.md", lambda file: file.write(answers))
    write_atomically(record, lambda file: file.write(json.dumps(copied, indent=1).encode()))
    return kept


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    for changed in write(REPOSITORY / "build" / "lab" / "notebooks"):
        print(f"build/lab/notebooks/{changed} was changed and is kept; delete it to get the stored one again")
