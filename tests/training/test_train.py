"""Training: the run file, the same bits for the same seed, resuming, and all that can end a run early."""

import json
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_equal
from small_runs import (
    BASE,
    CLASSES,
    TEST,
    TRAIN,
    WIDTH,
    arrays,
    assert_same_checkpoint,
    assert_same_weights,
    by_hand,
    command,
    contents,
    environment,
    run,
    shell,
    without_seconds,
    write_data,
)

from locoprop_ref import data, network, optimizers, solvers, transfers
from locoprop_ref.cli import main as cli
from locoprop_ref.methods import locoprop, registry
from locoprop_ref.training import apply, checkpoint, config, diverged, evaluate, loop, options, resume, train
from locoprop_ref.training.run_file import read_run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


# ------------------------------ the run file


@pytest.fixture
def logged(caplog):
    """The lines that the package logs for a user: level INFO, from the loggers below "locoprop_ref"."""
    caplog.set_level(logging.INFO, logger="locoprop_ref")
    return caplog


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
    assert logged.messages == [loop.describe(row) for row in written["epochs"]]
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


# ------------------------------ losses


def naive_losses(net, x, t, labels):
    """Cross-entropy or squared error, mean squared error and accuracy, example by example in plain Python."""
    name = "squared_error" if net.loss.name == "squared_error" else "ce"
    total = squares = correct = 0.0
    for row in range(len(x)):
        y = x[row].tolist()
        for layer in net.layers:
            W, b = layer.W.tolist(), layer.b.tolist()
            a = [sum(y[i] * W[i][j] for i in range(len(y))) + b[j] for j in range(len(b))]
            if layer.transfer.name == "softmax":
                y = [math.exp(value) / sum(map(math.exp, a)) for value in a]
            else:
                formula = {
                    "identity": lambda v: v,
                    "tanh": math.tanh,
                    "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
                }
                y = [formula[layer.transfer.name](value) for value in a]
        target = t[row].tolist()
        pairs = list(zip(y, target, strict=True))
        if net.loss.name == "sigmoid_cross_entropy":
            total -= sum(q * math.log(p) + (1 - q) * math.log(1 - p) for p, q in pairs)
        elif net.loss.name == "softmax_cross_entropy":
            total -= sum(q * math.log(p) for p, q in pairs)
        else:
            total += sum((p - q) ** 2 for p, q in pairs) / 2
        squares += sum((p - q) ** 2 for p, q in pairs) / len(pairs)
        correct += labels is not None and y.index(max(y)) == labels[row]
    found = {name: total / len(x), "mse": squares / len(x)}
    return found | ({} if labels is None else {"accuracy": correct / len(x)})


@pytest.mark.parametrize("rows", [1, 7, 20, 5000])
@pytest.mark.parametrize("task", ["autoencode", "squared error", "classify"])
def test_evaluate_is_the_naive_mean(task, rows):
    made, loss, last = arrays(), "sigmoid_cross_entropy", "sigmoid"
    x = made["x_test"] / 255
    t, labels, sizes = x, None, (9, 4, 9)
    if task == "squared error":
        loss, last = "squared_error", "identity"
    if task == "classify":
        loss, last, sizes, labels = "softmax_cross_entropy", "softmax", (9, 4, 3), made["labels_test"]
        t = np.eye(3)[labels]
    net = network.initialize(sizes, transfers=["tanh", last], output_loss=loss, seed=1)
    got, wanted = evaluate(net, x, t, labels, rows=rows), naive_losses(net, x, t, labels)
    assert list(got) == list(wanted)
    for name in wanted:  # sums of 180 terms of one sign (squares), or below 1 (logarithms)
        np.testing.assert_allclose(got[name], wanted[name], rtol=1e-13)


def test_the_losses_of_a_run_are_those_of_its_network(tiny):
    result = run(tiny, task="classify", layers="9-6-3", dtype="float64")
    made = arrays()
    for part in ("train", "test"):
        x, labels = made[f"x_{part}"] / 255, made[f"labels_{part}"]
        wanted = naive_losses(result.network, x, np.eye(CLASSES)[labels], labels)
        got = result.run["epochs"][-1][part]
        assert list(got) == list(wanted)
        for name in wanted:
            np.testing.assert_allclose(got[name], wanted[name], rtol=1e-13)  # as above


def test_classification_learns(tiny):
    """The labels are the largest of three inputs: a linear rule, learned from 60 examples."""
    result = run(
        tiny,
        task="classify",
        layers="9-12-3",
        method="backprop",
        optimizer="adam",
        learning_rate=0.03,
        epochs=40,
    )
    accuracy = [row["train"]["accuracy"] for row in result.run["epochs"]]
    assert accuracy[0] < 0.6
    assert accuracy[-1] > 0.9  # measured: 1.0
    assert result.run["epochs"][-1]["test"]["accuracy"] > 0.6  # measured: 0.8; chance is 0.33


@pytest.mark.parametrize("name", registry.METHODS)
def test_every_method_lowers_the_train_loss(tiny, name):
    settings = {
        "backprop": {"learning_rate": 1e-2},
        "locoprop-s": {"momentum": 0.5},
        "locoprop-m": {"momentum": 0.5},
        "shampoo": {"learning_rate": 0.02},
    }
    step = {"target_step": 20.0} if name.startswith("locoprop") else {}
    result = run(tiny, method=name, epochs=5, **settings.get(name, {}), **step)
    losses = [row["train"]["ce"] for row in result.run["epochs"]]
    assert losses[-1] < losses[0] - 0.05


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
        assert list(row) == list(wanted)
        for key in wanted:  # sums of 60 × 9 terms of size up to about 10
            np.testing.assert_allclose(row[key], wanted[key], rtol=0, atol=1e-10, err_msg=f"{k} {key}")
        assert row["local_loss_after"] < row["local_loss_before"]
    shares = [row["out_of_range"] for row in rows]
    assert (max(shares) > 0) == name.startswith("locoprop-m")  # the identity has no range to leave


def test_the_cosine_of_one_gradient_step_is_1_and_of_none_is_null(tiny):
    result = run(tiny, optimizer="sgd", num_local_steps=1, epochs=2, diagnostics=True, dtype="float64")
    for row in result.run["epochs"][1:]:
        for layer in row["diagnostics"]["layers"]:
            np.testing.assert_allclose(layer["cosine_to_gradient"], 1, rtol=0, atol=1e-12)  # of ≤ 60 terms
    still = run(tiny, optimizer="sgd", epochs=1, schedule="authors", schedule_epochs=20, diagnostics=True)
    for layer in still.run["epochs"][1]["diagnostics"]["layers"]:  # the rate is 0 in epoch 0
        assert layer["cosine_to_gradient"] is None
        assert layer["local_loss_after"] == layer["local_loss_before"]


# ------------------------------ resuming

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
    "array-api-strict": {"backend": "array-api-strict", "optimizer": "adam"},
}
SCHEDULED = {"schedule": "authors", "schedule_epochs": 40}


@pytest.mark.parametrize("options", STATES.values(), ids=STATES)
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
    assert [layer["count"] for layer in saved.state["layers"]] == [2 * 3 * 10] * 4
    assert all(np.any(layer["mean_square"] > 0) for layer in saved.state["layers"])
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


# ------------------------------ what a comparison records in the files of its runs


def test_jobs_and_command_are_in_the_run_file_and_survive_resuming(tiny, tmp_path):
    def part(epochs, **more):
        chosen = config.resolve(data=str(tiny), **{**BASE, "epochs": epochs})
        train(chosen, out=tmp_path / "r.json", resume=True, progress=False, **more)
        found = read_run(tmp_path / "r.json")
        assert list(found)[:6] == ["schema", "config", "data", "environment", "epochs", "status"]
        assert contents(tmp_path / "r.npz")[0]["run"].keys() == found.keys()
        return {key: found[key] for key in list(found)[6:]}

    assert part(1, jobs=2, command="compare one") == {"jobs": 2, "command": "compare one"}
    assert part(2, jobs=1, command="compare two") == {"command": "compare one", "jobs": 2}
    assert part(3, jobs=3) == {"command": "compare one", "jobs": 3}
    assert part(4) == {"command": "compare one"}  # nobody knows how many there were: not known for the whole
    assert part(5, jobs=1) == {"command": "compare one"}
    with pytest.raises(ValueError, match=r"^jobs must be an integer of at least 1, got 0$"):
        part(6, jobs=0)


def test_the_hidden_options_of_a_comparison(tiny, tmp_path, capsys):
    arguments = ["train", "--data", tiny, "--layers", "9-6-9", "--batch-size", "20", "--epochs", "1"]
    more = ["--out", tmp_path / "r.json", "--resume", "--jobs-beside", 2]
    status = cli.main(
        [*map(str, [*arguments, *more]), "--comparison-command", "locoprop-ref compare --jobs 2"]
    )
    assert (status, capsys.readouterr().err) == (0, "")
    found = read_run(tmp_path / "r.json")
    assert (found["jobs"], found["command"]) == (2, "locoprop-ref compare --jobs 2")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    said = capsys.readouterr().out
    assert "--resume" in said and "--jobs-beside" not in said and "--comparison-command" not in said


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


# ------------------------------ divergence

DIVERGING = {
    "backprop": {
        "method": "backprop",
        "optimizer": "sgd",
        "learning_rate": 1e4,
        "output_loss": "squared_error",
    },
    "S": {"method": "locoprop-s", "optimizer": "sgd", "local_lr": 1e9},
    "M": {"optimizer": "sgd", "local_lr": 1e9, "output_loss": "squared_error"},
    "closed": {"method": "locoprop-s-closed", "target_step": 1e30},
    "closed, float64": {"method": "locoprop-s-closed", "target_step": 1e300, "dtype": "float64"},
    "relu": {
        "transfer": "relu",
        "code_transfer": "relu",
        "output_loss": "squared_error",
        "optimizer": "momentum",
        "local_lr": 1e6,
    },
}


@pytest.mark.parametrize("backend", ["numpy", "array-api-strict"])
@pytest.mark.parametrize("options", DIVERGING.values(), ids=DIVERGING)
def test_divergence_keeps_what_stood_before(tiny, tmp_path, options, backend):
    # 39 epochs of warm-up: nothing moves in the first, and the rate is small enough in the second or not
    options = {**options, "schedule": "authors", "schedule_epochs": 800, "epochs": 9, "backend": backend}
    result = run(tiny, out=tmp_path / "r.json", **options)
    written = read_run(tmp_path / "r.json")
    last = written["epochs"][-1]["epoch"]
    assert result.run["status"] == written["status"] == "diverged"
    assert last >= 1
    assert written["message"].startswith(f"diverged in epoch {last + 1}: ")
    assert written["message"].endswith(f"; kept what stood after epoch {last}")
    assert "\n" not in written["message"]
    kept = checkpoint.load_checkpoint(tmp_path / "r.npz", xp=np)
    assert kept.run["epochs"] == written["epochs"]
    short = run(tiny, **{**options, "epochs": last})
    assert short.run["status"] == "finished"
    assert_same_weights(kept.network, short.network)
    assert_same_weights(result.network, short.network)


def test_a_loss_far_above_the_beginning_is_divergence(tiny):
    result = run(
        tiny, method="backprop", optimizer="sgd", learning_rate=1.0, output_loss="squared_error", epochs=30
    )
    assert result.run["status"] == "diverged"
    assert "times the untrained network's" in result.run["message"] or "finite" in result.run["message"]


@pytest.mark.parametrize(
    ("loss", "wanted"), [(100.0, False), (100.1, True), (math.inf, True), (math.nan, True), (0.0, False)]
)
def test_what_counts_as_divergence(loss, wanted):
    assert diverged(loss, 1.0) is wanted
    assert diverged(3 * loss, 3.0) is wanted


def test_divergence_on_the_command_line(tiny, tmp_path, capsys):
    options = ["--optimizer", "sgd", "--local-lr", "1e9", "--layers", "9-6-9", "--batch-size", "20"]
    status = cli.main(["train", "--data", str(tiny), *options, "--out", str(tmp_path / "r.json")])
    out, err = capsys.readouterr()
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("locoprop-ref train: diverged in epoch ")
    assert err.rstrip().endswith(f"({tmp_path / 'r.json'})")
    assert out.startswith("epoch 0: ")


# ------------------------------ killed, interrupted, out of space

LONG = {**BASE, "schedule": "authors", "schedule_epochs": 400, "local_lr": 1e-4, "optimizer": "adam"}


def long_run(tiny, out, epochs, *more):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**LONG, "epochs": epochs}.items()]
    return ["train", "--data", tiny, *options, "--out", out, *more]


@pytest.fixture(scope="module")
def uninterrupted(tiny, tmp_path_factory):
    """A run of so many epochs that nothing disturbs, in a process of its own; each made once."""
    made = {}

    def straight(epochs):
        if epochs not in made:
            made[epochs] = tmp_path_factory.mktemp("straight") / "r.json"
            done = shell(*long_run(tiny, made[epochs], epochs))
            assert (done.returncode, done.stderr) == (0, "")
        return made[epochs]

    return straight


def assert_same_run(out, wanted):
    assert read_run(out)["status"] == "finished"
    assert without_seconds(read_run(out)) == without_seconds(read_run(wanted))
    assert_same_checkpoint(out.with_suffix(".npz"), wanted.with_suffix(".npz"))


class Watcher(threading.Thread):
    """Keeps reading a run file and its checkpoint, and what else is in their folder."""

    def __init__(self, out):
        super().__init__(daemon=True)
        self.out, self.reads, self.problems, self.enough = out, 0, [], threading.Event()

    def run(self):
        seen = 0
        while not self.enough.is_set():
            try:
                names = {p.name for p in self.out.parent.iterdir() if not p.name.startswith(".")}
                if not names <= {"r.json", "r.npz"}:
                    self.problems.append(f"visible: {names}")
                if "r.json" not in names:
                    continue
                epochs = len(read_run(self.out)["epochs"])
                meta, _ = contents(self.out.with_suffix(".npz"))
                # the checkpoint is replaced first, so that it is never behind the run file
                if not seen <= epochs <= len(meta["run"]["epochs"]):
                    self.problems.append(
                        f"run file {seen}, {epochs}, checkpoint {len(meta['run']['epochs'])}"
                    )
                seen, self.reads = epochs, self.reads + 1
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")

    def stop(self):
        self.enough.set()
        self.join()


def killed_at_a_random_moment(arguments, rng, by_time):
    """Start a run and kill it: some milliseconds after its start, or after some epochs and a part of one."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    with process:
        if by_time:
            time.sleep(rng.uniform(0, 0.6))
        else:
            wanted = int(rng.integers(1, 4))
            while wanted:
                line = process.stdout.readline()
                assert line, process.stderr.read()
                wanted -= line.startswith("epoch")
            time.sleep(rng.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
    return process.returncode


@pytest.mark.parametrize("moments", [3, pytest.param(20, marks=pytest.mark.full)])
def test_killed_at_any_moment_and_resumed(tiny, tmp_path, uninterrupted, moments):
    """SIGKILL, resumed each time: the bits of a run that nobody killed, and only whole files on the way."""
    epochs, out, rng = 15 * moments, tmp_path / "r.json", np.random.default_rng(moments)
    watcher = Watcher(out)
    watcher.start()
    try:
        for moment in range(moments):
            status = killed_at_a_random_moment(long_run(tiny, out, epochs, "--resume"), rng, moment % 4 == 3)
            assert status == -signal.SIGKILL  # it had not ended by itself
        assert not out.exists() or len(read_run(out)["epochs"]) <= epochs
        done = shell(*long_run(tiny, out, epochs, "--resume"))
    finally:
        watcher.stop()
    assert (done.returncode, done.stderr) == (0, "")
    assert "resuming after epoch" in done.stdout
    assert_same_run(out, uninterrupted(epochs))
    assert watcher.problems == []
    assert watcher.reads > 3 * moments
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.npz"]  # nothing is left behind


@pytest.mark.parametrize("moments", [2, pytest.param(12, marks=pytest.mark.full)])
def test_interrupted(tiny, tmp_path, uninterrupted, moments):
    """Ctrl-C: one sentence, status 130, the run file says so, and the run continues from there."""
    # far more epochs than pass between the first line and the signal, on the quickest machine
    epochs, out, rng = 150, tmp_path / "r.json", np.random.default_rng(moments)
    for _ in range(moments):
        process = subprocess.Popen(
            command(*long_run(tiny, out, epochs, "--resume")),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        with process:
            while not process.stdout.readline().startswith("epoch"):
                assert process.poll() is None, process.stderr.read()
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGINT)
            _, err = process.communicate()
        assert process.returncode == 130
        assert (
            err == f"locoprop-ref train: interrupted; {out} holds every complete epoch (--resume continues)\n"
        )
        stopped = read_run(out)
        assert stopped["status"] == "interrupted"
        assert stopped["message"] == f"interrupted after epoch {stopped['epochs'][-1]['epoch']}"
    done = shell(*long_run(tiny, out, epochs, "--resume"))
    assert (done.returncode, done.stderr) == (0, "")
    assert_same_run(out, uninterrupted(epochs))


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
def test_interrupted_inside_a_write(tiny, tmp_path, monkeypatch, when):
    """KeyboardInterrupt out of the n-th flush to the disk: checkpoint and run file by turns."""
    out = tmp_path / "r.json"
    right, count = os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) == when:
            raise KeyboardInterrupt
        return right(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, out=out, epochs=4)
    kept = ["r.json", "r.npz"] if when > 1 else []  # never a run file alone, from which nothing could go on
    assert_equal(sorted(p.name for p in tmp_path.iterdir()), kept)
    if kept:
        stopped, (meta, _) = read_run(out), contents(out.with_suffix(".npz"))
        assert_equal(stopped["status"], "interrupted" if when < 10 else "finished")
        assert_equal(without_seconds(stopped)["epochs"], meta["run"]["epochs"])
        said = None if when == 10 else f"interrupted after epoch {len(stopped['epochs']) - 1}"
        assert_equal(stopped.get("message"), said)
    run(tiny, out=out, epochs=4, resume=True)
    run(tiny, out=tmp_path / "straight.json", epochs=4)
    assert_same_run(out, tmp_path / "straight.json")


@pytest.mark.parametrize("when", [1, 2, 3, 4, 9, 10])
def test_ctrl_c_inside_a_write_ends_the_run_after_it(tiny, tmp_path, monkeypatch, when):
    """The signal itself, in the n-th flush to the disk: the checkpoint and the run file are of one epoch."""
    out, right, count = tmp_path / "r.json", os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) == when:
            signal.raise_signal(signal.SIGINT)
        return right(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, out=out, epochs=4)
    stopped, (meta, _) = read_run(out), contents(out.with_suffix(".npz"))
    assert_equal(len(stopped["epochs"]), (when + 1) // 2)
    assert_equal(without_seconds(stopped)["epochs"], meta["run"]["epochs"])
    assert_equal(stopped["status"], "interrupted" if when < 9 else "finished")


def test_interrupted_before_anything_is_kept(tiny, tmp_path, monkeypatch, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("locoprop_ref.training.run.load", interrupt)
    status = cli.main([str(a) for a in long_run(tiny, tmp_path / "r.json", 3)])
    assert status == 130
    assert capsys.readouterr().err == "locoprop-ref train: interrupted; nothing was kept\n"
    assert list(tmp_path.iterdir()) == []


def test_file_size_limit(tiny, tmp_path, uninterrupted):
    """The history makes checkpoints grow: one of them no longer fits. The one before it is intact."""
    epochs, out = 30, tmp_path / "r.json"
    assert shell(*long_run(tiny, out, 2)).returncode == 0
    size = out.with_suffix(".npz").stat().st_size
    limit = size + 3000
    assert out.stat().st_size < limit
    limited = (
        f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "runpy.run_module('locoprop_ref', run_name='__main__', alter_sys=True)"
    )
    arguments = [str(a) for a in long_run(tiny, out, epochs, "--resume")]
    full = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert full.returncode == 2
    assert full.stderr.count("\n") == 1
    assert full.stderr.startswith(f"locoprop-ref train: {out} and r.npz cannot be written after epoch ")
    assert full.stderr.endswith(": file too large; the last complete state is kept\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.json", "r.npz"]
    kept = read_run(out)
    meta, _ = contents(out.with_suffix(".npz"))
    assert 2 < len(kept["epochs"]) < epochs
    assert without_seconds(kept) == meta["run"]
    assert shell(*long_run(tiny, out, epochs, "--resume")).returncode == 0
    assert_same_run(out, uninterrupted(epochs))


@pytest.mark.parametrize("when", [1, 2, 3, 4, 5, 6])
def test_full_disk(tiny, tmp_path, monkeypatch, capsys, when):
    """The n-th flush finds the disk full: one sentence, status 2, whole files, and the run can go on."""
    right, count = os.fsync, iter(range(1, 1000))

    def fsync(descriptor):
        if next(count) >= when:
            raise OSError(28, "No space left on device")
        return right(descriptor)

    out = tmp_path / "r.json"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert cli.main([str(a) for a in long_run(tiny, out, 4)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{out} and r.npz cannot be written after epoch {(when - 1) // 2}: no space left on device" in err
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == [[], ["r.npz"], ["r.json", "r.npz"]][min(when - 1, 2)]
    run(tiny, out=out, **{**LONG, "epochs": 4}, resume=True)
    run(tiny, out=tmp_path / "straight.json", **{**LONG, "epochs": 4})
    assert_same_run(out, tmp_path / "straight.json")


# ------------------------------ a trained network: save, load, apply

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
