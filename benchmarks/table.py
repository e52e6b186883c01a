"""The table of all methods and peers, with the floor, memory and start-up times."""

from dataclasses import dataclass
from typing import Any

from benchmarks.measure import Median, interleave, median, ratio
from benchmarks.memory import counted_bytes, peak_bytes
from benchmarks.peers import PEERS
from benchmarks.problem import METHODS, Problem, to_dict
from benchmarks.results import faster_floor, installed, interval, save, shares
from benchmarks.start_up import demo_seconds, import_seconds, test_seconds


@dataclass(frozen=True)
class Bound:
    """A number of the table, with the bound that it must satisfy and its goal."""

    what: str
    measured: float
    bound: float
    goal: float | None = None
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        sign, verdict = ("≥" if self.at_least else "≤"), ("kept" if self.kept else "MISSED")
        goal = "" if self.goal is None else f" (goal {self.goal:g})"
        return f"  {verdict:6}  {self.what}: {self.measured:.3f} {sign} {self.bound:g}{goal}"


def measure_method(
    method: str, problem: Problem, peers: list[str], *, rounds: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Return the seconds per step in every round, and the environment, both by peer."""
    runs = {peer: (peer, problem, method) for peer in peers if method in PEERS[peer].methods}
    return interleave(runs, rounds=rounds, seconds=seconds, title=method)


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Return for every peer its time, its share of the floor, and this package's time divided by its own."""
    share = shares(times)
    return {
        peer: {
            "seconds": median(own).to_dict(),
            "share_of_floor": share[peer].to_dict(),
            "ours_over_this": ratio(times["ours"], own).to_dict(),
            "rounds": own,
        }
        for peer, own in times.items()
    }


def bounds(methods: dict[str, Any], memory: dict[str, Any], start_up: dict[str, Any]) -> list[Bound]:
    """Return the bounds that the table must satisfy; a peer that is not installed has none."""

    def compared(method: str, peer: str, bound: float, goal: float | None = None) -> list[Bound]:
        rows = methods[method]["peers"]
        what = f"{method}, time over that of {PEERS[peer].title}"
        return [Bound(what, rows[peer]["ours_over_this"]["median"], bound, goal)] if peer in rows else []

    def share(method: str, bound: float, goal: float | None = None) -> Bound:
        measured = methods[method]["peers"]["ours"]["share_of_floor"]["median"]
        return Bound(f"{method}, share of the floor", measured, bound, goal, at_least=True)

    lines = [
        *compared("locoprop-m", "jax", 1.0, 0.9),
        *compared("locoprop-m", "pypi", 0.45, 0.38),
        share("locoprop-m", 0.75, 0.85),
        share("locoprop-s-closed", 0.70),
        *compared("locoprop-s", "ours-plain", 1.0),
        *compared("backprop-rmsprop", "torch", 1.0),
        *compared("backprop-sgd", "torch", 1.0),
    ]
    lines += [Bound(f"{name}, peak memory over the count", row["ratio"], 1.5) for name, row in memory.items()]
    lines.append(Bound("import locoprop_ref, seconds", start_up["import"]["median"], 0.3))
    lines.append(Bound("demonstration, seconds", start_up["demo"], 60))
    if start_up["test"] is not None:
        lines.append(Bound("make test, seconds", start_up["test"], 300))
    return lines


def memory_rows(problem: Problem) -> dict[str, dict[str, float]]:
    """Return the peak and the counted bytes of a step of every method."""
    rows = {}
    for method in METHODS:
        peak, count = peak_bytes(problem, method), counted_bytes(problem, method)
        rows[method] = {"peak_bytes": peak, "counted_bytes": count, "ratio": peak / count}
    return rows


def text(result: dict[str, Any], kept: list[Bound]) -> str:
    """Return the table as text."""
    p = result["problem"]
    sizes = "-".join(str(d) for d in (p["pixels"], *p["hidden"], p["pixels"]))
    lines = [
        f"{sizes}, batch {p['batch']}, K = {p['num_local_steps']}, {p['dtype']}; "
        "medians with 95 % intervals, ratios within a round",
        "",
        f"{'':44}{'ms a step':>24}{'% of the floor':>20}{'ours / this':>24}",
    ]
    for method, found in result["methods"].items():
        lines.append(f"{method}, floor: {PEERS[found['floor']].title}")
        for peer, row in found["peers"].items():
            columns = [Median(**row[key]) for key in ("seconds", "share_of_floor", "ours_over_this")]
            ms, share, over = (
                interval(c, *how) for c, how in zip(columns, [(1e3, 1), (100, 0), (1, 2)], strict=True)
            )
            lines.append(f"  {PEERS[peer].title:42}{ms:>24}{share:>20}{over:>24}")
    lines.append("")
    lines += [
        f"{method}: peak memory {row['peak_bytes'] / 1e6:.0f} MB, counted {row['counted_bytes'] / 1e6:.0f} MB"
        for method, row in result["memory"].items()
    ]
    start = result["start_up"]
    tests = "not measured" if start["test"] is None else f"{start['test']:.0f} s"
    seconds = interval(Median(**start["import"]), 1, 3)
    lines.append(f"import {seconds} s; demonstration {start['demo']:.1f} s; make test {tests}")
    return "\n".join([*lines, "", *map(str, kept)])


def run(
    *, rounds: int = 20, seconds: float = 0.25, tests: bool = False, problem: Problem | None = None
) -> None:
    """Measure everything, and save and print the table."""
    problem = problem or Problem()
    peers = [peer for peer in PEERS if installed(peer)]
    for peer in PEERS:
        if peer not in peers:
            print(f"{PEERS[peer].title}: skipped, because {PEERS[peer].library} is not installed")
    # these can fail, so they come before the long measurement, which would be lost
    start_up = {
        "import": median(
            import_seconds(max(rounds, 2))[1:]
        ).to_dict(),  # the first import reads from the disk
        "demo": demo_seconds(),
        "test": test_seconds() if tests else None,
    }
    methods, environments = {}, {}
    for method in METHODS:
        times, found = measure_method(method, problem, peers, rounds=rounds, seconds=seconds)
        methods[method] = {"floor": faster_floor(times), "peers": summary(times)}
        environments |= found
    memory = memory_rows(problem)
    kept = bounds(methods, memory, start_up)
    result = {
        "problem": to_dict(problem), "methods": methods, "memory": memory, "start_up": start_up,
        "bounds": [{"what": b.what, "measured": b.measured, "bound": b.bound, "kept": b.kept} for b in kept],
        "environment": environments,
    }  # fmt: skip
    save("table", result, text(result, kept))
