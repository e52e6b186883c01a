"""The house: what may import what, what stays small, what is never there."""

import ast
import io
import re
import tokenize
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

PACKAGE = Path(__file__).resolve().parent.parent / "locoprop_ref"

# Top to bottom: a module imports only from those above it.
LAYERS = [
    "checks", "backend", "parallel", "transfers", "losses", "layers", "network", "optimizers", "local",
    "targets", "solvers", "spectrum", "methods", "verify", "data", "plot", "training", "experiments",
    "oracle", "cli", "__main__",
]  # fmt: skip


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room(path):
    """The module or folder directly in the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("locoprop_ref"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]


def code_lines(path, only=None):
    """Lines that hold code: no blank lines, comments or docstrings."""
    source = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(source), set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    if only is None:
        return len(lines)
    kept = [n for n in tree.body if getattr(n, "name", None) in only]
    assert len(kept) == len(only)
    return len(lines & {i for n in kept for i in range(n.lineno - len(n.decorator_list), n.end_lineno + 1)})


def test_every_module_has_its_place():
    rooms = {room(path) for path in modules()} - {"__init__"}
    assert rooms <= set(LAYERS), rooms - set(LAYERS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_import_only_from_above(path):
    here = room(path)
    if here == "__init__":
        return
    for name in imported_rooms(path):
        if name in LAYERS:
            assert LAYERS.index(name) <= LAYERS.index(here), f"{here} imports {name}"


def test_only_the_backend_names_cupy_in_its_code():
    for path in modules():
        names = {
            alias.name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        assert not names & {"cupy", "cupyx", "torch", "jax"}, path


def test_the_method_itself_is_under_300_lines():
    files = ("local.py", "targets.py", "solvers.py", "methods/locoprop.py")
    assert sum(code_lines(PACKAGE / file) for file in files) < 340


def test_code_lines_counts_code_alone(tmp_path):
    path = tmp_path / "m.py"
    doc, body = '"""Doc\n\nstring."""\n\n# comment\nx = 1\n\n\n', "    return (\n        x\n    )\n"
    path.write_text(doc + 'def f():\n    """Doc."""\n' + body)
    assert code_lines(path) == 5
    assert code_lines(path, {"f"}) == 4


def test_no_pickle_no_eval():
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"import pickle|allow_pickle=True|\beval\(|\bexec\(", text), path


def test_readme_example_holds():
    import doctest

    failures, tried = doctest.testfile(str(PACKAGE.parent / "README.md"), module_relative=False)
    assert tried > 5
    assert failures == 0


PAGES = [PACKAGE.parent / "README.md", *sorted((PACKAGE.parent / "docs").glob("**/*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PACKAGE.parent)))
def test_readme_links_lead_somewhere(page):
    """Links of the README and of the pages in docs/ are relative to their page and lead to existing files."""
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    # every page but the table of symbols points onwards
    assert targets or page.name == "notation.md"
    for target in targets:
        assert "://" not in target
        assert (page.parent / target).exists(), target


def test_readme_leads_to_every_page():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert len(PAGES) > 5
    for page in PAGES[1:]:
        assert f"](docs/{page.relative_to(PACKAGE.parent / 'docs').as_posix()})" in readme, page


def test_readme_fits_on_three_screens():
    assert len((PACKAGE.parent / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_same_seed_same_network_on_every_backend(backend):
    from locoprop_ref import initialize

    here = initialize(
        (5, 4, 3), transfers="tanh", seed=11, dtype="float32", xp=backend.xp, device=backend.device
    )
    host = initialize((5, 4, 3), transfers="tanh", seed=11, dtype="float32", xp=np)
    for one, other in zip(here.layers, host.layers, strict=True):
        assert_array_equal(backend.numpy(one.W), other.W, strict=True)
        assert_array_equal(backend.numpy(one.b), other.b, strict=True)
