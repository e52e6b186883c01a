"""What is committed under results/ and figures/: the tables and figures follow from the runs, to the byte."""

import json
import re
import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_equal

from locoprop_ref.compare.folder import read_results
from locoprop_ref.compare.report import redraw
from locoprop_ref.compare.summary import rows_of
from locoprop_ref.compare.table import columns
from locoprop_ref.run_file import read_run
from locoprop_ref.tuned import provenance

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/comparison.json"))


def manifest(folder):
    return json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def test_there_are_results():
    assert FOLDERS


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_tables_and_figures_follow_from_the_runs(folder, tmp_path):
    """Redrawn from a copy of the JSON files alone, they are those that are committed."""
    for path in folder.glob("*.json"):
        if path.name != "summary.json":
            shutil.copy(path, tmp_path)
    redraw(tmp_path, pictures=tmp_path / "figures")
    for name in ("summary.json", "summary.md", "summary.txt"):
        assert_equal((tmp_path / name).read_bytes(), (folder / name).read_bytes(), err_msg=name)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "figures" / folder.name).iterdir()}
    assert_equal(sorted(drawn), sorted(kept))
    for name, content in drawn.items():
        assert content == kept[name], name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_run_says_what_made_it(folder):
    plan = manifest(folder)
    for name in plan["contestants"]:
        for seed in plan["seeds"]:
            run = read_run(folder / f"{name}-seed{seed}.json")
            assert run["config"]["seed"] == seed
            assert run["data"]["sha256"] == plan["data"]["sha256"]
            assert run["environment"]["versions"]["numpy"]
            assert run["status"] in ("finished", "diverged")
    assert plan["command"].startswith("locoprop-ref compare")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_runs_have_the_tuned_settings_of_the_package(folder):
    plan = manifest(folder)
    problem = "curves" if plan["shared"]["data"] == "curves" else "mnist"
    for name in plan["contestants"]:
        stored = provenance(name, problem)
        assert stored is not None, name
        config = read_run(folder / f"{name}-seed{plan['seeds'][0]}.json")["config"]
        assert {key: config[key] for key in stored["settings"]} == stored["settings"], name


# ------------------------------ what the README says

SECTION = "## Against other methods"


def section():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text[text.index(SECTION) :].partition("\n## ")[0]


def test_the_readme_has_the_table_of_the_results():
    """Losses, seconds an epoch, epochs and seconds to RMSProp's loss, state, peak and count."""
    told = [line.strip("| ").split(" | ") for line in section().splitlines() if line.startswith("| ")][1:]
    cells = columns(rows_of(read_results(ROOT / "results" / "mnist")))[1:]
    assert_equal(told, [[line[i] or "–" for i in (0, 1, 2, 3, 5, 6, 7, 8, 9, 10)] for line in cells])


def test_the_readme_has_the_verdicts_and_per_cents_of_the_results():
    summary = json.loads((ROOT / "results" / "mnist" / "summary.json").read_text(encoding="utf-8"))
    verdicts = {claim["statement"].partition(":")[0]: claim["verdict"] for claim in summary["claims"]}
    assert dict(re.findall(r"\*\*(Loss|Time|Memory): ([a-z ]+)\.\*\*", section())) == verdicts
    tests = [test for claim in summary["claims"] for v in claim["variants"].values() for test in v["tests"]]
    found = {number for test in tests for number in re.findall(r"[\d.]+ %", test["sentence"])}
    told = set(re.findall(r"[\d.]+ %", section()))
    assert told
    assert told <= found
