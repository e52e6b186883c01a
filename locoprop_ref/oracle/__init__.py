"""The oracle: certified numbers for every part of LocoProp, and a checker that finds what is wrong.

    vectors     cases with inputs, expected values and tolerances, certified to 60 digits (FORMAT.md)
    check       compares an implementation, given as a Python callable, with the vectors
    results     compares an implementation in another language, by means of the file that it writes
    diagnose    finds the changed convention that reproduces what an implementation returned

>>> from locoprop_ref.oracle import cases
>>> len(cases("closed_form")) > 5
True
"""

from locoprop_ref.oracle.check import check
from locoprop_ref.oracle.report import Report
from locoprop_ref.oracle.results import BadResults, check_results
from locoprop_ref.oracle.vectors import Case, cases

__all__ = ["cases", "check", "check_results", "Case", "Report", "BadResults"]
