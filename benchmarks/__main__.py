"""Command line of the benchmarks: table, scaling, gram, compare."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import compare, gram, scaling, table
from benchmarks.worker import without_blas_variables


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=("table", "scaling", "gram", "compare"))
    parser.add_argument("--rounds", type=int, default=20, help="turns of each peer (default 20)")
    parser.add_argument("--tests", action="store_true", help="table: time `make test` too")
    parser.add_argument("--baseline", type=Path, default=compare.BASELINE, help="compare: a saved table")
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {arguments.rounds}")
    return arguments


def main() -> int:
    """Run one of the benchmarks, without the BLAS variables of the environment."""
    arguments = _arguments()
    clean = without_blas_variables()
    if clean != dict(os.environ):
        again = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
        os.execve(sys.executable, again, clean)  # noqa: S606 - this program, no shell
    if arguments.what == "compare":
        try:
            return compare.run(arguments.baseline, rounds=arguments.rounds)
        except ValueError as error:
            print(error, file=sys.stderr)
            return 2
    if arguments.what == "table":
        table.run(rounds=arguments.rounds, tests=arguments.tests)
    else:
        {"scaling": scaling.run, "gram": gram.run}[arguments.what](rounds=arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
