"""Tiny data, and what the package logs, for every test of training."""

import importlib.util
import logging
from pathlib import Path
from types import ModuleType

import pytest
from small_runs import write_data


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A data set of noise, 60 + 20 examples of 9 pixels with labels, as an NPZ."""
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture
def logged(caplog):
    """The lines that the package logs for a user: level INFO, from the loggers below "locoprop_ref"."""
    caplog.set_level(logging.INFO, logger="locoprop_ref")
    return caplog


@pytest.fixture(scope="session")
def tables() -> ModuleType:
    """docs/tables.py as a module."""
    file = Path(__file__).resolve().parents[2] / "docs" / "tables.py"
    spec = importlib.util.spec_from_file_location("tables", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
