"""The table of LeNet-5 and of a recurrent network, in all libraries, with the floor.

All methods and libraries of a network take turns in one run, so that a ratio of two methods is taken within a
round, as one of two libraries is.
"""

from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from benchmarks.measure import Median, interleave, median, ratio
from benchmarks.memory import second_step_peak
from benchmarks.peers import WIRED_FLOORS, WIRED_PEERS
from benchmarks.results import interval, save
from benchmarks.table import Bound
from benchmarks.wired import LENET, RECURRENT, WIRED_METHODS, WiredProblem, network

OURS = "wired-ours"
CASES = {  # name: the problem and its methods
    "LeNet-5, batch 100": (WiredProblem(LENET, 100), WIRED_METHODS),
    "LeNet-5, batch 1000": (WiredProblem(LENET, 1000), WIRED_METHODS),
    "recurrent, batch 100": (WiredProblem(RECURRENT, 100), WIRED_METHODS[:2]),
}
LARGEST = {"LeNet-5": 1.5, "recurrent": 1.2}  # Adam's step over that of eager PyTorch
STATE = {"backprop-adam": 2, "locoprop-s-closed": 0, "locoprop-m": 2}


def measure(
    problem: WiredProblem, methods: tuple[str, ...], peers: list[str], *, rounds: int, seconds: float
) -> tuple[dict[str, dict[str, list[float]]], dict[str, Any]]:
    """Return the seconds per step in every round, by method and peer, and the environments."""
    runs = {f"{method} {peer}": (peer, problem, method) for method in methods for peer in peers}
    times, found = interleave(runs, rounds=rounds, seconds=seconds, title=problem.words)
    by_method = {method: {peer: times[f"{method} {peer}"] for peer in peers} for method in methods}
    return by_method, {peer: found[f"{methods[0]} {peer}"] for peer in peers}


def summary(times: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return for every method its floor, its time over that of our Adam, and a row for every peer."""
    found = {}
    for method, by_peer in times.items():
        floor = min(WIRED_FLOORS, key=lambda label: median(by_peer[label]).median)
        rows = {
            peer: {
                "seconds": median(own).to_dict(),
                "share_of_floor": ratio(by_peer[floor], own).to_dict(),
                "ours_over_this": ratio(by_peer[OURS], own).to_dict(),
                "rounds": own,
            }
            for peer, own in by_peer.items()
        }
        over_adam = ratio(by_peer[OURS], times["backprop-adam"][OURS]).to_dict()
        found[method] = {"floor": floor, "ours_over_our_adam": over_adam, "peers": rows}
    return found


def counted_bytes(problem: WiredProblem, method: str) -> int:
    """Return the bytes that a step needs by the count of `locoprop-ref compare`.

    Old and new parameters and states, the batch, and of every layer with P positions â, ŷ and g (LocoProp has
    y* as well), each B·P·d_out, and its rows, B·P·d_in; the rows of a dense layer are the ŷ below it.
    """
    layers = network(problem).layers
    parameters = sum(layer.stacked.size for layer in layers)
    outputs = 3 if method.startswith("backprop") else 4
    rows = sum(layer.positions * layer.W.shape[0] for layer in layers if layer.wiring is not None)
    says = sum(layer.positions * layer.W.shape[1] for layer in layers)
    examples = layers[0].inputs + outputs * says + rows
    return layers[0].W.itemsize * (2 * (1 + STATE[method]) * parameters + problem.batch * examples)


def peak_bytes(problem: WiredProblem, method: str) -> int:
    """Return the peak memory of this package in the second step, including the network and the batch."""
    return second_step_peak(lambda: WIRED_PEERS[OURS].prepare(problem, method))


def memory_rows(problem: WiredProblem, methods: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Return the peak and the counted bytes of a step of every method."""
    rows = {}
    for method in methods:
        peak, count = peak_bytes(problem, method), counted_bytes(problem, method)
        rows[method] = {"peak_bytes": peak, "counted_bytes": count, "ratio": peak / count}
    return rows


def bounds(cases: dict[str, Any]) -> list[Bound]:
    """Return the bounds that the table must satisfy; a peer that is not installed has none."""
    lines = []
    for name, case in cases.items():
        adam, closed = case["methods"]["backprop-adam"], case["methods"]["locoprop-s-closed"]
        if "wired-torch" in adam["peers"]:
            over = adam["peers"]["wired-torch"]["ours_over_this"]["median"]
            largest = LARGEST[name.partition(",")[0]]
            lines.append(Bound(f"{name}: Adam, time over that of eager PyTorch", over, largest, 1.0))
        over = closed["ours_over_our_adam"]["median"]
        lines.append(Bound(f"{name}: S in closed form, time over that of our Adam", over, 2.0))
        lines += [
            Bound(f"{name}: {method}, peak memory over the count", row["ratio"], 1.5)
            for method, row in case["memory"].items()
        ]
    return lines


def text(cases: dict[str, Any], kept: list[Bound]) -> str:
    """Return the table as text."""
    lines = [
        "float32, K = 10 for M; medians with 95 % intervals, ratios within a round",
        "",
        f"{'':48}{'ms a step':>24}{'% of the floor':>20}{'ours / this':>24}",
    ]
    for name, case in cases.items():
        lines += ["", f"{name}: {case['problem']['words']}"]
        for method, found in case["methods"].items():
            lines.append(f"{method}, floor: {WIRED_PEERS[found['floor']].title}")
            for peer, row in found["peers"].items():
                ms = interval(Median(**row["seconds"]), 1e3, 1)
                share = interval(Median(**row["share_of_floor"]), 100, 0)
                over = interval(Median(**row["ours_over_this"]), 1, 2)
                lines.append(f"  {WIRED_PEERS[peer].title:46}{ms:>24}{share:>20}{over:>24}")
        lines += [
            f"{method}: peak memory {row['peak_bytes'] / 1e6:.1f} MB, "
            f"counted {row['counted_bytes'] / 1e6:.1f} MB"
            for method, row in case["memory"].items()
        ]
    return "\n".join([*lines, "", *map(str, kept)])


def run(*, rounds: int = 20, seconds: float = 0.25, cases: dict[str, Any] | None = None) -> None:
    """Measure everything, and save and print the table."""
    peers = []
    for name, peer in WIRED_PEERS.items():
        if find_spec(peer.library) is None:
            print(f"{peer.title}: skipped, because {peer.library} is not installed")
        else:
            peers.append(name)
    found, environments = {}, {}
    for name, (problem, methods) in (cases or CASES).items():
        times, here = measure(problem, methods, peers, rounds=rounds, seconds=seconds)
        environments |= here
        found[name] = {
            "problem": asdict(problem), "methods": summary(times), "memory": memory_rows(problem, methods),
        }  # fmt: skip
    kept = bounds(found)
    result = {
        "cases": found,
        "bounds": [{"what": b.what, "measured": b.measured, "bound": b.bound, "kept": b.kept} for b in kept],
        "environment": environments,
    }
    save("layers", result, text(found, kept))
