"""What is committed under results/ and figures/: the tables and figures follow from the runs, to the byte."""

import json
import re
import shutil
from pathlib import Path

import pytest
from numpy.testing import assert_equal

from locoprop_ref.experiments.compare.folder import read_results
from locoprop_ref.experiments.compare.report import redraw
from locoprop_ref.experiments.compare.summary import rows_of
from locoprop_ref.experiments.compare.table import columns
from locoprop_ref.experiments.tuned import provenance
from locoprop_ref.training.run_file import read_run

ROOT = Path(__file__).resolve().parents[2]
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
            assert run["command"] == plan["command"]
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


S, CLOSED, M = "LocoProp-S, K steps", "LocoProp-S, closed form", "LocoProp-M, K steps"
MARK = "seconds to RMSProp's final train loss"
# which finding each per cent of the README is of: variant, quantity, group of methods; in the order told
TOLD = {
    "Loss": [
        (M, "train loss", "first"), (M, "test loss", "first"), (M, "train loss", "second"),
        (M, "test loss", "second"), (S, "train loss", "first"), (S, "train loss", "second"),
        (S, "test loss", "first"), (S, "test loss", "second"), (CLOSED, "train loss", "first"),
        (CLOSED, "test loss", "first"),
    ],
    "Time": [
        (M, "seconds a step", "second"), (S, "seconds a step", "second"), (M, MARK, "second"),
        (M, MARK, "first"), (S, MARK, "second"), (S, MARK, "first"), (CLOSED, "seconds a step", "second"),
    ],
    "Memory": [
        (CLOSED, "peak of a step", "second"), (M, "bytes of the state", "second"),
        (M, "peak of a step", "second"), (S, "peak of a step", "second"),
    ],
}  # fmt: skip
SAME = {"below": "less", "above": "more"}


def summary(name):
    return json.loads((ROOT / "results" / name / "summary.json").read_text(encoding="utf-8"))


def claims_of_the_results():
    return {claim["statement"].partition(":")[0]: claim for claim in summary("mnist")["claims"]}


def claims_of_the_readme():
    """Verdict and text of each claim."""
    bullets = section().split("\n- ")
    found = [re.match(r"\*\*(Loss|Time|Memory): ([a-z ]+)\.\*\*(.*)", one, re.DOTALL) for one in bullets]
    return {one[1]: (one[2], " ".join(one[3].split())) for one in found if one}


def test_the_readme_has_the_verdicts_of_the_results():
    wanted = {name: claim["verdict"] for name, claim in claims_of_the_results().items()}
    assert_equal({name: verdict for name, (verdict, _) in claims_of_the_readme().items()}, wanted)


@pytest.mark.parametrize("claim", TOLD)
def test_the_readme_has_the_per_cents_of_the_results(claim):
    """Each with its sign, and against whom."""
    wanted = []
    for variant, what, group in TOLD[claim]:
        tests = claims_of_the_results()[claim]["variants"][variant]["tests"]
        pattern = rf"^{what} ([\d.]+ %) (more|less) than the best {group}-order method, ([\w-]+)"
        wanted += [m.groups() for test in tests if (m := re.match(pattern, test["sentence"]))]
    assert_equal(len(wanted), len(TOLD[claim]))
    _, text = claims_of_the_readme()[claim]
    told = []
    for number in re.finditer(r"[\d.]+ %", text):
        after = text[number.end() :]
        sign = re.search(r"\b(below|above|more|less)\b", after)
        opponent = re.search(r"\b(RMSProp|Adam|K-FAC|FOOF|Shampoo)\b", after[sign.end() :])
        told.append((number[0], SAME.get(sign[1], sign[1]), opponent[1]))
    assert_equal(told, wanted)


def test_the_readme_has_the_losses_of_the_results():
    """CURVES' train losses; and MNIST's of RMSProp's first seed, which an independent program is held to."""
    rows = {row["label"]: row for row in summary("curves")["rows"]}
    text = next(one for one in section().split("\n- ") if one.startswith("On the small network for CURVES"))
    names = ["LocoProp-M, K steps", "RMSProp", "LocoProp-S, K steps", "Shampoo", "K-FAC"]
    wanted = [f"{rows[name]['final_train']['median']:.1f}" for name in names]
    assert_equal(re.findall(r"\(([\d.]+)\)", text), wanted)
    last = read_run(ROOT / "results" / "mnist" / "rmsprop-seed0.json")["epochs"][-1]
    assert f"({last['train']['ce']:.2f} / {last['test']['ce']:.2f}, train / test)" in section()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_no_peak_is_below_its_count(folder):
    """The count is what a step must hold at once: parameters, state, and what the layers keep of a batch."""
    for path in folder.glob("*-clock.json"):
        memory = json.loads(path.read_text(encoding="utf-8"))["memory"]
        assert memory["peak_bytes"] >= memory["counted_bytes"], path.name
