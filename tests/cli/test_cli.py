"""The command line: bad input is one line on standard error, status 2, and nothing written."""

import io
import json
import logging
import os
import re
import zipfile

import numpy as np
import pytest
from small_runs import arrays, run, shell, write_data

import locoprop_ref
from locoprop_ref.cli import main as cli
from locoprop_ref.cli.parser import log_to_terminal
from locoprop_ref.network import initialize
from locoprop_ref.training import environment
from locoprop_ref.training.checkpoint import save_network
from locoprop_ref.training.memory import keeps_freed_memory

COMMANDS = [
    "verify",
    "figures",
    "demo",
    "train",
    "compare",
    "apply",
    "plot",
    "info",
    "notebooks",
    "exercises",
]


def call(capsys, *arguments):
    """Run a command in this process: (status, standard output, standard error)."""
    try:
        status = cli.main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    return status, out, err


def everything(folder):
    """What is in a folder: of every file its size and, unless that is large, its bytes."""

    def content(path):
        size = path.lstat().st_size if path.is_symlink() and not path.exists() else path.stat().st_size
        return size, path.read_bytes() if path.is_file() and size < 1 << 20 else None

    return {path.relative_to(folder).as_posix(): content(path) for path in folder.rglob("*")}


# ------------------------------ a folder of good and bad files


def npz(path, **members):
    """A zip of raw members: what an NPZ is, whatever is in it."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def declare(path, name, size):
    """Let the table of contents of a zip say another size for a member: a bomb's claim without its bytes."""
    raw = bytearray(path.read_bytes())
    at = (
        raw.rindex(f"{name}.npy".encode()) - 46
    )  # the fixed part of an entry is 46 bytes, the size stands at 24
    assert raw[at : at + 4] == b"PK\x01\x02"
    raw[at + 24 : at + 28] = size.to_bytes(4, "little")
    path.write_bytes(raw)


def tampered(source, target, change):
    """A checkpoint with something changed: `change(meta, arrays)` works in place."""
    with np.load(source) as file:
        found = {name: file[name] for name in file.files}
    meta = json.loads(found.pop("meta").tobytes())
    change(meta, found)
    np.savez(target, **found, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8))


def put(key, value):
    return lambda meta, found: meta.__setitem__(key, value)


def put_array(name, value):
    return lambda meta, found: found.__setitem__(name, value)


# a checkpoint, changed → what `apply` says of it; None: its network is whole, only `--resume` must refuse it
CHECKPOINTS = {
    "schema": (put("schema", 2), "its schema is 2, wanted 1"),
    "no-network": (lambda meta, found: meta.pop("network"), "it has no network"),
    "no-state": (lambda meta, found: meta.pop("state"), "it has no state"),
    "no-layers": (
        lambda meta, found: meta["network"].update(layers=[]),
        "layers must hold at least one layer",
    ),
    "layer-is-a-number": (
        lambda meta, found: meta["network"].update(layers=[3]),
        r"but its network.layers\[0\] is wrong: expected `object`, got `int`",
    ),
    "transfer-is-a-number": (
        lambda meta, found: meta["network"]["layers"][0].update(transfer=3),
        r"but its network.layers\[0\].transfer is wrong: expected `str`, got `int`",
    ),
    "unknown-transfer": (
        lambda meta, found: meta["network"]["layers"][0].update(transfer="tahn"),
        r"did you mean 'tanh'",
    ),
    "unknown-parameter": (
        lambda meta, found: meta["network"]["layers"][0].update(parameters={"slope": 2}),
        "but .*slope",
    ),
    "unknown-loss": (
        lambda meta, found: meta["network"].update(loss="squared"),
        r"did you mean 'squared_error'",
    ),
    "loss-that-does-not-fit": (
        lambda meta, found: meta["network"].update(loss="softmax_cross_entropy"),
        "the last transfer must be",
    ),
    "missing-array": (lambda meta, found: found.pop("layer_0_W"), "its array 'layer_0_W' is missing"),
    "weights-are-no-array": (
        lambda meta, found: meta["network"]["layers"][0].update(W=1.5),
        "W must be an array",
    ),
    "weights-of-integers": (
        put_array("layer_0_W", np.ones((9, 6), int)),
        "W must have dtype float32 or float64",
    ),
    "mixed-dtypes": (put_array("layer_0_b", np.ones(6)), "b must have the dtype of W"),
    "bias-too-short": (put_array("layer_0_b", np.ones(5, np.float32)), r"b must have shape \(6,\)"),
    "layers-do-not-meet": (put_array("layer_1_W", np.ones((5, 9), np.float32)), "layers must meet"),
    "meta-is-a-list": (None, "but it is wrong: expected `object`, got `array`"),
    "meta-is-no-json": (None, "its meta is not JSON"),
    "meta-is-deep": (None, "its meta is not JSON"),
    "meta-is-no-text": (None, "its meta is not text"),
    "object-array": (None, "must be an array of numbers, got dtype object"),
    "complex-array": (put_array("layer_0_W", np.ones((9, 6), complex)), "must be an array of numbers"),
    "text-array": (put_array("layer_0_W", np.array(["a"])), "must be an array of numbers, got dtype <U1"),
    "truncated": (None, "must be a whole NPZ file, got a damaged one"),
    "flipped": (None, "must be a whole NPZ file, got a damaged one"),
    "bomb": (None, "must declare at most max_bytes = 17179869184 bytes of arrays"),
    "not-a-checkpoint": (None, "must have the key meta, got x_train, x_test"),
    "no-run": (put("run", {}), None),
    "run-is-a-list": (put("run", []), "its run is wrong: expected `object`, got `array`"),
    "run-without-epochs": (lambda meta, found: meta["run"].update(epochs=[]), None),
    "run-without-losses": (lambda meta, found: meta["run"]["epochs"][1].update(train={}), None),
    "generator-is-a-number": (
        put("generator", 3),
        r"its generator is wrong: expected `object \| null`, got `int`",
    ),
    "generator-of-another-kind": (
        lambda meta, found: meta["generator"].update(bit_generator="MT19937"),
        None,
    ),
    "generator-without-state": (lambda meta, found: meta["generator"].pop("state"), None),
    "state-missing": (put("state", {}), None),
    "state-of-fewer-layers": (lambda meta, found: meta["state"]["layers"].pop(), None),
    "state-of-another-shape": (
        put_array("state_layers_0_mean_square", np.ones((3, 6), np.float32)),
        None,
    ),
    "state-of-another-dtype": (put_array("state_layers_0_mean_square", np.ones((10, 6))), None),
    "state-of-another-optimizer": (put("state", {"layers": [{"velocity": 0.0}, {"velocity": 0.0}]}), None),
    "a-network-without-a-run": (put("generator", None), None),
}


def make_checkpoints(folder):
    good = folder / "run.npz"
    for name, (change, _) in CHECKPOINTS.items():
        path = folder / f"{name}.npz"
        if change:
            tampered(good, path, change)
    with np.load(good) as file:
        found = {name: file[name] for name in file.files}
    for name, content in {
        "meta-is-a-list": b"[1]", "meta-is-no-json": b"{", "meta-is-deep": b"[" * 100_000,
    }.items():  # fmt: skip
        np.savez(folder / f"{name}.npz", **{**found, "meta": np.frombuffer(content, np.uint8)})
    np.savez(folder / "meta-is-no-text.npz", **{**found, "meta": np.ones(3)})
    members = {name: npy(array) for name, array in found.items()}
    npz(folder / "object-array.npz", **{**members, "layer_0_W": npy(np.array([None]))})
    (folder / "truncated.npz").write_bytes(good.read_bytes()[:-40])
    raw = bytearray(good.read_bytes())
    at = raw.index(b"layer_0_W.npy") + 200
    raw[at] ^= 1
    (folder / "flipped.npz").write_bytes(raw)
    (folder / "bomb.npz").write_bytes(good.read_bytes())
    for name in list(found)[:5]:
        declare(folder / "bomb.npz", name, 0xFFFFFFF0)
    (folder / "not-a-checkpoint.npz").write_bytes((folder / "tiny.npz").read_bytes())


DATA = {
    "no-test": ({"x_test": None}, "must have the key x_test"),
    "object-data": (
        {"x_train": np.array([[None] * 9] * 60)},
        "must be an array of numbers, got dtype object",
    ),
    "text-data": ({"x_train": np.full((60, 9), "a")}, "must be an array of numbers, got dtype <U1"),
    "integers": ({"x_train": np.ones((60, 9), int)}, "must have dtype uint8, float32, float64"),
    "nan": ({"x_train": np.full((60, 9), np.nan), "x_test": np.ones((20, 9))}, "must be finite"),
    "inf": ({"x_test": np.full((20, 9), np.inf), "x_train": np.ones((60, 9))}, "must be finite"),
    "empty": ({"x_train": np.ones((0, 9), np.uint8)}, "must not be empty"),
    "one-dimension": ({"x_train": np.ones(60, np.uint8)}, "must have shape"),
    "widths-differ": ({"x_test": np.ones((20, 8), np.uint8)}, r"must have rows of shape \(9,\) as x_train"),
    "dtypes-differ": ({"x_test": np.ones((20, 9))}, "must have the dtype of x_train"),
    "labels-too-few": ({"labels_test": np.zeros(3, int)}, r"must have shape \(20,\)"),
    "labels-are-floats": ({"labels_train": np.zeros(60)}, "must have an integer dtype"),
    "labels-below-0": ({"labels_train": np.full(60, -1)}, "must be class numbers"),
    "outside": (
        {"x_train": np.full((60, 9), 2.0), "x_test": np.ones((20, 9))},
        r"x_train must lie in \[0, 1\]",
    ),
    "outside-in-test": (
        {"x_train": np.ones((60, 9)), "x_test": np.full((20, 9), -0.1)},
        r"x_test must lie in",
    ),
}

RUNS = {
    "no-json": (b"{", "must be a run file in JSON"),
    "no-text": (b"\xff\xfe\x00", "must be a run file in JSON"),
    "deep": (b"[" * 100_000, "must be a run file in JSON"),
    "list": (b"[]", "it is wrong: expected `object`, got `array`"),
    "nothing": (b"", "must be a run file in JSON"),
    "not-finite": (b"[NaN]", r"must be a run file in JSON, .*invalid character \(byte 1\)"),
    "too-large-a-number": (b"[1e999]", "must be a run file in JSON, .*out of range"),
    "schema-2": (b'{"schema": 2}', "its schema is 2"),
    "no-config": (b'{"schema": 1}', "it has no config"),
    "config-is-a-list": (
        b'{"schema": 1, "config": []}',
        "its config is wrong: expected `object`, got `array`",
    ),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Good files and bad ones, as bytes by name: every test below gets a copy."""
    folder = tmp_path_factory.mktemp("files")
    write_data(folder / "tiny.npz")
    run(folder / "tiny.npz", out=folder / "run.json", layers="9-6-9", epochs=1)
    make_checkpoints(folder)
    for name, (changed, _) in DATA.items():
        write_data(folder / f"{name}.npz", **changed)
    for name, (content, _) in RUNS.items():
        (folder / f"{name}.json").write_bytes(content)
    good = json.loads((folder / "run.json").read_bytes())
    for name, change in {
        "no-epochs": lambda r: r.update(epochs=[]),
        "status": lambda r: r.update(status="done"),
        "command": lambda r: r.update(command=7),
        "jobs": lambda r: r.update(jobs="one"),
        "data-is-text": lambda r: r.update(data="tiny"),
        "no-environment": lambda r: r.pop("environment"),
        "epoch-is-true": lambda r: r["epochs"][1].update(epoch=True),
        "no-losses": lambda r: r["epochs"][1].update(train={}),
        "true-loss": lambda r: r["epochs"][1]["train"].update(ce=True),
        "gap": lambda r: r["epochs"].pop(0),
        "no-seconds": lambda r: r["epochs"][1].pop("step_seconds"),
        "nan-loss": lambda r: r["epochs"][1]["train"].update(ce=float("nan")),
        "no-method": lambda r: r["config"].pop("method"),
        "other-loss": lambda r: r["epochs"][1].update(train={"x": 1}),
        "text-loss": lambda r: r["epochs"][0]["test"].update(ce="low"),
    }.items():
        changed = json.loads(json.dumps(good))
        change(changed)
        (folder / f"{name}.json").write_text(json.dumps(changed))
    with (folder / "huge.json").open("wb") as file:
        file.truncate((1 << 26) + 1)
    save_network(folder / "wide.npz", initialize((7, 3), transfers="tanh"))
    (folder / "folder.json").mkdir()
    (folder / "folder.npz").mkdir()
    (folder / "file").write_bytes(b"")
    os.symlink("loop.npz", folder / "loop.npz")
    os.mkfifo(folder / "pipe.npz")
    os.mkfifo(folder / "pipe.json")
    return folder


@pytest.fixture
def here(prepared, tmp_path, monkeypatch):
    """A working folder with links to the prepared files: what is written shows."""
    for path in prepared.iterdir():
        os.symlink(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCOPROP_REF_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LOCOPROP_REF_DATA", raising=False)
    return tmp_path


# ------------------------------ the table of bad input

TRAIN = [
    "train",
    "--data",
    "tiny.npz",
    "--layers",
    "9-6-9",
    "--batch-size",
    "20",
    "--epochs",
    "1",
    "--out",
    "new.json",
]
CLASSIFY = [*TRAIN, "--layers", "9-3", "--task", "classify"]
CLOSED = [*TRAIN, "--method", "locoprop-s-closed"]
EXACT = [*TRAIN, "--method", "locoprop-m-exact"]
BACK = [*TRAIN, "--method", "backprop"]
APPLY = ["apply", "run.npz", "--data", "tiny.npz", "--out", "y.npz"]

ARRAY = r"(\w+ in )?"  # a file's array, where it is not the file itself
SCHEMA_1 = r"\S+\.json must be a run file of schema 1, but "

# command line → the sentence, from its first character
BAD = {
    # commands and words
    "unknown command": (["trian"], r"argument COMMAND: invalid choice: 'trian' .*\(did you mean train\?\)"),
    "unknown topic": (
        ["oracle", "check", "--topic", "transfr"],
        r"argument --topic: invalid choice: 'transfr' .*\(did you mean transfer\?\)",
    ),
    "unknown option": (
        [*TRAIN, "--epochz", "3"],
        r"unrecognized arguments: --epochz 3 \(did you mean --epochs\?\)",
    ),
    "ambiguous option": ([*TRAIN, "--local", "3"], "ambiguous option: --local could match"),
    "option without value": ([*TRAIN, "--seed"], "argument --seed: expected one argument"),
    "a word too many": ([*TRAIN, "more"], "unrecognized arguments: more"),
    "no network": (["apply"], "the following arguments are required"),
    "no out": (["apply", "run.npz"], "the following arguments are required: --out"),
    "no runs": (["plot"], "the following arguments are required: RUN.json"),
    # numbers
    "seed in words": ([*TRAIN, "--seed", "one"], "argument --seed: invalid int value: 'one'"),
    "half an epoch": ([*TRAIN, "--epochs", "1.5"], "argument --epochs: invalid int value: '1.5'"),
    "rate in words": ([*TRAIN, "--local-lr", "fast"], "argument --local-lr: invalid float value: 'fast'"),
    "negative seed": ([*TRAIN, "--seed=-1"], "seed must be an integer of at least 0, got -1"),
    "negative epochs": ([*TRAIN, "--epochs=-1"], "epochs must be an integer of at least 0, got -1"),
    "schedule too short": (
        [*TRAIN, "--epochs", "9", "--schedule-epochs", "3"],
        "schedule_epochs must be at least",
    ),
    "batch of 0": ([*TRAIN, "--batch-size", "0"], "batch_size must be an integer of at least 1, got 0"),
    "batch larger than data": (
        [*TRAIN, "--batch-size", "61"],
        "batch_size must be at most the 60 examples, got 61",
    ),
    "gamma 0": ([*TRAIN, "--target-step", "0"], "target_step must be a positive number, got 0.0"),
    "gamma inf": ([*TRAIN, "--target-step", "inf"], "target_step must be a positive number, got inf"),
    "gamma nan": ([*TRAIN, "--target-step", "nan"], "target_step must be a number, got nan"),
    "eta 0": ([*TRAIN, "--weight-step", "0"], "weight_step must be a positive number or inf, got 0.0"),
    "eta negative": ([*TRAIN, "--weight-step=-1"], "weight_step must be a positive number or inf, got -1.0"),
    "K 0": ([*TRAIN, "--num-local-steps", "0"], "num_local_steps must be an integer of at least 1, got 0"),
    "s negative": ([*TRAIN, "--local-lr=-1"], "local_lr must be a positive number, got -1.0"),
    "momentum 1": ([*TRAIN, "--momentum", "1"], "momentum must be at least 0 and below 1, got 1.0"),
    "decay 2": ([*TRAIN, "--decay", "2"], "decay must be at least 0 and below 1, got 2.0"),
    "epsilon 0": ([*TRAIN, "--epsilon", "0"], "epsilon must be a positive number, got 0.0"),
    "rate 0": ([*BACK, "--learning-rate", "0"], "learning_rate must be a positive number, got 0.0"),
    "layers of 0": ([*TRAIN, "--layers", "9-0-9"], "layers must be widths joined by hyphens"),
    "layers in words": ([*TRAIN, "--layers", "nine"], "layers must be widths joined by hyphens"),
    "no layers": ([*TRAIN, "--layers", ""], "layers must be widths joined by hyphens"),
    "more memory than there is": ([*TRAIN, "--layers", "9-400000000000-9"], "Unable to allocate"),
    # names
    "method": ([*TRAIN, "--method", "locoprop"], r"method must be one of .* \(did you mean 'locoprop-"),
    "data": ([*TRAIN, "--data", "minst"], r"data must be one of .* \(did you mean 'mnist'\?\)"),
    "preset": ([*TRAIN, "--preset", "papr"], r"preset must be one of .* \(did you mean 'paper'\?\)"),
    "transfer": ([*TRAIN, "--transfer", "rleu"], r"transfer must be one of .* \(did you mean 'relu'\?\)"),
    "optimizer": ([*TRAIN, "--optimizer", "adma"], r"optimizer must be one of .* \(did you mean 'adam'\?\)"),
    "dialect": ([*TRAIN, "--dialect", "tf2"], r"dialect must be one of .* \(did you mean 'tf1'\?\)"),
    "loss": ([*TRAIN, "--output-loss", "cross_entropy"], r"output_loss must be one of .* \(did you mean"),
    "init": ([*TRAIN, "--init", "glorot"], r"init must be one of .* \(did you mean 'glorot_uniform'\?\)"),
    "reduction": (
        [*TRAIN, "--local-reduction", "men"],
        r"local_reduction must be .* \(did you mean 'mean'\?\)",
    ),
    "dtype": ([*TRAIN, "--dtype", "float16"], r"dtype must be one of .* \(did you mean 'float"),
    "backend": ([*TRAIN, "--backend", "numy"], r"backend must be one of .* \(did you mean 'numpy'\?\)"),
    "verify's backend": (
        ["verify", "--backend", "numy"],
        r"backend must be one of .* \(did you mean 'numpy'\?\)",
    ),
    "apply's part": ([*APPLY, "--part", "trian"], "argument --part: invalid choice: 'trian'"),
    "apply's data": (
        ["apply", "run.npz", "--data", "mist", "--out", "y.npz"],
        r"data must be .* \(did you mean 'mnist'\?\)",
    ),
    # contradictions, and options without a meaning
    "steps of backprop": (
        [*BACK, "--num-local-steps", "3"],
        "num_local_steps has no meaning for method backprop",
    ),
    "rate of LocoProp": (
        [*TRAIN, "--learning-rate", "1"],
        "learning_rate has no meaning for method locoprop-m",
    ),
    "optimizer of a closed form": (
        [*CLOSED, "--optimizer", "sgd"],
        "optimizer has no meaning for method locoprop-s-",
    ),
    "form of M": ([*TRAIN, "--form", "dual"], "form has no meaning for method locoprop-m"),
    "decay of sgd": (
        [*TRAIN, "--optimizer", "sgd", "--decay", "0.5"],
        "decay has no meaning for optimizer sgd",
    ),
    "no diagnostics of backprop": (
        [*BACK, "--diagnostics"],
        "diagnostics has no meaning for method backprop",
    ),
    "inverse without eta": (
        [*CLOSED, "--form", "inverse", "--weight-step", "inf"],
        "weight_step must be finite for fo",
    ),
    "exact without eta": ([*EXACT, "--weight-step", "inf"], "weight_step must be finite for newton, got inf"),
    "exact softmax": (
        [*EXACT, "--layers", "9-3", "--task", "classify"],
        "transfer must be elementwise for method",
    ),
    "length of a constant schedule": (
        [*TRAIN, "--schedule", "constant", "--schedule-epochs", "9"],
        "schedule_epochs",
    ),
    "resume and overwrite": (
        [*TRAIN, "--resume", "--overwrite"],
        "resume and overwrite contradict each other",
    ),
    "loss and last transfer": (
        [*TRAIN, "--transfer", "tanh,tanh"],
        "the last transfer must be 'sigmoid' for sigmoid_cross_entropy",
    ),
    "softmax loss of another layer": (
        [*TRAIN, "--output-loss", "softmax_cross_entropy", "--transfer", "tanh,sigmoid"],
        "the last transfer must be",
    ),
    # network and data
    "first width": ([*TRAIN, "--layers", "8-6-8"], "layers must begin with the 9 inputs of tiny.npz, got 8"),
    "last width": ([*TRAIN, "--layers", "9-6-8"], "layers must end as they begin to autoencode, 9, got 8"),
    "too few classes": ([*CLASSIFY, "--layers", "9-2"], "layers must end with at least 3 classes, got 2"),
    "labels of curves": (
        ["train", "--task", "classify"],
        "data must have labels for task classify, got 'curves'",
    ),
    "own data without layers": (["train", "--data", "tiny.npz"], "layers must be given for data 'tiny.npz'"),
    "network of another width": (
        ["apply", "wide.npz", "--data", "tiny.npz", "--out", "y.npz"],
        "x must have shape",
    ),
    # paths
    "data that is not there": (
        [*TRAIN, "--data", "no.npz"],
        "no.npz must be an NPZ file, got nothing by that name",
    ),
    "data is a folder": ([*TRAIN, "--data", "folder.npz"], "folder.npz must be an NPZ file, got a directory"),
    "data is a link to itself": (
        [*TRAIN, "--data", "loop.npz"],
        "loop.npz must be readable, got Too many levels",
    ),
    "data is a pipe": ([*TRAIN, "--data", "pipe.npz"], "pipe.npz must be a regular file, got a pipe"),
    "no such folder of MNIST": (
        [*TRAIN, "--data", "mnist", "--layers", "784-9-784", "--data-dir", "no"],
        "data_dir .* must be a folder, got 'no'",
    ),
    "out is no json": ([*TRAIN, "--out", "run.txt"], "out must be a path that ends in .json, got 'run.txt'"),
    "out exists": ([*TRAIN, "--out", "run.json"], "out must be a new file, got run.json, which exists"),
    "out is a folder": (
        [*TRAIN, "--out", "folder.json", "--overwrite"],
        r"out must be a regular file, got folder\.json, a directory, pipe, socket or device$",
    ),
    "out inside a file": ([*TRAIN, "--out", "file/new.json"], "file.*: (not a directory|file exists)"),
    "out where nothing can be": (
        [*TRAIN, "--out", "/proc/no/new.json"],
        "/proc/no.*: no such file or directory",
    ),
    "out beside the data": (
        [*TRAIN, "--out", "tiny.json"],
        "out must have another name than the data, got tiny.json",
    ),
    "a name too long": ([*TRAIN, "--out", "n" * 300 + ".json"], "n{300}.*: file name too long"),
    "apply's out is no npz": (
        [*APPLY, "--out", "y.json"],
        "out must be a path that ends in .npz, got 'y.json'",
    ),
    "apply's out is its network": (
        [*APPLY, "--out", "run.npz"],
        "out must be a file of its own, got run.npz",
    ),
    "apply's out is its data": ([*APPLY, "--out", "tiny.npz"], "out must be a file of its own, got tiny.npz"),
    "apply's network is not there": (
        ["apply", "no.npz", "--out", "y.npz", "--data", "tiny.npz"],
        "no.npz must be",
    ),
    "apply's network is a folder": (
        ["apply", "folder.npz", "--out", "y.npz", "--data", "tiny.npz"],
        "folder.npz must",
    ),
    "report is a folder": (["verify", "--json", "folder.json"], r"/\S*/folder\.json must be a file"),
    "report inside a file": (["verify", "--json", "file/r.json"], "/\\S*/file: file exists"),
    "verify's seed": (["verify", "--seed=-1"], "seed must be an integer of at least 0, got -1"),
    "nothing to resume": (
        [*TRAIN, "--out", "no-epochs.json", "--resume"],
        "no-epochs.npz must be there to resume no-epochs.json",
    ),
    # damaged files
    **{
        f"data: {name}": (
            [*TRAIN, "--data", f"{name}.npz"],
            words if words.startswith("x_") else rf"{ARRAY}{name}\.npz {words}",
        )
        for name, (_, words) in DATA.items()
    },
    **{
        f"network: {name}": (
            ["apply", f"{name}.npz", "--data", "tiny.npz", "--out", "y.npz"],
            f"{ARRAY}{name}.npz.*{words}",
        )
        for name, (_, words) in CHECKPOINTS.items()
        if words
    },
    **{
        f"resume: {name}": (
            [
                *TRAIN,
                "--epochs",
                "2",
                "--schedule",
                "constant",
                "--local-lr",
                "1e-3",
                "--out",
                f"{name}.json",
                "--resume",
            ],
            f"{ARRAY}{name}.npz must",
        )
        for name in CHECKPOINTS
    },
    **{
        f"run: {name}": (["plot", f"{name}.json"], f"{name}.json.*{words}")
        for name, (_, words) in RUNS.items()
    },
    "run: no epochs": (
        ["plot", "no-epochs.json"],
        SCHEMA_1 + "its epochs is wrong: expected `array` of length >= 1",
    ),
    "run: status": (["plot", "status.json"], SCHEMA_1 + "its status is wrong: invalid enum value 'done'"),
    "run: command": (["plot", "command.json"], SCHEMA_1 + "its command is wrong: expected `str`, got `int`"),
    "run: jobs": (["plot", "jobs.json"], SCHEMA_1 + r"its jobs is wrong: expected `int \| null`, got `str`"),
    "run: data": (
        ["plot", "data-is-text.json"],
        SCHEMA_1 + "its data is wrong: expected `object`, got `str`",
    ),
    "run: no environment": (["plot", "no-environment.json"], SCHEMA_1 + "it has no environment"),
    "run: gap": (["plot", "gap.json"], SCHEMA_1 + "its epoch 0 is missing"),
    "run: an epoch that is true": (
        ["plot", "epoch-is-true.json"],
        SCHEMA_1 + r"its epochs\[1\].epoch is wrong: expected `int`, got `bool`",
    ),
    "run: no seconds": (
        ["plot", "no-seconds.json"],
        SCHEMA_1 + r"its epochs\[1\] has no step_seconds",
    ),
    "run: not a number": (
        ["plot", "nan-loss.json"],
        "nan-loss.json must be a run file in JSON, got text that is not JSON",
    ),
    "run: text": (
        ["plot", "text-loss.json"],
        SCHEMA_1 + r"its epochs\[0\].test\[...\] is wrong: expected `float`, got `str`",
    ),
    "run: a loss that is true": (
        ["plot", "true-loss.json"],
        SCHEMA_1 + r"its epochs\[1\].train\[...\] is wrong: expected `float`, got `bool`",
    ),
    "run: no losses": (
        ["plot", "no-losses.json"],
        SCHEMA_1 + r"its epochs\[1\].train is wrong: expected `object` of length >= 1",
    ),
    "run: other losses": (
        ["plot", "other-loss.json"],
        SCHEMA_1 + "its epoch 1 has other losses than the first",
    ),
    "run: no method": (
        ["plot", "no-method.json"],
        SCHEMA_1 + "its config has no method",
    ),
    "run: a pipe": (["plot", "pipe.json"], "pipe.json must be a regular file, got a pipe"),
    "run: too large": (
        ["plot", "huge.json"],
        "huge.json must be a run file of at most 67108864 bytes, got 67108865",
    ),
    "run: not there": (["plot", "no.json"], "no.json must be a run file, got nothing by that name"),
    "run: a folder": (["plot", "folder.json"], "folder.json must be a run file, got a directory"),
    "run: a metric it has not": (
        ["plot", "run.json", "--metric", "train accuracy"],
        "metric must be one of train ce",
    ),
    "plot of another kind": (["plot", "run.json", "--out", "run.pdf"], "out must end in .svg or .png"),
}


def test_the_table_is_long_enough():
    assert len(BAD) >= 60


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_nothing_written(arguments, words, here, capsys, monkeypatch):
    before = everything(here)
    if arguments[0] == "verify":  # its measurements are not what is tested here
        monkeypatch.setattr("locoprop_ref.verify.IDENTITIES", ())
    status, _, err = call(capsys, *arguments)
    assert status == 2
    assert len(err.splitlines()) == 1 and err.endswith("\n")
    assert "Traceback" not in err and len(err) < 1000
    name, _, sentence = err.partition(": ")
    of_no_command = sentence.startswith(("unrecognized arguments: ", "argument COMMAND: "))
    named = (
        ["locoprop-ref"] if of_no_command else [" ".join(["locoprop-ref", *arguments[:n]]) for n in (1, 2)]
    )
    assert name in named
    assert re.match(words, sentence), err
    assert everything(here) == before


SHELL = [
    "unknown command", "negative seed", "resume: state-missing", "network: truncated", "data: object-data",
    "more memory than there is", "run: deep", "out is a folder",
]  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("name", SHELL)
def test_bad_input_in_a_process_of_its_own(name, here):
    arguments, words = BAD[name]
    before = everything(here)
    done = shell(*arguments, cwd=here)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert re.match(words, done.stderr.partition(": ")[2])
    assert everything(here) == before


def test_no_gpu(here, capsys):
    """`--backend cupy` without CuPy, or with it but without a GPU: the same one line."""
    if environment.version("cupy-cuda12x") or environment.version("cupy-cuda13x"):
        pytest.skip("no GPU can be missing where CuPy is installed")
    for arguments in (
        [*TRAIN, "--backend", "cupy"],
        ["verify", "--backend", "cupy"],
        [*APPLY, "--backend", "cupy"],
    ):
        status, _, err = call(capsys, *arguments)
        assert (status, len(err.splitlines())) == (2, 1)
        assert "backend 'cupy' needs" in err
    assert not (here / "new.json").exists()


@pytest.mark.parametrize("part", ["data", "checkpoint", "run file"])
def test_unreadable_files(part, here, capsys, monkeypatch):
    """Permission denied, also for one who may read everything."""
    refused = {"data": "tiny.npz", "checkpoint": "run.npz", "run file": "run.json"}[part]
    arguments = {"data": TRAIN, "checkpoint": APPLY, "run file": ["plot", "run.json"]}[part]
    right = io.open

    def refuse(file, *arguments, **more):
        if isinstance(file, str | os.PathLike) and os.fspath(file).endswith(refused):
            raise PermissionError(13, "Permission denied", os.fspath(file))
        return right(file, *arguments, **more)

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    before = everything_named(here)
    status, _, err = call(capsys, *arguments)
    assert status == 2
    assert err.splitlines() == [
        f"locoprop-ref {arguments[0]}: {refused} must be readable, got permission denied"
    ]
    assert everything_named(here) == before


def everything_named(folder):
    return sorted(p.name for p in folder.rglob("*"))


def test_unwritable_folder(here, capsys, monkeypatch):
    """Permission denied where the run file should go, also for one who may write everywhere."""
    right = open

    def refuse(file, mode="r", *arguments, **more):
        if "w" in mode or "x" in mode:
            raise PermissionError(13, "Permission denied", os.fspath(file))
        return right(file, mode, *arguments, **more)

    monkeypatch.setattr("builtins.open", refuse)
    status, _, err = call(capsys, *TRAIN)
    assert status == 2
    assert err == (
        "locoprop-ref train: new.json and new.npz cannot be written after epoch 0: permission denied; "
        "the last complete state is kept\n"
    )
    assert not (here / "new.json").exists()


# ------------------------------ log lines


def test_log_lines_are_plain_lines_on_standard_output_while_a_command_runs(capsys, caplog):
    caplog.set_level(logging.INFO)  # a user's own handler on the root logger does not get them a second time
    logger = logging.getLogger("locoprop_ref.some.module")
    before = logging.getLogger("locoprop_ref").__dict__.copy()
    with log_to_terminal():
        logger.info("a line with a %d", 3)
        logger.debug("a detail")
        assert capsys.readouterr() == ("a line with a 3\n", "")
    logger.info("afterwards")
    assert capsys.readouterr() == ("", "")
    assert caplog.messages == ["afterwards"]
    after = logging.getLogger("locoprop_ref").__dict__
    assert {key: after[key] for key in ("handlers", "level", "propagate")} == {
        key: before[key] for key in ("handlers", "level", "propagate")
    }


def test_a_closed_pipe_ends_the_command(here, capsys, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    assert cli.main(TRAIN) == 141


# ------------------------------ help, info, and what works


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command, capsys):
    status, out, err = call(capsys, command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: locoprop-ref {command} ")
    assert "--help" in out


def test_help_names_every_command(capsys):
    for arguments in ([], ["--help"]):
        status, out, err = call(capsys, *arguments)
        assert (status, err) == (0, "")
        for command in COMMANDS:
            assert re.search(rf"\n    {command}\s", out)  # its description stands beside it or below


@pytest.mark.parametrize("command", COMMANDS)
def test_what_the_list_says_of_a_command_is_the_first_sentence_of_its_help(command, capsys):
    everything, own = (call(capsys, *words)[1] for words in (["--help"], [command, "--help"]))
    sentence = " ".join(own.split("\n\n")[1].split())
    assert sentence[0].isupper() and sentence.endswith(".")
    assert f"{command} {sentence[0].lower()}{sentence[1:-1]}" in " ".join(everything.split())


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"locoprop-ref {locoprop_ref.__version__}\n", "")


def test_info(capsys, monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    status, out, err = call(capsys, "info")
    assert (status, err) == (0, "")
    assert out.startswith(f"locoprop-ref {locoprop_ref.__version__}, Python ")
    for words in (
        f"numpy {np.__version__}",
        "array libraries:",
        f"numpy             {np.__version__} on cpu",
        "BLAS:",
        "memory that a step frees: kept for the next step (glibc)"
        if keeps_freed_memory()
        else "memory that a step frees: left to the C library",
    ):
        assert words in out
    pools = environment.blas_libraries()
    assert pools and all(f"kernel {pool['kernel']}, {pool['threads']} threads" in out for pool in pools)
    assert "warning" not in out


@pytest.mark.parametrize(
    ("forced", "flags", "warned"),
    [
        ("Haswell", "avx2 avx512f", True), ("haswell", "avx2", False), ("Prescott", "sse2 avx2", True),
        ("SkylakeX", "avx2 avx512f", False), ("Nehalem", "sse2", False), ("", "avx2 avx512f", False),
        ("Unknown", "avx2 avx512f", False), (None, "avx2 avx512f", False),
    ],
)  # fmt: skip
def test_info_warns_of_an_older_kernel(forced, flags, warned, capsys, monkeypatch):
    monkeypatch.setattr(environment, "_processor_flags", lambda: set(flags.split()))
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if forced is not None:
        monkeypatch.setenv("OPENBLAS_CORETYPE", forced)
    status, out, _ = call(capsys, "info")
    assert status == 0
    sentence = (
        f"warning: OPENBLAS_CORETYPE={forced} holds OpenBLAS to an older kernel than this processor has"
    )
    assert (out.splitlines()[-1].startswith(sentence)) is warned
    assert ("warning" in out) is warned


def test_train_apply_and_plot_work(here, capsys):
    """The good path through the same files: a run, its outputs, its picture."""
    status, out, err = call(capsys, *TRAIN)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "run file new.json, trained network new.npz"
    assert out.startswith("epoch 0: train ce ")
    assert call(capsys, "apply", "new.npz", "--data", "tiny.npz", "--out", "y.npz") == (
        0, "20 outputs of width 9 in y.npz\n", "",
    )  # fmt: skip
    assert np.load("y.npz")["y"].shape == (len(arrays()["x_test"]), 9)
    assert call(capsys, "plot", "new.json", "run.json", "--out", "both.svg") == (0, "both.svg\n", "")


def test_filters_of_a_trained_network(here, capsys):
    train = [*TRAIN, "--method", "locoprop-s-closed", "--layers"]
    assert call(capsys, *train, "3x3x1-c2x4-9")[::2] == (0, "")
    found = call(capsys, "plot", "--filters", "new.npz", "--out", "filters.svg")
    assert found == (0, "filters.svg\n", "")
    status, _, err = call(capsys, "plot", "--filters", "new.npz", "run.json")
    assert (status, err.count("\n")) == (2, 1)
    assert "filters are those of one network, without other files and without a metric" in err
    assert call(capsys, *train, "3x3-r4-9", "--overwrite")[0] == 0
    status, _, err = call(capsys, "plot", "--filters", "new.npz")
    sentence = "network must begin with a convolution to have filters, got a recurrent layer"
    assert (status, err) == (2, f"locoprop-ref plot: {sentence}\n")


def test_default_name_of_a_run(here, capsys):
    """With the options that differ from the defaults, so that a second experiment is not refused."""
    arguments = [word for word in TRAIN if word not in ("--out", "new.json")]
    common = "layers9-6-9-epochs1-batch_size20"
    status, out, _ = call(capsys, *arguments, "--seed", "7", "--method", "locoprop-s")
    assert status == 0
    assert (here / "runs" / f"locoprop-s-tiny-{common}-seed7.json").is_file()
    assert f"run file runs/locoprop-s-tiny-{common}-seed7.json" in out
    for more in ("--target-step 3", "--num-local-steps 2"):
        assert call(capsys, *arguments, "--seed", "7", "--method", "locoprop-s", *more.split())[0] == 0
    assert len(list((here / "runs").glob("*.json"))) == 3
    status, _, err = call(capsys, *arguments, "--seed", "7", "--method", "locoprop-s")
    assert (status, "must be a new file" in err) == (2, True)


def test_the_rate_stands_on_the_line_of_every_epoch(here, capsys):
    """The authors' schedule of 100 epochs begins with 0, 0.2, 0.4: without that, training seems stuck."""
    schedule = ["--epochs", "3", "--schedule-epochs", "100"]
    status, out, _ = call(capsys, *TRAIN, *schedule)
    assert status == 0
    ends = [re.search(r" s(|, rate x .*)$", line)[1] for line in out.splitlines() if line.startswith("epoch")]
    assert ends == [
        "",
        ", rate x 0 (the schedule does not move the weights yet)",
        ", rate x 0.2",
        ", rate x 0.4",
    ]


def test_tuned_settings_in_a_run(here, capsys, monkeypatch):
    """What is given on the command line wins; the first line says what was taken, and from where."""
    from locoprop_ref.experiments.tuned import provenance

    configs = []
    monkeypatch.setattr("locoprop_ref.training.train", lambda config, **how: configs.append(config) or 1 / 0)
    stored = provenance("kfac", "curves")["settings"]
    for more in ([], ["--damping", "0.5"]):
        with pytest.raises(ZeroDivisionError):
            cli.main(["train", "--method", "kfac", "--tuned", *more])
    out, _ = capsys.readouterr()
    assert out.startswith("tuned on curves (784-100-50-6-50-100-784, batch 500): learning_rate 0.659, ")
    assert {name: getattr(configs[0], name) for name in stored} == stored
    assert configs[1].damping == 0.5 and configs[1].learning_rate == stored["learning_rate"]
    status, _, err = call(capsys, *TRAIN, "--tuned")
    assert (status, err.count("\n")) == (2, 1)
    assert "tuned settings of locoprop-m must be stored for mnist; curves; mnist to classify" in err


@pytest.mark.full
def test_processes(here):
    """`python -m locoprop_ref` and its exit status, outside of this process."""
    done = shell(*TRAIN, cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "run file new.json, trained network new.npz"
    done = shell("info", cwd=here)
    assert (done.returncode, done.stderr) == (0, "")
