"""Training on images and sequences: the command, the run file, the checkpoint, resuming, and apply."""

import json

import numpy as np
import pytest
from small_runs import assert_same_checkpoint, without_seconds

from locoprop_ref.cli import main as cli
from locoprop_ref.training.checkpoint import load_network, save_network
from locoprop_ref.training.config import resolve
from locoprop_ref.training.run import train

LAYERS = {"images": "6x5x2-c3x4+1-m2-c2x3-6-3", "sequence": "6x10-r5-3"}
METHODS = ["backprop", "locoprop-s", "locoprop-s-closed", "locoprop-m", "kfac", "foof", "shampoo"]


@pytest.fixture(scope="module", params=LAYERS)
def data(request, tmp_path_factory):
    """(name, path): images (N, 6, 5, 2) or sequences (N, 6, 10), with labels."""
    rng, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / f"{request.param}.npz"
    shape = (6, 5, 2) if request.param == "images" else (6, 10)
    arrays = {}
    for part, count in (("train", 40), ("test", 12)):
        labels = rng.integers(0, 3, size=count)
        arrays[f"x_{part}"] = (
            rng.uniform(size=(count, *shape)) / 2 + labels.reshape(-1, *[1] * len(shape)) / 4
        )
        arrays[f"labels_{part}"] = labels
    np.savez(path, **arrays)
    return request.param, path


def options(data, method, epochs=2):
    name, path = data
    more = {"optimizer": "sgd", "learning_rate": 0.1} if method == "backprop" else {}
    return {
        "data": str(path), "task": "classify", "layers": LAYERS[name], "batch_size": 20, "epochs": epochs,
        "method": method, "schedule": "constant", **more,
    }  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_run_resumes_to_the_same_bytes(data, method, tmp_path):
    train(resolve(**options(data, method, 3)), out=tmp_path / "whole.json", progress=False)
    train(resolve(**options(data, method, 1)), out=tmp_path / "parts.json", progress=False)
    train(resolve(**options(data, method, 3)), out=tmp_path / "parts.json", resume=True, progress=False)
    assert_same_checkpoint(tmp_path / "whole.npz", tmp_path / "parts.npz")
    whole, parts = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "parts"))
    assert without_seconds(whole)["epochs"] == without_seconds(parts)["epochs"]


def test_a_checkpoint_holds_the_whole_network(data, tmp_path):
    """With an initial state, which the command line does not set."""
    trained = train(resolve(**options(data, "backprop", 1)), progress=False).network
    path = tmp_path / "network.npz"
    save_network(path, trained)
    for old, new in zip(trained.layers, load_network(path).layers, strict=True):
        assert (old.wiring, old.recurrent) == (new.wiring, new.recurrent)
        np.testing.assert_array_equal(old.stacked, new.stacked)


def test_the_network_is_applied(data, tmp_path):
    run = [f"--{key.replace('_', '-')}={value}" for key, value in options(data, "backprop").items()]
    assert cli.main(["train", *run, "--out", str(tmp_path / "run.json")]) == 0
    out = tmp_path / "y.npz"
    assert cli.main(["apply", str(tmp_path / "run.npz"), f"--data={data[1]}", "--out", str(out)]) == 0
    y = np.load(out)["y"]
    assert y.shape == (12, 3)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "layers", "words"),
    [
        ((6, 5, 2), "5x6x2-c3x4-3", "layers must begin with the shape 6x5x2 of mine.npz, got 5x6x2"),
        ((6, 10), "10x6-r3-3", "layers must begin with the shape 6x10 of mine.npz, got 10x6"),
        ((6, 10), "10x6x1-c3x2-3", "layers must begin with the shape 6x10 of mine.npz, got 10x6x1"),
        ((6, 10), "6x11-r3-3", "layers must begin with the 60 inputs of mine.npz, got 66"),
        ((60,), "59-3", "layers must begin with the 60 inputs of mine.npz, got 59"),
    ],
)
def test_data_of_another_shape_are_refused(shape, layers, words, tmp_path):
    x = np.zeros((20, *shape))
    np.savez(
        tmp_path / "mine.npz",
        x_train=x,
        x_test=x,
        labels_train=np.arange(20) % 3,
        labels_test=np.arange(20) % 3,
    )
    config = resolve(
        data=str(tmp_path / "mine.npz"), task="classify", layers=layers, batch_size=10, method="backprop"
    )
    with pytest.raises(ValueError, match=words):
        train(config, progress=False)


def test_channels_come_first_in_a_row(tmp_path):
    """(N, height, width, channels) as it stands in the file; a flat example is (channel, height, width)."""
    from locoprop_ref.data import load

    x = np.arange(2 * 3 * 4 * 2, dtype="float64").reshape(2, 3, 4, 2)
    np.savez(tmp_path / "mine.npz", x_train=x, x_test=x)
    loaded = load(tmp_path / "mine.npz")
    np.testing.assert_array_equal(loaded.x_train[1].reshape(2, 3, 4)[1], x[1, :, :, 1])
    assert (loaded.example_shape, loaded.image_shape) == ((3, 4, 2), None)
