"""Tiny data and tiny runs for the tests of config, train and command line; and a training loop by hand."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from locoprop_ref.methods.registry import OFFLINE
from locoprop_ref.network import initialize
from locoprop_ref.training import train
from locoprop_ref.training.config import resolve

TRAIN, TEST, WIDTH, CLASSES = 60, 20, 9, 3
BATCH = 20
SIZES = (9, 6, 3, 6, 9)
TRANSFERS = ("tanh", "identity", "tanh", "sigmoid")  # the narrowest layer linear, as the authors have it
# rates at which two epochs move the weights visibly and nothing diverges
BASE = {
    "layers": "9-6-3-6-9", "batch_size": BATCH, "epochs": 2, "schedule": "constant", "local_lr": 1e-3,
}  # fmt: skip


def pixels(rng, count):
    return rng.integers(0, 256, (count, WIDTH), dtype=np.uint8)


def arrays():
    """A data set of noise, with labels that the first three inputs give away."""
    rng = np.random.default_rng(20)
    x_train, x_test = pixels(rng, TRAIN), pixels(rng, TEST)
    labels = {
        f"labels_{part}": np.argmax(x[:, :3], axis=1) for part, x in (("train", x_train), ("test", x_test))
    }
    return {"x_train": x_train, "x_test": x_test, **labels}


def write_data(path, **changed):
    """An NPZ of the data set; `changed` replaces arrays, None leaves one out."""
    np.savez(path, **{name: array for name, array in {**arrays(), **changed}.items() if array is not None})
    return path


def run(data, *, out=None, resume=False, overwrite=False, **options):
    """Train on a tiny NPZ: BASE with `options` over it; an option that is None is left to its own default."""
    chosen = {name: value for name, value in {**BASE, **options}.items() if value is not None}
    if chosen.get("method", "locoprop-m") not in ("locoprop-s", "locoprop-m"):
        chosen = {
            name: value for name, value in chosen.items() if name != "local_lr" or "local_lr" in options
        }
    if chosen.get("method") in OFFLINE and "batch_size" not in options:
        del chosen["batch_size"]
    config = resolve(data=str(data), **chosen)
    return train(config, out=out, resume=resume, overwrite=overwrite, progress=False)


def by_hand(
    method, *, sizes=SIZES, transfers=TRANSFERS, loss="sigmoid_cross_entropy", bias=True,
    init="glorot_uniform", seed=0, dtype="float32", batch=BATCH, rates=(1.0, 1.0), classify=False,
):  # fmt: skip
    """The network that a method reaches: random stream, batches, epochs, with nothing of config or train."""
    data = arrays()
    x = data["x_train"].astype(dtype) / np.dtype(dtype).type(255)
    t = np.eye(sizes[-1], dtype=dtype)[data["labels_train"]] if classify else x
    rng = np.random.default_rng(seed)
    network = initialize(
        sizes, transfers=transfers, output_loss=loss, bias=bias, init=init, seed=rng, dtype=dtype
    )  # fmt: skip
    state = method.init(network)
    for rate in rates:
        if getattr(method, "sees_all_examples", False):
            network, state, _ = method.step(network, state, x, t, rate=rate)
            continue
        order = rng.permutation(len(x))
        for first in range(0, len(x) - batch + 1, batch):
            rows = order[first : first + batch]
            network, state, _ = method.step(network, state, x[rows], t[rows], rate=rate)
    return network


def weights(network):
    """W and b of every layer, in order, on the host."""
    from locoprop_ref.backend import to_numpy

    return [to_numpy(a) for layer in network.layers for a in (layer.W, layer.b) if a is not None]


def assert_same_weights(network, other):
    """Bit for bit: shapes, dtypes, every number."""
    mine, others = weights(network), weights(other)
    assert len(mine) == len(others)
    for a, b in zip(mine, others, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)


def differ(network, other):
    """Whether two networks of the same form have other weights, or another form."""
    mine, others = ([(a.dtype, a.shape, a.tobytes()) for a in weights(n)] for n in (network, other))
    return mine != others


def without_seconds(run_file):
    """A run file's content with every measured time taken out: what the same seed must give again."""
    rows = [{key: value for key, value in row.items() if "seconds" not in key} for row in run_file["epochs"]]
    return json.loads(json.dumps({**run_file, "epochs": rows}))


def contents(path):
    """Every array of an NPZ, the JSON in `meta` without its measured times."""
    with np.load(path, allow_pickle=False) as file:
        found = {name: file[name] for name in file.files}
    meta = json.loads(found.pop("meta").tobytes())
    if meta["run"]:
        meta["run"] = without_seconds(meta["run"])
    return meta, found


def assert_same_checkpoint(path, other):
    """The same arrays bit for bit, and the same history, generator and state."""
    (meta, mine), (other_meta, others) = contents(path), contents(other)
    assert meta == other_meta
    assert list(mine) == list(others)
    for name in mine:
        np.testing.assert_array_equal(mine[name], others[name], err_msg=name, strict=True)


def command(*arguments):
    """The command line as another process would start it."""
    return [sys.executable, "-m", "locoprop_ref", *map(str, arguments)]


def environment(threads=1):
    """One BLAS thread (None: as many as it takes), and the package found from any folder."""
    here = str(Path(__file__).resolve().parents[2])
    more = {} if threads is None else {"OPENBLAS_NUM_THREADS": str(threads)}
    return {**os.environ, **more, "PYTHONPATH": here, "PYTHONUNBUFFERED": "1"}


def shell(*arguments, cwd=None, timeout=60, threads=1):
    """Run a command to its end; the finished process with its output."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, encoding="utf-8", timeout=timeout, check=False,
        cwd=cwd, env=environment(threads),
    )  # fmt: skip
