"""A trained network: saved, loaded, and applied to data."""

import numpy as np
import pytest
from small_runs import (
    arrays,
    assert_same_weights,
    run,
    shell,
    write_data,
)

from locoprop_ref import network, transfers
from locoprop_ref.cli import main as cli
from locoprop_ref.training import apply, checkpoint

NETWORKS = {
    "plain": {"transfers": ["tanh", "sigmoid"], "output_loss": "sigmoid_cross_entropy"},
    "without bias": {"transfers": ["elu", "softplus"], "output_loss": "squared_error", "bias": False},
    "float32": {
        "transfers": ["arctan", "softmax"],
        "output_loss": "softmax_cross_entropy",
        "dtype": "float32",
    },
    "parameters": {
        "transfers": [transfers.transfer("leaky_relu", slope=0.3), transfers.transfer("elu", alpha=0.7)]
    },
}


@pytest.mark.parametrize("form", NETWORKS.values(), ids=NETWORKS)
def test_save_and_load(tmp_path, form, backend):
    net = network.initialize((9, 5, 3), seed=2, xp=backend.xp, device=backend.device, **form)
    checkpoint.save_network(tmp_path / "net.npz", net)
    again = checkpoint.load_network(tmp_path / "net.npz", xp=backend.xp)
    assert_same_weights(again, net)
    assert again.loss.name == net.loss.name
    for one, other in zip(again.layers, net.layers, strict=True):
        assert (one.transfer.name, dict(one.transfer.parameters)) == (
            other.transfer.name, dict(other.transfer.parameters),
        )  # fmt: skip
        assert (one.b is None) == (other.b is None)
    x = np.random.default_rng(0).normal(size=(4, 9)).astype(form.get("dtype", "float64"))
    here = checkpoint.load_network(tmp_path / "net.npz")
    np.testing.assert_array_equal(
        network.predict(here, x), network.predict(checkpoint.load_network(tmp_path / "net.npz"), x)
    )


@pytest.fixture(scope="module")
def classifier(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "c.json"
    return run(tiny, out=out, task="classify", layers="9-6-3"), out.with_suffix(".npz")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("how", ["python", "command line", "process"])
def test_apply(classifier, tiny, tmp_path, capsys, part, how):
    result, trained = classifier
    out = tmp_path / "deep" / "y.npz"
    if how == "python":
        sentence = apply.apply_network(trained, str(tiny), out, part=part)
    else:
        arguments = ["apply", trained, "--data", tiny, "--part", part, "--out", out]
        if how == "process":
            done = shell(*arguments)
            status, said, err = done.returncode, done.stdout, done.stderr
        else:
            status = cli.main([str(a) for a in arguments])
            said, err = capsys.readouterr()
        assert (status, err) == (0, "")
        sentence = said.rstrip("\n")
    x, labels = arrays()[f"x_{part}"], arrays()[f"labels_{part}"]
    with np.load(out, allow_pickle=False) as file:
        assert file.files == ["y"]
        y = file["y"]
    assert y.dtype == np.float32
    wanted = network.predict(result.network, x.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(y, wanted)
    accuracy = result.run["epochs"][-1][part]["accuracy"]
    assert sentence == f"{len(labels)} outputs of width 3 in {out}, accuracy {accuracy:.4f}"


def test_apply_in_parts_is_apply_at_once(classifier):
    result, _ = classifier
    x = arrays()["x_train"]
    once = apply.outputs(result.network, x)
    for rows in (1, 7, 59, 60, 61):
        # BLAS may order the sums of another number of rows otherwise: two roundings of numbers below 1
        np.testing.assert_allclose(apply.outputs(result.network, x, rows=rows), once, rtol=0, atol=4e-7)


def test_apply_replaces_neither_its_network_nor_its_data(classifier, tmp_path):
    trained, own = tmp_path / "net.npz", write_data(tmp_path / "own.npz")
    trained.write_bytes(classifier[1].read_bytes())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for out, words in ((trained, "the network"), (own, "the data")):
        with pytest.raises(ValueError, match=rf"^out must be a file of its own, got .*, which is {words}$"):
            apply.apply_network(trained, str(own), out)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_checkpoint_is_no_pickle(classifier):
    for name, array in np.load(classifier[1], allow_pickle=False).items():
        assert array.dtype.kind in "uf", name
