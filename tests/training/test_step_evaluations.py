"""The test set after given steps, and layers that keep their first weights."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_equal
from small_runs import assert_same_checkpoint, assert_same_weights, differ, run, weights, without_seconds

from locoprop_ref.cli import main as cli
from locoprop_ref.methods.registry import METHODS
from locoprop_ref.network import Network, forward
from locoprop_ref.training import step_evaluations
from locoprop_ref.training.build import build_method, build_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.run_file import check_run, read_run
from locoprop_ref.training.step_evaluations import StepEvaluations, parse_steps

CLASSIFY = {"task": "classify", "layers": "9-6-3", "method": "backprop", "learning_rate": 1e-2}


def steps_of(run_file):
    return {one["step"]: one["test"] for row in run_file["epochs"] for one in row.get("steps", [])}


def without_steps(run_file):
    """A run file without what the option adds, and without seconds."""
    found = without_seconds(run_file)
    found["config"].pop("evaluate_steps", None)
    for row in found["epochs"]:
        row.pop("steps", None)
    return found


def test_the_step_that_ends_an_epoch_has_the_losses_of_the_epoch(tiny):
    """Three steps an epoch: steps 3 and 6 are the ends of epochs 1 and 2, to the bit."""
    found = run(tiny, evaluate_steps="1,3,6", **CLASSIFY).run
    assert_equal(
        [[one["step"] for one in row.get("steps", [])] for row in found["epochs"]], [[], [1, 3], [6]]
    )
    assert_equal(steps_of(found)[3], found["epochs"][1]["test"])
    assert_equal(steps_of(found)[6], found["epochs"][2]["test"])
    assert_equal(sorted(steps_of(found)[1]), ["accuracy", "ce", "mse"])


def test_a_step_within_an_epoch_is_that_of_a_run_of_so_many_batches(tiny, tmp_path):
    """Another source: an epoch of the first two batches alone, whose order the same seed draws."""
    with np.load(tiny) as file:
        arrays = dict(file)
    rng = np.random.default_rng(0)
    config = resolve(data=str(tiny), **{"batch_size": 20, "epochs": 1, "schedule": "constant", **CLASSIFY})
    network, method = build_network(config, rng, xp=np), build_method(config)
    order, state = rng.permutation(60), method.init(network, 0)
    x = arrays["x_train"].astype("float32") / np.float32(255)
    t = np.eye(3, dtype="float32")[arrays["labels_train"]]
    for rows in (order[:20], order[20:40]):
        network, state, _ = method.step(network, state, x[rows], t[rows])
    x_test = arrays["x_test"].astype("float32") / np.float32(255)
    guessed = np.argmax(forward(network, x_test).y_hat[-1], axis=1)
    share = np.mean(guessed == arrays["labels_test"])
    found = run(tiny, evaluate_steps="2", epochs=1, **CLASSIFY).run
    assert_equal(steps_of(found)[2]["accuracy"], share)


@pytest.mark.parametrize("method", ["locoprop-m", "backprop", "locoprop-s-closed"])
def test_nothing_else_changes(tiny, tmp_path, method):
    plain = run(tiny, out=tmp_path / "a.json", method=method)
    looked = run(tiny, out=tmp_path / "b.json", method=method, evaluate_steps="1,2,5")
    assert_same_weights(plain.network, looked.network)
    assert_equal(without_steps(read_run(tmp_path / "b.json")), without_steps(read_run(tmp_path / "a.json")))
    assert "evaluate_steps" not in plain.run["config"] and "frozen_layers" not in plain.run["config"]


def test_resumed_is_uninterrupted(tiny, tmp_path):
    """The break stands between step 3 and step 4, and a step of the first epoch is not lost."""
    options = {"evaluate_steps": "2,4,5,9", "schedule": "authors", "schedule_epochs": 10}
    straight, parts = tmp_path / "straight.json", tmp_path / "parts.json"
    run(tiny, out=straight, epochs=3, **options)
    with pytest.raises(ValueError, match="evaluate_steps must be at most the 3 steps of the run, got 9"):
        run(tiny, out=parts, epochs=1, **options)
    assert not parts.exists()
    run(tiny, out=parts, epochs=3, **options)
    # killed after the first epoch: what the checkpoint and the run file held then
    run(tiny, out=tmp_path / "first.json", epochs=1, **{**options, "evaluate_steps": "2"})
    assert_equal(without_seconds(read_run(parts)), without_seconds(read_run(straight)))
    assert_same_checkpoint(parts.with_suffix(".npz"), straight.with_suffix(".npz"))
    first, whole = (read_run(path)["epochs"][1]["steps"] for path in (tmp_path / "first.json", straight))
    assert_equal(first, whole)


def test_a_killed_run_goes_on_to_the_same_bits(tiny, tmp_path, monkeypatch):
    """Ctrl-C in the second epoch: it is trained again, its steps are evaluated again, none stands twice."""
    options = {"evaluate_steps": "1,4,6,7", "epochs": 3}
    straight, broken = tmp_path / "straight.json", tmp_path / "broken.json"
    run(tiny, out=straight, **options)
    after, taken = StepEvaluations.after, []

    def killed_at_the_fifth_step(self, network):
        after(self, network)
        taken.append(self.taken)
        if self.taken == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StepEvaluations, "after", killed_at_the_fifth_step)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, out=broken, **options)
    assert_equal(list(steps_of(read_run(broken))), [1])
    run(tiny, out=broken, resume=True, **options)
    assert_equal(without_seconds(read_run(broken)), without_seconds(read_run(straight)))
    assert_same_checkpoint(broken.with_suffix(".npz"), straight.with_suffix(".npz"))


def test_seconds_of_evaluations_are_not_those_of_steps(tiny, monkeypatch):
    """A clock that an evaluation alone moves: it ticks by 100 there, and everywhere else it stands."""
    now = [0.0]

    def slow(*_):
        now[0] += 100.0
        return {"ce": 1.0}

    monkeypatch.setattr(step_evaluations, "evaluate", slow)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    (_, first, second) = run(tiny, evaluate_steps="1,2,6").run["epochs"]
    assert_equal([first["step_seconds"], first["eval_seconds"]], [0.0, 200.0])
    assert_equal([second["step_seconds"], second["eval_seconds"]], [0.0, 100.0])


def test_a_loss_that_is_not_finite_is_null(tiny, monkeypatch):
    """The run goes on: whether it has diverged is asked after the epoch, as without the option."""
    monkeypatch.setattr(step_evaluations, "evaluate", lambda *_: {"ce": float("nan"), "mse": 1.0})
    found = run(tiny, evaluate_steps="1").run
    assert_equal(steps_of(found), {1: {"ce": None, "mse": 1.0}})
    assert_equal(found["status"], "finished")


@pytest.mark.parametrize(
    "value", ["", "1,,2", "a", "0,1", "-1", "2,1", "1,1", "1.5", "1 2", "1_0", "٣", "+1"]
)
def test_malformed_steps_are_refused(tiny, capsys, value):
    sentence = f"evaluate_steps must be rising numbers of steps from 1 on, as in 1,2,5,10, got {value!r}"
    with pytest.raises(ValueError) as error:
        resolve(evaluate_steps=value)
    assert_equal(str(error.value), sentence)
    assert_equal(cli.main(["train", "--data", str(tiny), "--layers=9-6-9", f"--evaluate-steps={value}"]), 2)
    assert_equal(capsys.readouterr().err, f"locoprop-ref train: {sentence}\n")
    with pytest.raises(TypeError, match=r"from 1 on, as in 1,2,5,10, got \[1\]"):
        resolve(evaluate_steps=[1])
    assert_equal(parse_steps("3, 40"), (3, 40))


def test_numbers_beyond_any_run_are_refused_without_their_digits():
    with pytest.raises(ValueError, match=r"as in 1,2,5,10, got one of 5000 digits$"):
        parse_steps("1," + "9" * 5000)


def test_a_run_file_with_wrong_steps_is_refused(tiny):
    good = run(tiny, evaluate_steps="1,4").run
    good = json.loads(json.dumps(good))
    check_run(good)
    for change, words in [
        (("step", 4), "its steps do not rise from 1"),
        (("step", 0), "its steps do not rise from 1"),
        (("step", "1"), r"its epochs\[1\].steps\[0\].step is wrong"),
        (("test", {}), r"its epochs\[1\].steps\[0\].test is wrong"),
        (("test", {"mse": 1.0}), "its step 1 has other losses than the first epoch"),
    ]:
        bad = json.loads(json.dumps(good))
        bad["epochs"][1]["steps"][0][change[0]] = change[1]
        with pytest.raises(ValueError, match=words):
            check_run(bad)


# ------------------------------ layers that keep their first weights


@pytest.mark.parametrize("method", METHODS)
def test_frozen_layers_keep_their_first_weights_and_the_others_move(tiny, method):
    options = {"method": method, "epochs": 1}
    if method == "kfac":
        options |= {"damping": 10.0}
    first = weights(run(tiny, **{**options, "epochs": 0}).network)
    frozen = weights(run(tiny, frozen_layers=2, **options).network)
    for before, after in zip(first[:4], frozen[:4], strict=True):
        assert_array_equal(after, before)
    assert all((after != before).any() for before, after in zip(first[4:], frozen[4:], strict=True))


def test_none_frozen_is_the_same_run(tiny):
    assert_same_weights(run(tiny, frozen_layers=0).network, run(tiny).network)
    assert differ(run(tiny, frozen_layers=1).network, run(tiny).network)


def test_frozen_equals_training_the_upper_layers_alone(tiny):
    """BackProp's upper layers never see that the lower ones stand still: a network of them, on what comes up.

    Another source of the numbers: a network of the last two layers, trained on the outputs of the first two.
    """
    options = {"method": "backprop", "optimizer": "sgd", "learning_rate": 0.01, "dtype": "float64"}
    got = run(tiny, frozen_layers=2, **options).network
    config = resolve(
        data=str(tiny), layers="9-6-3-6-9", batch_size=20, epochs=2, schedule="constant", **options
    )
    rng = np.random.default_rng(0)
    whole, method = build_network(config, rng, xp=np), build_method(config)
    upper = Network(whole.layers[2:], whole.loss)
    with np.load(tiny) as file:
        x = file["x_train"] / 255.0
    y = forward(whole, x).y_hat[1]
    state = method.init(upper)
    for _ in range(2):
        order = rng.permutation(60)
        for start in (0, 20, 40):
            rows = order[start : start + 20]
            upper, state, _ = method.step(upper, state, y[rows], x[rows])
    # the same sums, but of 60 rows at a time below: rounding of matrix products
    for mine, theirs in zip(weights(got)[4:], weights(upper), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (4, "frozen_layers must be below 4, the number of layers, so that one of them moves, got 4$"),
        (-1, "-1"),
    ],
)
def test_as_many_frozen_layers_as_there_are_is_refused(tiny, number, words):
    with pytest.raises(ValueError, match=words):
        run(tiny, frozen_layers=number)


def test_resumed_with_frozen_layers_is_uninterrupted(tiny, tmp_path):
    options = {"frozen_layers": 1, "schedule": "authors", "schedule_epochs": 10}
    straight, parts = tmp_path / "straight.json", tmp_path / "parts.json"
    run(tiny, out=straight, epochs=3, **options)
    run(tiny, out=parts, epochs=1, **options)
    run(tiny, out=parts, epochs=3, resume=True, **options)
    assert_same_checkpoint(parts.with_suffix(".npz"), straight.with_suffix(".npz"))
