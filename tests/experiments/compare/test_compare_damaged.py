"""Files of a results folder that are damaged, or do not fit together: one line that names the file."""

import json

import made_up
import pytest
from numpy.testing import assert_equal
from small_comparison import PAIR

from locoprop_ref.cli import main as cli

MISSING = "but it has no"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("comparison.json", {"schema": 1}, f"must be the plan of a comparison, {MISSING} shared"),
        (
            "comparison.json",
            {"schema": 1, "shared": {}},
            "must be the plan of a comparison, but its shared has no epochs",
        ),
        ("rmsprop-clock.json", {"schema": 1}, f"must be the clock file of a method, {MISSING} contestant"),
        ("reconstructions.json", {"schema": 1}, f"must be reconstructions, {MISSING} seed"),
        ("rmsprop-seed0.json", {"schema": 1}, "must be a run file of schema 1, but it has no config"),
        ("rmsprop-seed0.json", "locoprop-m-seed0.json", "must be of the plan beside it, got another conf"),
        ("rmsprop-seed0.json", "rmsprop-seed1.json", "must be of the plan beside it, got another confi"),
        ("rmsprop-clock.json", "locoprop-m-clock.json", "must be the clock file of its method, got loco"),
    ],
)
def test_damaged_results_are_one_line(name, content, words, tmp_path, capsys):
    """A file that lost its content, and one that was copied over another."""
    pair = dict.fromkeys(PAIR, [made_up.run([9, 8, 7, 6])] * 3)
    folder = made_up.write(tmp_path, pair, dict.fromkeys(PAIR, made_up.clock(0.1)))
    found = json.dumps(content) if isinstance(content, dict) else (folder / content).read_text()
    (folder / name).write_text(found)
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert f"{folder / name} {words}" in err


def changed(content, path, value):
    """A nest with another value at a path of keys; None takes the key away."""
    key, *deeper = path
    if isinstance(content, list):
        return [value, *content[1:]]
    if deeper:
        return content | {key: changed(content[key], deeper, value)}
    return {k: v for k, v in content.items() if k != key} | ({} if value is None else {key: value})


@pytest.mark.parametrize(
    ("name", "path", "value", "words"),
    [
        ("comparison.json", "shared.layers", None, "but its shared has no layers"),
        (
            "comparison.json",
            "environment.machine",
            None,
            "but its environment has no machine",
        ),
        (
            "comparison.json",
            "environment.python",
            3,
            "but its environment.python is wrong: expected `str`, got `int`",
        ),
        (
            "comparison.json",
            "environment.backend.device",
            None,
            "but its environment.backend has no device",
        ),
        ("comparison.json", "seeds", [], "but its seeds is wrong: expected `array` of length >= 1"),
        ("comparison.json", "seeds", [0, None], "but its seeds[1] is wrong: expected `int`, got `null`"),
        (
            "rmsprop-clock.json",
            "step.blocks",
            [],
            "but its step.blocks is wrong: expected `array` of length >= 1",
        ),
        (
            "rmsprop-clock.json",
            "step.blocks",
            ["x"],
            "but its step.blocks[0] is wrong: expected `float`, got `str`",
        ),
        *(
            (name, path, value, f"but its {path.replace('.0', '[0]')} is wrong: expected `{kind}` {bound}")
            for name, path, value, kind, bound in (
                ("comparison.json", "seeds.0", -1, "int", ">= 0"),
                ("comparison.json", "shared.epochs", -1, "int", ">= 0"),
                ("comparison.json", "shared.epochs", 2**53 + 1, "int", "<= 9007199254740992"),
                ("comparison.json", "shared.batch_size", 0, "int", ">= 1"),
                ("comparison.json", "environment.cores", -2, "int", ">= 1"),
                ("comparison.json", "data.train", 0, "int", ">= 1"),
                ("comparison.json", "data.test", 10**18, "int", "<= 9007199254740992"),
                ("rmsprop-clock.json", "step.mean", -0.1, "float", "> 0"),
                ("rmsprop-clock.json", "step.mean", 1e300, "float", "<= 1000000000.0"),
                ("rmsprop-clock.json", "step.blocks.0", 0, "float", "> 0"),
                ("rmsprop-clock.json", "memory.parameter_bytes", 0, "float", ">= 1"),
                ("rmsprop-clock.json", "memory.state_bytes", -1, "float", ">= 0"),
                ("rmsprop-clock.json", "memory.counted_bytes", 1e300, "float", "<= 1."),
                ("rmsprop-clock.json", "memory.peak_bytes", -1, "float", ">= 0"),
                ("rmsprop-clock.json", "load", -0.5, "float", ">= 0"),
            )
        ),
        ("rmsprop-clock.json", "config.width", 9, "rmsprop width 9 there, None here"),
        ("rmsprop-clock.json", "config.optimizer", "sgd", "rmsprop optimizer 'sgd' there, 'rmsprop' here"),
        ("rmsprop-seed0.json", "config.batch_size", 7, "rmsprop batch_size 7 there, 100 here"),
        ("rmsprop-seed0.json", "config.layers", "9-9", "rmsprop layers '9-9' there, '9-4-9' here"),
        ("rmsprop-seed0.json", "config.seed", 1, "rmsprop seed 1 there, 0 here"),
        ("rmsprop-seed0.json", "data.sha256", "00", "rmsprop data sha256 '00' there, 'abababab' here"),
    ],
)
def test_results_that_do_not_fit_together_are_one_line(name, path, value, words, tmp_path, capsys):
    pair = dict.fromkeys(PAIR, [made_up.run([9, 8, 7, 6])] * 3)
    folder = made_up.write(tmp_path, pair, dict.fromkeys(PAIR, made_up.clock(0.1)))
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(changed(content, path.split("."), value)))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert err.startswith(f"locoprop-ref compare: {folder / name} must ")
    assert words in err


IMAGES = {"schema": 1, "seed": 0, "shape": [1, 2], "originals": ["00ff"], "rows": {"rmsprop": ["3300"]}}


@pytest.mark.parametrize(
    ("path", "value"),
    [("rows.rmsprop", ["zz00"]), ("rows.rmsprop", ["00"]), ("originals", [1]), ("shape", ["x"])],
)
def test_damaged_images_are_one_line(path, value, tmp_path, capsys):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3})
    (folder / "reconstructions.json").write_text(json.dumps(IMAGES))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 0)
    (folder / "reconstructions.json").write_text(json.dumps(changed(IMAGES, path.split("."), value)))
    capsys.readouterr()
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 2)
    _, err = capsys.readouterr()
    assert_equal(err.count("\n"), 1)
    assert f"{folder / 'reconstructions.json'} must hold images of shape " in err


def test_a_blas_that_nobody_can_read_is_left_out(tmp_path):
    folder = made_up.write(tmp_path, {"rmsprop": [made_up.run([9, 8, 7, 6])] * 3})
    plan = json.loads((folder / "comparison.json").read_text())
    plan["environment"]["blas"] = [1, {"library": "openblas"}, {"library": "mkl", "threads": 3}]
    (folder / "comparison.json").write_text(json.dumps(plan))
    assert_equal(cli.main(["compare", "--redraw", str(folder)]), 0)
    assert "; mkl None None.\n" in (folder / "summary.txt").read_text()
