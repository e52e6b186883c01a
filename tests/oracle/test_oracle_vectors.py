"""The files: their schema, their inputs, their stability, and what their flags promise."""

import copy
import json
import re
from pathlib import Path

import numpy as np
import pytest

from locoprop_ref.oracle import cases, generate
from locoprop_ref.oracle.conventions import BY_NAME, choices
from locoprop_ref.oracle.flags import BY_FLAG, FLAGS, PROPERTIES
from locoprop_ref.oracle.recipes import all_recipes
from locoprop_ref.oracle.topics import TOPICS
from locoprop_ref.oracle.vectors import FOLDER, decode, encode

DOCUMENTS = {topic: json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8")) for topic in TOPICS}
REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_file_follows_the_schema(topic):
    generate.validate(DOCUMENTS[topic])


@pytest.mark.parametrize("damage", [
    lambda d: d.update(schema=2),
    lambda d: d.update(topic="magic"),
    lambda d: d.pop("notes"),
    lambda d: d["groups"][0]["conventions"].update(local_reduction="median"),
    lambda d: d["groups"][0]["cases"][0]["inputs"].update(target_step=-1),
    lambda d: d["groups"][0]["cases"][0]["expected"].update(W=[["Infinity"]]),
    lambda d: d["groups"][0]["cases"][0]["tolerance"].pop("float32"),
    lambda d: d["groups"][0]["cases"][0].update(extra=1),
])  # fmt: skip
def test_the_schema_refuses(damage):
    document = copy.deepcopy(DOCUMENTS["closed_form"])
    damage(document)
    with pytest.raises(ValueError, match=r"^\$"):
        generate.validate(document)


def test_ids_are_unique_and_every_recipe_is_there():
    ids = [case.id for case in cases()]
    assert len(ids) == len(set(ids))
    assert sorted(ids) == sorted(recipe.id for recipe in all_recipes())
    for topic, document in DOCUMENTS.items():
        assert document["numberOfCases"] == len(cases(topic))
        assert all(case.id.startswith(f"{topic}/") for case in cases(topic))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_inputs_are_exact_in_float32(case):
    for name, value in case.inputs.items():
        if not isinstance(value, str | list):
            np.testing.assert_array_equal(np.float32(value), np.float64(value), err_msg=name)


def test_cases_cannot_be_damaged():
    for values in (cases("training")[0].inputs, cases("training")[0].expected):
        array = next(value for value in values.values() if isinstance(value, np.ndarray))
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_every_flag_is_explained_and_revealed_by_some_case():
    for document in DOCUMENTS.values():
        used = {flag for group in document["groups"] for case in group["cases"] for flag in case["flags"]}
        assert used == set(document["notes"])
        assert used <= set(BY_FLAG) | set(PROPERTIES)
    revealed = {flag for case in cases() for flag in case.flags}
    assert revealed == set(BY_FLAG) | set(PROPERTIES)


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_flags_change_conventions_that_exist(flag):
    for name, value in flag.change.items():
        assert value in BY_NAME[name].values + BY_NAME[name].deviations
    if flag.kind == "bug":
        assert any(value in BY_NAME[name].deviations for name, value in flag.change.items())


def test_groups_state_only_what_they_may():
    for case in cases():
        choices(case.conventions)
        for name, value in case.conventions.items():
            assert name == "dialect" or value in BY_NAME[name].values


@pytest.mark.parametrize(
    "topic", ["transfer", "closed_form", "optimizer", "matching_loss", "adjoint", "pooling"]
)
def test_regenerating_a_topic_gives_the_same_bytes(topic):
    recipes = [recipe for recipe in all_recipes() if recipe.topic == topic]
    fresh = generate.content(generate.document(topic, recipes))
    assert fresh == (FOLDER / f"{topic}.json").read_text(encoding="utf-8")


@pytest.mark.full
def test_regenerating_everything_gives_the_same_bytes(tmp_path):
    for path in generate.write(tmp_path):
        assert path.read_bytes() == (FOLDER / path.name).read_bytes()


def test_a_changed_expected_value_is_refused(tmp_path):
    path = tmp_path / "closed_form.json"
    document = copy.deepcopy(DOCUMENTS["closed_form"])
    path.write_text(json.dumps(document), encoding="utf-8")
    generate.refuse_changes(path, DOCUMENTS["closed_form"])
    document["groups"][0]["cases"][0]["expected"]["W"][0][0] += 2.0**-40
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(generate.ChangedValues, match=r"closed_form/primal would change .* CHANGELOG"):
        generate.refuse_changes(path, DOCUMENTS["closed_form"])
    document["version"] += 1
    path.write_text(json.dumps(document), encoding="utf-8")
    generate.refuse_changes(path, DOCUMENTS["closed_form"])


def test_the_changelog_knows_the_version_of_the_vectors():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"vectors version {generate.VERSION}" in changelog


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-320, 2.0**60, float("inf"), float("-inf")])
def test_numbers_round_trip(value):
    text = json.dumps(encode([value]), allow_nan=False)
    np.testing.assert_array_equal(decode(json.loads(text)), [value])


@pytest.mark.parametrize(
    "value", [None, True, "Infinity", {}, [[1], [1, 2]], [[[[[[[[[[1]]]]]]]]]], [1, [1]]]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"is no number|different lengths|nested"):
        decode(value)


def test_a_number_too_large_for_a_double_is_infinite():
    np.testing.assert_array_equal(decode([10**400]), [np.inf])


def words_of(case):
    """The names of a case's inputs and outputs, and the words among its inputs."""
    for name, value in [*case.inputs.items(), *case.expected.items()]:
        head, _, tail = name.rpartition("_")
        yield f"{head}_m" if head and tail.isdigit() else name
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str):
                yield word


def test_the_format_has_every_word_of_the_vectors():
    text = (REPOSITORY / "locoprop_ref" / "oracle" / "FORMAT.md").read_text(encoding="utf-8")
    words = {word for case in cases() for word in words_of(case)}
    assert {"beta1", "locoprop-s-closed", "eg-normalized", "output hinge", "W_m"} <= words
    assert [word for word in sorted(words) if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)] == []


def test_the_format_says_every_convention_in_words():
    """FORMAT.md alone suffices: it needs no look into Python files."""
    text = (REPOSITORY / "locoprop_ref" / "oracle" / "FORMAT.md").read_text(encoding="utf-8")
    assert "conventions.py" not in text
    assert "flags.py" not in text
    for row in BY_NAME.values():
        line = next(line for line in text.split("\n") if line.startswith(f"| `{row.name}` |"))
        assert all(f'"{value}"' in line for value in row.values)
    for word in ("dilogarithm", "nearest point of the simplex", "t counts the updates from 1", "`vectors`"):
        assert word in text


def test_lists_of_eight_levels_are_read_and_of_nine_refused():
    assert decode(json.loads("[" * 8 + "1.5" + "]" * 8)).shape == (1,) * 8
    with pytest.raises(ValueError, match=r"^lists are nested more than 8 deep$"):
        decode(json.loads("[" * 9 + "1.5" + "]" * 9))
