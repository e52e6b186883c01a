"""Settings without a meaning, and files that are not what they seem, are refused before any work."""

from dataclasses import replace

import numpy as np
import pytest
from small_runs import arrays, write_data

from locoprop_ref.data import load
from locoprop_ref.network import initialize
from locoprop_ref.training import train
from locoprop_ref.training.apply import apply_network
from locoprop_ref.training.checkpoint import save_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.steps import Diverged, check_state


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
