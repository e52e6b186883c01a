r"""The command line, `locoprop-ref`: verify, figures, demo, train, compare, tune, apply, plot, info.

Bad input is one line on standard error and exit status 2, a failed identity or a diverged run status 1, an
interrupted one 130. Modules are imported by the commands that need them, so that `--help` is quick.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import locoprop_ref
from locoprop_ref.command_parser import Parser
from locoprop_ref.compare.cli import add_command as _add_compare
from locoprop_ref.oracle import cli as oracle
from locoprop_ref.tune import cli as tune


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    try:
        return int(given.run(given))
    except KeyboardInterrupt:
        print("locoprop-ref: interrupted; what was complete is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141  # as if the closed pipe's signal had ended it
    except (ValueError, TypeError, OSError, MemoryError) as error:
        print(f"locoprop-ref {given.command}: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror.lower()}"
    return " ".join(str(error).split()) or type(error).__name__


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="locoprop-ref", description="LocoProp, written by hand: prove it, draw it, train with it."
    )
    parser.add_argument("--version", action="version", version=f"locoprop-ref {locoprop_ref.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for add in (
        _add_verify,
        _add_figures,
        _add_demo,
        _add_train,
        _add_compare,
        _add_apply,
        _add_plot,
        _add_info,
    ):
        add(commands)
    tune.add_command(commands, _say)
    oracle.add_commands(commands)
    return parser


def _add(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    command.set_defaults(run=run)
    return command


# verify ---------------------------------------------------------------------------------------------


def _add_verify(commands: Any) -> None:
    command = _add(commands, "verify", _verify, "measure every identity of the method against its bound")
    command.add_argument("--seed", type=int, default=0, help="of the random networks (default 0)")
    command.add_argument("--backend", default="numpy", help="array library (default numpy)")
    command.add_argument("--json", metavar="FILE", help="also write the results as JSON")


def _verify(given: argparse.Namespace) -> int:
    from locoprop_ref.backend import namespace
    from locoprop_ref.files import write_atomically
    from locoprop_ref.verify import as_json, table, verify

    results = verify(given.seed, namespace(given.backend))
    print(table(results))
    held = sum(result.holds for result in results)
    print(f"{held} of {len(results)} identities hold (seed {given.seed}, {given.backend}, float64)")
    if given.json:
        report = json.dumps(
            as_json(results, seed=given.seed, backend=given.backend), indent=1, ensure_ascii=False
        )
        write_atomically(given.json, lambda file: file.write((report + "\n").encode()))
    return 0 if held == len(results) else 1


# figures --------------------------------------------------------------------------------------------


def _add_figures(commands: Any) -> None:
    command = _add(commands, "figures", _figures, "draw the matching losses of tanh and ReLU as SVG and PNG")
    command.add_argument(
        "--out", metavar="DIR", default="figures", help="folder to draw into (default figures)"
    )


def _figures(given: argparse.Namespace) -> int:
    from locoprop_ref.plot import figures

    for path in figures(Path(given.out)):
        print(path)
    return 0


# demo -----------------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    command = _add(
        commands, "demo", _demo, "verify, draw, train a small autoencoder four ways: about a minute"
    )
    command.add_argument(
        "--out", metavar="DIR", default="demo", help="folder for figures and runs (default demo)"
    )
    command.add_argument("--seed", type=int, default=0, help="of weights and batches (default 0)")


def _demo(given: argparse.Namespace) -> int:
    from locoprop_ref.demo import demo

    return demo(Path(given.out), seed=given.seed)


# train ----------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    from locoprop_ref.config import PRESETS, Config

    command = _add(
        commands, "train", _train, "train a network; every choice an option, kept after every epoch"
    )
    command.add_argument("--preset", help=f"a named experiment to start from: {', '.join(PRESETS)}")
    for option in fields(Config):
        flag, kind = "--" + option.name.replace("_", "-"), option.metadata["kind"]
        extra: dict[str, Any] = {"help": _help(option.metadata), "default": None}
        if kind is bool:
            extra["action"] = argparse.BooleanOptionalAction
        else:
            extra |= {"type": kind, "metavar": _metavar(option.metadata)}
        command.add_argument(flag, **extra)
    command.add_argument(
        "--data-dir", metavar="DIR", help="folder of the data set's files (or LOCOPROP_REF_DATA)"
    )
    command.add_argument("--out", metavar="FILE.json", help="run file (default runs/METHOD-DATA-seedN.json)")
    command.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint beside the run file"
    )
    command.add_argument("--overwrite", action="store_true", help="replace an existing run file")


def _help(metadata: Any) -> str:
    choices = metadata["choices"] or ()
    return metadata["help"] + (f": {', '.join(choices)}" if len(choices) > 4 else "")


def _metavar(metadata: Any) -> str:
    if metadata["choices"] and len(metadata["choices"]) <= 4:
        return "{" + ",".join(metadata["choices"]) + "}"
    return {int: "N", float: "X"}.get(metadata["kind"], "NAME")


def _train(given: argparse.Namespace) -> int:
    from locoprop_ref.config import Config, resolve
    from locoprop_ref.train import train

    config = resolve(given.preset, **{option.name: getattr(given, option.name) for option in fields(Config)})
    name = f"{config.method}-{Path(config.data).stem}-seed{config.seed}.json"
    out = Path(given.out) if given.out else Path("runs") / name
    settings = {"resume": given.resume, "overwrite": given.overwrite, "data_dir": given.data_dir}
    try:
        result = train(config, out=out, say=_say, **settings)
    except KeyboardInterrupt:
        kept = f"{out} holds every complete epoch (--resume goes on)" if out.exists() else "nothing was kept"
        print(f"locoprop-ref train: interrupted; {kept}", file=sys.stderr)
        return 130
    if result.run["status"] == "diverged":
        print(f"locoprop-ref train: {result.run['message']} ({out})", file=sys.stderr)
        return 1
    print(f"run file {out}, trained network {out.with_suffix('.npz')}")
    return 0


def _say(sentence: str) -> None:
    from tqdm import tqdm

    tqdm.write(sentence)
    sys.stdout.flush()


# apply ----------------------------------------------------------------------------------------------


def _add_apply(commands: Any) -> None:
    command = _add(commands, "apply", _apply, "apply a trained network to data and keep its outputs as NPZ")
    command.add_argument("network", metavar="NETWORK.npz", help="checkpoint that train wrote")
    command.add_argument("--data", default="curves", help="curves, mnist, fashion_mnist or your own FILE.npz")
    command.add_argument(
        "--data-dir", metavar="DIR", help="folder of the data set's files (or LOCOPROP_REF_DATA)"
    )
    command.add_argument(
        "--part", choices=("train", "test"), default="test", help="which examples (default test)"
    )
    command.add_argument(
        "--out", metavar="FILE.npz", required=True, help="where the outputs go, under the key y"
    )
    command.add_argument("--backend", default="numpy", help="array library (default numpy)")


def _apply(given: argparse.Namespace) -> int:
    from locoprop_ref.apply import apply_network

    print(
        apply_network(
            given.network,
            given.data,
            given.out,
            part=given.part,
            data_dir=given.data_dir,
            backend=given.backend,
        )
    )
    return 0


# plot -----------------------------------------------------------------------------------------------


def _add_plot(commands: Any) -> None:
    command = _add(commands, "plot", _plot, "draw several runs together: loss against epochs and seconds")
    command.add_argument("runs", metavar="RUN.json", nargs="+", help="run files that train wrote")
    command.add_argument(
        "--metric", default="train ce", help="'train ce' (default), 'test mse', 'test accuracy', ..."
    )
    command.add_argument(
        "--out", metavar="FILE", default="runs.svg", help="SVG or PNG to draw (default runs.svg)"
    )


def _plot(given: argparse.Namespace) -> int:
    from locoprop_ref.plot import save, training_curves
    from locoprop_ref.run_file import read_run

    save(training_curves([read_run(path) for path in given.runs], given.metric), given.out)
    print(given.out)
    return 0


# info -----------------------------------------------------------------------------------------------


def _add_info(commands: Any) -> None:
    _add(commands, "info", _info, "versions, array libraries and devices, BLAS kernel and threads")


def _info(given: argparse.Namespace) -> int:
    from locoprop_ref.environment import report

    print(report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
