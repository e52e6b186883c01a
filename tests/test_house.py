"""The house: what may import what, what stays small, what is never there."""

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from _pytest.mark.structures import get_empty_parameterset_mark
from imported import Package, circle, imported_name
from nothing_tested import without_parameters
from numpy.testing import assert_array_equal

PACKAGE = Path(__file__).resolve().parent.parent / "locoprop_ref"

# Top to bottom: a module imports only from those above it.
ORDER = (
    "checks backend parallel formulas divergences transfers losses wirings blocks architectures layers "
    "network microbatches optimizers mirror regularizers local targets gauss_newton_targets feedback_targets "
    "inverse_targets code_targets newton_solvers solvers majorised_solver memory spectrum methods verify "
    "data plot training experiments oracle exercises cli __main__"
).split()
# Modules whose imports are named at run time: by the table of array libraries, and by a user.
COMPUTED = {"backend", "cli.oracle"}


def modules():
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 200
    return found


def entry(module):
    """The module or folder directly in the package that a module belongs to."""
    return module.partition(".")[0]


def arrows_upwards(imports):
    """[(module, what it imports)] wherever that stands below it in ORDER, or is the whole package."""
    return [
        (module, other)
        for module, others in imports.items()
        for other in others
        if module and (not other or ORDER.index(entry(other)) > ORDER.index(entry(module)))
    ]


@pytest.fixture(scope="module")
def package():
    return Package(PACKAGE)


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


# what imports what --------------------------------------------------------------------------------


def test_every_module_has_its_place(package):
    assert {entry(module) for module in package.trees} - {""} <= set(ORDER)


def test_no_import_leads_upwards(package):
    imports = package.imports()
    assert sum(map(len, imports.values())) > 300
    assert not arrows_upwards(imports)


def test_no_imports_run_in_a_circle(package):
    imports = package.imports()
    assert circle({module: others for module, others in imports.items() if module}) is None


def test_imports_by_a_computed_name_are_few(package):
    assert {module for module in package.trees if package.computes_an_import(module)} == COMPUTED


MADE_UP = {  # source of b.py, and what it imports
    "import": ("import house.c", {"c"}),
    "import as": ("import house.f.d as d", {"f.d"}),
    "from": ("from house.f.d import name", {"f.d"}),
    "from folder": ("from house.f import d", {"f.d"}),
    "from folder a name": ("from house.f import name", {"f"}),
    "from package": ("from house import c", {"c"}),
    "from package a name": ("from house import taken", {"f.d"}),
    "from package a constant": ("from house import __version__", set()),
    "from package all": ("from house import *", {"f.d"}),
    "package": ("import house\nhouse.taken()\nhouse.__version__", {"f.d"}),
    "package as": ("import house as h\nh.c.name()", {"c"}),
    "relative": ("from . import c\nfrom .f.d import name", {"c", "f.d"}),
    "function": ("def f():\n    from house import c", {"c"}),
    "types": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house import c", {"c"}),
    "importlib": ("import importlib\nimportlib.import_module('house.f.d')", {"f.d"}),
    "import_module": ("from importlib import import_module\nimport_module('.c', 'house')", {"c"}),
    "import_module as": ("from importlib import import_module as i\ni('house.f.d')", {"f.d"}),
    "by keyword": ("import importlib\nimportlib.import_module(name='house.f.d')", {"f.d"}),
    "__import__": ("__import__('house.c')", {"c"}),
    "table": ("from importlib import import_module as i\nimport importlib\nT = {1: 'house.c'}\n"
              "importlib.import_module(T[1])", {"c"}),
    "beginning": ("import importlib\nimportlib.import_module(f'house.f.{1}')", {"f.d", "f.g"}),
    "others": ("import numpy, house_of_cards\nfrom houses import c\nimportlib.import_module('numpy')", set()),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE_UP)
def test_every_kind_of_import_is_read(tmp_path, case):
    source, wanted = MADE_UP[case]
    files = {
        "__init__": "from house.f.d import taken\n__version__ = '1'",
        "b": source,
        "c": "",
        "f/__init__": "",
        "f/d": "from .. import c\nfrom . import g",
        "f/g": "from house.f import d",
    }
    for name, text in files.items():
        path = tmp_path / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    imports = Package(tmp_path / "house").imports()
    assert imports["b"] == wanted
    assert imports["f.d"] == {"c", "f.g"}
    assert circle(imports) == ["f.d", "f.g", "f.d"]


def test_an_arrow_upwards_and_a_circle_are_found():
    downwards = {"local": {"checks", "layers"}, "methods.kfac": {"methods.base"}, "methods.base": {"local"}}
    assert arrows_upwards(downwards) == []
    assert circle(downwards) is None
    upwards = {"local": {"methods.base"}, "checks": {""}, "": {"cli.main"}}
    assert arrows_upwards(upwards) == [("local", "methods.base"), ("checks", "")]
    assert circle(downwards | upwards) == ["local", "methods.base", "local"]


# where the tests are ------------------------------------------------------------------------------

TESTS = Path(__file__).resolve().parent
# Modules without a test file of their own name, and the file that tests them.
TESTED_IN = {
    "checks": "methods/test_contract.py",  # as are all arguments that every public function refuses
    "formulas": "test_transfers.py",
    "layers": "test_network.py",
    "regularizers": "test_local.py",
}


def test_no_two_test_files_share_a_name():
    names = [path.name for path in TESTS.rglob("*.py") if path.name not in ("conftest.py", "__init__.py")]
    assert len(names) > 30
    assert sorted(names) == sorted(set(names))


def test_every_test_folder_mirrors_a_folder_of_the_project():
    ours = {"helpers", "second_sources", "notebooks", "examples", "mutants"}
    folders = {path.name for path in TESTS.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - ours <= {path.name for path in PACKAGE.iterdir() if path.is_dir()}


@pytest.mark.parametrize("module", sorted(path.stem for path in PACKAGE.glob("[a-z]*.py")))
def test_every_module_of_the_lecture_has_its_tests(module):
    assert any(TESTS.glob(f"test_{module}*.py")) or (TESTS / TESTED_IN[module]).is_file()


def test_second_sources_import_nothing_of_the_package():
    sources = sorted((TESTS / "second_sources").glob("*.py"))
    assert len(sources) > 4
    for source in sources:
        text = source.read_text(encoding="utf-8")
        names = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or "."] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        allowed = {"numpy", "mpmath", "scipy"} | {other.stem for other in sources}
        assert names <= allowed | set(sys.stdlib_module_names), source
        assert "second source of" in " ".join((ast.get_docstring(ast.parse(text)) or "").lower().split()), (
            source
        )


def test_a_list_of_parameters_is_never_empty(request):
    """pytest would skip the test: a folder that was moved would be checked by nobody."""
    mark = get_empty_parameterset_mark(request.config, ["path"], test_no_pickle_no_eval)
    named = SimpleNamespace(nodeid="a.py::test_a", iter_markers=lambda name: [mark.mark])
    other = SimpleNamespace(
        nodeid="a.py::test_b", iter_markers=lambda name: [pytest.mark.skip("no GPU").mark]
    )
    assert without_parameters([other, named]) == ["a.py::test_a"]


# what stays small, and what is never there --------------------------------------------------------


GPU_LIBRARIES = {"cupy", "cupyx", "torch", "jax"}
# which import them by name when they run, never by a statement
LATE = {"backend": {"cupy", "jax", "torch"}, "parallel": {"cupy"}}


def libraries(tree):
    """(names that import statements bring, names that calls of import_module bring), whole libraries."""
    stated, called = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            stated |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            stated.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and (given := imported_name(tree, node)) is not None:
            called.add(str(getattr(given, "value", "")).partition(".")[0])
    return stated, called


def test_only_the_backend_names_cupy_in_its_code(package):
    found = {module: libraries(tree) for module, tree in package.trees.items()}
    assert {module for module, (stated, _) in found.items() if stated & GPU_LIBRARIES} == set()
    late = {module: names for module, (_, called) in found.items() if (names := called & GPU_LIBRARIES)}
    assert late == LATE


LECTURE = [*PACKAGE.glob("*.py"), *(PACKAGE / "methods").glob("*.py")]


def longest_function(path):
    """Lines of code of the longest function of a file, its docstring not counted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    bodies = [node.body[1:] if ast.get_docstring(node) else node.body for node in functions]
    return max((body[-1].end_lineno - body[0].lineno + 1 for body in bodies if body), default=0)


@pytest.mark.parametrize("path", LECTURE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_of_the_lecture_reads_in_one_sitting(path):
    """The method was one promise of 300 lines before its parts were classes; now every file has a bound."""
    assert code_lines(path) <= 250
    assert longest_function(path) <= 50


def test_code_lines_counts_code_alone(tmp_path):
    path = tmp_path / "m.py"
    doc, body = '"""Doc\n\nstring."""\n\n# comment\nx = 1\n\n\n', "    return (\n        x\n    )\n"
    path.write_text(doc + 'def f():\n    """Doc."""\n' + body)
    assert code_lines(path) == 5
    assert code_lines(path, {"f"}) == 4


# records of a measurement that is going on, and of the second source
MUTABLE = {
    "oracle.second_source.local": ["Problem"],
    "oracle.second_source.network": ["Layer", "Pass"],
    "oracle.second_source.positions": ["Wired", "Trace"],
    "experiments.compare.timing": ["Training", "Turns"],
}


def unfrozen(tree):
    """Names of the dataclasses of a module that are not frozen."""
    return [
        node.name
        for node in ast.walk(tree)
        for how in (node.decorator_list if isinstance(node, ast.ClassDef) else ())
        if "dataclass" in (words := ast.unparse(how)) and "frozen=True" not in words
    ]


def test_dataclasses_are_frozen(package):
    """Nothing that a method or a network is made of changes behind its checks."""
    assert {module: names for module, tree in package.trees.items() if (names := unfrozen(tree))} == MUTABLE


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
