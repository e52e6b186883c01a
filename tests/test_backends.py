"""Which cases of a test run on which array library, and what that leaves untested."""

import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import backends
import numpy as np
import pytest
from backends import IN_FULL, NAMES, OPEN, cases_to_run
from numpy.testing import assert_array_equal

TESTS = Path(__file__).resolve().parent
# What runs on NumPy alone: checks of values, which would wait for a device, and threads.
ON_THE_HOST = {
    "checks.py": {"finite"},
    "backend.py": {"_cholesky_solve", "one_blas_thread"},
    "parallel.py": {"worth_threads", "_in_threads", "_cores"},
}
ONCE = {"_thread_pools", "_threads"}  # their results are kept: the library that comes first calls them


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_numbers_go_into_every_array_library_and_out(backend, dtype):
    values = np.arange(6).reshape(2, 3)
    array = backend.asarray(values, dtype=dtype)
    assert backend.xp.isdtype(array.dtype, getattr(backend.xp, dtype))
    back = backend.numpy(array + array)  # exact: small integers in every dtype
    assert back.dtype == np.dtype(dtype)
    assert_array_equal(back, 2 * values)


def test_unwriteable_arrays_refuse_to_be_written_into(readonly):
    for array in (readonly([1.0, 2.0]), OPEN["numpy"]().asarray([1.0, 2.0])):
        with pytest.raises(ValueError, match="read-only"):
            array += 1
    array = OPEN["numpy-writeable"]().asarray([1.0, 2.0])
    array += 1
    assert array.tolist() == [2.0, 3.0]


def product(libraries, dtypes, names):
    return [
        {"backend": library, "dtype": dtype, "name": name}
        for library, dtype, name in itertools.product(libraries, dtypes, names)
    ]


def chosen(cases, each, function="test_something"):
    kept = cases_to_run([{k: case[k] for k in ("backend", *each)} for case in cases], function)
    return [cases[i] for i in kept]


@pytest.mark.parametrize("library", sorted(IN_FULL))
def test_numpy_and_a_gpu_run_every_case(library):
    cases = product([library], range(2), range(7))
    assert chosen(cases, ()) == chosen(cases, ("name",)) == cases


def test_another_library_runs_one_case():
    found = chosen(product(["numpy", "torch", "jax"], range(2), range(7)), ())
    assert [case["backend"] for case in found] == ["numpy"] * 14 + ["torch", "jax"]


def test_another_library_runs_one_case_for_each_value_that_the_test_names():
    found = chosen(product(["torch", "jax"], range(2), range(7)), ("name",))
    assert sorted((case["backend"], case["name"]) for case in found) == [
        (library, name) for library in ("jax", "torch") for name in range(7)
    ]


def test_the_choice_stays_and_differs_from_test_to_test():
    cases = product(["torch"], range(2), range(7))
    some = [chosen(cases, (), f"test_{i}") for i in range(40)]
    assert some == [chosen(cases, (), f"test_{i}") for i in range(40)]
    for key, count in (("dtype", 2), ("name", 7)):
        assert len({case[key] for (case,) in some}) == count


def cupy_with(count):
    class CUDARuntimeError(RuntimeError):
        pass

    def get():
        if count is None:
            raise CUDARuntimeError("no driver")
        return count

    return SimpleNamespace(
        cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=get, CUDARuntimeError=CUDARuntimeError))
    )


@pytest.mark.parametrize(("count", "wanted"), [(None, False), (0, False), (1, True), (4, True)])
def test_a_gpu_is_one_that_cupy_finds(monkeypatch, count, wanted):
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "cupy", cupy_with(count))
    assert backends.has_gpu() is wanted


def test_without_cupy_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert backends.has_gpu() is False


def test_no_item_of_cupy_is_collected_without_a_gpu(request):
    assert [name for name in OPEN if name not in NAMES] == ([] if backends.has_gpu() else ["cupy"])
    on = {item.callspec.params.get("backend") for item in request.session.items if hasattr(item, "callspec")}
    assert backends.has_gpu() or "cupy" not in on


def run_in(environment, *words):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    path = [
        str(TESTS / "helpers"),
        str(TESTS.parent),
        *environment.pop("path", []),
        inherited.get("PYTHONPATH", ""),
    ]
    return subprocess.run(
        [sys.executable, *words], cwd=TESTS.parent, capture_output=True, text=True, check=False,
        env=inherited | {"PYTHONPATH": os.pathsep.join(path), "CI": ""} | environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """The file of the plugin `called`, made by the quick tests of the lecture and the methods."""
    out = tmp_path_factory.mktemp("called") / "called.json"
    files = [*TESTS.glob("test_*.py"), *(TESTS / "methods").glob("test_*.py")]
    options = ["-q", "-p", "called", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not full"]
    run = run_in({"LOCOPROP_REF_CALLED": str(out)}, "-m", "pytest", *options, *map(str, sorted(files)))
    assert run.returncode == 0, run.stdout
    return out


@pytest.mark.full
def test_every_function_is_called_on_every_library(called):
    """What the quick tests call on NumPy they call on the other pinned libraries, except host-only code.

    PyTorch and JAX run the same cases as these (`helpers/backends.py`), which are slow under a profiler.
    """
    names = json.loads(called.read_text(encoding="utf-8"))
    del names["namespace"]
    everything = set(names.pop("numpy"))
    assert len(everything) > 200
    assert {"numpy-writeable", "array-api-strict"} <= set(names)
    for library, found in names.items():
        lost = [name for name in everything - set(found) if not expected(library, name)]
        assert not lost, f"{library}: {sorted(lost)}"


@pytest.mark.full
def test_cupy_accepts_every_call_of_the_namespace(called):
    """By CuPy's signatures and the dtypes of its ufuncs: it needs CuPy, but no GPU.

    In continuous integration CuPy stands apart, in .venv/cupy, where no other test finds it.
    """
    apart = Path(sys.prefix) / "cupy"
    if not apart.is_dir() and find_spec("cupy") is None:
        pytest.skip("cupy is not installed")
    path = [str(apart)] if apart.is_dir() else []
    run = run_in({"path": path}, str(TESTS / "helpers" / "cupy_signatures.py"), str(called))
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert {"take", "concat", "reshape", "tanh", "where", "linalg.solve"} <= set(found["functions"])
    assert found["calls"] > 100
    assert not found["refused"]


def expected(library, name):
    """Whether a function ("module.py:line name") need not be called on a library."""
    module, _, function = name.partition(" ")
    module, function = module.partition(":")[0], function.partition(".<locals>")[0]
    return function in ONCE or (library != "numpy-writeable" and function in ON_THE_HOST.get(module, ()))
