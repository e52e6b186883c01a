"""Resuming: the same bits as without a break, and checkpoints of other runs are refused."""

import dataclasses

import numpy as np
import pytest
from small_runs import (
    TEST,
    TRAIN,
    assert_same_checkpoint,
    assert_same_weights,
    contents,
    run,
    without_seconds,
    write_data,
)

from locoprop_ref import network
from locoprop_ref.training import checkpoint, resume
from locoprop_ref.training.run_file import read_run

STATES = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "momentum"},
    "nesterov": {"optimizer": "nesterov"},
    "adagrad tf1": {"optimizer": "adagrad"},
    "adagrad torch": {"optimizer": "adagrad", "dialect": "torch"},
    "rmsprop tf1": {},
    "rmsprop torch": {"dialect": "torch"},
    "adam tf1": {"optimizer": "adam"},
    "adam torch": {"optimizer": "adam", "dialect": "torch", "dtype": "float64"},
    "reset": {"local_state": "reset"},
    "S": {"method": "locoprop-s", "target_order": "gauss-seidel", "diagnostics": True},
    "backprop adam": {"method": "backprop", "optimizer": "adam"},
    "backprop rmsprop": {"method": "backprop", "learning_rate": 1e-2},
    "closed": {"method": "locoprop-s-closed", "target_step": 2.0},
    "exact": {"method": "locoprop-m-exact"},
    "no bias": {"bias": False},
    "classify": {"task": "classify", "layers": "9-6-3", "schedule": "constant", "schedule_epochs": None},
    "am": {"method": "am", "code_steps": 2, "code_momentum": 0.5, "diagnostics": True},
    "am sgd": {"method": "am", "optimizer": "sgd", "code_inputs": "forward", "code_reduction": "mean"},
    "am-mem": {"method": "am-mem", "num_sweeps": 2},
    "am-mem inside": {"method": "am-mem", "ridge": "inside", "memory_decay": 1.0, "last_target_step": 5.0},
    "tp": {"method": "tp", "target_start": "output"},
    "dtp": {"method": "dtp", "forward_loss": "matching", "num_local_steps": 2, "inverse_steps": 2},
    "dtp one layer": {"method": "dtp", "layers": "9-9"},
    "fa": {"method": "fa", "optimizer": "momentum"},
    "dfa": {"method": "dfa", "feedback_scale": 2.0},
    "ste": {"method": "ste", "optimizer": "adam"},
    "dtp of sign": {"method": "dtp", "transfer": "sign"},
    "array-api-strict": {"backend": "array-api-strict", "optimizer": "adam"},
}
ALSO = ("am sgd", "am-mem inside", "tp", "dtp one layer", "dtp of sign")  # in the full run alone
SCHEDULED = {"schedule": "authors", "schedule_epochs": 40}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(options, id=name, marks=[pytest.mark.full] if name in ALSO else [])
        for name, options in STATES.items()
    ],
)
def test_resumed_is_uninterrupted(tiny, tmp_path, options):
    options = {**SCHEDULED, **options}
    straight, parts = tmp_path / "straight.json", tmp_path / "parts.json"
    wanted = run(tiny, out=straight, epochs=5, **options)
    run(tiny, out=parts, epochs=2, **options)
    run(tiny, out=parts, epochs=3, resume=True, **options)
    got = run(tiny, out=parts, epochs=5, resume=True, **options)
    assert_same_weights(got.network, wanted.network)
    assert without_seconds(read_run(parts)) == without_seconds(read_run(straight))
    assert_same_checkpoint(parts.with_suffix(".npz"), straight.with_suffix(".npz"))


def test_a_checkpoint_holds_the_state_of_the_optimizer(tiny, tmp_path):
    """60 local steps are 60 in Adam's count: the state is kept, and 2 epochs are in it."""
    run(tiny, out=tmp_path / "r.json", optimizer="adam")
    saved = checkpoint.load_checkpoint(tmp_path / "r.npz", xp=np)
    assert [layer["solver"]["count"] for layer in saved.state["layers"]] == [2 * 3 * 10] * 4
    assert all(np.any(layer["solver"]["mean_square"] > 0) for layer in saved.state["layers"])
    rng = np.random.default_rng()
    rng.bit_generator.state = saved.generator
    again = np.random.default_rng(0)
    network.initialize((9, 6, 3, 6, 9), transfers="tanh", seed=again)
    for _ in range(2):
        again.permutation(TRAIN)
    assert rng.random() == again.random()


def test_resuming_what_is_finished_changes_nothing(tiny, tmp_path, logged):
    run(tiny, out=tmp_path / "r.json")
    before = [(tmp_path / name).read_bytes() for name in ("r.json", "r.npz")]
    logged.clear()
    result = run(tiny, out=tmp_path / "r.json", resume=True)
    assert logged.messages == ["resuming after epoch 2"]
    assert result.run["status"] == "finished"
    assert (tmp_path / "r.json").read_bytes() == before[0]
    assert len(contents(tmp_path / "r.npz")[1]) == len(np.load(tmp_path / "r.npz").files) - 1
    assert_same_weights(result.network, checkpoint.load_network(tmp_path / "r.npz"))


def test_resume_without_anything_starts_from_the_beginning(tiny, tmp_path, logged):
    result = run(tiny, out=tmp_path / "r.json", resume=True)
    assert logged.messages[0] == f"no checkpoint {tmp_path / 'r.npz'} yet: starting from the beginning"
    assert_same_weights(result.network, run(tiny).network)


def test_resume_finds_data_that_has_moved(tiny, tmp_path):
    run(tiny, out=tmp_path / "r.json", epochs=1)
    (tmp_path / "moved").mkdir()
    moved = write_data(tmp_path / "moved" / "tiny.npz")
    result = run(moved, out=tmp_path / "r.json", resume=True)
    assert_same_weights(result.network, run(tiny).network)


def test_a_changed_environment_is_said(tiny, tmp_path, monkeypatch, logged):
    run(tiny, out=tmp_path / "r.json", epochs=1)
    right = resume.environment
    monkeypatch.setattr(resume, "environment", lambda *a: {**right(*a), "cores": 1000})
    logged.clear()
    run(tiny, out=tmp_path / "r.json", resume=True)
    assert logged.messages[0] == (
        "note: the environment is not the one the run began in, so that the last bits may differ"
    )


OTHER = {
    "seed": ({"seed": 1}, r"seed 0 there, 1 here$"),
    "two": ({"seed": 1, "dtype": "float64"}, r"dtype 'float32' there, 'float64' here; seed 0 there, 1 here$"),
    "layers": ({"layers": "9-5-9"}, r"layers '9-6-3-6-9' there, '9-5-9' here$"),
    "method": (
        {"method": "backprop"},
        r"learning_rate None there, 0.0003 here; local_decay 'authors' there, None",
    ),
    "schedule": (
        {"schedule": "authors", "schedule_epochs": 7},
        r"schedule 'constant' there, 'authors' here; sch",
    ),
    "eta": ({"weight_step": 1.0}, r"weight_step 'inf' there, 1.0 here$"),
}


@pytest.mark.parametrize(("options", "words"), OTHER.values(), ids=OTHER)
def test_a_checkpoint_of_another_configuration_is_refused(tiny, tmp_path, options, words):
    run(tiny, out=tmp_path / "r.json")
    before = [(tmp_path / name).read_bytes() for name in ("r.json", "r.npz")]
    with pytest.raises(ValueError, match=r"r\.npz is of another configuration: " + words):
        run(tiny, out=tmp_path / "r.json", resume=True, **options)
    assert [(tmp_path / name).read_bytes() for name in ("r.json", "r.npz")] == before


def test_a_checkpoint_of_other_data_is_refused(tiny, tmp_path):
    run(tiny, out=tmp_path / "r.json")
    other = write_data(tmp_path / "tiny.npz", x_test=np.ones((TEST, 9), np.uint8))
    with pytest.raises(ValueError, match=r"another configuration: data sha256 '.*' there, '.*' here$"):
        run(other, out=tmp_path / "r.json", resume=True)


def changed(path, place, value):
    """Rewrite a checkpoint with another value at a place of the method's state."""

    def put(nest, keys):
        if not keys:
            return value(nest)
        if isinstance(nest, dict):
            return {**nest, keys[0]: put(nest[keys[0]], keys[1:])}
        return tuple(put(item, keys[1:]) if i == keys[0] else item for i, item in enumerate(nest))

    saved = checkpoint.load_checkpoint(path, xp=np)
    checkpoint.save_checkpoint(path, dataclasses.replace(saved, state=put(saved.state, place)))


CHANGED = {
    "steps of adam": ("am", ("layers", 0, "solver", "count"), lambda count: -1),
    "batches of a memory": ("am-mem", ("layers", 1, "solver", "count"), lambda count: -count),
    "seed of the noise": ("dtp", ("targets", "seed"), lambda seed: -1),
    "steps of admm": ("admm", ("steps",), lambda steps: -1),
    "dtype of codes": ("mac", ("layers", 0, "code"), lambda code: code.astype("float64")),
    "examples of codes": ("admm", ("layers", 0, "z"), lambda z: z[:5]),
    "width of codes": ("admm", ("layers", 0, "a"), lambda a: a[:, 1:]),
    "codes of one layer": ("admm", ("layers", 0, "a"), lambda a: None),
}


@pytest.mark.parametrize(("method", "place", "value"), CHANGED.values(), ids=CHANGED)
def test_a_state_that_no_step_makes_is_refused(tiny, tmp_path, method, place, value):
    """It is no run that diverges: the run file stays as it is."""
    options = {"method": method, "layers": "9-6-9", "num_local_steps": None, "dtype": "float32"}
    run(tiny, out=tmp_path / "r.json", epochs=1, **options)
    changed(tmp_path / "r.npz", place, value)
    before = [(tmp_path / name).read_bytes() for name in ("r.json", "r.npz")]
    with pytest.raises(
        ValueError, match=r"r\.npz must fit its own configuration, got other weights or state$"
    ):
        run(tiny, out=tmp_path / "r.json", epochs=2, resume=True, **options)
    assert [(tmp_path / name).read_bytes() for name in ("r.json", "r.npz")] == before
