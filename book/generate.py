"""Write the pages that the package itself can write, into book/generated.

    notebooks/    the notebooks as they are stored, with their links led to pages of the book
    docs/         the pages of docs/, of the oracle's format, and of the paper and the code
    results/      the summaries of the stored comparisons, with their figures
    exercises/    their texts, as students see them
    oracle/       its topics, flags and conventions, from the tables that also make the schema
    reference/    one page for each module of the lecture and each folder, in the reading order of the house
    verify.json   the identities with their measured errors, for the pages of derivations

A file is written only where its content has changed, so that Sphinx reads again what is new alone.
"""

import ast
import importlib
import inspect
import json
import os
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BOOK = Path(__file__).resolve().parent
REPOSITORY = BOOK.parent
TARGET = BOOK / "generated"
NUMBERED = sorted(path.stem for path in (REPOSITORY / "notebooks").glob("[0-9]-*.ipynb"))
NOTEBOOKS = [*NUMBERED, "check-your-implementation"]
COMPARISONS = sorted(path.parent.name for path in (REPOSITORY / "results").glob("*/summary.md"))

# what a file of the repository is in the book
PAGES: dict[str, str] = {
    **{f"notebooks/{name}.ipynb": f"generated/notebooks/{name}.ipynb" for name in NOTEBOOKS},
    "answers/notebooks.md": "generated/notebooks/answers.md",
    **{f"results/{name}/summary.md": f"generated/results/{name}.md" for name in COMPARISONS},
    **{
        f"docs/{path.name}": f"generated/docs/{path.name}"
        for path in sorted((REPOSITORY / "docs").glob("*.md"))
    },
    "PAPER-AND-CODE.md": "generated/docs/paper-and-code.md",
    "locoprop_ref/oracle/FORMAT.md": "generated/oracle/format.md",
    "README.md": "index.md",
    "notebooks": "notebooks.md",
    "results": "results.md",
}
# folders whose reference has the modules alone: commands, pictures and experiments are no interface of Python
MODULES_ALONE = ("plot", "experiments", "cli")
# the derivation page that a notebook leads back to
DERIVATIONS = {
    "1-first-step-is-backprop": "3-first-step",
    "2-loss-surfaces": "1-matching-loss",
    "3-locoprop-s-closed-form": "4-closed-form",
    "4-locoprop-m": "6-exact-m",
    "5-deep-autoencoder": "2-target",
    "6-numpy-to-cupy": "2-target",
    "7-second-order": "5-preconditioner",
    "8-relatives": "8-family",
    "9-convolution": "7-shared-rows",
    "check-your-implementation": "3-first-step",
}
# the exercises that a notebook leads on to
EXERCISES_AFTER = {
    "1-first-step-is-backprop": ("backward", "target"),
    "2-loss-surfaces": ("matching-loss",),
    "3-locoprop-s-closed-form": ("closed-form", "closed-form-dual"),
    "4-locoprop-m": ("local-steps", "exact-unit"),
    "5-deep-autoencoder": ("local-steps",),
    "6-numpy-to-cupy": ("backward",),
    "7-second-order": ("closed-form", "own-target"),
    "8-relatives": ("target", "own-target"),
    "9-convolution": ("im2col",),
    "check-your-implementation": ("find-the-mistake",),
}


class Links:
    """Leads the links of a page to pages of the book, and those to files outside it to the repository."""

    def __init__(self, repository: str, branch: str) -> None:
        self.base = f"{repository.rstrip('/')}/blob/{branch}/" if repository else ""

    def led(self, text: str, source: str, target: str) -> str:
        """Return the Markdown of `source`, a path in the repository, for the page `target` of the book."""
        here = Path(source).parent

        def replaced(match: re.Match[str]) -> str:
            image, label, address = match.groups()
            path, _, _ = address.partition("#")
            if "://" in address or not path:
                return match.group()
            full = Path(os.path.normpath(here / path)).as_posix()
            if image:
                return f"![{label}]({relative(str(REPOSITORY / full), BOOK / target)})"
            if full in PAGES:
                return f"[{label}]({relative(str(BOOK / PAGES[full]), BOOK / target)})"
            if self.base:
                return f"[{label}]({self.base}{full})"
            return label if label.startswith("`") else f"{label} (`{full}`)" if label != full else f"`{full}`"

        return re.sub(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)", replaced, text)


def relative(path: str, page: Path) -> str:
    """Return a path relative to the folder of a page."""
    return Path(os.path.relpath(path, page.parent)).as_posix()


def write_text(name: str, text: str) -> None:
    """Write a file below book/generated where its content has changed."""
    path = TARGET / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.rstrip() + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")


# notebooks ----------------------------------------------------------------------------------------


def buttons(name: str, repository: str, branch: str) -> str:
    """Return the line of a notebook's page that says how to open it, and where its mathematics stands."""
    page = f"../../derivations/{DERIVATIONS[name]}.md"
    opened = f"Open it with sliders: `make lab`, then `{name}.ipynb`"
    if repository:
        place = repository.rstrip("/").removeprefix("https://github.com/")
        path = f"notebooks/{name}.ipynb"
        opened += (
            f" · [Binder](https://mybinder.org/v2/gh/{place}/{branch}?labpath={path})"
            f" · [Colab](https://colab.research.google.com/github/{place}/blob/{branch}/{path})"
        )
    file = relative(str(REPOSITORY / "notebooks" / f"{name}.ipynb"), TARGET / "notebooks" / "page.md")
    exercises = ", ".join(f"[](<../exercises/{exercise}.md>)" for exercise in EXERCISES_AFTER[name])
    text = (
        f"{opened} · {{download}}`download the notebook <{file}>` · the mathematics: [](<{page}>) · "
        f"to try yourself afterwards: {exercises}"
    )
    return f":::{{admonition}} This page is the notebook as it was last executed\n:class: note\n{text}\n:::"


def ends_of_sliders(name: str) -> Iterator[str]:
    """Yield a text for each box of controls of a notebook: what it shows at both ends of each of them.

    A page has no kernel. So each picture stands on a tab, which a click opens, and all of them are printed.
    """
    folder = BOOK / "sliders" / name
    boxes = json.loads((folder / "ends.json").read_text(encoding="utf-8")) if folder.is_dir() else []
    for box in boxes:
        if not box:
            yield "This panel trains when its button is pressed. It needs a kernel: `make lab`."
            continue
        tabs = "\n".join(
            f":::{{tab-item}} {end['label']}\n```{{image}} ../../sliders/{name}/{end['file']}\n"
            f":alt: {json.dumps(end['alt'], ensure_ascii=False)}\n```\n:::"
            for end in box
        )
        yield (
            "The picture above, with one slider or menu at an end of its range, and the others where they "
            "were:\n\n"
            f"::::{{tab-set}}\n{tabs}\n::::"
        )


def page_of_notebook(name: str, links: Links, repository: str, branch: str) -> str:
    """Return a stored notebook as a page: links led, sliders and proofs folded, buttons after its title."""
    source = f"notebooks/{name}.ipynb"
    notebook = json.loads((REPOSITORY / source).read_text(encoding="utf-8"))
    with_sliders, ends = [], ends_of_sliders(name)
    for cell in notebook["cells"]:
        with_sliders.append(cell)
        if cell["cell_type"] == "code" and re.search(r"^interact[.(]", "".join(cell["source"]), re.MULTILINE):
            shown = {
                "cell_type": "markdown",
                "id": f"{cell['id']}-ends",
                "metadata": {},
                "source": next(ends),
            }
            with_sliders.append(shown)
    notebook["cells"] = with_sliders
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = links.led(text, source, PAGES[source])
        else:
            tags = cell["metadata"].setdefault("tags", [])
            if cell["metadata"].get("jupyter", {}).get("source_hidden"):
                tags.append("hide-input")
        cell["source"] = text
    first = notebook["cells"][0]
    title, _, rest = first["source"].partition("\n")
    first["source"] = f"{title}\n\n{buttons(name, repository, branch)}\n{rest}"
    return json.dumps(notebook, ensure_ascii=False, indent=1)


# results and the oracle ---------------------------------------------------------------------------


def cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return re.sub(r"([|*_<>$\\^~])", r"\\\1", text)


TOPICS_TEXT = (
    "In the order in which an implementation is usually built; the cases are those of the stored vectors. A "
    "function `target(topic, conventions, inputs)` may answer some topics and refuse the others."
)
FLAGS_TEXT = (
    "A flag is a deviation that the diagnosis recognizes. A *variant* is a choice that a correct "
    "implementation may make; a *bug* is a mistake. The oracle says: “the failing cases match when …”."
)
CONVENTIONS_TEXT = "Every group of cases states the conventions that its expected values follow."


def table_page(title: str, text: str, *head_and_rows: Any) -> str:
    """Return a page with one table: its head, and as last argument its rows."""
    *head, rows = head_and_rows
    lines = [f"# {title}", "", text, "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *rows])


def oracle_pages() -> dict[str, str]:
    """Return the pages of the oracle's topics, flags and conventions."""
    from locoprop_ref.oracle.conventions import CONVENTIONS
    from locoprop_ref.oracle.flags import BY_FLAG
    from locoprop_ref.oracle.topics import TOPICS

    stored = {}
    for path in sorted((REPOSITORY / "locoprop_ref" / "oracle" / "vectors").glob("*.json")):
        vectors = json.loads(path.read_text(encoding="utf-8"))
        stored[vectors["topic"]] = stored.get(vectors["topic"], 0) + vectors["numberOfCases"]
    topics = [f"| `{name}` | {cell(text)} | {stored.get(name, 0)} |" for name, text in TOPICS.items()]
    flags = [
        f"| `{flag.name}` | {flag.kind} | {cell(flag.when)} | {cell(flag.effect)} |"
        for flag in BY_FLAG.values()
    ]
    choices = [
        f"| `{row.name}` | {', '.join(f'`{value}`' for value in row.values)} | {cell(row.meaning)} |"
        for row in CONVENTIONS
    ]
    return {
        "oracle/topics.md": table_page(
            "Topics", TOPICS_TEXT, "topic", "what a target returns", "cases", topics
        ),
        "oracle/flags.md": table_page("Flags", FLAGS_TEXT, "flag", "kind", "… when", "what follows", flags),
        "oracle/conventions.md": table_page(
            "Conventions", CONVENTIONS_TEXT, "convention", "values", "meaning", choices
        ),
    }


def exercise_page(name: str) -> str:
    """Return the text of an exercise as a student sees it: without its solution and its hidden tests."""
    text = (REPOSITORY / "exercises" / f"{name}.md").read_text(encoding="utf-8")
    text = text.split("---\n", 2)[2]
    text = re.sub(r"^( *)### BEGIN SOLUTION\n.*?### END SOLUTION", r"\1...", text, flags=re.S | re.M)
    text = re.sub(r"### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS\n", "", text, flags=re.S)
    return re.sub(r"```\{code-cell\} ipython3\n(:tags: .*\n\n)?", "```python\n", text)


# reference ----------------------------------------------------------------------------------------


def reading_order() -> list[str]:
    """Return the modules and folders of the package from top to bottom, as the test of the house has them."""
    tree = ast.parse((REPOSITORY / "tests" / "test_house.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ORDER":
            call = node.value
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                return [name for name in ast.literal_eval(call.func.value).split() if name != "__main__"]
    raise ValueError("tests/test_house.py has no ORDER")


def submodules(name: str) -> list[str]:
    """Return a module and, for a folder, those in it."""
    package = importlib.import_module(name)
    inner = [info.name for info in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}.")]
    return [name, *inner]


def documented(module: Any) -> list[str]:
    """Return the directives for the public functions and classes that a module defines, in their order."""
    lines: list[str] = []
    own = [
        (name, value)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
        and (inspect.isclass(value) or inspect.isfunction(inspect.unwrap(value)))
        and getattr(value, "__name__", None) == name
    ]  # fmt: skip
    for name, value in sorted(own, key=lambda pair: _line(pair[1])):
        if inspect.isclass(value):
            lines += [f".. autoclass:: {name}", "   :members:", "   :special-members: __call__", ""]
        else:
            lines += [f".. autofunction:: {name}", ""]
    return lines


def _line(value: Any) -> int:
    return inspect.getsourcelines(inspect.unwrap(value))[1]


def reference_page(entry: str) -> str:
    """Return the page of a module of the lecture, or of a folder with all of its modules."""
    lines = [f"{entry}", "=" * len(entry), ""]
    for name in submodules(f"locoprop_ref.{entry}"):
        module = importlib.import_module(name)
        if name != f"locoprop_ref.{entry}":
            short = name.removeprefix("locoprop_ref.")
            lines += [short, "-" * len(short), ""]
        lines += [f".. automodule:: {name}", "", f".. currentmodule:: {name}", ""]
        if entry not in MODULES_ALONE:
            lines += documented(module)
    return "\n".join(lines)


def public_names() -> str:
    """Return the page of all public names, each with the module that defines it."""
    import locoprop_ref

    lines = ["# Public names", "", "What `from locoprop_ref import ...` offers, in reading order.", ""]
    lines += ["| name | what it is |", "|---|---|"]
    for name in locoprop_ref.__all__:
        value = getattr(locoprop_ref, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            first = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
            link = f"{{py:obj}}`{name} <{value.__module__}.{value.__name__}>`"
            lines.append(f"| {link} | {cell(first)} |")
        else:
            kind = ", ".join(f"`{key}`" for key in value)
            lines.append(f"| `{name}` | {kind} |")
    return "\n".join(lines)


# all of it ----------------------------------------------------------------------------------------


def write(repository: str = "", branch: str = "main") -> None:
    """Write every generated page."""
    from locoprop_ref.exercises import EXERCISES
    from locoprop_ref.verify import as_json, verify

    links = Links(repository, branch)
    for name in NOTEBOOKS:
        write_text(f"notebooks/{name}.ipynb", page_of_notebook(name, links, repository, branch))
    for source, page in PAGES.items():
        if source.endswith(".md") and page.startswith("generated/"):
            text = (REPOSITORY / source).read_text(encoding="utf-8")
            write_text(page.removeprefix("generated/"), links.led(text, source, page))
    for name, text in oracle_pages().items():
        write_text(name, text)
    for exercise in EXERCISES:
        write_text(f"exercises/{exercise.name}.md", exercise_page(exercise.name))
    order = reading_order()
    for entry in order:
        write_text(f"reference/{entry}.rst", reference_page(entry))
    write_text("reference/public-names.md", public_names())
    index = [
        "# Reference",
        "",
        "From the docstrings, in reading order: a module imports only from those above it.",
        "",
    ]
    toctree = ["```{toctree}", ":maxdepth: 1", "", "public-names", *order, "```"]
    write_text("reference/index.md", "\n".join([*index, *toctree]))
    report = as_json(verify(0), seed=0, backend="numpy")
    write_text("verify.json", json.dumps(report, ensure_ascii=False, indent=1))
