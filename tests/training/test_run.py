"""A run: what its file says, the same bits for the same seed, users' own data, and nothing overwritten."""

import json
import os
import socket

import numpy as np
import pytest
from small_runs import (
    BASE,
    TEST,
    TRAIN,
    WIDTH,
    arrays,
    assert_same_checkpoint,
    assert_same_weights,
    by_hand,
    contents,
    run,
    without_seconds,
    write_data,
)

from locoprop_ref import data, network, optimizers, solvers
from locoprop_ref.cli import main as cli
from locoprop_ref.methods import locoprop, registry
from locoprop_ref.training import config, loop, options, train
from locoprop_ref.training.run_file import read_run

# ------------------------------ the run file


def test_run_file(tiny, tmp_path, logged):
    result = run(tiny, out=tmp_path / "new" / "r.json")
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["r.json", "r.npz"]
    written = read_run(tmp_path / "new" / "r.json")
    assert written == json.loads(json.dumps(result.run))
    assert list(written) == ["schema", "config", "data", "environment", "epochs", "status"]
    assert (written["schema"], written["status"]) == (1, "finished")
    # a user's own data by name: the folder it lies in is nobody's business
    assert written["config"] == options.as_json(config.resolve(data=str(tiny), **BASE)) | {"data": "tiny.npz"}
    dataset = data.load(tiny)
    assert written["data"] == {"name": "tiny.npz", "sha256": dataset.sha256}
    assert [row["epoch"] for row in written["epochs"]] == [0, 1, 2]
    for row in written["epochs"]:
        assert list(row) == ["epoch", "train", "test", "step_seconds", "eval_seconds"]
        assert list(row["train"]) == list(row["test"]) == ["ce", "mse"]
        assert row["eval_seconds"] > 0 and (row["step_seconds"] > 0) == (row["epoch"] > 0)
    begin, *rest = written["epochs"]
    # with the factor of the constant schedule
    assert logged.messages == [loop.describe(begin), *(f"{loop.describe(row)}, rate x 1" for row in rest)]
    assert {record.name for record in logged.records} == {"locoprop_ref.training.loop"}


def test_the_library_is_silent_by_default(tiny, tmp_path, capfd):
    run(tiny, out=tmp_path / "r.json")
    run(tiny, out=tmp_path / "r.json", resume=True)
    assert capfd.readouterr() == ("", "")


def test_run_file_says_what_it_ran_on_but_not_where(tiny, tmp_path):
    result = run(tiny, out=tmp_path / "r.json", epochs=0)
    found = result.run["environment"]
    assert found["versions"]["numpy"] == np.__version__
    assert found["backend"] == {"name": "numpy", "version": np.__version__, "device": "cpu"}
    assert found["blas"] and {"library", "version", "kernel", "threads"} == set(found["blas"][0])
    text = json.dumps(result.run)
    for private in (str(tmp_path), os.getcwd(), os.path.expanduser("~/"), socket.gethostname()):
        assert private not in text
    assert [row["epoch"] for row in result.run["epochs"]] == [0]
    # nothing was left to do: there is nothing to resume
    assert result.run["status"] == read_run(tmp_path / "r.json")["status"] == "finished"


def test_epoch_0_is_the_untrained_network(tiny):
    result = run(tiny, epochs=0)
    untrained = network.initialize(
        (9, 6, 3, 6, 9), transfers=("tanh", "identity", "tanh", "sigmoid"),
        output_loss="sigmoid_cross_entropy", seed=0, dtype="float32",
    )  # fmt: skip
    assert_same_weights(result.network, untrained)


def test_the_remainder_of_an_epoch_is_dropped(tiny):
    """60 examples in batches of 25 are two batches, and the last 10 of every permutation are not seen."""
    rule = optimizers.RMSProp(momentum=0.999)
    by_hand_network = by_hand(locoprop.locoprop_m(solvers.Descend(rule, 1e-3)), batch=25)
    assert_same_weights(run(tiny, batch_size=25).network, by_hand_network)


@pytest.mark.parametrize("backend", ["numpy", "array-api-strict"])
def test_same_seed_same_bytes(tiny, tmp_path, backend):
    paths = [tmp_path / f"{name}.json" for name in "ab"]
    runs = [run(tiny, out=path, seed=3, backend=backend, diagnostics=True) for path in paths]
    assert without_seconds(runs[0].run) == without_seconds(runs[1].run)
    assert_same_checkpoint(*(path.with_suffix(".npz") for path in paths))
    assert without_seconds(run(tiny, seed=4).run)["epochs"] != without_seconds(runs[0].run)["epochs"]


def test_the_cost_of_exact_m_is_said_before_it_begins(tiny, logged):
    """60 examples in batches of 20, layers 9-3-9 with biases: 10·3 and 4·9 regressions in the primal."""
    exact = {"method": "locoprop-m-exact", "layers": "9-3-9", "output_loss": "squared_error"}
    run(tiny, epochs=0, **exact)
    step = 3 * (2 * 20 * 10**2 + 2 / 3 * 10**3) + 9 * (2 * 20 * 4**2 + 2 / 3 * 4**3)
    assert logged.messages[0] == (
        f"locoprop-m-exact solves a regression for every unit: {step / 1e9:.3g} Gflop for one Newton step, "
        f"with several steps a batch; 3 batches at one step each make {3 * step / 1e9:.3g} Gflop an epoch"
    )
    assert len(logged.messages) == 2
    logged.clear()
    run(tiny, epochs=0)
    assert "Gflop" not in logged.text


# ------------------------------ users' own data


def test_own_floats(tmp_path):
    """Floats are taken as they are: pixels divided by 255 beforehand give the same run as pixels."""
    made = arrays()
    floats = {name: (made[name] / np.float32(255)).astype(np.float32) for name in ("x_train", "x_test")}
    own, pixels = write_data(tmp_path / "own.npz", **floats), write_data(tmp_path / "pixels.npz")
    assert_same_weights(run(own).network, run(pixels).network)


def test_own_images_and_other_keys(tmp_path, tiny, logged):
    made = arrays()
    images = {name: made[name].reshape(-1, 3, 3) for name in ("x_train", "x_test")}
    own = write_data(tmp_path / "own.npz", **images, labels_train=None, labels_test=None, more=np.ones(3))
    assert_same_weights(run(own).network, run(tiny).network)
    assert logged.messages[0] == "Keys that were left unread: more."


def test_own_numbers_outside_0_and_1(tmp_path):
    wide = {
        name: np.linspace(-3, 3, n * WIDTH).reshape(n, WIDTH)
        for name, n in (("x_train", TRAIN), ("x_test", TEST))
    }
    own = write_data(tmp_path / "own.npz", **wide)
    assert run(own, output_loss="squared_error").run["status"] == "finished"
    with pytest.raises(ValueError, match=r"^x_train must lie in \[0, 1\] for sigmoid_cross_entropy"):
        run(own)
    own = write_data(tmp_path / "test.npz", x_train=np.abs(wide["x_train"]) / 3, x_test=wide["x_test"])
    with pytest.raises(ValueError, match=r"^x_test must lie in \[0, 1\] for sigmoid_cross_entropy"):
        run(own)
    assert run(own, task="classify", layers="9-3").run["status"] == "finished"  # inputs may be any numbers
    own = write_data(tmp_path / "high.npz", **{name: np.abs(x) * 2 / 3 for name, x in wide.items()})
    with pytest.raises(ValueError, match=r"^x_train must lie in \[0, 1\] for sigmoid_cross_entropy"):
        run(own)  # in [0, 2]: none is negative


def test_a_label_beyond_the_last_layer_is_refused_below_a_wide_hidden_layer(tmp_path):
    own = write_data(tmp_path / "own.npz", labels_train=np.arange(TRAIN) % 4)
    with pytest.raises(ValueError, match=r"^layers must end with at least 4 classes, got 3$"):
        run(own, task="classify", layers="9-6-3")
    assert run(own, task="classify", layers="9-6-4").run["status"] == "finished"


# ------------------------------ diagnostics


@pytest.mark.parametrize("name", ["locoprop-m", "locoprop-s", "locoprop-s-closed", "locoprop-m-exact"])
def test_diagnostics(tiny, name):
    """One epoch of one batch, so that the diagnosed step starts from the untrained network."""
    options = {
        "method": name,
        "batch_size": TRAIN,
        "target_step": 200.0,
        "weight_step": 0.5,
        "dtype": "float64",
    }
    untrained = run(tiny, epochs=0, **options).network
    result = run(tiny, epochs=1, diagnostics=True, **options)
    x = arrays()["x_train"] / 255
    trace = network.forward(untrained, x)
    gradients, g = network.gradients(untrained, x, x), network.backward(untrained, trace, x)
    rows = result.run["epochs"][1]["diagnostics"]["layers"]
    assert len(rows) == 4
    F = {
        "identity": lambda a: a**2 / 2,
        "tanh": lambda a: np.log(np.cosh(a)),
        "sigmoid": lambda a: np.log1p(np.exp(a)),
    }
    ranges = {"identity": (-np.inf, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}
    for k, row in enumerate(rows):
        own = ("tanh", "identity", "tanh", "sigmoid")[k] if name.startswith("locoprop-m") else "identity"
        y = (trace.y_hat if name.startswith("locoprop-m") else trace.a_hat)[k] - 200 * g[k]
        before, after = (np.vstack([n.layers[k].W, n.layers[k].b]) for n in (untrained, result.network))
        inputs = np.hstack([trace.x[k], np.ones((TRAIN, 1))])
        low, high = ranges[own]
        wanted = {"out_of_range": np.mean((y < low) | (y > high))}
        for when, W in (("before", before), ("after", after)):
            a = inputs @ W
            wanted[f"local_loss_{when}"] = np.sum(F[own](a) - y * a) + np.sum((W - before) ** 2) / (2 * 0.5)
        change = after - before
        lengths = np.linalg.norm(change) * np.linalg.norm(gradients[k])
        wanted["cosine_to_gradient"] = -np.sum(change * gradients[k]) / lengths
        if name == "locoprop-m-exact":  # Newton's method reports how it ended, too
            assert row.pop("converged") is True
            assert row.pop("newton_steps") >= 1
            assert 0 <= row.pop("relative_gradient") < 1e-10
        assert list(row) == list(wanted)
        for key in wanted:  # sums of 60 × 9 terms of size up to about 10
            np.testing.assert_allclose(row[key], wanted[key], rtol=0, atol=1e-10, err_msg=f"{k} {key}")
        assert row["local_loss_after"] < row["local_loss_before"]
    shares = [row["out_of_range"] for row in rows]
    assert (max(shares) > 0) == name.startswith("locoprop-m")  # the identity has no range to leave


@pytest.mark.parametrize("name", registry.METHODS)
def test_an_epoch_has_diagnostics_only_on_request(tiny, name):
    """Newton's method reports at every step; without the option the run file keeps its form."""
    row = run(tiny, method=name, epochs=1).run["epochs"][1]
    assert list(row) == ["epoch", "train", "test", "step_seconds", "eval_seconds"]


def test_the_cosine_of_one_gradient_step_is_1_and_of_none_is_null(tiny):
    result = run(tiny, optimizer="sgd", num_local_steps=1, epochs=2, diagnostics=True, dtype="float64")
    for row in result.run["epochs"][1:]:
        for layer in row["diagnostics"]["layers"]:
            np.testing.assert_allclose(layer["cosine_to_gradient"], 1, rtol=0, atol=1e-12)  # of ≤ 60 terms
    still = run(tiny, optimizer="sgd", epochs=1, schedule="authors", schedule_epochs=20, diagnostics=True)
    for layer in still.run["epochs"][1]["diagnostics"]["layers"]:  # the rate is 0 in epoch 0
        assert layer["cosine_to_gradient"] is None
        assert layer["local_loss_after"] == layer["local_loss_before"]


# ------------------------------ what a comparison records in the files of its runs


def test_jobs_are_in_the_run_file_and_survive_resuming(tiny, tmp_path):
    def part(epochs, **more):
        chosen = config.resolve(data=str(tiny), **{**BASE, "epochs": epochs})
        train(chosen, out=tmp_path / "r.json", resume=True, progress=False, **more)
        found = read_run(tmp_path / "r.json")
        assert list(found)[:6] == ["schema", "config", "data", "environment", "epochs", "status"]
        assert contents(tmp_path / "r.npz")[0]["run"].keys() == found.keys()
        return {key: found[key] for key in list(found)[6:]}

    assert part(1, jobs=2) == {"jobs": 2}
    assert part(2, jobs=1) == {"jobs": 2}
    assert part(3, jobs=3) == {"jobs": 3}
    assert part(4) == {}  # nobody knows how many there were: not known for the whole
    assert part(5, jobs=1) == {}
    with pytest.raises(ValueError, match=r"^jobs must be an integer of at least 1, got 0$"):
        part(6, jobs=0)


def test_the_hidden_option_of_a_comparison(tiny, tmp_path, capsys):
    arguments = ["train", "--data", tiny, "--layers", "9-6-9", "--batch-size", "20", "--epochs", "1"]
    more = ["--out", tmp_path / "r.json", "--resume", "--jobs-beside", 2]
    status = cli.main([*map(str, [*arguments, *more])])
    assert (status, capsys.readouterr().err) == (0, "")
    found = read_run(tmp_path / "r.json")
    assert found["jobs"] == 2
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    said = capsys.readouterr().out
    assert "--resume" in said and "--jobs-beside" not in said


# ------------------------------ nothing is overwritten


def test_an_existing_run_is_kept(tiny, tmp_path):
    run(tiny, out=tmp_path / "r.json", epochs=1)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for missing in ("", "r.json"):  # the checkpoint alone is worth as much
        if missing:
            (tmp_path / missing).unlink()
            before.pop(missing)
        with pytest.raises(
            FileExistsError, match=r"^out must be a new file, got .*, which exists \(--resume or"
        ):
            run(tiny, out=tmp_path / "r.json")
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    run(tiny, out=tmp_path / "r.json", overwrite=True, seed=1)
    assert read_run(tmp_path / "r.json")["config"]["seed"] == 1


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_users_data_is_never_replaced_by_a_checkpoint(tmp_path, options):
    own = write_data(tmp_path / "own.npz")
    before = own.read_bytes()
    with pytest.raises(
        ValueError, match=r"^out must have another name than the data, got .*own\.json beside"
    ):
        run(own, out=tmp_path / "own.json", **options)
    assert own.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["own.npz"]


def test_a_run_whose_checkpoint_is_gone_is_not_restarted(tiny, tmp_path):
    run(tiny, out=tmp_path / "r.json")
    (tmp_path / "r.npz").unlink()
    before = (tmp_path / "r.json").read_bytes()
    with pytest.raises(
        FileNotFoundError, match=r"r\.npz must be there to resume .*r\.json, got no such file$"
    ):
        run(tiny, out=tmp_path / "r.json", resume=True)
    assert (tmp_path / "r.json").read_bytes() == before
