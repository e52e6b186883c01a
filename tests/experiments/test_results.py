"""What is committed under results/ and figures/: the tables and figures follow from the runs, to the byte."""

import json
import re
import shlex
import shutil
import statistics
from pathlib import Path

import pytest
from msgspec.structs import replace
from numpy.testing import assert_allclose, assert_equal

from locoprop_ref.cli import main as cli
from locoprop_ref.experiments.compare.folder import read_manifest
from locoprop_ref.experiments.compare.manifest import join, refuse_another_plan
from locoprop_ref.experiments.compare.page import redraw
from locoprop_ref.experiments.compare.plan import comparison
from locoprop_ref.experiments.compare.records import write_json
from locoprop_ref.experiments.tuned import PROBLEMS, is_fast, provenance
from locoprop_ref.training.options import as_json
from locoprop_ref.training.run_file import read_run

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.parent for path in (ROOT / "results").glob("*/comparison.json"))


def manifest(folder):
    return json.loads((folder / "comparison.json").read_text(encoding="utf-8"))


def test_there_are_results():
    assert FOLDERS
    assert any(path for folder in FOLDERS for path in folder.glob("*-clock.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_pages_tables_and_figures_follow_from_the_runs(folder, tmp_path):
    """Redrawn from a copy of the JSON files alone, they are those that are committed."""
    copy, pictures = tmp_path / "results" / folder.name, tmp_path / "figures" / folder.name
    copy.mkdir(parents=True)
    for path in folder.glob("*.json"):
        if path.name != "summary.json":
            shutil.copy(path, copy)
    redraw(copy, pictures=pictures)
    for name in ("summary.json", "summary.md", "summary.txt"):
        same = (copy / name).read_bytes() == (folder / name).read_bytes()
        assert same, f"{folder / name}: locoprop-ref compare --redraw writes it again"
    drawn = {path.name: path.read_bytes() for path in pictures.iterdir()}
    kept = {path.name: path.read_bytes() for path in (ROOT / "figures" / folder.name).iterdir()}
    assert_equal(sorted(drawn), sorted(kept))
    for name, content in drawn.items():
        assert content == kept[name], name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_figures_of_a_page_are_there(folder):
    """Every picture has its text, and its link leads to a committed file."""
    page = (folder / "summary.md").read_text(encoding="utf-8")
    links = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", page)
    posters = manifest(folder)["preset"] in ("poster", "poster-signs")
    # the frontier is drawn where there are settings of the fewest seconds
    others = 4 + any(is_fast(name) for name in manifest(folder)["contestants"])
    assert_equal(len(links), 2 + any(folder.glob("*-clock.json")) if posters else others)
    for text, link in links:
        assert len(text) > 40, link
        assert (folder / link).is_file(), link


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_page_says_what_came_out_and_what_made_it(folder):
    """Verdicts, numbers of the best, and provenance, against summary.json and the runs."""
    page = (folder / "summary.md").read_text(encoding="utf-8")
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    for number, claim in enumerate(found["claims"], start=1):
        assert f"### ({number}) {claim['statement']}: {claim['verdict']}\n" in page
        for label, variant in claim["variants"].items():
            lines = [f"- **{label}: {variant['verdict']}.**"]
            lines += [f"  - {one['sentence']}" for one in variant["tests"]]
            assert "\n".join(lines) + "\n" in page
    column = (
        next(line for line in page.splitlines() if "| final train |" in line)
        .split(" | ")
        .index("final train")
    )
    for row in found["rows"]:
        finals = [
            read_run(folder / f"{row['contestant']}-seed{seed}.json")["epochs"][-1]["train"]["ce"]
            for seed in found["seeds"]
        ]
        final = f"{statistics.median(finals):.4g}"
        cell = next(line for line in page.splitlines() if line.startswith(f"| {row['label']} |")).split(" | ")
        assert cell[column].partition(" (")[0] == final
    plan = manifest(folder)
    for made in (
        plan["command"],
        plan["data"]["sha256"][:12],
        f"numpy {plan['environment']['versions']['numpy']}",
    ):
        assert made in page.partition("## How it was made")[2]


def made_by(command):
    """The comparison that a command makes."""
    given = cli._parser().parse_args(shlex.split(command)[1:])
    options = {"entries": given.methods, "epochs": given.epochs, "data": given.data}
    return comparison(given.preset, seeds=given.seeds, **options)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_every_run_says_what_made_it(folder):
    """A command that makes this run: where a folder has grown, the one of its day."""
    plan = manifest(folder)
    last = made_by(plan["command"])
    assert (list(last.seeds), list(last.entries)) == (plan["seeds"], list(plan["contestants"]))
    for name in plan["contestants"]:
        for seed in plan["seeds"]:
            run = read_run(folder / f"{name}-seed{seed}.json")
            assert run["config"]["seed"] == seed
            assert run["data"]["sha256"] == plan["data"]["sha256"]
            assert run["environment"]["versions"]["numpy"]
            assert run["status"] in ("finished", "diverged")
            own = made_by(run["command"])
            assert name in own.entries
            assert seed in own.seeds
            # the images may have been in a file of their own; their hash was compared above
            made, had = ({**each, "data": None} for each in (as_json(own.config(name, seed)), run["config"]))
            assert {key: made.get(key) for key in had} == had, name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_the_runs_have_the_tuned_settings_of_the_package(folder):
    plan = manifest(folder)
    problem = "curves" if plan["shared"]["data"] == "curves" else "mnist"
    if plan["preset"] in PROBLEMS:
        problem = plan["preset"]
    for name in plan["contestants"]:
        stored = provenance(name, problem)
        assert stored is not None, name
        config = read_run(folder / f"{name}-seed{plan['seeds'][0]}.json")["config"]
        assert {key: config[key] for key in stored["settings"]} == stored["settings"], name


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_no_peak_is_below_its_count(folder):
    """The count is what a step must hold at once: parameters, state, and what the layers keep of a batch."""
    for path in folder.glob("*-clock.json"):
        memory = json.loads(path.read_text(encoding="utf-8"))["memory"]
        assert memory["peak_bytes"] >= memory["counted_bytes"], path.name


def test_rmsprop_reaches_the_losses_of_an_independent_program():
    """A NumPy program of the same experiment, written by others, ended its 20 epochs at 60.4 / 61.5."""
    last = read_run(ROOT / "results" / "mnist" / "rmsprop-seed0.json")["epochs"][-1]
    assert_equal(last["epoch"], 20)
    assert_allclose([last["train"]["ce"], last["test"]["ce"]], [60.4, 61.5], rtol=1e-3)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_stored_comparison_can_be_extended(folder, tmp_path):
    """Its manifest is written as it was read, and takes another seed of today's plan."""
    there = read_manifest(folder)
    write_json(tmp_path / "comparison.json", there)
    assert_equal((tmp_path / "comparison.json").read_bytes(), (folder / "comparison.json").read_bytes())
    given = cli._parser().parse_args(there.command.split()[1:])
    options = {"entries": given.methods, "epochs": given.epochs, "data": given.data}
    plan = comparison(given.preset, seeds=[0, 1, 2, 3], **options).record()
    assert_equal(refuse_another_plan(folder, plan), there)
    here = replace(there, seeds=[0, 1, 2, 3], shared=plan.shared, command=plan.command)
    joined = join(folder, here)
    assert_equal(joined, replace(there, seeds=[0, 1, 2, 3], command=plan.command))
    with pytest.raises(ValueError, match="holds runs of another configuration: batch_size"):
        refuse_another_plan(folder, comparison(given.preset, batch_size=10, **options).record())
