"""What is kept of the notebooks: text and notebook are one, outputs are there, small, and free of errors."""

import ast
import copy
import doctest
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from numpy.testing import assert_equal

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
WITHOUT_PICTURES = "check-your-implementation"  # it shows a report
EXPECTED = [
    "1-first-step-is-backprop", "2-loss-surfaces", "3-locoprop-s-closed-form", "4-locoprop-m",
    "5-deep-autoencoder", "6-numpy-to-cupy", "7-second-order", "8-relatives", "9-convolution",
    WITHOUT_PICTURES,
]  # fmt: skip


@pytest.fixture
def kept(text):
    return nbformat.read(text.with_suffix(".ipynb"), as_version=4)


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def drifted(text, notebook):
    """The places where the cells of a .md file and of a notebook differ."""
    ours, theirs = cells(text), cells(notebook)
    places = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    return places or ([min(len(ours), len(theirs))] if len(ours) != len(theirs) else [])


def outputs(notebook, mime):
    found = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    return [out for out in found if mime in out.get("data", {})]


def test_all_are_there():
    assert_equal(sorted(path.stem for path in NOTEBOOKS.glob("*.md")), EXPECTED)
    assert_equal(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")), EXPECTED)


def test_text_and_notebook_never_drift(text, kept, script):
    assert_equal(drifted(script.read_text(text), kept), [], err_msg="run `make notebooks`")
    # what JupyterLab's pairing would read from the text is the same
    assert_equal(drifted(jupytext.read(text), kept), [])


def test_a_drift_would_be_seen(text, kept, script):
    changed = copy.deepcopy(kept)
    changed.cells[3].source += " "
    assert_equal(drifted(script.read_text(text), changed), [3])
    shorter = copy.deepcopy(kept)
    del shorter.cells[-1]
    assert_equal(drifted(script.read_text(text), shorter), [len(kept.cells) - 1])


def test_notebook_is_valid_and_small(text, kept):
    nbformat.validate(kept)
    assert text.with_suffix(".ipynb").stat().st_size < 400_000
    assert_equal(kept.metadata.get("widgets"), None)


def test_every_cell_was_executed_in_order_without_error(kept):
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert_equal([cell.execution_count for cell in code], list(range(1, len(code) + 1)))
    for cell in code:
        for out in cell.outputs:
            assert out.output_type != "error", out
            assert out.get("name") != "stderr", out


def test_pictures_are_static_and_have_words(kept, name):
    pictures = outputs(kept, "image/png")
    assert bool(pictures) == (name != WITHOUT_PICTURES)
    for out in pictures:
        words = out.data["text/plain"]
        assert_equal(out.metadata["image/png"]["alt"], words)
        assert len(words) > 60, words
    # no output that only a running kernel can show
    assert_equal(
        [
            m
            for cell in kept.cells
            for o in cell.get("outputs", [])
            for m in o.get("data", {})
            if "widget" in m
        ],
        [],
    )


def test_a_static_picture_stands_beside_every_slider(kept, name):
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    interactive = [i for i, cell in enumerate(code) if re.search(r"^interact[.(]", cell.source, re.MULTILINE)]
    assert bool(interactive) == (name != WITHOUT_PICTURES)
    for i in interactive:
        assert any("image/png" in out.get("data", {}) for out in code[i - 1].outputs), code[i].source


def numbers_of_questions(text):
    """Three questions, and in notebooks 1 to 6 a fourth that asks for code."""
    return [f"{number}. " for number in range(1, 5 if text.name[0] in "123456" else 4)]


def test_opening_and_ending(text, kept):
    first, last = kept.cells[0].source, kept.cells[-1].source
    for words in ("# ", "**You will see**", "**You need**", "**It takes**"):
        assert words in first
    assert "## Questions" in last and "## References" in last and "../answers/notebooks.md" in last
    asked = re.findall(r"^\d\. ", last.split("## Questions")[1].split("## References")[0], re.MULTILINE)
    assert_equal(asked, numbers_of_questions(text))


def test_every_question_has_its_answer(text, kept):
    title = kept.cells[0].source.splitlines()[0].removeprefix("# ")
    answers = (NOTEBOOKS.parent / "answers" / "notebooks.md").read_text(encoding="utf-8")
    section = answers.split(f"## {title}\n")[1].split("\n## ")[0]
    assert_equal(re.findall(r"^\d\. ", section, re.MULTILINE), numbers_of_questions(text))


def test_every_claim_is_asserted(kept):
    code = "\n".join(cell.source for cell in kept.cells if cell.cell_type == "code")
    assert len(re.findall(r"^\s*assert", code, re.MULTILINE)) >= 3


def test_imports_sliders_and_checks_open_folded(kept, script):
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    hidden = [cell.metadata == {"jupyter": {"source_hidden": True}} for cell in code]
    assert_equal(hidden, [script.folded(cell.source) for cell in code])
    # most of what a reader sees is the lesson: the imports are folded, and no slider's cell is open
    assert hidden[0] and not all(hidden)
    assert not any(
        "interact(" in cell.source and not folded for cell, folded in zip(code, hidden, strict=True)
    )


def names_in(source):
    """The names that a code cell imports, and those that it reads."""
    nodes = list(ast.walk(ast.parse(source)))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return [(one.asname or one.name).split(".")[0] for node in imports for one in node.names], read


def misplaced(sources):
    """(place of a cell, name) of each import that is read neither there nor, for the first cell, later."""
    cells = [names_in(source) for source in sources]
    later = set().union(*(read for _, read in cells[1:]))
    return [
        (place, name)
        for place, (imported, read) in enumerate(cells)
        for name in imported
        if name not in (later if place == 0 else read)
    ]


def test_imports_are_short_and_stand_where_they_are_used(kept):
    """The first cell has what the whole notebook needs; every other import, the cell that needs it first."""
    sources = [cell.source for cell in kept.cells if cell.cell_type == "code"]
    assert len(sources[0].splitlines()) <= 10
    assert_equal(misplaced(sources), [])
    imported = [name for source in sources for name in names_in(source)[0]]
    assert_equal(sorted(imported), sorted(set(imported)))


def test_a_misplaced_import_would_be_seen():
    sources = ["import a, b", "from c import d, e\na.f(d)", "print(e)"]
    assert_equal(misplaced(sources), [(0, "b"), (1, "e")])


def test_formatting_is_taken_back_but_never_an_edit(script, tmp_path):
    name = EXPECTED[0]
    for end in (".md", ".ipynb"):
        (tmp_path / f"{name}{end}").write_bytes((NOTEBOOKS / f"{name}{end}").read_bytes())
    path = tmp_path / f"{name}.md"
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace("B = len(x)", "B=len( x )"), encoding="utf-8")
    script.take_back(path)
    assert_equal(path.read_text(encoding="utf-8"), original)
    edited = original.replace("B = len(x)", "B = len(x) + 0")
    path.write_text(edited, encoding="utf-8")
    with pytest.raises(SystemExit, match="make notebooks first"):
        script.take_back(path)
    assert_equal(path.read_text(encoding="utf-8"), edited)


def test_saving_in_jupyterlab_leaves_the_text_as_it_is(script, tmp_path):
    # what JupyterLab's pairing does on saving: the notebook becomes the text, by jupytext.toml
    for path in [*NOTEBOOKS.glob("*.md"), *NOTEBOOKS.glob("*.ipynb"), NOTEBOOKS / "jupytext.toml"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = jupytext.config.load_jupytext_config(str(tmp_path / f"{EXPECTED[0]}.md"))
    for name in EXPECTED:
        notebook = jupytext.read(tmp_path / f"{name}.ipynb", config=config)
        text = jupytext.writes(notebook, "md:myst", config=config)
        assert_equal(text, (NOTEBOOKS / f"{name}.md").read_text(encoding="utf-8"))


def test_the_examples_in_the_scripts_hold(script):
    for module in (script, sys.modules[script.Sliders.__module__]):
        failed, tried = doctest.testmod(module)
        assert failed == 0
        assert tried
