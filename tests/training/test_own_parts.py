"""A user's own arrays, desired outputs, and transfer function in `train`."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from small_runs import arrays, assert_same_weights, run, without_seconds, write_data

from locoprop_ref import Transfer, transfer
from locoprop_ref.methods.registry import method
from locoprop_ref.network import initialize, network_loss
from locoprop_ref.training import train
from locoprop_ref.training.config import resolve

OPTIONS = {"layers": "9-6-3-6-9", "batch_size": 20, "epochs": 2, "schedule": "constant", "local_lr": 1e-3}


def outputs(rng, count):
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x, np.stack([x[:, 0] * 2, x[:, 1] - x[:, 2]], axis=1)  # float32, as x


def regression():
    rng = np.random.default_rng(3)
    (x, y), (x_test, y_test) = outputs(rng, 60), outputs(rng, 20)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}


# ------------------------------ arrays


@pytest.mark.parametrize("task", ["autoencode", "classify"])
def test_arrays_are_what_a_file_with_them_is(task, tmp_path):
    options = {**OPTIONS, "task": task, "layers": {"classify": "9-6-3"}.get(task, OPTIONS["layers"])}
    found = train(resolve(data="arrays", **options), arrays=arrays(), progress=False)
    wanted = run(write_data(tmp_path / "mine.npz"), **options)
    assert_same_weights(found.network, wanted.network)
    assert found.run["data"] == {"name": "arrays", "sha256": wanted.run["data"]["sha256"]}
    assert without_seconds(found.run)["epochs"] == without_seconds(wanted.run)["epochs"]


BAD_ARRAYS = {
    "list": ({"x_train": [[0.0] * 9] * 20}, TypeError, r"got list \(numpy.asarray\(x_train"),
    "labels in a list": (
        {"labels_train": [0] * 60}, TypeError, r'got list \(numpy.asarray\(labels_train, dtype="int64"\)'
    ),
    "integers": (
        {"x_train": np.ones((60, 9), int)}, TypeError,
        r'^x_train must have dtype uint8, float32, float64, got int64 \(numpy.asarray\(x_train',
    ),
    "unknown key": ({"x_tarin": np.ones((60, 9))}, ValueError, r"did you mean 'x_train'\?"),
    "key missing": ({"x_test": None}, ValueError, "^x_test must|x_test"),
}  # fmt: skip


@pytest.mark.parametrize("changed, kind, words", BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_wrong_arrays_are_refused_in_a_sentence_that_says_how_to_convert(changed, kind, words):
    given = {name: value for name, value in {**arrays(), **changed}.items() if value is not None}
    with pytest.raises(kind, match=words):
        train(resolve(data="arrays", **OPTIONS), arrays=given)


def test_arrays_and_their_name_belong_together():
    with pytest.raises(ValueError, match=r"^arrays must be given for data 'arrays', got none"):
        train(resolve(data="arrays", **OPTIONS))
    with pytest.raises(ValueError, match=r"^data must be 'arrays' for arrays that are given, got 'curves'$"):
        train(resolve(), arrays=arrays())
    with pytest.raises(TypeError, match=r"^arrays must be a dict of arrays with the keys x_train"):
        train(resolve(data="arrays", **OPTIONS), arrays=arrays()["x_train"])


# ------------------------------ desired outputs


@pytest.mark.parametrize("from_file", [False, True])
def test_regression_by_hand(from_file, tmp_path):
    """The network that a loop over the batches reaches, with linear outputs and the squared error."""
    data = regression()
    options = {"task": "regress", "layers": "4-8-2", "method": "locoprop-s-closed", "target_step": 1.0,
               "batch_size": 20, "epochs": 3, "schedule": "constant"}  # fmt: skip
    if from_file:
        np.savez(tmp_path / "mine.npz", **data)
        found = train(resolve(data=str(tmp_path / "mine.npz"), **options), progress=False)
    else:
        found = train(resolve(data="arrays", **options), arrays=data, progress=False)
    rng, ours = np.random.default_rng(0), method("locoprop-s-closed", target_step=1.0)
    network = initialize(
        (4, 8, 2), transfers=("tanh", "identity"), output_loss="squared_error", seed=rng, dtype="float32"
    )
    start = float(network_loss(network, data["x_train"], data["y_train"]))
    state = ours.init(network)
    for _ in range(3):
        order = rng.permutation(60)
        for rows in order.reshape(3, 20):
            network, state, _ = ours.step(network, state, data["x_train"][rows], data["y_train"][rows])
    assert_same_weights(found.network, network)
    losses = [row["train"]["squared_error"] for row in found.run["epochs"]]
    assert losses[0] == pytest.approx(start, rel=1e-6)  # sums of 60 float32 in another order
    assert losses[-1] < losses[0]


def test_one_column_may_be_a_vector():
    data = regression()
    vectors = {name: value[:, 0] if name[0] == "y" else value for name, value in data.items()}
    columns = {name: value[:, :1] if name[0] == "y" else value for name, value in data.items()}
    config = resolve(data="arrays", task="regress", layers="4-3-1", batch_size=20, epochs=1)
    found, wanted = (train(config, arrays=given, progress=False) for given in (vectors, columns))
    assert_same_weights(found.network, wanted.network)


BAD_OUTPUTS = {
    "none": ({"y_test": None}, {}, "^data must have y_train and y_test for task regress, got ar"),
    "width": ({}, {"layers": "4-8-3"}, "^layers must end with the 2 columns of y_train, got 3$"),
    "rows": ({"y_train": np.ones((59, 2))}, {}, r"^y_train must have shape \(60, k\), one row"),
    "columns": ({"y_test": np.ones((20, 3))}, {}, "^y_test must have the columns of y_train"),
    "nan": ({"y_train": np.full((60, 2), np.nan)}, {}, "^y_train must be finite"),
    "range": ({}, {"output_loss": "sigmoid_cross_entropy"}, r"^y_train must lie in \[0, 1\] for sigm"),
}  # fmt: skip


@pytest.mark.parametrize("changed, options, words", BAD_OUTPUTS.values(), ids=BAD_OUTPUTS)
def test_wrong_outputs_are_refused(changed, options, words):
    given = {name: value for name, value in {**regression(), **changed}.items() if value is not None}
    config = resolve(**{"data": "arrays", "task": "regress", "layers": "4-8-2", "batch_size": 20, **options})
    with pytest.raises(ValueError, match=words):
        train(config, arrays=given)


@pytest.mark.parametrize("data", ["curves", "mnist"])
def test_data_sets_without_outputs_are_refused(data):
    with pytest.raises(
        ValueError, match=f"^data must have y_train and y_test for task regress, got '{data}'"
    ):
        resolve(data=data, task="regress", layers="784-3-2")


# ------------------------------ a transfer function


def tanh(**changed):
    ours = transfer("tanh")
    parts = {"f": ours._f, "F": ours._F, "derivative": ours._derivative, "D": ours._D, "low": -1, "high": 1}
    return Transfer("mine", **{**parts, **changed})


@pytest.mark.parametrize("name", ["locoprop-m", "locoprop-s-closed", "backprop", "kfac"])
def test_the_formulas_of_tanh_train_the_network_of_tanh(name, tiny):
    more = {} if name == "locoprop-m" else {"local_lr": None}
    options = {key: value for key, value in {**OPTIONS, "method": name, **more}.items() if value is not None}
    wanted = train(resolve(data=str(tiny), **options), progress=False)
    found = train(resolve(data=str(tiny), **options), transfer=tanh(), progress=False)
    assert_same_weights(found.network, wanted.network)
    assert [layer.transfer.name for layer in found.network.layers] == ["mine", "identity", "mine", "sigmoid"]
    assert found.run["config"]["transfer"] == "mine"


def test_another_function_trains_another_network(tiny):
    softer = Transfer(
        "half", f=lambda a, xp: a / 2, F=lambda a, xp: a * a / 4, derivative=lambda a, xp: xp.ones_like(a) / 2
    )
    config = resolve(data=str(tiny), **OPTIONS)
    found = train(config, transfer=softer, progress=False)
    other = train(config, progress=False)
    x = np.linspace(0, 1, 9, dtype=np.float32)[None, :]
    assert_array_equal(found.network.layers[0].transfer.f(x), x / 2)
    assert found.run["epochs"][-1]["train"] != other.run["epochs"][-1]["train"]


@pytest.mark.parametrize(
    ("own", "more", "kind", "words"),
    [
        (tanh(f=lambda a, xp: -a), {}, ValueError, "^transfer 'mine' must not decrease, but f"),
        (tanh(F=lambda a, xp: a), {}, ValueError, "^transfer 'mine' must fulfil ∫ f dz"),
        ("softsign", {}, TypeError, "^transfer must be a Transfer"),
        (tanh(), {"out": "r.json"}, ValueError, "^out must be None for a transfer function of"),
        (tanh(), {"layers": "9-9"}, ValueError, "^layers must have a hidden layer with tanh"),
    ],
)  # fmt: skip
def test_a_transfer_function_that_cannot_be_is_refused(own, more, kind, words, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = resolve(data=str(tiny), **{**OPTIONS, "layers": more.get("layers", OPTIONS["layers"])})
    with pytest.raises(kind, match=words):
        train(config, transfer=own, out=more.get("out"))
    assert list(tmp_path.glob("r.*")) == []
