"""A pytest plugin that notes which functions of the package the tests call on every array library.

    LOCOPROP_REF_CALLED=out.json PYTHONPATH=tests/helpers python -m pytest -p called tests/test_transfers.py

It runs the tests that take a `backend` and no others. The file is {library: ["module.py:line name", ...]},
and under "namespace" what they ask of array-api-strict: a list of {"name": "concat", "positional": [kinds of
the positional arguments], "keywords": {name: kind}}. The kind of an array is its dtype, that of another
argument its type, and that of a list or tuple holds the kinds of its items.
"""

import cProfile
import functools
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

PACKAGE = str(Path(__file__).resolve().parents[2] / "locoprop_ref") + os.sep
FOUND: dict[str, set[CodeType]] = {}
ASKED: set[str] = set()  # calls of the namespace, as JSON


def kind(value: Any) -> Any:
    """The dtype of an array, the type of another value, or a list of the kinds of a list's items."""
    if hasattr(value, "__array_namespace__"):
        return str(value.dtype).rpartition(".")[2]
    if isinstance(value, list | tuple):
        return sorted({json.dumps(kind(item)) for item in value})
    return type(value).__name__


def noting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which notes how it is called from the package."""

    @functools.wraps(function)
    def noted(*positional: Any, **keywords: Any) -> Any:
        if sys._getframe(1).f_code.co_filename.startswith(PACKAGE):
            call = {"name": name, "positional": [kind(value) for value in positional]}
            call["keywords"] = {key: kind(value) for key, value in sorted(keywords.items())}
            ASKED.add(json.dumps(call))
        return function(*positional, **keywords)

    return noted


def pytest_configure() -> None:
    """Note the calls of array-api-strict's functions, those of its linear algebra included."""
    import array_api_strict

    for prefix, module in (("", array_api_strict), ("linalg.", array_api_strict.linalg)):
        for name, function in list(vars(module).items()):
            if inspect.isfunction(function) and not name.startswith("_"):
                setattr(module, name, noting(prefix + name, function))


def library_of(item: pytest.Item) -> str | None:
    """The array library that a test runs on, or None."""
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("backend") if callspec else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if library_of(item)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note the functions that a test calls, in its own thread by a profiler written in C, which is quick."""
    codes = FOUND.setdefault(library_of(item) or "", set())

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            codes.add(frame.f_code)

    profile = cProfile.Profile(subcalls=False, builtins=False)
    threading.setprofile(note)  # cProfile sees no other thread
    profile.enable()
    try:
        return (yield)
    finally:
        profile.disable()
        threading.setprofile(None)  # type: ignore[arg-type]
        codes.update(entry.code for entry in profile.getstats() if isinstance(entry.code, CodeType))


def pytest_sessionfinish() -> None:
    names = {
        library: sorted(
            f"{code.co_filename.removeprefix(PACKAGE)}:{code.co_firstlineno} {code.co_qualname}"
            for code in codes
            if code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<gen")
        )
        for library, codes in FOUND.items()
    }
    asked = {"namespace": [json.loads(call) for call in sorted(ASKED)]}
    Path(os.environ["LOCOPROP_REF_CALLED"]).write_text(json.dumps(names | asked), encoding="utf-8")
