"""A folder with tiny data to tune on, what the package logs, and the command in a process of its own."""

import logging
import subprocess

import pytest
from small_runs import command, environment, write_data

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


@pytest.fixture
def begun(here):
    """A function that begins a command in the folder; what still runs at the end of the test is killed."""
    processes = []

    def begin(*arguments):
        process = subprocess.Popen(
            command(*arguments), cwd=here, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()
