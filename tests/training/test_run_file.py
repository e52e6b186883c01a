"""The run file: what is checked when it is read, and what is refused when it is written."""

import json
import math
import re

import pytest

from locoprop_ref.training.run_file import Files, check_run, read_run, write_run


def made_up(**changed):
    rows = [
        {
            "epoch": epoch,
            "train": {"ce": 3.0 - epoch, "mse": 0.5},
            "test": {"ce": 3, "mse": 0.5},
            "step_seconds": 2.0 * epoch,
            "eval_seconds": 0,
        }
        for epoch in range(3)
    ]
    run = {
        "schema": 1, "config": {"method": "backprop", "weight_step": "inf"}, "data": {"name": "tiny"},
        "environment": {}, "epochs": rows, "status": "finished",
    }  # fmt: skip
    return {**run, **changed}


def test_what_is_written_is_read_again_with_keys_that_are_not_known(tmp_path):
    run = made_up(later={"a": [1, 2.5]}, jobs=2, command="compare", message="why")
    run["epochs"][1]["diagnostics"] = {"layers": []}
    write_run(tmp_path / "r.json", run)
    found = read_run(tmp_path / "r.json")
    assert found == run
    assert json.dumps(found) == json.dumps(run)  # the same order, and no integer has become a float
    assert (tmp_path / "r.json").read_text() == json.dumps(run, indent=1) + "\n"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["train", "test", "step_seconds", "eval_seconds"])
def test_numbers_are_finite(tmp_path, number, place):
    run = made_up()
    run["epochs"][2] = run["epochs"][2] | {
        place: {"ce": number, "mse": 1} if place in ("train", "test") else number
    }
    with pytest.raises(ValueError, match=r"^its epoch 2 has a number that is not finite$"):
        check_run(run)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_run(tmp_path / "r.json", run)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [('"ce": NaN', "Na[Nn]|not JSON|finite"), ('"ce": [1.0]', r"its epochs\[.*\].*got `array`")],
)
def test_losses_in_a_file_are_finite_numbers(tmp_path, text, words):
    write_run(tmp_path / "r.json", made_up())
    content = (tmp_path / "r.json").read_text()
    changed = re.sub(r'"ce": [\d.]+', text, content, count=1)
    assert changed != content
    (tmp_path / "r.json").write_text(changed)
    with pytest.raises(ValueError, match=words):
        read_run(tmp_path / "r.json")


def without(place, key):
    return {name: value for name, value in place.items() if name != key}


def with_row(index, **changed):
    rows = made_up()["epochs"]
    rows[index] |= changed
    return made_up(epochs=rows)


WRONG = {
    "another schema": (made_up(schema=2), "its schema is 2"),
    "no schema": (without(made_up(), "schema"), "its schema is None"),
    "a long schema": (made_up(schema="x" * 1000), "its schema is 'x{60,70}"),
    "a list": ([], "it is wrong: expected `object`, got `array`"),
    "no data": (without(made_up(), "data"), "it has no data"),
    "no method": (made_up(config={}), "its config has no method"),
    "method": (made_up(config={"method": None}), "its config.method is wrong: expected `str`, got `null`"),
    "status": (made_up(status="done"), "its status is wrong: invalid enum value 'done'"),
    "no epochs": (made_up(epochs=[]), "its epochs is wrong: expected `array` of length >= 1"),
    "gap": (made_up(epochs=made_up()["epochs"][1:]), "its epoch 0 is missing"),
    "no losses": (with_row(2, test={}), r"its epochs\[2\].test is wrong: expected `object` of length >= 1"),
    "other losses": (with_row(1, train={"x": 1}), "its epoch 1 has other losses than the first"),
    "other test losses": (with_row(2, test={"ce": 1}), "its epoch 2 has other losses than the first"),
    "null loss": (
        with_row(1, train={"ce": None, "mse": 1}),
        r"its epochs\[1\].train\[...\] is wrong: expected `float`, got `null`",
    ),
    "seconds": (
        with_row(1, step_seconds=True),
        r"its epochs\[1\].step_seconds is wrong: expected `float`, got `bool`",
    ),
}


@pytest.mark.parametrize(("run", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(run, words, tmp_path):
    with pytest.raises(ValueError, match=f"^{words}$"):
        check_run(run)
    (tmp_path / "r.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match=rf"r\.json must be a run file of schema 1, but {words}$"):
        read_run(tmp_path / "r.json")


def test_the_checkpoint_stands_beside_the_run_file(tmp_path):
    assert Files(tmp_path / "a.b.json").checkpoint == tmp_path / "a.b.npz"
    with pytest.raises(ValueError, match=r"^out must be a path that ends in \.json, got 'r\.txt'$"):
        Files(type(tmp_path)("r.txt"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"data": {"name": ["a"]}}, r"its data.name is wrong"),
        ({"data": {"name": "a" * 5000}}, r"its data.name is wrong"),
        ({"config": {"method": "a" * 5000}}, r"its config.method is wrong"),
        ({"jobs": 0}, r"its jobs is wrong"),
        ({"jobs": -1}, r"its jobs is wrong"),
    ],
)  # fmt: skip
def test_absurd_values_of_a_file_are_refused(changed, words):
    """A name of 100,000 letters kept a figure's legend busy for minutes."""
    with pytest.raises(ValueError, match=words):
        check_run(made_up(**changed))


@pytest.mark.parametrize("time", ["step_seconds", "eval_seconds"])
def test_no_time_is_below_0(time):
    run = made_up()
    run["epochs"][1][time] = -1.0
    with pytest.raises(ValueError, match=r"^its epoch 1 has a time below 0$"):
        check_run(run)
