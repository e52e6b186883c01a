"""Make slides of the notebooks, with reveal.js, in book/_build/slides: for `make slides`.

A heading begins a slide, and every further text or listing one below it. Cells whose code is folded show
their outputs alone. Everything that a page needs lies beside it: reveal.js from the package sphinx-revealjs,
MathJax from sphinx-mathjax-offline. No request goes to another host.
"""

import re
import sys
from importlib.metadata import files
from pathlib import Path
from shutil import copyfile, copytree
from typing import Any

import nbformat
from nbconvert import SlidesExporter

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

import generate  # noqa: E402

OUT = FOLDER / "_build" / "slides"


def at_headings(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a text cell cut before each of its headings, so that each can begin a slide."""
    if cell["cell_type"] != "markdown":
        return [cell]
    parts = re.split(r"^(?=##? )", cell["source"], flags=re.MULTILINE)
    texts = [part.strip() for part in parts if part.strip()]
    return [cell | {"id": f"{cell['id']}-{n}", "source": text} for n, text in enumerate(texts)]


def slide_type(cell: dict[str, Any], before: str) -> str:
    """Return what a cell begins: a slide, one below it, nothing ("-": it stays on the slide), or "skip".

    Args:
        cell: the cell.
        before: the type of the last cell that is shown.
    """
    if cell["cell_type"] == "markdown":
        return "slide" if cell["source"].startswith("#") else "subslide"
    is_folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
    if is_folded and not cell["outputs"]:
        return "skip"
    return "-" if before == "markdown" else "subslide"


def deck(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a stored notebook as a deck: cells cut at headings, with the slide that each begins."""
    cells, before = [], ""
    for whole in notebook["cells"]:
        for cell in at_headings(whole):
            if cell["cell_type"] == "markdown":
                # addresses of other pages mean nothing on a slide
                source = re.sub(r"(?<!!)\[([^\]]*)\]\((?!\w+://)[^)]*\)", r"\1", cell["source"])
                cell = cell | {"source": source}
            is_folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
            kind = slide_type(cell, before)
            before = before if kind == "skip" else cell["cell_type"]
            metadata = {"slideshow": {"slide_type": kind}}
            cells.append(cell | {"metadata": metadata | ({"tags": ["folded"]} if is_folded else {})})
    return nbformat.from_dict(notebook | {"cells": cells})


def exporter() -> SlidesExporter:
    """Return the exporter, with the template beside this file."""
    from traitlets.config import Config

    config = Config()
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {"folded"}
    return SlidesExporter(
        config=config,
        extra_template_basedirs=[str(FOLDER)],
        template_name="slides_template",
        reveal_url_prefix="reveal.js",
        reveal_theme="white",  # the fonts of most others stand on another host
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def copy_libraries() -> None:
    """Copy reveal.js and MathJax beside the slides."""
    (script,) = (
        file for file in files("sphinx-mathjax-offline") or () if file.parts[-2:] == ("mathjax", "tex-svg.js")
    )
    (OUT / "mathjax").mkdir(parents=True, exist_ok=True)
    copyfile(script.locate(), OUT / "mathjax" / "tex-svg.js")
    (program,) = (file for file in files("sphinx-revealjs") or () if file.parts[-2:] == ("dist", "reveal.js"))
    copytree(Path(str(program.locate())).parent, OUT / "reveal.js" / "dist", dirs_exist_ok=True)


def main(names: list[str]) -> None:
    """Make the slides of the notebooks whose names begin so, or of all."""
    chosen = [name for name in generate.NOTEBOOKS if not names or name.startswith(tuple(names))]
    if not chosen:
        sys.exit(f"slides.py: notebook must begin as one of {', '.join(generate.NOTEBOOKS)}, got {names}")
    copy_libraries()
    export = exporter()
    for name in chosen:
        path = generate.REPOSITORY / "notebooks" / f"{name}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        page, _ = export.from_notebook_node(deck(notebook), resources={"metadata": {"name": name}})
        (OUT / f"{name}.html").write_text(page, encoding="utf-8")
        print(OUT / f"{name}.html")


if __name__ == "__main__":
    main(sys.argv[1:])
