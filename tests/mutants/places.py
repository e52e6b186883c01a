"""Where a mutant stands: statements found by what they say, not by their line.

A place is a statement, of a compound one its header alone ("if x == 0:"), and of a table, NAME = (Call(...),
...) or the same returned, one entry. It is known by its file, the function or class around it, what it says
(as parsed: line breaks and comments do not count), and which occurrence of the same it is there.
"""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPE = (*FUNCTION, ast.ClassDef)
INNER = ("body", "orelse", "finalbody", "handlers")


@dataclass(frozen=True)
class Place:
    """One place of a file.

    Args:
        function: qualified name of the function or class around it, "<module>" for none.
        node: the statement, or the entry of a table.
        start: its first byte in the file.
        end: the byte after its last; of a compound statement the one after its header's colon.
        occurrence: how many of the same stand before it in that function or class.
    """

    function: str
    node: ast.AST
    start: int
    end: int
    occurrence: int


def places(source: bytes) -> list[Place]:
    """Return every place of a file, in order."""
    lines, seen, found = _line_starts(source), Counter(), []
    for function, node in _nodes(ast.parse(source), ()):
        start, end = span(node, lines, source)
        if source[start : start + 4] == b"elif":
            start += 2
        name = ".".join(function) or "<module>"
        found.append(Place(name, node, start, end, seen[name, said(node)]))
        seen[name, said(node)] += 1
    return found


def find(source: bytes, function: str, text: str, occurrence: int) -> Place | None:
    """Return the place that says `text`, or None."""
    wanted = said(parsed(text))
    for place in places(source):
        if (place.function, place.occurrence) == (function, occurrence) and said(place.node) == wanted:
            return place
    return None


def parsed(text: str) -> ast.AST:
    """Return what a place says, parsed; a header stands without its body."""
    try:
        return ast.parse(text).body[0]
    except SyntaxError:
        return ast.parse(text + " pass").body[0]


def said(node: ast.AST) -> str:
    """Return what a place says, whatever its line breaks; equal texts are equal places."""
    if isinstance(node, ast.Expr):
        return ast.dump(node.value)
    if any(hasattr(node, name) for name in INNER):
        node = copy.copy(node)
        for name in (*INNER, "decorator_list"):
            if hasattr(node, name):
                setattr(node, name, [])
    return ast.dump(node)


def span(node: ast.AST, lines: list[int], source: bytes) -> tuple[int, int]:
    """Return the first byte of a node and the byte after its last; of a compound statement, of its header."""
    start = lines[node.lineno - 1] + node.col_offset
    if not isinstance(node, ast.stmt) or not hasattr(node, "body"):
        return start, lines[node.end_lineno - 1] + node.end_col_offset
    inside = [lines[part.end_lineno - 1] + part.end_col_offset for part in header(node)]
    return start, source.index(b":", max(inside, default=start)) + 1


def header(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in the header of a compound statement and has a position."""
    for name, value in ast.iter_fields(node):
        if name not in (*INNER, "decorator_list"):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, ast.AST):
                    yield from (part for part in ast.walk(item) if hasattr(part, "end_lineno"))


def _line_starts(source: bytes) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return starts


def _nodes(node: ast.AST, function: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.AST]]:
    """Yield every statement, in order, with the names around it; of a table its entries instead."""
    for name in INNER:
        for inner in getattr(node, name, []):
            if isinstance(inner, ast.excepthandler):
                yield from _nodes(inner, function)
                continue
            entries = _entries(inner)
            yield from ((function, entry) for entry in entries or [inner])
            if isinstance(inner, ast.stmt) and hasattr(inner, "body"):
                yield from _nodes(inner, (*function, inner.name) if isinstance(inner, SCOPE) else function)


def _entries(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.Assign | ast.Return) and isinstance(node.value, ast.Tuple):
        entries = node.value.elts
        return list(entries) if entries and all(isinstance(entry, ast.Call) for entry in entries) else []
    return []
