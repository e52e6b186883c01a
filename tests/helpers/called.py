"""A pytest plugin that notes which functions of the package the tests call on every array library.

    LOCOPROP_REF_CALLED=out.json PYTHONPATH=tests/helpers python -m pytest -p called tests/test_transfers.py

It runs the tests that take a `backend` and no others. The file is {library: ["module.py:line name", ...]}.
"""

import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

PACKAGE = str(Path(__file__).resolve().parents[2] / "locoprop_ref") + os.sep
FOUND: dict[str, set[CodeType]] = {}


def library_of(item: pytest.Item) -> str | None:
    """The array library that a test runs on, or None."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("backend") if callspec else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if library_of(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    codes = FOUND.setdefault(library_of(item) or "", set())

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def pytest_sessionfinish() -> None:
    names = {
        library: sorted(
            f"{code.co_filename.removeprefix(PACKAGE)}:{code.co_firstlineno} {code.co_qualname}"
            for code in codes
            if code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<gen")
        )
        for library, codes in FOUND.items()
    }
    Path(os.environ["LOCOPROP_REF_CALLED"]).write_text(json.dumps(names), encoding="utf-8")
