"""Write what the package itself knows into the tables of the documentation.

    python docs/tables.py            write them
    python docs/tables.py --check    write nothing; exit status 1 if a file would change

Defaults, choices and meanings come from the dataclasses of the methods, and from `training.options.Config`.
In PAPER-AND-CODE.md the last column of every table names options; the script writes their defaults behind
them. In docs/command-line.md it writes the tables of the options, of the presets of `compare` and of what
`tune` searches: everything between two markers.
"""

import re
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from locoprop_ref.data.files import write_atomically
from locoprop_ref.experiments.compare.presets import PRESETS
from locoprop_ref.experiments.tune.ranges import Range
from locoprop_ref.experiments.tune.space import RELATIVES_SPACE, SPACE, search_space
from locoprop_ref.experiments.tune.wide import WIDE
from locoprop_ref.methods.options import defaults_in_words, in_words, options_of
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.training.options import Config

REPOSITORY = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- written by docs/tables.py: {} -->", "<!-- end -->"
OPTIONS = {field.name: field for field in fields(Config)}
# a row about one method or optimizer, by its first words, gives the default for that one alone
ROWS_OF_ONE = {
    "Adam": ("backprop", "adam"),
    "momentum, Nesterov": ("backprop", "nesterov"),
    "AdaGrad": ("backprop", "adagrad"),
    "BackProp": ("backprop", "rmsprop"),
    "local optimizer": ("locoprop-m", "rmsprop"),
    "K-FAC:": ("kfac", None),
    "FOOF": ("foof", None),
    "Shampoo:": ("shampoo", None),
}


@cache
def settings_of_methods() -> frozenset[str]:
    """Return the options of all methods, with the optimizer that each has by default."""
    return frozenset(option for name in METHODS for option in options_of(name))


def default_of(option: str, row: str = "") -> str | None:
    """Return the default of an option in words; None where it depends on the data or on other options."""
    one = next((names for words, names in ROWS_OF_ONE.items() if row.startswith(words)), None)
    if one and option in options_of(*one):
        value = options_of(*one)[option]
        return None if value is None else in_words(value)
    if option in settings_of_methods():
        return defaults_in_words(option)
    known = OPTIONS.get(option)
    return None if known is None or known.default is None else in_words(known.default)


def with_defaults(line: str) -> str:
    """Return a table's row with the default behind every option in its last cell."""
    if not line.startswith("| ") or "`--" not in line:
        return line
    *cells, options, end = line.split("|")
    shown = []
    for flag in re.findall(r"`--([a-z-]+)`", options):
        default = default_of(flag.replace("-", "_"), cells[1].strip())
        shown.append(f"`--{flag}`" + (f" ({default})" if default else ""))
    return "|".join([*cells, f" {', '.join(shown)} ", end])


def options_table() -> str:
    """Return a table of all options of `train`: name, default, choices, and meaning."""
    lines = ["| option | meaning | choices |", "|---|---|---|"]
    for name, field in OPTIONS.items():
        choices = ", ".join(f"`{choice}`" for choice in field.metadata["choices"] or ())
        meaning = field.metadata["help"].replace("%%", "%").replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| `--{name.replace('_', '-')}` | {meaning} | {choices} |")
    return "\n".join(lines)


def presets_table() -> str:
    """Return a table of the presets of `compare`: one column each, and a row for every setting."""
    rows = list(dict.fromkeys(name for preset in PRESETS.values() for name in preset))
    lines = ["| | " + " | ".join(f"`{name}`" for name in PRESETS) + " |", "|---" * (len(PRESETS) + 1) + "|"]
    for row in rows:
        cells = [_in_cell(preset.get(row)) for preset in PRESETS.values()]
        lines.append(f"| {row.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _in_cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value).replace(",", ", ")


def ranges_table() -> str:
    """Return a table of what `tune` searches: a row for every option, a column for every problem."""
    problems = ("mnist", "lenet", "poster")
    lines = [
        "| method | option | `mnist`, `curves` | `lenet`, `sequential-mnist` | `poster`, `poster-signs` |"
    ]
    lines.append("|---" * 5 + "|")
    for method in (*SPACE, *RELATIVES_SPACE):
        of_problem = [search_space(method, problem=problem) for problem in problems]
        for ranges in zip(*of_problem, strict=True):
            lines.append(f"| {method} | {ranges[0].name} | {' | '.join(map(_ends, ranges))} |")
    for method in WIDE:
        for searched in search_space(method, space="wide"):
            lines.append(f"| {method}, wide | {searched.name} | {_ends(searched)} | | |")
    return "\n".join(lines)


def _ends(searched: Range) -> str:
    if searched.choices:
        return ", ".join(map(str, searched.choices))
    return " to ".join(f"{end:g}" for end in searched.record)


BLOCKS = {"options": options_table, "presets": presets_table, "ranges": ranges_table}


def paper_and_code(text: str) -> str:
    """Return PAPER-AND-CODE.md with the defaults of today."""
    return "\n".join(with_defaults(line) for line in text.split("\n"))


def command_line(text: str) -> str:
    """Return docs/command-line.md with the tables of today between their markers."""
    for name, table in BLOCKS.items():
        before, begin, rest = text.partition(BEGIN.format(name))
        text = f"{before}{begin}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"
    return text


WRITTEN: dict[str, Any] = {"PAPER-AND-CODE.md": paper_and_code, "docs/command-line.md": command_line}


def main(arguments: list[str]) -> int:
    """Write the tables, or with --check only compare them; return the exit status."""
    changed = []
    for name, update in WRITTEN.items():
        path = REPOSITORY / name
        old = path.read_text(encoding="utf-8")
        new = update(old)
        if new != old:
            changed.append(name)
            if arguments != ["--check"]:
                content = new.encode()
                write_atomically(path, lambda file, content=content: file.write(content))
    print("\n".join(f"{name} changed" for name in changed) or "nothing changed")
    return int(bool(changed) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
