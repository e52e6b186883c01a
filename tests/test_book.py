"""The book: what its pages name exists, what they say in Python holds, and the site works in a browser."""

import ast
import doctest
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import FLAGS, chromium

from locoprop_ref.exercises import EXERCISES
from locoprop_ref.verify import IDENTITIES, PAGES

REPOSITORY = Path(__file__).resolve().parent.parent
BOOK = REPOSITORY / "book"
DERIVATIONS = sorted((BOOK / "derivations").glob("*.md"))
SOURCES = [
    (page.stem, name)
    for page in DERIVATIONS
    for name in re.findall(r"\{source\} (\S+)", page.read_text(encoding="utf-8"))
]

sys.path.insert(0, str(BOOK))
try:
    import docstrings
    import generate
    import lab
finally:
    sys.path.remove(str(BOOK))


# without Sphinx ----------------------------------------------------------------------------------


def defined(name):
    """Whether a dotted name below `locoprop_ref` is a definition in the source."""
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        path = REPOSITORY.joinpath("locoprop_ref", *parts[:count]).with_suffix(".py")
        if path.is_file():
            body = ast.parse(path.read_text(encoding="utf-8")).body
            for part in parts[count:]:
                found = [node for node in body if getattr(node, "name", None) == part]
                body = found[0].body if found else []
            return bool(body)
    return False


def test_every_source_beside_a_derivation_exists():
    assert len(SOURCES) > 40
    assert [pair for pair in SOURCES if not defined(pair[1])] == []
    assert not defined("solvers.no_such_function") and not defined("local.LocalProblem.no_such_method")


def test_every_identity_has_its_page_and_every_page_an_identity():
    source = " ".join(path.read_text() for path in sorted((REPOSITORY / "locoprop_ref/verify").glob("*.py")))
    ids = re.findall(r'Identity\(\s*"(\w+)",', source)
    assert len(ids) == len(IDENTITIES)
    assert sorted(ids) == sorted(PAGES)
    assert {f"derivations/{page.stem}" for page in DERIVATIONS} == set(PAGES.values())
    for page in DERIVATIONS:
        assert "```{proved-by}" in page.read_text(encoding="utf-8"), page


@pytest.mark.parametrize("page", sorted((BOOK / "howto").glob("*.md")), ids=lambda page: page.stem)
def test_the_python_of_the_howto_pages_holds(page):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=flags)
    assert failed == 0
    assert tried > 5 or page.stem in ("gpu", "cluster")  # which need a machine that the tests do not have


def test_docstrings_become_restructuredtext():
    given = [
        "Return y* = |a|, see `f`.",
        "",
        "    w = 1",
        "",
        "Args:",
        "    x: X̃_0, a",
        "        row.",
        "",
        ">>> 1",
    ]
    assert docstrings.as_rst(given) == [
        r"Return y\* = \|a\|, see ``f``\ .", "", "::", "", "       w = 1", "", ":Args:",
        r"   * ``x``: X̃\_0, a row.",
        "", ">>> 1", "",
    ]  # fmt: skip


def test_links_lead_to_pages_of_the_book_or_name_the_file():
    text = "[a](map.md), [b](../tests), ![c](../figures/mnist/compare.png), [d](https://arxiv.org/abs/2106.06199)"
    led = generate.Links("", "main").led(text, "docs/limits.md", "generated/docs/limits.md")
    assert led.startswith(
        "[a](map.md), b (`tests`), ![c](../../../figures/mnist/compare.png), [d](https://arxiv"
    )
    led = generate.Links("https://github.com/o/r", "main").led(
        text, "docs/limits.md", "generated/docs/limits.md"
    )
    assert "[b](https://github.com/o/r/blob/main/tests)" in led


def test_every_exercise_follows_a_notebook():
    assert sorted(generate.EXERCISES_AFTER) == sorted(generate.NOTEBOOKS)
    after = {exercise for exercises in generate.EXERCISES_AFTER.values() for exercise in exercises}
    assert after == {exercise.name for exercise in EXERCISES}


def test_the_lesson_names_headings_and_numbers_that_are_there():
    page = (BOOK / "class.md").read_text(encoding="utf-8")
    named = re.findall(r"notebook (\d)(?:\]\([^)]*\))?, \*([^*]+)\*", page)
    assert len(named) == 5
    for number, heading in named:
        (path,) = (REPOSITORY / "notebooks").glob(f"{number}-*.md")
        assert f"\n## {heading}\n" in path.read_text(encoding="utf-8"), heading
    summary = (REPOSITORY / "results/mnist/summary.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in summary.splitlines() if line.startswith("| ")]
    head, *rows = [line for line in lines if len(line) > 7]
    read = [row for row in rows if row[0] in ("RMSProp", "K-FAC", "LocoProp-M, K steps")]
    columns = (head.index("final train"), head.index("s to rmsprop"))
    losses, seconds = ([float(row[column].split()[0]) for row in read] for column in columns)
    assert "{:.1f}, {:.1f} and {:.1f}".format(*losses) in page
    assert "{:.0f}, {:.0f} and {:.0f} seconds".format(*seconds) in page


def test_the_lab_works_on_a_copy_and_keeps_what_was_changed(tmp_path):
    assert lab.write(tmp_path) == []
    index = json.loads((tmp_path / "index.ipynb").read_text(encoding="utf-8"))["cells"][0]["source"]
    for name in generate.NOTEBOOKS:
        assert f"]({name}.ipynb)" in index
        text = lab.text_of(json.loads((tmp_path / f"{name}.ipynb").read_text("utf-8")))
        assert "the mathematics: *" in text
        for exercise in generate.EXERCISES_AFTER[name]:
            assert f"`{exercise}`" in text
            assert f"[](<../exercises/{exercise}.md>)" in generate.buttons(name, "", "main")
    linked = re.findall(r"\((thumbnails/[^)]+)\)", index)
    assert len(linked) >= 8 and all((tmp_path / path).stat().st_size > 500 for path in linked)
    changed = tmp_path / "2-loss-surfaces.ipynb"
    changed.write_text(changed.read_text("utf-8").replace("import", "import ", 1), "utf-8")
    before = changed.read_bytes()
    assert lab.write(tmp_path) == ["2-loss-surfaces.ipynb"]
    assert changed.read_bytes() == before


# with Sphinx -------------------------------------------------------------------------------------

# refuses every connection that leaves this process
OFFLINE = """
import socket, sys
def refuse(*arguments, **names): raise OSError("the book must be built without a network")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built book."""
    pytest.importorskip("sphinx", reason="could not import 'sphinx'")
    out = tmp_path_factory.mktemp("book")
    command = [
        sys.executable,
        "-c",
        OFFLINE,
        "-q",
        "-W",
        "-n",
        "-b",
        "html",
        "-d",
        out / "trees",
        BOOK,
        out / "html",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "Agg"}, timeout=500
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


class Page(HTMLParser):
    """The addresses and the anchors of a page."""

    def __init__(self, path):
        super().__init__()
        self.addresses, self.anchors = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.addresses.append(value)
            elif name == "id":
                self.anchors.add(value)


def broken(pages):
    """The links of pages {path: Page} that lead to no file, or to no anchor of a page, as (page, address)."""
    found = []
    for path, page in pages.items():
        for address in page.addresses:
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages.get(target)
            wrong_anchor = parts.fragment and known and unquote(parts.fragment) not in known.anchors
            if not target.is_file() or wrong_anchor:
                found.append((path.name, address))
    return found


@pytest.mark.full
def test_no_link_inside_the_book_is_broken(site, tmp_path):
    pages = {path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}
    assert len(pages) > 60
    assert broken(pages) == []
    # and a broken one is seen
    (tmp_path / "a.html").write_text("<p id='x'><a href='b.html'>b</a><a href='#y'>y</a><a href='#x'>x</a>")
    assert broken({tmp_path / "a.html": Page(tmp_path / "a.html")}) == [
        ("a.html", "b.html"),
        ("a.html", "#y"),
    ]


# what a reader sees outside of code and formulas, with TeX in it, or with the line below a table's head
RAW_TEX = r"""() => {
    const found = [], walker = document.createTreeWalker(document.querySelector('main') ?? document.body, 4);
    const raw = /\\[a-zA-Z]{2,}|\$[^$]+\$|\\[()\[\]]|\| :?[-–]+:? \|/;
    while (walker.nextNode()) {
        const text = walker.currentNode;
        if (text.parentElement.closest('pre, code, script, style, mjx-container')) continue;
        if (raw.test(text.data)) found.push(text.data.trim());
    }
    return found;
}"""
SEEN = """async () => {
    await window.MathJax?.startup?.promise;
    const lost = [...document.images].filter(i => i.loading !== 'lazy' && i.complete && !i.naturalWidth);
    const wrong = document.querySelectorAll('mjx-merror').length;
    const isCut = f => {
        if (f.hasAttribute('display')) return f.scrollWidth > f.clientWidth + 1;
        const right = e => e.getBoundingClientRect().right;
        return right(f.querySelector('svg')) > right(f.closest('p, li, dd, div, h1, h2, h3')) + 1;
    };
    const formulas = [...document.querySelectorAll('mjx-container')].filter(f => !f.closest('table'));
    const cut = formulas.filter(isCut).length;
    return [document.documentElement.scrollWidth - innerWidth, wrong, lost.length, cut];
}"""


@pytest.fixture(scope="module")
def page():
    """A page of Chromium that writes down its errors, and what it asks other hosts for."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="could not import 'playwright'")
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        page = started.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(f"page: {error}"))
        page.on("console", lambda said: said.type == "error" and page.faults.append(f"console: {said.text}"))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:", "blob:")) or page.faults.append(f"asked {r.url}"),
        )
        yield page
        started.close()


def faults(page, address):
    """What is wrong with a page, at desktop and at phone width."""
    page.faults.clear()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(address)
    found = []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        too_wide, merrors, lost, cut = page.evaluate(SEEN)
        if too_wide > 0 or merrors or lost or cut:
            found.append(
                f"at {width}: {too_wide} px too wide, {merrors} formulas wrong, {lost} pictures lost, "
                f"{cut} formulas wider than their column"
            )
    return found + [f"raw TeX or table: {text}" for text in page.evaluate(RAW_TEX)] + page.faults


@pytest.mark.full
def test_every_page_works_on_a_desktop_and_on_a_phone(site, page):
    pages = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    assert len(pages) > 60
    wrong = {path.stem: found for path in pages if (found := faults(page, path.as_uri()))}
    assert wrong == {}
    page.goto((site / "derivations" / "5-preconditioner.html").as_uri())
    page.evaluate(SEEN)
    assert page.locator("mjx-container").count() > 50
    assert page.locator(".source .linenos").count() > 50


@pytest.mark.full
def test_a_page_with_faults_is_seen(page, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        "<main>$\\frac12$<img src='http://locoprop-ref.invalid/a.png'><p style='width:2000px'>w</p>"
        "<div style='width: 200px'><mjx-container display='true' style='display: block; overflow-x: auto'>"
        "<p style='width: 300px'>a = b</p></mjx-container><p>"
        "<mjx-container><svg width='300px'></svg></mjx-container></p></div>"
        "<p>| a | | :- | -: | | 1 |</p></main>"
        "<script>console.error('no'); undefined.x</script>"
    )
    found = " ".join(faults(page, path.as_uri()))
    for fault in (
        "px too wide",
        "2 formulas wider than their column",
        "raw TeX or table: $",
        "raw TeX or table: | a |",
        "console: no",
        "page: ",
        "asked http://locoprop-ref.invalid/a.png",
    ):
        assert fault in found


@pytest.mark.parametrize("name", generate.NOTEBOOKS)
def test_every_box_of_sliders_has_its_tabs(name):
    """In the order of the cells, each tab with its picture; and no picture is left over from another day."""
    cells = json.loads(generate.page_of_notebook(name, generate.Links("", "main"), "", "main"))["cells"]
    before = {n: cell["source"] for n, cell in enumerate(cells, start=1) if cell["cell_type"] == "code"}
    with_sliders = [n for n, source in before.items() if re.search(r"^interact\(", source, re.MULTILINE)]
    tabs = [cells[n]["source"] for n in with_sliders]
    assert tabs == list(generate.ends_of_sliders(name))
    shown = re.findall(r"\.\./\.\./sliders/(\S+\.png)", " ".join(tabs))
    assert sorted(shown) == sorted(f"{name}/{path.name}" for path in (BOOK / "sliders" / name).glob("*.png"))
    assert len(set(shown)) == len(shown)


# slides ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decks():
    """The slides of two notebooks, and the script that makes them; the others are made in the same way."""
    pytest.importorskip("sphinx_revealjs", reason="could not import 'sphinx_revealjs'")
    program = [sys.executable, BOOK / "slides.py"]
    done = subprocess.run([*program, "1", "3"], capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    names = [Path(line).name for line in done.stdout.splitlines()]
    assert names == ["1-first-step-is-backprop.html", "3-locoprop-s-closed-form.html"]
    wrong = subprocess.run([*program, "no such"], capture_output=True, text=True, timeout=100, check=False)
    assert wrong.returncode == 1 and "notebook must begin as one of" in wrong.stderr
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.mark.full
def test_slides_work_without_a_network(decks, page):
    page.set_viewport_size({"width": 1280, "height": 800})
    for path in decks:
        page.faults.clear()
        page.goto(path.as_uri())
        page.wait_for_function("() => window.Reveal && Reveal.isReady()")
        page.evaluate("async () => { await MathJax.startup.promise; }")
        notebook = json.loads((BOOK.parent / "notebooks" / f"{path.stem}.ipynb").read_text(encoding="utf-8"))
        texts = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
        headings = [
            line.lstrip("# ") for text in texts for line in text.splitlines() if line[:2] in ("# ", "##")
        ]
        top = page.evaluate(
            "() => Reveal.getHorizontalSlides().map(s => s.querySelector('h1, h2').innerText)"
        )
        assert [title.replace("¶", "") for title in top] == headings
        assert page.locator("mjx-container").count() > 20 and page.locator("mjx-merror").count() == 0
        # every picture is there with its words, and no code of a folded cell
        assert all(
            page.evaluate("() => [...document.images].map(i => i.naturalWidth > 0 && i.alt.length > 60)")
        )
        assert "interact(" not in page.content()
        # the last slide is reached by its key
        for _ in range(page.evaluate("() => Reveal.getTotalSlides()")):
            page.keyboard.press("Space")
        assert page.evaluate("() => Reveal.isLastSlide()")
        assert page.faults == []
