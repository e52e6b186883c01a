"""A tiny data set, a finished comparison on it, and comparisons without what takes long."""

import pytest
from small_comparison import in_this_process, logged, plan_of
from small_runs import write_data

from locoprop_ref.experiments.compare import run as run_module
from locoprop_ref.experiments.compare.run import compare


@pytest.fixture
def one_process(monkeypatch):
    """Runs in this process: a process each takes longer than the run."""
    monkeypatch.setattr(run_module, "run_processes", in_this_process)


@pytest.fixture
def undrawn(monkeypatch):
    """No page and no figures, which take longer than the runs."""
    monkeypatch.setattr(run_module, "redraw", lambda *_: None)


@pytest.fixture
def quick(one_process, undrawn):
    """Neither processes nor figures."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture(scope="session")
def compared(tiny, tmp_path_factory):
    """A comparison that ran in one go, one job, without a clock; and what it told the user."""
    folder = tmp_path_factory.mktemp("compared")
    with logged() as said:
        assert compare(plan_of(tiny), folder, clock=False, progress=False) == []
    return folder, said
