"""The directives of the book: mathematics beside its source, and the identities that prove a page.

beside       two columns: text on the left, the sources that stand in it on the right
source       a function, class or method of the package, as literalinclude shows a `:pyobject:`, with its
             line numbers; the docstring is left out, and linked in the reference. A name that is not there
             is a warning, which fails the build.
proved-by    a table of the identities of `verify` whose page this is, with their measured errors
"""

import ast
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.directives.code import LiteralIncludeReader
from sphinx.util.docutils import SphinxDirective

REPOSITORY = Path(__file__).resolve().parent.parent


def located(name: str) -> tuple[str, str, str]:
    """Return (path in the repository, module, object) of a dotted name below `locoprop_ref`.

    >>> located("local.LocalProblem.residual")
    ('locoprop_ref/local.py', 'locoprop_ref.local', 'LocalProblem.residual')
    """
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        path = Path("locoprop_ref", *parts[:count]).with_suffix(".py")
        if (REPOSITORY / path).is_file():
            return path.as_posix(), ".".join(["locoprop_ref", *parts[:count]]), ".".join(parts[count:])
    raise ValueError(f"no module of the package has {name!r}")


def docstring_lines(text: str) -> tuple[int, int] | None:
    """Return the first and the last line of the docstring of a definition, counted from 1, or None."""
    (definition,) = ast.parse(textwrap.dedent(text)).body
    body = getattr(definition, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        return (body[0].lineno, body[0].end_lineno or 0) if isinstance(body[0].value.value, str) else None
    return None


class Source(SphinxDirective):
    """A definition of the package with its true line numbers."""

    required_arguments = 1
    option_spec = {"docstring": directives.flag}  # noqa: RUF012  # as docutils has it

    def run(self) -> list[nodes.Node]:
        """Return the box with the source."""
        try:
            return [self._box(*located(self.arguments[0]))]
        except (ValueError, OSError) as error:
            return [self.state.document.reporter.warning(f"source: {error}", line=self.lineno)]

    def _box(self, path: str, module: str, name: str) -> nodes.Node:
        self.env.note_dependency(str(REPOSITORY / path))
        text, count, start = self._read(path, name)
        doc = None if "docstring" in self.options else docstring_lines(text)
        box = nodes.container(classes=["source"])
        public = not any(part.startswith("_") and part != "__call__" for part in name.split("."))
        box += self._caption(path, f"{module}.{name}", start, count, public)
        if doc is None:
            box += self._listing(path, name, None)
            return box
        box += self._listing(path, name, f"1-{doc[0] - 1}")
        if doc[1] < count:
            box += self._listing(path, name, f"{doc[1] + 1}-{count}")
        return box

    def _read(self, path: str, name: str, lines: str | None = None) -> tuple[str, int, int]:
        options = {"pyobject": name, "lineno-match": None} | ({"lines": lines} if lines else {})
        reader = LiteralIncludeReader(str(REPOSITORY / path), options, self.config)
        text, count = reader.read()
        return text, count, reader.lineno_start

    def _listing(self, path: str, name: str, lines: str | None) -> nodes.Node:
        text, _, start = self._read(path, name, lines)
        text = text.rstrip("\n")
        listing = nodes.literal_block(text, text, source=path, language="python", linenos=True)
        listing["highlight_args"] = {"linenostart": start}
        return listing

    def _caption(self, path: str, full: str, start: int, count: int, public: bool) -> nodes.Node:
        caption = nodes.paragraph(classes=["source-caption"])
        label = nodes.literal(full, full.removeprefix("locoprop_ref."))
        if public:
            link = addnodes.pending_xref(
                "", label, refdomain="py", reftype="obj", reftarget=full, refexplicit=True, refwarn=True
            )
            link.source, link.line = self.get_source_info()
            caption += link
        else:
            caption += label
        caption += nodes.Text(f"  {path}, lines {start} to {start + count - 1}")
        return caption


class Beside(SphinxDirective):
    """Text on the left, sources on the right; below each other on a narrow screen."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the row."""
        row = nodes.container(classes=["beside"])
        left, right = nodes.container(classes=["beside-text"]), nodes.container(classes=["beside-source"])
        for node in self.parse_content_to_nodes():
            (right if "source" in node.get("classes", []) else left).append(node)
        row += [left, right]
        return [row]


class ProvedBy(SphinxDirective):
    """The identities of `verify` that prove this page, with their measured errors."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        stored = Path(self.env.srcdir) / "generated" / "verify.json"
        self.env.note_dependency(str(stored))
        report = json.loads(stored.read_text(encoding="utf-8"))
        mine = [identity for identity in report["identities"] if identity["page"] == self.env.docname]
        if not mine:
            return [
                self.state.document.reporter.warning(
                    "proved-by: no identity names this page", line=self.lineno
                )
            ]
        return self.parse_text_to_nodes("\n".join(self._lines(mine)))

    def _lines(self, identities: list[dict[str, Any]]) -> Iterator[str]:
        yield "| identity | claim | largest error measured | its bound |"
        yield "|---|---|---|---|"
        for identity in identities:
            part = max(identity["parts"], key=lambda part: part["error"] / (part["bound"] or 1))
            claim = identity["claim"].replace("|", "\\|").replace("*", "\\*")
            yield f"| **{identity['id']}** | {claim} | {part['error']:.1e} | {part['bound']:.0e} |"


def setup(app: Any) -> None:
    """Add the directives to Sphinx."""
    app.add_directive("source", Source)
    app.add_directive("beside", Beside)
    app.add_directive("proved-by", ProvedBy)
