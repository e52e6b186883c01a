"""Apply a trained network to a data set and keep its outputs."""

import os
from typing import Any, Literal, get_args

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import dtype_name, namespace, to_backend, to_numpy
from locoprop_ref.data import NAMES, data_path, load, scaled
from locoprop_ref.data.files import check_outputs, user_path, write_atomically
from locoprop_ref.network import Network, predict
from locoprop_ref.training.checkpoint import load_network
from locoprop_ref.training.task import examples_at_a_time

Part = Literal["train", "test"]


def outputs(network: Network, x: Any, *, backend: str = "numpy", rows: int = 5000) -> np.ndarray:
    """Return the network's outputs for NumPy examples, `rows` at a time, as a NumPy array (N, d_M).

    Raises:
        ValueError: x does not have the width of the network's input.
        TypeError: x is no NumPy array.
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    xp, dtype = namespace(backend), dtype_name(network.layers[0].W)
    checks.integer("rows", rows)
    if not isinstance(x, np.ndarray) or isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"x must be a NumPy array without a mask, got {type(x).__name__}")
    if x.ndim != 2 or x.shape[1] != network.layers[0].inputs or not len(x):
        raise ValueError(f"x must have shape (N, {network.layers[0].inputs}), got {x.shape}")
    rows = examples_at_a_time(network, rows)
    parts = [to_backend(scaled(x[i : i + rows], dtype), xp=xp, dtype=dtype) for i in range(0, len(x), rows)]
    return np.concatenate([to_numpy(predict(network, part)) for part in parts])


def apply_network(
    network: str | os.PathLike[str],
    data: str,
    out: str | os.PathLike[str],
    *,
    part: Part = "test",
    data_dir: str | os.PathLike[str] | None = None,
    backend: str = "numpy",
    overwrite: bool = False,
) -> str:
    """Write the outputs of a trained network on a data set to an NPZ, key y; return a sentence about them.

    Args:
        network: checkpoint that `train` wrote.
        data: data set by name, or a user's NPZ.
        out: NPZ to write.
        part: "train" or "test".
        data_dir: where the data set's files are, see `data.load`.
        backend: array library to compute with.
        overwrite: replace an existing file; default False.

    Raises:
        ValueError, OSError: a file that cannot be read or written, or a width that does not fit;
            FileExistsError if `out` exists and `overwrite` is False.
    """
    checks.one_of("part", part, get_args(Part))
    network, out = user_path(network, "network"), user_path(out, "out")
    if not isinstance(data, str | os.PathLike):
        raise TypeError(f"data must be a name or a path, got {checks.shown(data)}")
    data = data_path(data)
    if not data.lower().endswith(".npz"):
        checks.one_of("data", data, (*NAMES, "a path ending in .npz"))
    if out.suffix != ".npz":
        raise ValueError(f"out must be a path that ends in .npz, got {checks.shown(str(out))}")
    check_outputs({"out": out}, {"the network": network, "the data": data}, overwrite=overwrite)
    dataset = load(data, data_dir=data_dir)
    x, labels = (
        (dataset.x_train, dataset.labels_train) if part == "train" else (dataset.x_test, dataset.labels_test)
    )
    trained = load_network(network, xp=namespace(backend))
    y = outputs(trained, x, backend=backend)
    write_atomically(out, lambda file: np.savez_compressed(file, allow_pickle=False, y=y))
    sentence = f"{len(y)} outputs of width {y.shape[1]} in {out}"
    if trained.layers[-1].transfer.name == "softmax" and labels is not None:
        return f"{sentence}, accuracy {np.mean(np.argmax(y, axis=1) == labels):.4f}"
    return sentence
