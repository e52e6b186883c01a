"""Every notebook in a real browser: run all, move each slider by keyboard, choose in each menu, see another
picture, and no error.

Chromium without a head (Debian's package) on a JupyterLab of our own. "Run All" would be lost if it were
pressed before the kernel's socket is up, so the session is waited for through `window.jupyterapp`. A redraw
replaces the picture's element: its `src` is compared. Screenshots are kept in build/notebooks.
"""

import itertools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from numpy.testing import assert_equal

pytestmark = pytest.mark.full

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
ARTEFACTS = Path(__file__).resolve().parents[2] / "build" / "notebooks"
# Chromium itself would ask its maker for updates and news
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SESSION_READY = """() => {
    const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
    const kernel = session?.session?.kernel;
    return Boolean(session?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle');
}"""
CELLS_LEFT = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const cells = Array.from(panel.content.model.cells);
    const left = cells.filter(cell => cell.type === 'code' && cell.executionCount === null).length;
    return panel.sessionContext.session?.kernel?.status === 'idle' ? left : left + 1;
}"""
# listings of the package's source whose long lines are broken in the middle of a word
BROKEN_LINES = """() => [...document.querySelectorAll('.jp-OutputArea-output pre')].filter(
    pre => pre.textContent.includes('def ') && getComputedStyle(pre).whiteSpace !== 'pre').length"""
# the picture under the nth box of widgets
PICTURE = """n => {
    const boxes = Array.from(document.querySelectorAll('.jp-OutputArea-output .widget-interact'));
    return boxes[n]?.querySelector('.widget-output img')?.src ?? null;
}"""


def chromium():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab on the loopback address, on a copy of the notebooks; its address with a token."""
    home = tmp_path_factory.mktemp("lab")
    work = home / "notebooks"
    work.mkdir()
    for path in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(path, work)
    # no question about news, and every cell in the page, not only those on the screen
    (home / "config" / "labconfig").mkdir(parents=True)
    off = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (home / "config" / "labconfig" / "page_config.json").write_text(json.dumps(off))
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    port, token = free_port(), secrets.token_hex(16)
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"), "IPYTHONDIR": str(home / "ipython"), "JUPYTER_TOKEN": token,
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
        f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={work}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    with open(home / "lab.log", "wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=home)
    try:
        _wait_for(f"http://127.0.0.1:{port}/api", server, home / "lab.log")
        yield f"http://127.0.0.1:{port}/lab/workspaces/{{0}}/tree/{{0}}.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(timeout=60)


def _wait_for(address, server, log):
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        assert server.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="could not import 'playwright'")
    executable = chromium()
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A page that writes down what goes wrong in it, and whom it asks for anything."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(120_000)
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(f"page: {error}"))
    page.on("console", lambda said: said.type == "error" and page.errors.append(f"console: {said.text}"))
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    page.close()


def outside(requests):
    """The requests that leave this machine."""
    loopback = {"127.0.0.1", "localhost", "[::1]"}
    here = ("data:", "blob:", "about:")
    return [url for url in requests if not url.startswith(here) and urlsplit(url).hostname not in loopback]


def run_all(page, address):
    """Open a notebook, run all cells when its kernel listens, wait for the last."""
    page.goto(address)
    page.wait_for_function(SESSION_READY)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    assert page.evaluate(CELLS_LEFT) > 5
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
    page.wait_for_function(f"() => ({CELLS_LEFT})() === 0")


def picture(page, box, *, other_than=None):
    """The src of the picture in a box of widgets, once it is another than the one given."""
    another = f"([n, old]) => {{ const now = ({PICTURE})(n); return now !== null && now !== old; }}"
    page.wait_for_function(another, arg=[box, other_than])
    return page.evaluate(PICTURE, box)


def moves(box):
    """Move every slider of a box by a page, five steps, one after the other; yield after each."""
    handles = box.locator(".noUi-handle")
    for n in range(handles.count()):
        handle = handles.nth(n)
        handle.scroll_into_view_if_needed()
        handle.focus()
        at_its_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemin")
        handle.press("PageUp" if at_its_end else "PageDown")
        yield


def choices(box):
    """Choose another option of every menu, and of a row of buttons, of a box; yield after each."""
    menus = box.locator("select")
    for n in range(menus.count()):
        menus.nth(n).select_option(index=1 if menus.nth(n).evaluate("menu => menu.selectedIndex") == 0 else 0)
        yield
    if box.locator(".widget-toggle-button").count():
        box.locator(".widget-toggle-button:not(.mod-active)").first.click()
        yield


def test_a_reader_runs_all_and_moves_sliders(name, text, lab, page):
    run_all(page, lab.format(name))
    words = text.read_text(encoding="utf-8")
    boxes = page.locator(".jp-OutputArea-output .widget-interact")
    assert_equal(boxes.count(), len(re.findall(r"^interact[.(]", words, re.MULTILINE)))
    moved = 0
    for n in range(boxes.count()):
        button = boxes.nth(n).get_by_role("button", name="Train", exact=True)
        if button.count():  # the other controls of this box do nothing before it is pressed
            button.click()
            picture(page, n)
            moved += 1
            continue
        before = picture(page, n)
        for _ in itertools.chain(moves(boxes.nth(n)), choices(boxes.nth(n))):
            before = picture(page, n, other_than=before)
            moved += 1
    assert moved >= boxes.count()
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    if boxes.count():
        boxes.first.scroll_into_view_if_needed()
    page.screenshot(path=ARTEFACTS / f"{name}-browser.png")
    # formulas are typeset: by MathJax, and none with an error
    page.wait_for_function(
        "least => document.querySelectorAll('mjx-container').length >= least",
        arg=min(3, words.count("$") // 2),
    )
    assert_equal(page.locator("mjx-merror").count(), 0)
    assert_equal(page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").count(), 0)
    assert_equal(page.locator("[data-mime-type='application/vnd.jupyter.error']").count(), 0)
    assert_equal(page.evaluate(BROKEN_LINES), 0)
    alts = page.evaluate("() => [...document.querySelectorAll('.jp-OutputArea-output img')].map(i => i.alt)")
    assert len(alts) >= boxes.count() and all(len(alt) > 60 for alt in alts), alts
    assert_equal((page.errors, outside(page.requests)), ([], []))


def test_a_page_with_faults_is_seen(page):
    page.goto(
        "data:text/html,<img src='http://locoprop-ref.invalid/a.png'>"
        "<script>console.error('no'); undefined.x</script>"
    )
    page.wait_for_timeout(500)
    assert any("no" in error for error in page.errors) and any(
        error.startswith("page:") for error in page.errors
    )
    assert_equal(outside(page.requests), ["http://locoprop-ref.invalid/a.png"])
