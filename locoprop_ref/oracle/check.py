"""Check of an implementation against the vectors.

A target is a callable `target(topic, conventions, inputs) -> dict of arrays`. It returns NotImplemented (or
raises NotImplementedError) for the cases that it does not cover. An implementation in another language reads
the vectors and writes a results file instead (`results.py`). The report is always complete: if a case raises
an error, returns a wrong type or never returns, only this case is affected.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from locoprop_ref import checks as arguments
from locoprop_ref.oracle.compare import as_arrays, compare, extra_names
from locoprop_ref.oracle.diagnose import diagnose as _diagnose
from locoprop_ref.oracle.outcome import ERROR, FAIL, NOT_COVERED, NOT_RUN, PASS, Result
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.topics import TOPICS
from locoprop_ref.oracle.vectors import DTYPES, Case, cases

Target = Callable[[str, dict[str, str], dict[str, Any]], Any]


def check(
    target: Target,
    which: Iterable[Case] | None = None,
    *,
    dtype: str = "float64",
    implementation: str | None = None,
    require: Iterable[str] = (),
    time_limit: float = 20.0,
    warm_up: float = 20.0,
    diagnose: bool = True,
    search_limit: float = 60.0,
    strict: bool = False,
) -> Report:
    r"""Run a target on the vectors, compare, and diagnose what is wrong.

    Args:
        target: `target(topic, conventions, inputs) -> {name: array}`, with arrays of any library; the arrays
            among the inputs are NumPy arrays of type `dtype`, and the target may change them.
        which: cases to run, default all (`cases()`).
        dtype: "float64" (default) or "float32".
        implementation: name for the report; default the name of the callable.
        require: topics that must be covered.
        time_limit: seconds for one case, default 20; after the first case of a topic that takes longer, the
            remaining cases of the topic are not run.
        warm_up: additional seconds for a first call, which may import or compile, default 20. A call that
            takes longer than `time_limit` is repeated once, and the limit holds for the second call.
        diagnose: whether to search for the deviation that explains the failing cases (needs mpmath).
        search_limit: seconds for the search for pairs of deviations, default 60.
        strict: whether acceptable variants count as failures.

    Returns:
        the report; `report.ok` is true if nothing is wrong, and `report.assert_ok()` is meant for tests.

    Raises:
        OSError: no thread can be started.
        TypeError, ValueError: target is not callable, or a dtype or topic is unknown, or a limit is no
            time that a clock can wait.

    >>> from locoprop_ref.oracle import cases, check
    >>> def target(topic, conventions, inputs):
    ...     if topic != "transfer" or inputs["transfer"] != "identity":
    ...         return NotImplemented
    ...     return {"f": inputs["a"], "derivative": inputs["a"] ** 0}
    >>> check(target, cases("transfer")).ok
    True
    """
    if not callable(target):
        raise TypeError(f"target must be callable, got {type(target).__name__}")
    arguments.one_of("dtype", dtype, DTYPES)
    if not 0 < arguments.number("time_limit", time_limit) <= threading.TIMEOUT_MAX:
        most = f"above 0 and at most {threading.TIMEOUT_MAX:g}"
        raise ValueError(f"time_limit must be a number of seconds {most}, got {time_limit}")
    if not 0 <= arguments.number("warm_up", warm_up) <= threading.TIMEOUT_MAX - time_limit:
        wanted = "a number of seconds of at least 0 that a clock can wait"
        raise ValueError(f"warm_up must be {wanted}, got {warm_up}")
    arguments.number("search_limit", search_limit)
    for name, switch in (("diagnose", diagnose), ("strict", strict)):
        arguments.boolean(name, switch)
    start = time.perf_counter()
    results: list[Result] = []
    stuck: dict[str, str] = {}
    selected = selected_cases(which)
    for case in tqdm(selected, desc="checking", unit="case", disable=None, leave=False):
        if case.topic in stuck:
            message = f"not run, because {stuck[case.topic]} did not return in time"
            results.append(Result(case, NOT_RUN, message=message))
        else:
            results.append(_run(target, case, dtype, time_limit, warm_up))
            if results[-1].status == NOT_RUN:
                stuck[case.topic] = case.id
    name = implementation or str(getattr(target, "__qualname__", type(target).__name__))
    elapsed = time.perf_counter() - start
    return finished(
        name, dtype, results, require, elapsed=elapsed, diagnose=diagnose, search_limit=search_limit,
        strict=strict,
    )  # fmt: skip


def selected_cases(which: Any) -> tuple[Case, ...]:
    """Return the cases to check, by default all; refuse what is none."""
    selected = arguments.several("which", cases() if which is None else which, "a list of cases")
    for case in selected:
        arguments.instance("which", case, Case, "a list of cases, as oracle.cases returns")
    return selected


def finished(
    implementation: str,
    dtype: str,
    results: Sequence[Result],
    require: Iterable[str],
    *,
    problems: Sequence[str] = (),
    elapsed: float = 0.0,
    diagnose: bool = True,
    search_limit: float = 60.0,
    strict: bool = False,
) -> Report:
    """Assemble the report: check the required topics, and diagnose the failing cases."""
    problems = [*problems, *_uncovered(results, require)]
    report = Report(implementation, dtype, results, (), problems, (elapsed, 0.0), strict)
    if diagnose and any(result.status == FAIL for result in results):
        start = time.perf_counter()
        try:
            findings = _diagnose(results, dtype, seconds=search_limit)
        except ImportError:
            return replace(
                report, problems=[*problems, "the diagnosis needs mpmath: install locoprop-ref[oracle]"]
            )
        report = report.with_findings(findings, time.perf_counter() - start)
    return report


def _uncovered(results: Sequence[Result], require: Iterable[str]) -> list[str]:
    sentences = []
    for topic in arguments.several("require", require, "a list of topics"):
        arguments.one_of("require", topic, TOPICS)
        statuses = [r.status for r in results if r.case.topic == topic]
        missing = statuses.count(NOT_COVERED)
        if missing or not statuses:
            sentences.append(
                f"topic {topic} is required, and {missing} of its {len(statuses)} cases are not covered"
            )
    return sentences


def judge(case: Case, values: Mapping[str, Any], dtype: str) -> Result:
    """Compare the values that an implementation returned for a case, and return the result."""
    try:
        got = as_arrays(case, values)
    except TypeError as error:
        return Result(case, ERROR, message=str(error))
    comparisons = compare(case, got, dtype, extra_names(case, values))
    failed = any(comparison.problem for comparison in comparisons)
    message = _lower_dtype(got, dtype) if failed else ""
    return Result(case, FAIL if failed else PASS, comparisons, got, message)


def _lower_dtype(got: Mapping[str, np.ndarray], dtype: str) -> str:
    narrow = sorted(name for name, value in got.items() if value.dtype == np.float32 and dtype == "float64")
    return f"{', '.join(narrow)} returned in float32" if narrow else ""


def _run(target: Target, case: Case, dtype: str, time_limit: float, warm_up: float) -> Result:
    """Run a case; if the first call took too long, but did return, the second one counts."""
    start = time.perf_counter()
    outcome = _call(target, case, dtype, time_limit + warm_up)
    if outcome and time.perf_counter() - start > time_limit:
        outcome = _call(target, case, dtype, time_limit)
    if not outcome:
        return Result(case, NOT_RUN, message=f"did not return within {time_limit:g} s")
    kind, value = outcome[0]
    if kind == "error":
        try:
            text = " ".join(str(value).split())[:300]
        except Exception:  # an error of the target's own, whose text raises
            text = "an error without a text"
        return Result(case, ERROR, message=f"raised {type(value).__name__}: {text}")
    return Result(case, NOT_COVERED) if value is NotImplemented else judge(case, value, dtype)


def _call(target: Target, case: Case, dtype: str, seconds: float) -> list[tuple[str, Any]]:
    """Call the target in a separate thread; return what came of it, or nothing if it did not return."""
    outcome: list[tuple[str, Any]] = []

    def call() -> None:
        try:
            outcome.append(("value", target(case.topic, dict(case.conventions), case.cast_inputs(dtype))))
        except NotImplementedError:
            outcome.append(("value", NotImplemented))
        except BaseException as error:
            outcome.append(("error", error))

    thread = threading.Thread(target=call, name=f"oracle {case.id}", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(f"every case needs a thread of its own, and none can be started: {error}") from None
    thread.join(seconds)
    return outcome[:]
