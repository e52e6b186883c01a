"""Run mutants: does a test notice? See README.md.

    python tests/mutants/run.py --tree . --mutants tests/mutants/mutants.json --out tests/mutants/before.json

Each mutant is made in a temporary copy of the tree, and runs against the test that it names, if it names one
("first"), then against the quick tests that import its module, and the module's doctests, up to the first
failure. The failure counts if the same test passes without the mutant. A run that was stopped goes on where
it was.
"""

import argparse
import ast
import contextlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache, partial
from pathlib import Path
from typing import Any

from places import find

PACKAGE = "locoprop_ref"
FOLDER = Path(__file__).resolve().parent
# long tests of whole runs: only where no other imports the module
SLOW = re.compile(r"test_(compare|tune|cli|train|packaging)\.py|notebooks/")
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis")
PYTEST = (
    "-m", "pytest", "-x", "-q", "-m", "not full", "--tb=no", "--no-header", "-p", "no:cacheprovider",
)  # fmt: skip
PATIENCE = 4
FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)


# Which tests import a module ----------------------------------------------------------------------


def module_name(path: str) -> str:
    """Return the module of a file: locoprop_ref/second_order/kfac.py is locoprop_ref.second_order.kfac."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


class Imports:
    """Who imports what in a tree; names that a module passes on count for the module that defines them."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        paths = tree.glob(f"{PACKAGE}/**/*.py")
        self.files = {module_name(path.relative_to(tree).as_posix()): path for path in paths}
        self.imported = cache(_imported)

    def home(self, module: str, name: str, asked: frozenset[tuple[str, str]] = frozenset()) -> str:
        """Return the module that defines what `from module import name` brings."""
        if module in self.files and (module, name) not in asked:
            asked |= {(module, name)}
            for bound, source, original in self.imported(self.files[module]):
                if bound == name and source.startswith(PACKAGE):
                    return self.home(source, original, asked)
                if bound == "*" and self.defines(source, name):
                    return self.home(source, name, asked)
        inner = f"{module}.{name}"
        return inner if inner in self.files else module

    def defines(self, module: str, name: str) -> bool:
        """Tell whether a name stands at the top of a module."""
        if module not in self.files:
            return False
        text = self.files[module].read_text(encoding="utf-8")
        return bool(re.search(rf"^(class |def )?{re.escape(name)}\b", text, re.MULTILINE))

    def of(self, path: Path) -> set[str]:
        """Return the modules that a file imports."""
        found = {
            source if name in ("", "*") else self.home(source, name)
            for _, source, name in self.imported(path)
        }
        return found & set(self.files)


def _imported(path: Path) -> list[tuple[str, str, str]]:
    """Return (name here, module, name there) of every import of a file; a module itself has no name there."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found += [(alias.asname or alias.name, str(node.module), alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.asname or "", alias.name, "") for alias in node.names]
    return found


def tests_of(imports: Imports, path: str) -> list[str]:
    """Return the test files for a module, the one of its name first, then the smallest first.

    They are those that import it; where none does, those that import a module which imports it.
    """
    module, modules = module_name(path), {module_name(path)}
    found = _importing(imports, modules)
    while not found:
        above = {name for name, file in imports.files.items() if imports.of(file) & modules} - {PACKAGE}
        if above <= modules:
            return []
        modules |= above
        found = _importing(imports, modules)
    quick = [test for test in found if not SLOW.search(test.as_posix())] or found
    own = {f"test_{part}.py" for part in module.split(".")[1:]}
    quick.sort(key=lambda test: (test.name not in own, test.stat().st_size))
    return [test.relative_to(imports.tree).as_posix() for test in quick]


def closest(imports: Imports, tests: list[str], most: int | None) -> list[str]:
    """Return the first file and those that import the fewest modules besides, `most` in all; None: all."""
    by_imports = sorted(tests[1:], key=lambda test: len(imports.of(imports.tree / test)))
    return tests if most is None else [*tests[:1], *by_imports][:most]


def _importing(imports: Imports, modules: set[str]) -> list[Path]:
    return [test for test in sorted(imports.tree.glob("tests/**/test_*.py")) if imports.of(test) & modules]


# Running them -------------------------------------------------------------------------------------


def environment(tree: Path) -> dict[str, str]:
    """Return the environment of the tests: this tree's package, one thread for BLAS."""
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "OPENBLAS_CORETYPE")}
    threads = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**kept, **threads, "PYTHONPATH": str(tree), "MPLBACKEND": "Agg"}


def pytest(tree: Path, files: list[str], seconds: float) -> tuple[str, str]:
    """Run tests in a tree; return "passed", "failed" or "timeout", and the first that failed.

    Args:
        tree: the copy.
        files: tests, and modules with doctests.
        seconds: processor time, which does not depend on what else the machine does; it may take
            `PATIENCE` times as long by the clock.
    """
    process = subprocess.Popen(
        [sys.executable, *PYTEST, *files], cwd=tree, env=environment(tree), text=True, encoding="utf-8",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5)),
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=PATIENCE * seconds)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "timeout", ""
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "timeout", ""
    if process.returncode == -signal.SIGTERM:
        raise SystemExit("stopped from outside")
    if process.returncode in (0, 5):  # 5: nothing to run, such as a module without doctests
        return "passed", ""
    first = FAILED.search(output)
    return "failed", first[1] if first else output.strip().splitlines()[-1][:200]


def verdict(
    tree: Path, mutant: dict[str, Any], tests: list[str], seconds: float, passing: set[str]
) -> dict[str, Any]:
    """Make one mutant in the copy, run its tests, take it back; return what came of it.

    Args:
        tree: the copy.
        mutant: one of the list.
        tests: test files, the likeliest first.
        seconds: of processor time for each run.
        passing: tests that are known to pass without a mutant; a test that failed with it is added.
    """
    start, path = time.monotonic(), tree / mutant["file"]
    source = path.read_bytes() if path.is_file() else b""
    place = find(source, mutant["function"], mutant["before"], mutant["occurrence"])
    if place is None:
        return {"status": "not found"}
    changed = source[: place.start] + mutant["after"].encode() + source[place.end :]
    status, first = "passed", ""
    first_of_all: list[str] = [mutant["first"]] if "first" in mutant else []
    run_last: list[str] = []
    try:
        _write(path, changed)
        for files in (first_of_all, [mutant["file"], *tests[:1]], tests[1:]):  # the likeliest first
            if files and status == "passed":
                status, first = pytest(tree, files, seconds)
                run_last = files
    finally:
        _write(path, source)
    if status == "failed" and first not in passing:
        check_unmutated(tree, first, run_last)
        passing.add(first)
    status = {"passed": "survived", "failed": "caught"}.get(status, status)
    return {"status": status, "test": first, "seconds": round(time.monotonic() - start, 1)}


def _write(path: Path, source: bytes) -> None:
    """Write a module, and drop its byte code: two of the same size may be written in the same second."""
    path.write_bytes(source)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


def save(path: Path, results: dict[str, Any]) -> None:
    """Write the results, whole or not at all."""
    part = path.with_suffix(".part")
    text = json.dumps(results, indent=1, ensure_ascii=False, sort_keys=True)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def check_import(tree: Path) -> None:
    """Stop unless the package comes from the copy."""
    where = [sys.executable, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"]
    found = subprocess.run(
        where, cwd=tree, env=environment(tree), capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).resolve().is_relative_to(tree.resolve()):
        raise SystemExit(f"the tests would import {found}, not the copy")


def check_unmutated(tree: Path, test: str, files: list[str]) -> None:
    """Stop unless a test that failed passes without the mutant; where it has no name, all that were run."""
    wanted = [test] if re.match(r"[\w/]+\.py", test) else files
    status, first = pytest(tree, wanted, 3600)
    if status != "passed":
        raise SystemExit(f"the tests do not pass without a mutant: {status} {first}")


def run(
    tree: Path, mutants: list[dict[str, Any]], out: Path, seconds: float, most: int | None
) -> dict[str, Any]:
    """Run every mutant that `out` does not hold yet, in a copy of the tree; return all results."""
    results = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(tree, copy, ignore=NOT_COPIED)
        imports = Imports(copy)
        paths = sorted({mutant["file"] for mutant in mutants if (copy / mutant["file"]).is_file()})
        tests = {path: closest(imports, tests_of(imports, path), most) for path in paths}
        for path, files in tests.items():
            print(f"{path}: {' '.join(files) or 'its doctests alone'}", flush=True)
        check_import(copy)
        passing: set[str] = set()
        for mutant in mutants:
            if mutant["id"] not in results:
                files = tests.get(mutant["file"], [])
                results[mutant["id"]] = {
                    **verdict(copy, mutant, files, seconds, passing),
                    "files": len(files),
                }
                save(out, results)
                print(mutant["id"], mutant["file"], mutant["function"], mutant["operator"],
                      *results[mutant["id"]].values(), flush=True)  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=FOLDER.parent.parent, help="where the package lies")
    parser.add_argument("--mutants", type=Path, default=FOLDER / "mutants.json")
    parser.add_argument("--out", type=Path, required=True, help="results, written after every mutant")
    parser.add_argument(
        "--timeout", type=float, default=240, help="seconds of processor a run; longer is caught"
    )
    parser.add_argument("--most", type=int, help="test files a mutant, those closest to it; default all")
    options = parser.parse_args()
    mutants = json.loads(options.mutants.read_text(encoding="utf-8"))
    results = run(options.tree, mutants, options.out, options.timeout, options.most)
    counts = Counter(results[mutant["id"]]["status"] for mutant in mutants)
    print(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
