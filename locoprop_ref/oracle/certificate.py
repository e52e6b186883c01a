"""The certificate: the errors of an implementation, case by case, in ulp and as relative errors."""

from statistics import median

import numpy as np

from locoprop_ref.oracle.outcome import Result
from locoprop_ref.oracle.report import Report


def certificate(report: Report) -> str:
    """Return a table of the cases that were compared, with a summary at its end.

    `ulp` is the largest error in units in the last place of the array's largest expected number. `relative`
    is the largest error of an element divided by the element's own size, which is large if an element is
    small by cancellation. `share` is the error divided by the tolerance.
    """
    lines = [
        f"{report.implementation}, {report.dtype}",
        "ulp: largest error in units in the last place of the array's largest number; relative: by element",
        "",
        f"{'case':44} {'ulp':>9} {'relative':>9} {'share':>7}",
    ]
    compared = [result for result in report.results if result.comparisons]
    for result in compared:
        ulp, relative, share = figures(result, report.dtype)
        lines.append(f"{result.case.id:44} {ulp:9.2f} {relative:9.1e} {share:7.2f}")
    missing = [result.case.id for result in report.results if result.status == "not covered"]
    left = [f"not covered: {', '.join(missing)}"] if missing else []
    return "\n".join([*lines, "", *_summary(compared, report.dtype), *left])


def figures(result: Result, dtype: str) -> tuple[float, float, float]:
    """Return a case's largest error in ulp, its largest relative error, and its share of the tolerance."""
    comparisons = [c for c in result.comparisons if not np.isnan(c.error)]
    if not comparisons:
        return np.nan, np.nan, np.nan
    worst = max(c.error for c in comparisons) / result.case.tolerance[dtype]
    return max(c.ulp for c in comparisons), max(c.relative for c in comparisons), worst


def _summary(compared: list[Result], dtype: str) -> list[str]:
    if not compared:
        return ["nothing was compared"]
    rows = {result.case.id: figures(result, dtype) for result in compared}
    worst = sorted(rows, key=lambda id_: -rows[id_][0])[:3]
    ulps = [row[0] for row in rows.values()]
    within = sum(ulp <= 4 for ulp in ulps)
    named = ", ".join(f"{id_} {rows[id_][0]:.0f}" for id_ in worst)
    passed = sum(result.status == "pass" for result in compared)
    return [
        f"{passed} of {len(compared)} cases pass; median {median(ulps):.2f} ulp; {within} within 4 ulp",
        f"largest errors in ulp: {named}",
        f"largest share of a tolerance used: {max(row[2] for row in rows.values()):.2f}",
    ]
