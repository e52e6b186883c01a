"""Methods that see all examples at once: the contract of their steps, their states, and their runs."""

from dataclasses import is_dataclass

import numpy as np
import pytest
from bridge import every_dtype, leaves, snapshot
from small_runs import (
    TRAIN,
    assert_same_checkpoint,
    assert_same_weights,
    by_hand,
    run,
    without_seconds,
    write_data,
)

from locoprop_ref import Network, initialize, method
from locoprop_ref.cli import main as cli
from locoprop_ref.methods.registry import METHODS, OFFLINE
from locoprop_ref.training.checkpoint import Checkpoint, form, load_checkpoint, save_checkpoint
from locoprop_ref.training.config import resolve
from locoprop_ref.training.resume import _fits
from locoprop_ref.training.run_file import read_run
from locoprop_ref.training.steps import Steps

every_method = pytest.mark.parametrize("name", OFFLINE)
LOSSES = {"identity": "squared_error", "sigmoid": "sigmoid_cross_entropy", "softmax": "softmax_cross_entropy"}


def problem(backend, last="identity", dtype="float64", count=12):
    network = initialize(
        (4, 6, 5, 3), transfers=("relu", "relu", last), output_loss=LOSSES[last], seed=1, dtype=dtype,
        xp=backend.xp, device=backend.device,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    t = np.eye(3)[rng.integers(0, 3, count)]
    return network, backend.asarray(rng.normal(size=(count, 4)), dtype), backend.asarray(t, dtype)


def steps(ours, network, state, x, t, rates):
    for rate in rates:
        network, state, _ = ours.step(network, state, x, t, rate=rate)
    return network, state


def test_the_names():
    assert OFFLINE == ("mac", "admm")
    assert [name for name in METHODS if getattr(method(name), "sees_all_examples", False)] == list(OFFLINE)


# the contract of a step ---------------------------------------------------------------------------


@pytest.mark.each("name")
@every_method
@pytest.mark.parametrize("last", LOSSES)
@every_dtype
def test_a_step_is_pure_and_keeps_the_form_of_what_it_is_given(backend, name, last, dtype):
    network, x, t = problem(backend, last, dtype)
    ours = method(name)
    assert is_dataclass(ours)
    network, state, _ = ours.step(network, ours.init(network, 2), x, t)
    before = snapshot(backend, network, state, x, t)
    first, after, info = ours.step(network, state, x, t, rate=0.7)
    second, again, _ = ours.step(network, state, x, t, rate=0.7)
    assert isinstance(first, Network)
    assert isinstance(info, dict)
    assert snapshot(backend, network, state, x, t) == before
    assert snapshot(backend, first, after) == snapshot(backend, second, again)
    assert form(after) == form(state)
    for leaf in leaves(after):
        assert type(leaf) is int or (type(leaf) is type(x) and leaf.dtype == x.dtype)
    for layer, old in zip(first.layers, network.layers, strict=True):
        assert layer.transfer is old.transfer
        assert (layer.W.dtype, layer.W.shape, layer.b.shape) == (old.W.dtype, old.W.shape, old.b.shape)
        assert np.abs(backend.numpy(layer.W) - backend.numpy(old.W)).max() > 0


@pytest.mark.each("name")
@every_method
def test_at_rate_zero_no_weight_and_no_code_moves(backend, name):
    network, x, t = problem(backend)
    ours = method(name)
    for begun in (False, True):
        state = steps(ours, network, ours.init(network), x, t, [1.0])[1] if begun else ours.init(network)
        still, after = steps(ours, network, state, x, t, [0.0, 0.0])
        assert snapshot(backend, still) == snapshot(backend, network)
        if begun:
            assert snapshot(backend, network, after) == snapshot(backend, network, state)


@every_method
def test_one_example_and_one_unit_are_enough(backend, name):
    network = initialize((1, 1, 1), transfers=("relu", "identity"), xp=backend.xp, device=backend.device)
    x, t = backend.asarray([[1.0]]), backend.asarray([[0.5]])
    moved, _ = steps(method(name), network, method(name).init(network), x, t, [1.0] * 3)
    assert np.isfinite(backend.numpy(moved.layers[0].W)).all()


@pytest.mark.each("name")
@every_method
@every_dtype
def test_a_checkpoint_goes_on_as_if_nothing_had_happened(backend, tmp_path, name, dtype):
    network, x, t = problem(backend, dtype=dtype)
    ours = method(name)
    half, state = steps(ours, network, ours.init(network), x, t, [1.0, 1.0])
    whole, wanted = steps(ours, half, state, x, t, [1.0, 0.5])
    save_checkpoint(tmp_path / "half.npz", Checkpoint(half, state, None, {}))
    loaded = load_checkpoint(tmp_path / "half.npz", xp=backend.xp)
    x, t = (backend.xp.asarray(backend.numpy(v)) for v in (x, t))
    again, state = steps(ours, loaded.network, loaded.state, x, t, [1.0, 0.5])
    assert snapshot(backend, again, state) == snapshot(backend, whole, wanted)


@every_method
def test_another_number_of_examples_is_refused_in_one_sentence(numpy_backend, name):
    network, x, t = problem(numpy_backend)
    ours = method(name)
    _, state, _ = ours.step(network, ours.init(network), x, t)
    with pytest.raises(ValueError, match=r"^x must hold the same 12 examples in every step, got 5$"):
        ours.step(network, state, x[:5], t[:5])


@every_method
@pytest.mark.parametrize("change", ["name", "width", "dtype", "some none", "vector"])
def test_codes_of_another_network_are_refused_in_one_sentence(numpy_backend, name, change):
    network, x, t = problem(numpy_backend)
    ours = method(name)
    _, state, _ = ours.step(network, ours.init(network), x, t)
    entry = dict(state["layers"][0])
    key = list(entry)[-1]
    code = entry.pop(key)
    changed = {
        "name": {"other": code}, "width": {key: code[:, :1]}, "dtype": {key: code.astype("float32")},
        "some none": {key: code, "more": None}, "vector": {key: code[0]},
    }[change]  # fmt: skip
    state = {**state, "layers": ({**entry, **changed}, *state["layers"][1:])}
    with pytest.raises(
        ValueError, match=r"^state\['layers'\]\[0\] must be what init or a step made of a layer of"
    ):
        ours.step(network, state, x, t)


@every_method
@pytest.mark.parametrize("entry", [None, "code", -1, ()])
def test_an_entry_that_is_no_dict_is_refused_in_one_sentence(numpy_backend, name, entry):
    network, x, t = problem(numpy_backend)
    ours = method(name)
    _, state, _ = ours.step(network, ours.init(network), x, t)
    with pytest.raises(ValueError, match=r"^state\['layers'\]\[0\] must be what init or a step made of"):
        ours.step(network, {**state, "layers": (entry, *state["layers"][1:])}, x, t)


@every_method
@pytest.mark.parametrize("cut", [lambda code: code[:5], lambda code: None])
def test_codes_of_different_numbers_of_examples_are_refused(numpy_backend, name, cut):
    network, x, t = problem(numpy_backend)
    ours = method(name)
    _, state, _ = ours.step(network, ours.init(network), x, t)
    first = {key: cut(code) for key, code in state["layers"][0].items()}
    with pytest.raises(ValueError, match=r"^state must hold codes of the same examples in every layer"):
        ours.step(network, {**state, "layers": (first, *state["layers"][1:])}, x, t)


def test_admm_wants_its_count(numpy_backend):
    network, x, t = problem(numpy_backend)
    ours = method("admm")
    with pytest.raises(TypeError, match=r"^state\['steps'\] must be an integer, got None"):
        ours.step(network, {"layers": ours.init(network)["layers"]}, x, t)


def test_a_state_that_the_first_step_fills():
    """What stands as None in a fresh state may be a matrix of a resumed one, and nothing else."""
    fresh = form({"layers": ({"z": None}, {}), "steps": 0})
    for z, fits in ((np.zeros((3, 2)), True), (None, True), (np.zeros(3), False), (1.0, False), ("z", False)):
        assert _fits(form({"layers": ({"z": z}, {}), "steps": 7}), fresh) is fits
    assert not _fits(form({"layers": ({"z": None},), "steps": 0}), fresh)
    assert not _fits(form({"layers": ({"z": None}, {}), "steps": 1.0}), fresh)
    assert not _fits(form({"layers": ({"a": None}, {}), "steps": 0}), fresh)


# runs ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


CLASSIFY = {"task": "classify", "layers": "9-6-3", "transfer": "relu"}


@every_method
@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_a_run_is_one_step_an_epoch_on_all_examples_in_their_order(tiny, name, loss):
    """Bit for bit, whatever loss evaluates it."""
    result = run(tiny, method=name, epochs=3, output_loss=loss, **CLASSIFY)
    wanted = by_hand(
        method(name), sizes=(9, 6, 3), loss=loss, classify=True, rates=(1, 1, 1),
        transfers=("relu", "softmax" if "softmax" in loss else "identity"),
    )  # fmt: skip
    assert_same_weights(result.network, wanted)
    assert "batch_size" not in result.run["config"]
    codes = [code for entry in result.state["layers"] for code in entry.values()]
    assert {code.shape[0] for code in codes} == {TRAIN}
    if name == "mac":  # the first steps of ADMM move little more than codes
        accuracy = [row["train"]["accuracy"] for row in result.run["epochs"]]
        assert accuracy[-1] > accuracy[0]


@every_method
def test_resumed_is_uninterrupted(tiny, tmp_path, name):
    """Bit for bit, with the codes in the checkpoint; also from a checkpoint before the first step."""
    straight, parts = tmp_path / "straight.json", tmp_path / "parts.json"
    wanted = run(tiny, out=straight, method=name, epochs=4, **CLASSIFY)
    run(tiny, out=parts, method=name, epochs=0, **CLASSIFY)
    for epochs in (1, 2, 4):
        got = run(tiny, out=parts, method=name, epochs=epochs, resume=True, **CLASSIFY)
    assert_same_weights(got.network, wanted.network)
    assert without_seconds(read_run(parts)) == without_seconds(read_run(straight))
    assert_same_checkpoint(parts.with_suffix(".npz"), straight.with_suffix(".npz"))


@every_method
def test_batches_and_schedules_have_no_meaning(name):
    config = resolve(method=name, preset="paper", transfer="relu", code_transfer="relu")
    assert (config.batch_size, config.schedule, config.schedule_epochs) == (None, "constant", None)
    with pytest.raises(ValueError, match=rf"^batch_size has no meaning for method {name}$"):
        resolve(method=name, batch_size=100)
    with pytest.raises(ValueError, match=rf"^schedule must be constant for method {name}, got 'authors'$"):
        resolve(method=name, schedule="authors")
    with pytest.raises(ValueError, match=r"^schedule_epochs has no meaning for schedule constant$"):
        resolve(method=name, schedule_epochs=10)
    assert resolve(method=name, schedule="constant") == resolve(method=name)


def test_admm_takes_relu_by_itself_and_nothing_else(capsys):
    config = resolve(method="admm")
    assert (config.transfer, config.code_transfer) == ("relu", "relu")
    classify = resolve(method="admm", data="mnist", task="classify", layers="784-5-10")
    assert (classify.transfer, classify.code_transfer) == ("relu", resolve().code_transfer)  # no code layer
    with pytest.raises(
        ValueError, match=r"^transfer must be relu in hidden layers for method admm, got 'tanh'$"
    ):
        resolve(method="admm", transfer="tanh")
    with pytest.raises(ValueError, match=r"^layers must be dense for method admm, got '4x4x1-c2x2-16'$"):
        resolve(method="admm", layers="4x4x1-c2x2-16", data="own.npz")
    assert cli.main(["train", "--method", "admm", "--batch-size", "5"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "locoprop-ref train: batch_size has no meaning for method admm"
    ]


@pytest.mark.parametrize(("name", "setting"), [("mac", "code_lr"), ("admm", "multiplier_step")])
def test_the_rate_multiplies_the_one_step_size(numpy_backend, name, setting):
    """Half the rate and twice the size, bit for bit; half the rate alone is another step."""
    network, x, t = problem(numpy_backend)
    found = []
    for size, rate in ((0.02, 1.0), (0.04, 0.5), (0.02, 0.5)):
        ours = method(name, **{setting: size})
        _, state = steps(ours, network, ours.init(network), x, t, [rate] * 2)
        found.append([leaf.tolist() for leaf in leaves(state) if hasattr(leaf, "shape")])
    assert found[0] == found[1] != found[2]


def test_no_order_is_drawn(tiny):
    """The random generator is left as it stands."""
    order = Steps(resolve(data=str(tiny), method="mac", **CLASSIFY), method("mac"), None, np)
    rng = np.random.default_rng(0)
    assert order.shuffled(rng) is None
    assert rng.random() == np.random.default_rng(0).random()
