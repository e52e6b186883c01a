"""Array libraries, unwriteable arrays and real MNIST files for every test; and the rule about skips."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from backends import NAMES, OPEN, SLOW, Backend, cases_to_run
from nothing_tested import without_parameters

os.environ.setdefault("MPLBACKEND", "Agg")

# A shell script's background job ignores Ctrl-C, and so do its children: the tests of Ctrl-C want it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("locoprop-ref", derandomize=True, deadline=None, max_examples=40)
hypothesis.settings.load_profile("locoprop-ref")

# imports PyTorch, which `make test` does without; the tests that use it ask for it themselves
collect_ignore = [
    "oracle/mistakes.py",
    "oracle/port_mistakes.py",
    "oracle/pypi_package.py",
    "oracle/positions_mistakes.py",
    "oracle/torch_positions.py",
]
# a conftest.py in every folder: as modules with doctests they would share one name
collect_ignore_glob = ["*conftest.py"]

REPOSITORY = Path(__file__).resolve().parent.parent


# ------------------------------ array libraries


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=[pytest.mark.full] if name in SLOW else []) for name in NAMES],
)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every array library in turn; NumPy's arrays refuse to be written into."""
    opened = OPEN[request.param]()
    if isinstance(opened, Backend):
        yield opened
    else:
        yield from opened


@pytest.fixture(scope="session")
def numpy_backend() -> Backend:
    """NumPy alone, with arrays that refuse to be written into: for what one library is enough to show."""
    return OPEN["numpy"]()


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """Leave out the cases that `cases_to_run` does not choose, before an item is made of them."""
    yield
    given = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    if "backend" not in metafunc.fixturenames or "backend" in given:
        return
    each = [name for mark in metafunc.definition.iter_markers("each") for name in mark.args]
    calls = metafunc._calls  # pytest has no public way to combine arguments other than in full
    numbers: dict[int, int] = {}  # of values in the order in which they first come
    cases = [
        {"backend": call.params["backend"]}
        | {name: numbers.setdefault(id(call.params[name]), len(numbers)) for name in each}
        for call in calls
    ]
    metafunc._calls = [calls[i] for i in cases_to_run(cases, metafunc.function.__name__)]


@pytest.fixture(scope="session")
def xp(backend: Backend) -> Any:
    """The array namespace of every array library in turn (the same turns as `backend`)."""
    return backend.xp


@pytest.fixture(scope="session")
def readonly() -> Callable[[Any], np.ndarray]:
    """A function that copies numbers into a NumPy array which refuses to be written into."""

    def copy(values: Any, dtype: Any = None) -> np.ndarray:
        array = np.array(values, dtype=dtype)
        array.flags.writeable = False
        return array

    return copy


# ------------------------------ no test passes because there is nothing to test


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse tests whose parameters are an empty list, such as the files of a folder that was moved."""
    if empty := without_parameters(session.items):
        raise pytest.UsageError(
            f"these tests have no parameter, so that nothing is tested: {', '.join(empty)}"
        )


# ------------------------------ the longest files first
#
# Processes that share the files end together if the long ones do not come last.

LONGEST_FIRST = ("tests/notebooks", "tests/experiments", "tests/examples", "tests/data", "tests/oracle")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move the tests of these folders to the front, in this order; all others keep theirs."""

    def place(item: pytest.Item) -> int:
        starts = [n for n, first in enumerate(LONGEST_FIRST) if item.nodeid.startswith(first)]
        return starts[0] if starts else len(LONGEST_FIRST)

    items.sort(key=place)


# ------------------------------ data

MNIST_FILE = "train-images-idx3-ubyte"


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """The folder of the real MNIST files: LOCOPROP_REF_DATA, else the one beside the repository."""
    folder = Path(os.environ.get("LOCOPROP_REF_DATA") or REPOSITORY.parent / "shared" / "data" / "mnist")
    if not any((folder / f"{MNIST_FILE}{ending}").is_file() for ending in ("", ".gz")):
        pytest.skip("no MNIST files (set LOCOPROP_REF_DATA)")
    return folder


# ------------------------------ skips are failures in continuous integration
#
# A user's run skips what cannot run there. With CI=true a skip is a failure, except "no GPU", and except
# what `.ci/run` looked for, could not get, said so, and named in LOCOPROP_REF_NOT_INSTALLED ("torch mnist").

MISSING = re.compile(
    r"(?P<library>\S+) is not installed|could not import '(?P<module>[\w.]+)'|no (?P<data>\w+) files"
)


def _allowed(reason: str, not_installed: set[str]) -> bool:
    if reason.startswith("no GPU"):
        return True
    found = MISSING.match(reason)
    if not found:
        return False
    name = found["library"] or found["module"] or found["data"]
    return name.split(".")[0].lower() in not_installed


def _offending_skips(config: pytest.Config) -> list[str]:
    if os.environ.get("CI", "").lower() not in {"1", "true"}:
        return []
    not_installed = set(os.environ.get("LOCOPROP_REF_NOT_INSTALLED", "").lower().split())
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = reporter.stats.get("skipped", []) if reporter else []
    reasons = [(report.nodeid, str(report.longrepr[2]).removeprefix("Skipped: ")) for report in reports]
    return [f"{nodeid}: {reason}" for nodeid, reason in reasons if not _allowed(reason, not_installed)]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and _offending_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    offending = _offending_skips(config)
    if offending:
        terminalreporter.section("skipped, which is a failure with CI=true", sep="=", red=True)
        for line in offending:
            terminalreporter.write_line(line, red=True)
