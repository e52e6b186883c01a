"""A folder with tiny data to tune on, and what the package logs."""

import logging

import pytest
from small_runs import write_data

from locoprop_ref.experiments.tune.problem import tuning_data


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A new working directory with tiny.npz in it."""
    write_data(tmp_path / "tiny.npz")
    monkeypatch.chdir(tmp_path)
    tuning_data.cache_clear()
    return tmp_path


@pytest.fixture
def said(caplog):
    """A function that returns the lines that the package has logged."""
    caplog.set_level(logging.INFO, "locoprop_ref")
    return lambda: [
        record.getMessage() for record in caplog.records if record.name.startswith("locoprop_ref")
    ]
