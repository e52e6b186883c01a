"""Draw mutants of the lecture, or of the rest, each a small mistake in one statement; see README.md.

    python tests/mutants/draw.py --tree . --part lecture --seed 0 --number 200

Every file gives as many as its share of all the mutants that could be made. What a text says to a reader
(docstrings, annotations, messages of exceptions, `__all__`) is left alone.
"""

import argparse
import ast
import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from places import FUNCTION, Place, header, parsed, places, said

FOLDER = Path(__file__).resolve().parent
# the lecture is what stands at the top of the package, and the methods; the rest is every other folder
LECTURE = ("locoprop_ref/*.py", "locoprop_ref/methods/*.py")
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
}  # fmt: skip
LOGIC = {ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
COMPARISON = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
CALLS = {
    "min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "sum": "mean", "mean": "sum",
    "any": "all", "all": "any", "zeros_like": "ones_like", "ones_like": "zeros_like",
}  # fmt: skip
BUILTIN = {"min", "max", "any", "all"}


def with_fields(node: ast.AST, **fields: Any) -> ast.AST:
    """Return a copy of a node with other fields."""
    node = copy.copy(node)
    for name, value in fields.items():
        setattr(node, name, value)
    return node


# What can be made of one node: (operator, the node instead of it) ---------------------------------


def arithmetic(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        yield "arithmetic", with_fields(node, op=ARITHMETIC[type(node.op)]())


def logic(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in LOGIC:
        if not isinstance(node, ast.BinOp) or not _is_type(node):
            yield "logic", with_fields(node, op=LOGIC[type(node.op)]())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield "not", node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "boolean", ast.Constant(not node.value)
    # a `not` dropped and a comparison turned round are mutants already
    turned = isinstance(getattr(node, "test", None), ast.UnaryOp | ast.Compare)
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not turned:
        yield "not", with_fields(node, test=ast.UnaryOp(ast.Not(), node.test))


def _is_type(node: ast.AST) -> bool:
    """Tell whether a | b is a union of types: of names alone."""
    if isinstance(node, ast.BinOp):
        return _is_type(node.left) and _is_type(node.right)
    return isinstance(node, ast.Name)


def comparison(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            ops = [*node.ops[:i], COMPARISON[type(op)](), *node.ops[i + 1 :]]
            yield "comparison", with_fields(node, ops=ops)


def constant(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number = node.value
        for other in {2 * number, number + 1} - {number} if number else {type(number)(1)}:
            yield "constant", ast.Constant(other)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand


def call(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Attribute) and node.attr in CALLS:
        yield "call", with_fields(node, attr=CALLS[node.attr])
    if isinstance(node, ast.Name) and node.id in BUILTIN:
        yield "call", with_fields(node, id=CALLS[node.id])


def order(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.IfExp):
        yield "branch", with_fields(node, body=node.orelse, orelse=node.body)
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
        one, other, *rest = node.value.elts
        yield "order", with_fields(node, value=with_fields(node.value, elts=[other, one, *rest]))


def deletion(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    kept = isinstance(getattr(node, "value", None), ast.Constant | ast.Yield | ast.YieldFrom)
    if (isinstance(node, ast.Expr) and not kept) or isinstance(node, ast.AugAssign | ast.Raise):
        yield "deletion", ast.Pass()


OPERATORS = (arithmetic, logic, comparison, constant, call, order, deletion)


# Where they can be made ---------------------------------------------------------------------------


def nodes(place: Place) -> Iterator[tuple[ast.AST, bool]]:
    """Yield the nodes of a place that may be changed, and whether they are the default of an argument."""
    node = place.node
    yield node, False
    if isinstance(node, FUNCTION):
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            yield from ((inner, True) for inner in _code(default))
    elif isinstance(node, ast.AnnAssign):
        yield from ((inner, True) for inner in _code(node.value) if node.value is not None)
    elif isinstance(node, ast.stmt) and hasattr(node, "body"):
        for name in ("test", "target", "iter"):
            yield from ((inner, False) for inner in _code(getattr(node, name, None)))
    elif not _left_alone(node):
        for child in ast.iter_child_nodes(node):
            yield from ((inner, False) for inner in _code(child))


def _code(node: ast.AST | None) -> Iterator[ast.AST]:
    if node is not None and not isinstance(node, ast.JoinedStr):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _code(child)


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Raise):
        return True
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"


def mutants_of(path: str, source: bytes) -> list[dict[str, Any]]:
    """Return every mutant that can be made of a file, in order."""
    found, seen = [], set()
    for place in places(source):
        if isinstance(place.node, ast.ClassDef):
            continue
        before = source[place.start : place.end].decode()
        for operator, after in _changes(place, before):
            identity = (place.function, before, place.occurrence, after)
            if identity not in seen and _compiles(source, place, after):
                seen.add(identity)
                found.append(
                    {
                        "file": path,
                        "function": place.function,
                        "operator": operator,
                        "before": before,
                        "after": after,
                        "occurrence": place.occurrence,
                    }
                )
    return found


def _changes(place: Place, before: str) -> Iterator[tuple[str, str]]:
    for node, default in nodes(place):
        if isinstance(node, ast.Expr | ast.AugAssign | ast.Raise) and node is not place.node:
            continue
        for make in OPERATORS:
            for operator, instead in make(node):
                after = _changed_text(place.node, before, node, instead)
                if after is not None and said(parsed(after)) != said(parsed(before)):
                    yield "default" if default and operator in ("constant", "boolean") else operator, after


def _changed_text(statement: ast.AST, text: str, node: ast.AST, instead: ast.AST) -> str | None:
    """Return the text of a statement with one node changed: as it stands, but for that node."""
    if isinstance(instead, ast.Pass):
        return "pass"
    memo: dict[int, Any] = {}
    whole = copy.deepcopy(_bare(statement), memo)
    wanted = said(_Swap(memo.get(id(node), whole), instead).visit(whole))
    own = parsed(text)
    own = own.value if isinstance(own, ast.Expr) and not isinstance(statement, ast.Expr) else own
    twin = own if node is statement else list(_below(own))[_index(statement, node)]
    if node is statement and isinstance(node, ast.If | ast.While):  # the header alone is text
        twin, instead = own.test, instead.test
    lines = [0, *np.cumsum([len(line) for line in text.encode().splitlines(keepends=True)]).tolist()]
    start, end = lines[twin.lineno - 1] + twin.col_offset, lines[twin.end_lineno - 1] + twin.end_col_offset
    new = ast.unparse(ast.fix_missing_locations(instead))
    for middle in (new, f"({new})"):
        changed = text.encode()[:start] + middle.encode() + text.encode()[end:]
        try:
            if said(parsed(changed.decode())) == wanted:
                return changed.decode()
        except SyntaxError:
            continue
    return None


def _bare(node: ast.AST) -> ast.AST:
    """Return a statement without what is nested in it."""
    return with_fields(node, body=[], orelse=[]) if isinstance(node, ast.If | ast.While) else node


def _below(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes with a position in a statement, of a compound one in its header, in order."""
    if isinstance(node, ast.stmt) and hasattr(node, "body"):
        yield from header(node)
    else:
        yield from (inner for inner in ast.walk(node) if hasattr(inner, "end_lineno"))


def _index(statement: ast.AST, node: ast.AST) -> int:
    return next(i for i, inner in enumerate(_below(statement)) if inner is node)


class _Swap(ast.NodeTransformer):
    def __init__(self, node: ast.AST, instead: ast.AST) -> None:
        self.node, self.instead = node, instead

    def visit(self, node: ast.AST) -> ast.AST:
        return self.instead if node is self.node else self.generic_visit(node)


def _compiles(source: bytes, place: Place, after: str) -> bool:
    changed = source[: place.start] + after.encode() + source[place.end :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(changed, "mutant", "exec")
        except (SyntaxError, SyntaxWarning):
            return False
    return True


# The draw -----------------------------------------------------------------------------------------


def shares(counts: list[int], number: int) -> list[int]:
    """Return how many each gives of `number`, in proportion, the largest remainders rounded up."""
    exact = [number * count / sum(counts) for count in counts]
    given = [int(share) for share in exact]
    by_remainder = sorted(range(len(counts)), key=lambda i: given[i] - exact[i])
    for i in by_remainder[: number - sum(given)]:
        given[i] += 1
    return given


def files_of(tree: Path, part: str) -> list[str]:
    """Return the files of the lecture, or of the rest."""
    lecture = {path for pattern in LECTURE for path in tree.glob(pattern)}
    chosen = lecture if part == "lecture" else set(tree.glob("locoprop_ref/**/*.py")) - lecture
    return sorted(path.relative_to(tree).as_posix() for path in chosen)


def draw(tree: Path, part: str, seed: int, number: int) -> list[dict[str, Any]]:
    """Return the mutants drawn, each with its identity, in the order of the files."""
    rng = np.random.default_rng(seed)
    paths = files_of(tree, part)
    possible = [mutants_of(path, (tree / path).read_bytes()) for path in paths]
    chosen = []
    for mutants, share in zip(possible, shares([len(all_) for all_ in possible], number), strict=True):
        chosen += [mutants[i] for i in sorted(rng.choice(len(mutants), share, replace=False))]
    for path, mutants in zip(paths, possible, strict=True):
        print(f"{path}: {sum(one['file'] == path for one in chosen)} of {len(mutants)}")
    chosen.sort(key=lambda one: one["file"])
    return [{"id": f"{part[0]}{i:03d}", **one} for i, one in enumerate(chosen, start=1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, default=FOLDER.parent.parent, help="where locoprop_ref lies")
    parser.add_argument("--part", choices=("lecture", "rest"), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    mutants = draw(options.tree, options.part, options.seed, options.number)
    text = json.dumps(mutants, indent=1, ensure_ascii=False, sort_keys=True)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
