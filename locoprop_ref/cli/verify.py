"""The command `locoprop-ref verify`: measure every identity of the method."""

import argparse
import json
from typing import Any

from locoprop_ref.cli.parser import add, add_backend, add_overwrite, path


def add_command(commands: Any) -> None:
    """Add `verify` to the subparsers of the command line."""
    command = add(commands, "verify", _verify, "measure every identity of the method against its bound")
    command.add_argument("--seed", type=int, default=0, help="seed of the random networks (default 0)")
    add_backend(command)
    command.add_argument("--json", metavar="FILE", type=path, help="also write the results as JSON")
    add_overwrite(command)


def _verify(given: argparse.Namespace) -> int:
    from locoprop_ref.backend import namespace
    from locoprop_ref.data.files import check_outputs, write_atomically
    from locoprop_ref.verify import as_json, page_list, table, verify

    check_outputs({"json": given.json}, overwrite=given.overwrite)
    results = verify(given.seed, namespace(given.backend))
    print(table(results))
    print(page_list())
    held = sum(result.holds for result in results)
    print(f"{held} of {len(results)} identities hold (seed {given.seed}, {given.backend}, float64)")
    if given.json:
        report = json.dumps(
            as_json(results, seed=given.seed, backend=given.backend), indent=1, ensure_ascii=False
        )
        write_atomically(given.json, lambda file: file.write((report + "\n").encode()))
    return 0 if held == len(results) else 1
