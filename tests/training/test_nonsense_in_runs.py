"""Settings without a meaning, and files that are not what they seem, are refused before any work."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import arrays, write_data

from locoprop_ref.data import load
from locoprop_ref.network import initialize
from locoprop_ref.training import train
from locoprop_ref.training.apply import apply_network, outputs
from locoprop_ref.training.checkpoint import save_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.options import as_json
from locoprop_ref.training.run_name import run_name
from locoprop_ref.training.steps import Diverged, check_state
from locoprop_ref.training.task import evaluate


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"transfer": "relu"}, r"^transfer has no meaning where the code is the only hidden layer"),
        ({"output_loss": ""}, r"^output_loss must be one of "),
    ],
)
def test_an_option_is_never_ignored(changed, sentence):
    with pytest.raises(ValueError, match=sentence):
        resolve(layers="784-30-784", **changed)


def test_a_transfer_with_a_hidden_layer_beside_the_code_passes():
    assert resolve(layers="784-50-30-784", transfer="relu").transfer == "relu"
    assert resolve(layers="784-30-784", code_transfer="relu").code_transfer == "relu"
    assert resolve(layers="784-30-784", transfer="relu,sigmoid").transfer == "relu,sigmoid"


def test_a_folder_beside_drawn_images_is_refused():
    with pytest.raises(
        ValueError, match=r"^data_dir has no meaning for data 'curves', which is drawn, got 'x'"
    ):
        load("curves", data_dir="x")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_applied(tmp_path, bad):
    data = write_data(tmp_path / "data.npz")
    network = initialize(
        (arrays()["x_train"].reshape(len(arrays()["x_train"]), -1).shape[1], 2), transfers="tanh"
    )
    layer = network.layers[0]
    b = layer.b.copy()
    b[1] = bad
    save_network(tmp_path / "net.npz", replace(network, layers=(replace(layer, b=b),)))
    with pytest.raises(ValueError, match=r"must have finite weights, got nan or infinity in layer 1$"):
        apply_network(tmp_path / "net.npz", str(data), tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("jobs", [0, -1, True, "2"])
def test_a_number_of_jobs_that_is_none_is_refused(jobs):
    with pytest.raises((TypeError, ValueError), match=r"^jobs must be an integer"):
        train(resolve(layers="784-30-784", epochs=0), jobs=jobs)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_state_with_infinity_in_it_has_diverged(bad):
    check_state({"layers": ({"count": 3, "mean": np.ones((2, 1))}, ()), "seed": None, "name": "a"})
    for state in (bad, {"mean": np.array([1.0, bad])}, {"layers": ({"mean": (np.array([[bad]]),)},)}):
        with pytest.raises(Diverged, match=r"^the method's state is no longer finite$"):
            check_state(state)


@pytest.mark.parametrize("name", ["x_train", "x_test"])
def test_arrays_in_memory_are_there_and_have_no_mask(name):
    """The numbers behind a mask were once trained on; None was a KeyError."""
    config = resolve(data="arrays", layers="9-3-9", batch_size=20, epochs=1)
    ours = {key: value / 255.0 for key, value in arrays().items() if key.startswith("x")}
    with pytest.raises(ValueError, match=rf"^arrays must have the key {name}, got x_t"):
        train(config, arrays=ours | {name: None})
    hidden = np.ma.masked_array(ours[name], mask=ours[name] > 0.5)
    with pytest.raises(TypeError, match=rf"^{name} must be an array without a mask, got a masked array"):
        train(config, arrays=ours | {name: hidden})
    with pytest.raises(ValueError, match=r"^data_dir has no meaning beside arrays, got 'x'$"):
        train(config, arrays=ours, data_dir="x")


def test_data_beyond_the_dtype_are_refused_before_the_first_step(tmp_path):
    """Once a run "finished" with a loss of inf, or its file could not be written."""
    rng = np.random.default_rng(0)
    ours = {"x_train": rng.normal(size=(20, 9)) * 1e25, "x_test": rng.normal(size=(20, 9)) * 1e25}
    for method in ("mac", "locoprop-m"):
        config = resolve(
            method=method, data="arrays", layers="9-3-9", epochs=1, output_loss="squared_error",
            **({} if method == "mac" else {"batch_size": 20}),
        )  # fmt: skip
        with pytest.raises(
            ValueError, match=r"^data must have finite losses in float32, got train squared_e"
        ):
            train(config, arrays=ours, out=tmp_path / "r.json")
    assert not list(tmp_path.glob("*.json")) and not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize("option", ["activation_penalty", "pre_activation_penalty"])
def test_a_divergence_is_told_in_words_of_the_network(option):
    """Not in LAPACK's: "Eigenvalues did not converge"."""
    config = resolve(method="admm", data="arrays", layers="6-4-6", epochs=2, **{option: 1e308})
    run = train(config, arrays={"x_train": np.ones((40, 6)), "x_test": np.ones((4, 6))}).run
    assert run["status"] == "diverged"
    assert "igenvalues" not in run["message"]


def test_outputs_are_of_an_array():
    network = initialize((3, 2), transfers="tanh")
    for wrong in (None, [[0.0, 1.0, 2.0]], np.ma.masked_array(np.ones((2, 3)))):
        with pytest.raises(TypeError, match=r"^x must be a NumPy array without a mask, got "):
            outputs(network, wrong)
    for labels in ("a", [0, 1], np.zeros(3, int)):
        with pytest.raises(ValueError, match=r"^labels must be an array of 2, one for each row, got "):
            evaluate(network, np.ones((2, 3)), np.ones((2, 2)), labels)


def test_what_is_no_config_is_named():
    for function in (as_json, run_name):
        with pytest.raises(
            TypeError, match=r"^config must be a Config, as config.resolve makes, got NoneType$"
        ):
            function(None)
