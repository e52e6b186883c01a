"""JSON read into typed records: what `json` of the standard library reads, and one sentence for the rest."""

import json
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locoprop_ref.data.records import NotJson, as_record, parse_json, read_json

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(values)
def test_parse_json_reads_what_json_writes(value):
    """The number of a random generator's state has 128 bits; floats come back to the bit."""
    text = json.dumps(value)
    found = parse_json(text.encode())
    assert repr(found) == repr(json.loads(text))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[NaN]", b"[Infinity]", b"[1e999]", b"\xff\xfe", b"[" * 10**5, b"1 2", b"'a'"]
)
def test_what_is_not_json(content, tmp_path):
    with pytest.raises(NotJson, match=r"^[^\n]{1,120}$"):
        parse_json(content)
    path = tmp_path / "r.json"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"r\.json must be a note in JSON, got text that is not JSON \(.*\)$"
    ):
        read_json(path, "a note")


class Inner(msgspec.Struct):
    numbers: dict[str, float]


class Outer(msgspec.Struct):
    name: str
    parts: list[Inner]
    extra: int | None = None


GOOD = {"name": "a", "parts": [{"numbers": {"x": 1}}], "unknown": 3}
BAD = {
    "no object": ([], "it is wrong: expected `object`, got `array`"),
    "missing": ({"name": "a"}, "it has no parts"),
    "missing deep": ({**GOOD, "parts": [{}]}, "its parts[0] has no numbers"),
    "type": ({**GOOD, "name": 3}, "its name is wrong: expected `str`, got `int`"),
    "null": ({**GOOD, "name": None}, "its name is wrong: expected `str`, got `null`"),
    "deep": (
        {**GOOD, "parts": [{"numbers": {}}, {"numbers": {"x": "1"}}]},
        "its parts[1].numbers[...] is wrong: expected `float`, got `str`",
    ),
    "true is no number": (
        {**GOOD, "parts": [{"numbers": {"x": True}}]},
        "its parts[0].numbers[...] is wrong: expected `float`, got `bool`",
    ),
    "text is no number": ({**GOOD, "extra": "1"}, "its extra is wrong: expected `int | null`, got `str`"),
    "half is no integer": ({**GOOD, "extra": 0.5}, "its extra is wrong: expected `int | null`, got `float`"),
}


def test_records():
    assert as_record(GOOD, Outer) == Outer("a", [Inner({"x": 1.0})], None)


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_bad_records(content, words):
    with pytest.raises(ValueError) as caught:
        as_record(content, Outer)
    assert str(caught.value) == words


def test_a_long_value_is_not_quoted_in_full():
    class Kind(msgspec.Struct):
        kind: Literal["a", "b"]

    with pytest.raises(ValueError, match=r"^its kind is wrong: invalid enum value 'x{50,100}$"):
        as_record({"kind": "x" * 10**6}, Kind)


def test_files(tmp_path):
    path = tmp_path / "r.json"
    path.write_text('{"a": 1}')
    assert read_json(path, "a note", max_bytes=8) == {"a": 1}
    with pytest.raises(ValueError, match=r"r\.json must be a note of at most 7 bytes, got 8$"):
        read_json(path, "a note", max_bytes=7)
    with pytest.raises(FileNotFoundError, match=r"no\.json must be a note, got nothing by that name$"):
        read_json(tmp_path / "no.json", "a note")
    with pytest.raises(IsADirectoryError, match=r"must be a note, got a directory$"):
        read_json(tmp_path, "a note")
