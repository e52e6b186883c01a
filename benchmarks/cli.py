"""Command line of the benchmarks: table, layers, scaling, gram, profile, side-by-side, compare, gpu."""

import argparse
import sys
from pathlib import Path

from benchmarks import compare, gpu, gram, layers, profile, scaling, side_by_side, table

OTHERS = {
    "layers": layers.run, "scaling": scaling.run, "gram": gram.run, "profile": profile.run,
    "side-by-side": side_by_side.run,
}  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=("table", *OTHERS, "compare", "gpu"))
    parser.add_argument(
        "--rounds", type=int, default=20, help="number of measurements of each library (default 20)"
    )
    parser.add_argument("--tests", action="store_true", help="table: also measure the time of `make test`")
    parser.add_argument(
        "--baseline", type=Path, default=compare.BASELINE, help="compare: the saved table to compare with"
    )
    parser.add_argument("--backend", choices=("cupy", "numpy"), default="cupy", help="gpu: default cupy")
    parser.add_argument(
        "--minutes", type=float, default=9.0, help="gpu: begin nothing new after so many minutes (default 9)"
    )
    arguments = parser.parse_args()
    if not 0 < arguments.minutes < float("inf"):
        parser.error(f"--minutes must be above 0 and finite, got {arguments.minutes:g}")
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}")
    return arguments


def main() -> int:
    """Run a benchmark; return 0, or 1 if a comparison finds a loss of speed, or 2 for a bad baseline."""
    arguments = _arguments()
    if arguments.what == "compare":
        try:
            return compare.run(arguments.baseline, rounds=arguments.rounds)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    if arguments.what == "gpu":
        try:
            gpu.run(rounds=arguments.rounds, backend=arguments.backend, minutes=arguments.minutes)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    if arguments.what == "table":
        table.run(rounds=arguments.rounds, tests=arguments.tests)
    else:
        OTHERS[arguments.what](rounds=arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
