"""Which module of a package imports which, read from the source: nothing is imported to find out.

Modules are named from inside the package: "local", "methods.kfac", "methods" for its `__init__.py`, "" for
the package's own. Imports inside functions and under TYPE_CHECKING count like all others, and so do strings
given to `importlib.import_module`. A name that is taken from the package itself leads to the module that it
comes from.
"""

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path


class Package:
    """The modules of a package and their syntax trees.

    Args:
        folder: the package's folder; its name is the package's.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.trees = {
            ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix("__init__").rstrip("."): (
                ast.parse(path.read_text(encoding="utf-8"))
            )
            for path in sorted(folder.rglob("*.py"))
        }
        self.folders = {""} | {name.rpartition(".")[0] for name in self.trees}
        self.public = dict(self._names_of_the_package())

    def imports(self) -> dict[str, set[str]]:
        """For every module those that it imports."""
        return {module: set(self.imports_of(module)) - {module} for module in self.trees}

    def imports_of(self, module: str) -> Iterator[str]:
        """The modules that one module imports, in no order, some of them several times."""
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._import(module, alias)
            elif isinstance(node, ast.ImportFrom):
                yield from self._import_from(module, node)
            elif (
                isinstance(node, ast.Call) and (given := imported_name(self.trees[module], node)) is not None
            ):
                yield from self._import_module(module, given)

    def computes_an_import(self, module: str) -> bool:
        """Whether the module imports by a name that is not written out as a string."""
        tree = self.trees[module]
        given = [imported_name(tree, node) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return any(one is not None and not isinstance(one, ast.Constant) for one in given)

    def _names_of_the_package(self) -> Iterator[tuple[str, str]]:
        for node in ast.walk(self.trees.get("", ast.Module([], []))):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    source = self._inside(self._absolute("", node))
                    if source:
                        yield alias.asname or alias.name, source

    def _absolute(self, module: str, node: ast.ImportFrom) -> str:
        """The dotted name after `from`, its leading dots resolved."""
        if not node.level:
            return node.module or ""
        parts = [self.name, *filter(None, module.split("."))]
        up = node.level - (module in self.folders)
        return ".".join([*parts[: len(parts) - up], *filter(None, [node.module])])

    def _inside(self, dotted: str) -> str | None:
        """A dotted name as seen from inside the package, cut to the module that it belongs to."""
        if dotted != self.name and not dotted.startswith(self.name + "."):
            return None
        inside = dotted.removeprefix(self.name).lstrip(".")
        while inside not in self.trees and "." in inside:
            inside = inside.rpartition(".")[0]
        return inside if inside in self.trees else ""

    def _from_the_package(self, name: str) -> Iterator[str]:
        """The module that a name of the package stands for: that module, or where the name comes from."""
        if name in self.trees:
            yield name
        elif name in self.public:
            yield self.public[name]

    def _import(self, module: str, alias: ast.alias) -> Iterator[str]:
        inside = self._inside(alias.name)
        if inside:
            yield inside
        if inside is None or (inside and alias.asname):
            return
        for node in ast.walk(self.trees[module]):  # import package; package.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                if node.value.id == (alias.asname or self.name):
                    yield from self._from_the_package(node.attr)

    def _import_from(self, module: str, node: ast.ImportFrom) -> Iterator[str]:
        absolute = self._absolute(module, node)
        inside = self._inside(absolute)
        if inside is None:
            return
        for alias in node.names:
            if alias.name == "*" and not inside:
                yield from self.public.values()
            elif not inside:
                yield from self._from_the_package(alias.name)
            else:
                submodule = f"{inside}.{alias.name}"
                yield submodule if submodule in self.trees else inside

    def _import_module(self, module: str, name: ast.expr) -> Iterator[str]:
        if isinstance(name, ast.Constant):
            given = str(name.value)
            dots = len(given) - len(given.lstrip("."))
            absolute = self._absolute(module, ast.ImportFrom(given.lstrip("."), [], dots))
            yield from filter(None, [self._inside(absolute)])
            return
        # a computed name: every string of the module that is the name of another one counts, or begins one
        for part in ast.walk(self.trees[module]):
            if isinstance(part, ast.Constant) and re.fullmatch(rf"{self.name}\.[\w.]*", str(part.value)):
                prefix = part.value.removeprefix(self.name + ".")
                yield from (name for name in self.trees if name and name.startswith(prefix))


@functools.cache
def _importers(tree: ast.AST) -> set[str]:
    """The names by which import_module and __import__ go in a module."""
    own = {"import_module", "__import__"}
    taken = (node.names for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return own | {alias.asname for names in taken for alias in names if alias.name in own and alias.asname}


def imported_name(tree: ast.AST, node: ast.Call) -> ast.expr | None:
    """What a call of import_module or __import__ imports, under whatever name they go; None for others."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name not in _importers(tree):
        return None
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    return node.args[0] if node.args else given.get("name")


def circle(imports: Mapping[str, set[str]]) -> list[str] | None:
    """The first circle of imports, its first module repeated at the end; None where there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        path.append(module)
        for other in sorted(imports.get(module, ())):
            if found := visit(other):
                return found
        done.add(path.pop())
        return None

    for module in sorted(imports):
        if found := visit(module):
            return found
    return None
