"""Comparison with a saved baseline, by shares of the floor, so that different machines can be compared."""

from pathlib import Path
from typing import Any

from benchmarks.measure import Median
from benchmarks.peers import FLOORS
from benchmarks.problem import METHODS, from_dict
from benchmarks.results import FOLDER, interval, read
from benchmarks.table import measure_method, summary

BASELINE = FOLDER / "baseline.json"
PEERS = ["ours", "ours-in-order", *FLOORS]
SLOWER = 0.9  # a share below 0.9 of the baseline's is a loss, if the intervals do not overlap


def slower(before: Median, now: Median) -> bool:
    """Return whether a share of the floor has decreased by more than a tenth and by more than the noise."""
    return now.median < SLOWER * before.median and now.high < before.low


def rows(baseline: dict[str, Any], *, rounds: int, seconds: float) -> list[tuple[str, str, Median, Median]]:
    """Return rows of method, peer, its share of the floor in the baseline, and its present share."""
    found, problem = [], from_dict(baseline["problem"])
    for method in METHODS:
        times, _ = measure_method(method, problem, PEERS, rounds=rounds, seconds=seconds)
        now = summary(times)
        for peer in ("ours", "ours-in-order"):
            before = Median(**baseline["methods"][method]["peers"][peer]["share_of_floor"])
            found.append((method, peer, before, Median(**now[peer]["share_of_floor"])))
    return found


def run(baseline: Path = BASELINE, *, rounds: int = 20, seconds: float = 0.25) -> int:
    """Measure this package and the floor, print the comparison, and return 1 if something is slower."""
    measured = rows(read(baseline), rounds=rounds, seconds=seconds)
    print(f"% of the floor{'':22}{'baseline':>18}{'now':>18}")
    for method, peer, before, now in measured:
        verdict = "  SLOWER" if slower(before, now) else ""
        columns = f"{interval(before, 100):>18}{interval(now, 100):>18}{verdict}"
        print(f"{method:18}  {peer:16}{columns}")
    return int(any(slower(before, now) for _, _, before, now in measured))
