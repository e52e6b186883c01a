"""The oracle: certified numbers for every part of LocoProp, and a checker that says what is wrong.

    vectors     cases with inputs, expected values and tolerances, certified in 60 digits (FORMAT.md)
    check       an implementation, as a Python callable, against the vectors
    results     an implementation in another language, by the file that it writes
    diagnosis   which convention, changed, reproduces what an implementation returned

>>> from locoprop_ref.oracle import cases
>>> len(cases("closed_form")) > 5
True
"""

from locoprop_ref.oracle.check import check
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.results import BadResults, check_results
from locoprop_ref.oracle.vectors import Case, cases

__all__ = ["cases", "check", "check_results", "Case", "Report", "BadResults"]
