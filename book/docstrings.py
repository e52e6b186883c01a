r"""The package's docstrings as reStructuredText.

They are plain English with Unicode mathematics and Google's sections. Read as reStructuredText, |x| would be
a substitution, y* an emphasis and f_ a link. Neither numpydoc nor napoleon fits, so that this module does the
little that is needed: text is escaped, indented formulas become literal blocks, sections become field lists,
and doctests stay as they are.
"""

import re
from collections.abc import Iterator
from typing import Any

SECTIONS = ("Args", "Returns", "Raises", "Attributes", "Yields")
_SPAN = re.compile(r"(``.+?``|`[^`]+`|\*\*[^\s*](?:[^*]*[^\s*])?\*\*)")


def escaped(text: str) -> str:
    r"""Return a text with reStructuredText's special characters escaped; `code` becomes a literal.

    >>> print(escaped("y* and |x|"))
    y\* and \|x\|
    """
    parts = []
    for i, part in enumerate(_SPAN.split(text)):
        if i % 2 == 0:
            parts.append(re.sub(r"([\\*|`_])", r"\\\1", part))
        elif part.startswith("**"):
            parts.append(f"\\ {part}\\ ")
        else:
            parts.append(f"\\ ``{part.strip('`')}``\\ ")
    return re.sub(r"\\ (?=\s|$)|(^|(?<=\s))\\ ", "", "".join(parts))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Yield the runs of lines between blank ones."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line.rstrip())
        elif block:
            yield block
            block = []


def _split(block: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the parts of a block as (kind, lines): section, doctest, literal, list or text."""
    rest = list(block)
    while rest:
        first = rest[0]
        heading = re.fullmatch(rf"({'|'.join(SECTIONS)}):", first)
        if heading:
            yield "section", rest
            return
        if first.lstrip().startswith(">>>"):
            yield "doctest", [line[_indent(first) :] for line in rest]
            return
        kind = "literal" if _indent(first) else "list" if first.startswith("- ") else "text"
        taken = [rest.pop(0)]
        while rest and not (
            rest[0].startswith(("- ", ">>>"))
            or (kind != "list" and bool(_indent(rest[0])) != (kind == "literal"))
        ):
            taken.append(rest.pop(0))
        yield kind, taken


def _section(lines: list[str]) -> Iterator[str]:
    """Yield a field list for a section: one item an argument."""
    name, inner = lines[0].rstrip(":"), [line for line in lines[1:] if line.strip()]
    base = min(map(_indent, inner), default=0)
    entries: list[str] = []
    for line in inner:
        if _indent(line) == base or not entries:
            entries.append(line.strip())
        else:
            entries[-1] += " " + line.strip()
    yield f":{name}:"
    for entry in entries:
        head, colon, text = entry.partition(": ")
        named = name in ("Args", "Attributes", "Raises") and colon
        yield f"   * ``{head}``: {escaped(text)}" if named else f"   * {escaped(entry)}"


def as_rst(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText."""
    found: list[str] = []
    blocks = list(_blocks(lines))
    for block in blocks:
        for kind, part in _split(block):
            if kind == "section":
                found += _section(part)
            elif kind == "literal":
                found += ["::", "", *("   " + line for line in part)]
            elif kind == "doctest":
                found += part
            elif kind == "list":
                found.append("- " + escaped(" ".join(line.strip().removeprefix("- ") for line in part)))
            else:
                found.append(escaped(" ".join(line.strip() for line in part)))
            found.append("")
    return found


def _process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Any) -> None:
    """Convert every docstring that autodoc reads."""
    app.connect("autodoc-process-docstring", _process)
