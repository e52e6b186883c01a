"""The stored studies: every one has its form, its settings resolve, and it is a finished search."""

import json
from pathlib import Path

import pytest

from locoprop_ref.experiments import tuned
from locoprop_ref.experiments.compare.plan import PRESETS
from locoprop_ref.experiments.tune import final as final_module
from locoprop_ref.experiments.tune.problem import PROBLEMS
from locoprop_ref.experiments.tune.space import search_space
from locoprop_ref.experiments.tuned import for_run
from locoprop_ref.training.config import resolve

FOLDER = Path(tuned.__file__).parent
# how many trials a study has at least, where it is not 30
TRIALS = {"lenet": 12, "sequential-mnist": 12, "poster": 12, "poster-signs": 12}
EVERY = sorted(FOLDER.rglob("*.json"))
FAST_STORED = [path for path in EVERY if path.parent.name.endswith(tuned.FAST)]
STORED = [path for path in EVERY if path not in FAST_STORED]


def name_of(path):
    return path.relative_to(FOLDER).as_posix()


def test_every_method_has_a_stored_study_on_every_problem():
    """On the networks that classify, the methods of the preset have one, once they were tuned there."""
    stored = {problem: {p.stem for p in STORED if p.parent.name == problem} for problem in tuned.PROBLEMS}
    assert len(STORED) == sum(map(len, stored.values()))
    for problem, names in stored.items():
        wanted = set(PRESETS[problem]["methods"] if problem in PRESETS else tuned.CONTESTANTS)
        wanted = {name for name in wanted if tuned.lender(name) is None}
        assert names <= tuned.ALL.keys()
        assert names >= wanted or (problem in PRESETS and not names), problem


def wrong_with(record, problem, contestant):
    """What is wrong with a stored study: a list of words, empty where nothing is."""
    study, settings = record["study"], record["settings"]
    space = search_space(contestant, problem=problem)
    names = [r.option for r in space]
    checks = {
        "schema": record["schema"] == 1,
        "contestant": record["contestant"] == contestant,
        "problem": record["problem"]["name"] == problem,
        "data": record["problem"]["data"] == PROBLEMS[problem].data,
        "settings": sorted(settings) == sorted(names),
        "trials": study["trials"] == study["complete"] + study["pruned"] >= TRIALS.get(problem, 30),
        "loss": study["loss"] <= study["untuned_loss"],
        # of a dozen trials one may be the best on an edge; it is said in the file
        "edges": study["edges"] == {} or problem in TRIALS,
        "ranges": study["ranges"] == {r.name: r.record for r in space},
        "command": study["command"].startswith(f"locoprop-ref tune {contestant} --problem {problem} "),
        "optuna": bool(study["versions"]["optuna"]),
    }
    return [name for name, holds in checks.items() if not holds]


def test_stored_studies_are_whole():
    for path in STORED:
        problem, contestant = path.parent.name, path.stem
        record = json.loads(path.read_text(encoding="utf-8"))
        assert (name_of(path), wrong_with(record, problem, contestant)) == (name_of(path), [])
        assert record == tuned.provenance(contestant, problem)
        config = resolve(**tuned.options(contestant, problem), data="curves")
        for name, value in record["settings"].items():
            assert (name_of(path), name, getattr(config, name)) == (name_of(path), name, value)


def wrong_with_fast(record, problem, contestant):
    """What is wrong with stored settings of the fewest seconds: a list of words, empty where nothing is."""
    study, found, settings = record["study"], record["frontier"], record["settings"]
    front = [(p["loss"], p["seconds"] or found["budget"]) for p in found["front"]]
    times = [p["seconds"] for p in found["front"] if p["seconds"] is not None]
    checks = {
        "contestant": record["contestant"] == contestant in tuned.FASTEST,
        "problem": record["problem"]["name"] == problem,
        "length": settings["schedule_epochs"] == settings["epochs"] + 1,
        "trials": study["trials"] == study["complete"] >= 30 and study["pruned"] == 0,
        "front": front == sorted(front, key=lambda p: (p[1], -p[0])) and len(set(front)) == len(front) > 0,
        "budget": all(seconds <= found["budget"] for seconds in times),
        "chosen": (found["chosen_by"] == "seconds") <= (found["reached"] > 0),
        "command": " --fast --target " in study["command"],
    }
    return [name for name, holds in checks.items() if not holds]


def test_stored_settings_of_the_fewest_seconds_are_whole():
    """The check itself is tested below."""
    assert {name_of(path) for path in FAST_STORED} >= {f"mnist-fast/{name}.json" for name in tuned.FASTEST}
    for path in FAST_STORED:
        problem, contestant = path.parent.name.removesuffix(tuned.FAST), path.stem
        record = json.loads(path.read_text(encoding="utf-8"))
        assert (name_of(path), wrong_with_fast(record, problem, contestant)) == (name_of(path), [])
        assert record == tuned.provenance(f"{contestant}{tuned.FAST}", problem)
        resolve(**tuned.options(f"{contestant}{tuned.FAST}", problem), data="curves")


def test_what_is_wrong_with_fast_settings_is_found():
    def point(loss, seconds):
        return {"settings": {}, "loss": loss, "seconds": seconds}

    good = {
        "contestant": "kfac", "problem": {"name": "mnist"}, "settings": {"epochs": 7, "schedule_epochs": 8},
        "study": {"trials": 30, "complete": 30, "pruned": 0, "command": "tune --fast --target 60 --budget 3"},
        "frontier": {
            "budget": 3.0, "reached": 1, "chosen_by": "seconds", "front": [point(9, 1.0), point(8, None)],
        },
    }  # fmt: skip
    assert wrong_with_fast(good, "mnist", "kfac") == []
    assert wrong_with_fast(good, "curves", "sgd") == ["contestant", "problem"]
    bad = {
        "length": ("settings", {"schedule_epochs": 7}),
        "trials": ("study", {"complete": 29}),
        "front": ("frontier", {"front": [point(8, 2.0), point(9, 1.0)]}),
        "budget": ("frontier", {"front": [point(9, 3.5)]}),
        "chosen": ("frontier", {"reached": 0}),
        "command": ("study", {"command": "locoprop-ref tune kfac"}),
    }
    for name, (part, changed) in bad.items():
        assert wrong_with_fast(good | {part: good[part] | changed}, "mnist", "kfac") == [name]


@pytest.mark.parametrize("path", [path for path in STORED if path.parent.name == "mnist"], ids=name_of)
def test_a_final_is_won_by_a_rate_between_others(path):
    """Of the same settings otherwise: a larger one and a smaller one were tried, and were worse."""
    record = json.loads(path.read_text(encoding="utf-8"))
    final, contestant = record["final"], record["contestant"]
    losses = [each["loss"] for each in final["candidates"]]
    settings = [each["settings"] for each in final["candidates"]]
    winner = settings[final["chosen"]]
    assert record["settings"] == winner
    assert final["loss"] == losses[final["chosen"]] == min(losses)
    assert final_module.further(contestant, winner, settings) == []


def test_what_is_wrong_with_a_study_is_found():
    good = {
        "schema": 1, "contestant": "sgd", "settings": {"learning_rate": 0.1},
        "problem": {"name": "mnist", "data": "mnist"},
        "study": {
            "trials": 30, "complete": 20, "pruned": 10, "loss": 1.0, "untuned_loss": 2.0, "edges": {},
            "ranges": {"learning_rate": [1e-5, 1.0]},
            "command": "locoprop-ref tune sgd --problem mnist --trials 30", "versions": {"optuna": "5.0.0"},
        },
    }  # fmt: skip
    assert wrong_with(good, "mnist", "sgd") == []
    wrong = ["contestant", "problem", "data", "settings", "ranges", "command"]
    assert wrong_with(good, "curves", "adam") == wrong
    bad = {
        "ranges": {"learning_rate": [1e-6, 1.0]},
        "trials": 29,
        "loss": 3.0,
        "edges": {"learning_rate": "low"},
    }
    for name, value in bad.items():
        assert wrong_with({**good, "study": {**good["study"], name: value}}, "mnist", "sgd") == [name]


def stored_in(folder, monkeypatch, **changed):
    """A package whose only tuned settings are those of SGD, with some values changed."""
    record = json.loads((FOLDER / "mnist" / "sgd.json").read_text(encoding="utf-8")) | changed
    (folder / "mnist").mkdir()
    (folder / "mnist" / "sgd.json").write_text(json.dumps(record), encoding="utf-8")
    monkeypatch.setattr(tuned, "files", lambda package: folder)
    return record


def test_a_stored_study_is_what_options_returns(tmp_path, monkeypatch):
    stored = stored_in(tmp_path, monkeypatch, settings={"learning_rate": 0.25})
    assert tuned.provenance("sgd") == stored
    assert tuned.options("sgd") == {"method": "backprop", "optimizer": "sgd", "learning_rate": 0.25}
    assert tuned.provenance("sgd", "curves") is None
    assert tuned.options("adam") == {"method": "backprop", "optimizer": "adam"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"schema": 2}, r"its schema is wrong: invalid enum value 2"),
        ({"settings": {"learning_rate": [1]}}, r"its settings\[\.\.\.\] is wrong: .*got `array`"),
        ({"study": {"trials": 3}}, r"its study has no complete"),
        ({"unknown": 1}, r"contains unknown field `unknown`"),
    ],
)
def test_a_stored_study_of_another_form_is_refused_in_one_sentence(changed, words, tmp_path, monkeypatch):
    stored_in(tmp_path, monkeypatch, **changed)
    with pytest.raises(
        ValueError, match=rf"^mnist/sgd\.json must hold tuned settings of schema 1, but .*{words}"
    ):
        tuned.options("sgd")


def test_a_stored_study_that_is_no_json_is_refused(tmp_path, monkeypatch):
    stored_in(tmp_path, monkeypatch)
    (tmp_path / "mnist" / "sgd.json").write_text("{", encoding="utf-8")
    with pytest.raises(
        ValueError,
        match=r"^mnist/sgd\.json must hold tuned settings of schema 1, but it is not JSON \(.*truncated.*\)",
    ):
        tuned.provenance("sgd")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("adm",), r"method must be one of .* \(did you mean 'adam'\?\)"),
        (
            ("sgd", "mnst"),
            r"problem must be one of mnist, curves, lenet, .*, got 'mnst' \(did you mean 'mnist'\?\)",
        ),
    ],
)
def test_unknown_names(arguments, words):
    for function in (tuned.options, tuned.provenance):
        with pytest.raises(ValueError, match=words):
            function(*arguments)


# ------------------------------ a single run


@pytest.mark.parametrize(
    ("run", "path"),
    [
        ({"method": "kfac", "data": "curves"}, "curves/kfac.json"),
        ({"method": "kfac", "data": "mnist", "layers": "784-30-784"}, "mnist/kfac.json"),
        ({"method": "backprop", "data": "mnist"}, "mnist/rmsprop.json"),
        ({"method": "backprop", "optimizer": "adam", "data": "mnist"}, "mnist/adam.json"),
        (
            {"method": "locoprop-m", "data": "mnist", "task": "classify", "layers": "28x28-r128-10"},
            "sequential-mnist/locoprop-m.json",
        ),
    ],
)
def test_the_settings_of_a_single_run(run, path):
    found = for_run.tuned_for(**run)
    assert f"{found.problem}/{found.entry}.json" == path
    assert found.settings == json.loads((FOLDER / path).read_text(encoding="utf-8"))["settings"]


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (
            {"method": "kfac", "data": "mine.npz"},
            "^tuned settings of kfac must be stored for mnist; curves; .*, got none for kfac on mine",
        ),
        (
            {"method": "kfac", "data": "mnist", "task": "classify", "layers": "784-9-10"},
            "got none for kfac on mnist to classify with layers 784-9-10$",
        ),
        ({"method": "tp", "data": "mnist"}, "^tuned settings of tp must be stored for no run, got none"),
        # the settings of the K steps are RMSProp's
        (
            {"method": "locoprop-m", "optimizer": "sgd", "data": "mnist"},
            "none for locoprop-m with sgd on mnist$",
        ),
    ],
)
def test_a_single_run_without_stored_settings_is_refused(run, words):
    with pytest.raises(ValueError, match=words):
        for_run.tuned_for(**run)
