"""The report of a check: the cases with their status, and the diagnosis, as text, JSON or JUnit XML."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from xml.etree import ElementTree

from locoprop_ref import checks
from locoprop_ref.oracle.diagnose import Finding
from locoprop_ref.oracle.outcome import (
    ACCEPTABLE,
    BAD,
    ERROR,
    FAIL,
    NOT_COVERED,
    NOT_RUN,
    PASS,
    STATUSES,
    Result,
)
from locoprop_ref.oracle.topics import TOPICS
from locoprop_ref.oracle.vectors import encode


@dataclass(frozen=True)
class Report:
    """All results of one check.

    Attributes:
        implementation: the name of the implementation.
        dtype: "float64" or "float32".
        results: one result per case, in the order of the vectors.
        findings: the findings of the diagnosis, the most important first.
        problems: sentences about the input as a whole (unknown ids, a required topic that is not covered).
        seconds: wall-clock times of the target and of the diagnosis.
        strict: whether acceptable variants count as failures.
    """

    implementation: str
    dtype: str
    results: Sequence[Result]
    findings: Sequence[Finding] = ()
    problems: Sequence[str] = ()
    seconds: tuple[float, float] = (0.0, 0.0)
    strict: bool = field(default=False)

    def __post_init__(self) -> None:
        checks.boolean("strict", self.strict)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; with `strict`, acceptable variants count as wrong, too."""
        bad = (*BAD, ACCEPTABLE) if self.strict else BAD
        return not self.problems and not any(result.status in bad for result in self.results)

    def assert_ok(self) -> None:
        """Raise an AssertionError that contains the report, unless nothing is wrong."""
        if not self.ok:
            raise AssertionError(self.text())

    def with_findings(self, findings: Sequence[Finding], seconds: float) -> "Report":
        """Return the report with a diagnosis; well-formed cases that variants explain become acceptable."""
        variants = {id_: finding for finding in findings if finding.acceptable for id_ in finding.ids}
        results = [
            replace(result, status=ACCEPTABLE, message=f"variant {variants[result.case.id].names}")
            if result.status == FAIL and result.case.id in variants and not result.structure
            else result
            for result in self.results
        ]
        return replace(self, results=results, findings=findings, seconds=(self.seconds[0], seconds))

    def text(self, *, verbose: bool = False) -> str:
        """Return the report as text: the diagnosis, then the topics, then the cases that are wrong."""
        counts = self._counts(Counter(result.status for result in self.results))
        lines = [f"{self.implementation}, {self.dtype}: {counts}"]
        lines += [f"  {problem}" for problem in self.problems]
        if self.findings:
            lines += ["", "Diagnosis", *(line for f in self.findings for line in (f"  {f.text}", *f.advice))]
        lines += ["", "Topics", *self._topic_lines()]
        shown = [r for r in self.results if verbose or r.status in (*BAD, ACCEPTABLE)]
        lines += ["", "Cases", *(_case_line(r, self.dtype) for r in shown)] if shown else []
        run, diagnosis = self.seconds
        times = f"{run:.1f} s" + (f", diagnosis {diagnosis:.1f} s" if diagnosis else "")
        return "\n".join([*lines, "", f"{'passed' if self.ok else 'FAILED'} in {times}"])

    @staticmethod
    def _counts(counter: Counter) -> str:
        return ", ".join(f"{counter[status]} {status}" for status in STATUSES if counter[status])

    def _topic_lines(self) -> list[str]:
        lines = []
        for topic in TOPICS:
            results = [r for r in self.results if r.case.topic == topic]
            if results:
                errors = [r.error for r in results if r.status == PASS]
                worst = f"; worst error {max(errors):.1e}" if errors else ""
                lines.append(f"  {topic:14} {self._counts(Counter(r.status for r in results))}{worst}")
        return lines

    def json(self) -> str:
        """Return the report as JSON."""
        rows = [
            {
                "id": r.case.id,
                "status": r.status,
                "message": r.message,
                "compared": [{key: encode(value) for key, value in vars(c).items()} for c in r.comparisons],
            }
            for r in self.results
        ]
        findings = [{"flags": list(f.flags), "ids": list(f.ids), "text": f.text} for f in self.findings]
        document = {
            "schema": 1, "implementation": self.implementation, "dtype": self.dtype, "ok": self.ok,
            "problems": list(self.problems), "findings": findings, "cases": rows,
        }  # fmt: skip
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def junit(self) -> str:
        """Return the report as JUnit XML, with one test case per vector."""
        counts = Counter(r.status for r in self.results)
        suite = ElementTree.Element(
            "testsuite", name=f"locoprop-ref oracle: {_printable(self.implementation)}",
            tests=str(len(self.results) + len(self.problems)), errors=str(counts[ERROR] + counts[NOT_RUN]),
            failures=str(counts[FAIL] + len(self.problems)), skipped=str(counts[NOT_COVERED]),
        )  # fmt: skip
        for problem in self.problems:
            element = ElementTree.SubElement(suite, "testcase", classname="oracle", name="input")
            ElementTree.SubElement(element, "failure", message=_printable(problem))
        kinds = {FAIL: "failure", ERROR: "error", NOT_RUN: "error", NOT_COVERED: "skipped"}
        for r in self.results:
            element = ElementTree.SubElement(suite, "testcase", classname=r.case.topic, name=r.case.id)
            if r.status in kinds:
                ElementTree.SubElement(element, kinds[r.status], message=_printable(r.words or r.status))
            elif r.words:
                ElementTree.SubElement(element, "system-out").text = _printable(r.words)
        for finding in self.findings:
            ElementTree.SubElement(suite, "system-out").text = _printable(finding.text)
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _case_line(result: Result, dtype: str) -> str:
    compared = ", ".join(f"{c.name} ({c.elements})" for c in result.comparisons)
    if result.status == PASS:
        bound = f"worst error {result.error:.1e}, tolerance {result.case.tolerance[dtype]:.0e}"
        return f"  {result.status:11} {result.case.id}: {compared}; {bound}"
    return f"  {result.status:11} {result.case.id}: {result.words or 'returned NotImplemented'}"


def _printable(text: str) -> str:
    """Replace the characters that XML 1.0 does not allow."""
    return "".join(ch if ch >= " " or ch in "\t\n" else "?" for ch in text if not 0xD800 <= ord(ch) <= 0xDFFF)
