r"""Checkpoints: one NPZ with weights, optimizer state, random generator and history; never a pickle.

An array `meta` holds JSON: schema, config, the network's form, the generator's state, the run so far, and the
tree of the method's state with each array's place marked by its name. The other members are plain arrays.
The same file serves as the trained network that `apply` and `load_network` read.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from locoprop_ref.backend import dtype_name, to_backend, to_numpy
from locoprop_ref.data.files import write_atomically
from locoprop_ref.data.npz import read_npz
from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network
from locoprop_ref.transfers import transfer

SCHEMA = 1
_ARRAY = "$array"


@dataclass(frozen=True)
class Checkpoint:
    """A run after one of its epochs.

    Attributes:
        network: the weights.
        state: the method's state, a nest of dicts and tuples of arrays and numbers.
        generator: `bit_generator.state` of the run's numpy Generator, or None.
        run: the run file's content so far, or an empty dict.
    """

    network: Network
    state: Any
    generator: dict[str, Any] | None
    run: dict[str, Any]


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file, replaced where it is there.
        checkpoint: what to write.

    Raises:
        OSError: it cannot be written; an earlier checkpoint of that name is intact.
    """
    arrays: dict[str, np.ndarray] = {}
    layers = []
    for m, layer in enumerate(checkpoint.network.layers):
        form = {"transfer": layer.transfer.name, "parameters": dict(layer.transfer.parameters)}
        named = {
            name: _store(value, f"layer_{m}_{name}", arrays)
            for name, value in (("W", layer.W), ("b", layer.b))
        }
        layers.append(form | named)
    meta = {
        "schema": SCHEMA,
        "network": {"layers": layers, "loss": checkpoint.network.loss.name},
        "state": _store(checkpoint.state, "state", arrays),
        "generator": checkpoint.generator,
        "run": checkpoint.run,
    }
    arrays["meta"] = np.frombuffer(json.dumps(meta, allow_nan=False).encode(), np.uint8)
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_checkpoint(path: str | os.PathLike[str], *, xp: Any, max_bytes: int = 16 << 30) -> Checkpoint:
    """Read a checkpoint into arrays of the library `xp`.

    Args:
        path: the file.
        xp: array namespace, see `backend.namespace`.
        max_bytes: most bytes that its arrays may take, by the file's own declaration; 16 GiB.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no checkpoint; one sentence.
    """
    path = Path(path)
    arrays, meta = _read(path, max_bytes)
    try:
        if meta.get("schema") != SCHEMA:
            raise ValueError(f"its schema is {meta.get('schema')!r}, wanted {SCHEMA}")
        layers = tuple(_layer(form, arrays, xp) for form in meta["network"]["layers"])
        network = Network(layers, output_loss(meta["network"]["loss"]))
        state = _fetch(meta["state"], arrays, xp)
        for key in ("run", "generator"):
            if not isinstance(meta[key], dict) and (key, meta[key]) != ("generator", None):
                raise ValueError(f"its {key} is no object")
        return Checkpoint(network, state, meta["generator"], meta["run"])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} must be a checkpoint of locoprop-ref, but {reason}") from None


def load_network(path: str | os.PathLike[str], *, xp: Any = np) -> Network:
    """Read the trained network of a checkpoint.

    Args:
        path: the file.
        xp: array namespace, default NumPy's; see `backend.namespace`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no checkpoint; one sentence.
    """
    return load_checkpoint(path, xp=xp).network


def save_network(path: str | os.PathLike[str], network: Network) -> None:
    """Write a network, atomically, as a checkpoint without a run.

    Args:
        path: the file, replaced where it is there.
        network: what to write, from any array library.

    Raises:
        OSError: it cannot be written; an earlier file of that name is intact.
    """
    save_checkpoint(path, Checkpoint(network, {}, None, {}))


def form(nest: Any) -> Any:
    """Return what a nest of dicts, tuples, arrays and numbers is made of: its keys, shapes and dtypes.

    >>> form({"count": 3, "mean": np.zeros((2, 1))})
    {'count': 'int', 'mean': ('float64', (2, 1))}
    """
    if isinstance(nest, dict):
        return {key: form(item) for key, item in nest.items()}
    if isinstance(nest, tuple):
        return tuple(form(item) for item in nest)
    return (dtype_name(nest), tuple(nest.shape)) if hasattr(nest, "shape") else type(nest).__name__


def _read(path: Path, max_bytes: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    first, others = read_npz(path, ("meta",), required=("meta",), max_bytes=max_bytes)
    if first["meta"].dtype != np.uint8 or first["meta"].ndim != 1:
        raise ValueError(f"{path} must be a checkpoint of locoprop-ref, but its meta is no text")
    try:
        meta = json.loads(first["meta"].tobytes())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{path} must be a checkpoint of locoprop-ref, but its meta is not JSON") from None
    if not isinstance(meta, dict):
        raise ValueError(f"{path} must be a checkpoint of locoprop-ref, but its meta is no object")
    arrays, _ = read_npz(path, others, required=others, max_bytes=max_bytes)
    return arrays, meta


def _layer(form: dict[str, Any], arrays: dict[str, np.ndarray], xp: Any) -> Layer:
    f = transfer(form["transfer"], **form["parameters"])
    return Layer(_fetch(form["W"], arrays, xp), _fetch(form["b"], arrays, xp), f)


def _store(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a nest as JSON, its arrays put aside under the names that stand in their place."""
    if isinstance(value, dict):
        return {key: _store(item, f"{name}_{key}", arrays) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_store(item, f"{name}_{i}", arrays) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    arrays[name] = to_numpy(value)
    return {_ARRAY: name}


def _fetch(value: Any, arrays: dict[str, np.ndarray], xp: Any) -> Any:
    """Return the nest that `_store` put aside; lists come back as tuples."""
    if isinstance(value, dict) and set(value) == {_ARRAY}:
        if value[_ARRAY] not in arrays:
            raise ValueError(f"its array {value[_ARRAY]!r} is missing")
        return to_backend(arrays[value[_ARRAY]], xp=xp)
    if isinstance(value, dict):
        return {key: _fetch(item, arrays, xp) for key, item in value.items()}
    return tuple(_fetch(item, arrays, xp) for item in value) if isinstance(value, list) else value
