"""The notebooks, and the script that makes them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [*sorted(path.stem for path in NOTEBOOKS.glob("[0-9]-*.md")), "check-your-implementation"]


@pytest.fixture(scope="session")
def script() -> ModuleType:
    """notebooks/execute.py as a module."""
    spec = importlib.util.spec_from_file_location("execute_notebooks", NOTEBOOKS / "execute.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "name" in metafunc.fixturenames and "name" not in given:
        metafunc.parametrize("name", NAMES)


@pytest.fixture
def text(name: str) -> Path:
    """A notebook's .md file."""
    return NOTEBOOKS / f"{name}.md"
