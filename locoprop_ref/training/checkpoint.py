r"""Checkpoints: one NPZ with weights, optimizer state, random generator and history; never a pickle.

The array `meta` holds JSON (`Meta` below): transfer functions and loss of the network, the method's state,
the random generator's state and the run so far. Where the network or the state has an array, the JSON has its
name, and the array is a member of the NPZ. `apply` and `load_network` read the trained network from the same
file.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import dtype_name, to_backend, to_numpy
from locoprop_ref.data.files import user_path, write_atomically
from locoprop_ref.data.npz import read_npz
from locoprop_ref.data.records import NotJson, as_record, parse_json
from locoprop_ref.layers import Layer
from locoprop_ref.losses import output_loss
from locoprop_ref.network import Network
from locoprop_ref.training.stored_state import from_stored, to_stored
from locoprop_ref.transfers import transfer
from locoprop_ref.wirings import from_recipe

SCHEMA = 1
_ARRAY = "$array"  # {"$array": name} stands where the nest has the array of that name


class WiringRecord(msgspec.Struct):
    """What a layer with positions reads, see `wirings.from_recipe`."""

    below: int
    recipe: list[list[Any]]


class LayerRecord(msgspec.Struct, kw_only=True):
    """A layer: its transfer function, and the names of its arrays (no bias: null).

    Only a layer with positions has a wiring; only a recurrent one the last two.
    """

    transfer: str
    parameters: dict[str, Any]
    W: Any
    b: Any
    wiring: WiringRecord | None = None
    recurrent: bool = False
    initial_state: Any = None


class NetworkRecord(msgspec.Struct):
    """A network: its layers and its loss."""

    layers: list[LayerRecord]
    loss: str


class Meta(msgspec.Struct):
    """What the array `meta` holds; `run` is the content of the run file, checked by `run_file.check_run`."""

    schema: int
    network: NetworkRecord
    state: Any
    generator: dict[str, Any] | None
    run: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A run after one of its epochs, 0 for a run that begins.

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

    def random_generator(self) -> np.random.Generator:
        """Return the run's random generator in its state after that epoch.

        Raises:
            ValueError: there is none, or it is of another kind than `numpy.random.default_rng` makes.
        """
        rng = np.random.default_rng()
        try:
            rng.bit_generator.state = self.generator or {}
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError("it must hold a random generator's state, got another") from None
        return rng


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file; replaced if it exists.
        checkpoint: what to write.

    Raises:
        OSError: it cannot be written; an earlier checkpoint of that name is intact.
    """
    arrays: dict[str, np.ndarray] = {}
    layers = [
        {
            "transfer": layer.transfer.name,
            "parameters": dict(layer.transfer.parameters),
            "W": _store(layer.W, f"layer_{m}_W", arrays),
            "b": _store(layer.b, f"layer_{m}_b", arrays),
            **_positions(layer, f"layer_{m}", arrays),
        }
        for m, layer in enumerate(checkpoint.network.layers)
    ]
    meta = {
        "schema": SCHEMA,
        "network": {"layers": layers, "loss": checkpoint.network.loss.name},
        "state": _store(to_stored(checkpoint.state, checkpoint.run), "state", arrays),
        "generator": checkpoint.generator,
        "run": checkpoint.run,
    }
    path = user_path(path)
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
        ValueError: it is not a checkpoint; one sentence says why.
    """
    path, xp = user_path(path), checks.array_library("xp", xp)
    arrays, _ = read_npz(path, None, required=("meta",), max_bytes=max_bytes)
    try:
        meta = _meta(arrays["meta"])
        layers = tuple(_layer(record, arrays, xp) for record in meta.network.layers)
        network = Network(layers, output_loss(meta.network.loss))
        state = from_stored(_fetch(meta.state, arrays, xp), meta.run)
        return Checkpoint(network, state, meta.generator, meta.run)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be a checkpoint of locoprop-ref, but {error}") from None


def load_network(path: str | os.PathLike[str], *, xp: Any = np) -> Network:
    """Read the trained network of a checkpoint.

    Args:
        path: the file.
        xp: array namespace, default NumPy's; see `backend.namespace`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a checkpoint, or a weight is nan or infinite; one sentence says why.
    """
    network = load_checkpoint(path, xp=xp).network
    for m, layer in enumerate(network.layers, start=1):
        for part in (layer.W, layer.b, layer.initial_state):
            if part is not None and not np.isfinite(to_numpy(part)).all():
                raise ValueError(f"{path} must have finite weights, got nan or infinity in layer {m}")
    return network


def save_network(path: str | os.PathLike[str], network: Network) -> None:
    """Write a network, atomically, as a checkpoint without a run.

    Args:
        path: the file; replaced if it exists.
        network: what to write, from any array library.

    Raises:
        OSError: it cannot be written; an earlier file of that name is intact.
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    save_checkpoint(path, Checkpoint(network, {}, None, {}))


def form(nest: Any) -> Any:
    """Return the form of a nest of dicts, tuples, arrays and numbers: its keys, types, shapes and dtypes.

    >>> form({"count": 3, "mean": np.zeros((2, 1))})
    {'count': 'int', 'mean': ('float64', (2, 1))}
    """
    if isinstance(nest, dict):
        return {key: form(item) for key, item in nest.items()}
    if isinstance(nest, tuple):
        return tuple(form(item) for item in nest)
    return (dtype_name(nest), tuple(nest.shape)) if hasattr(nest, "shape") else type(nest).__name__


def _meta(text: np.ndarray) -> Meta:
    if text.dtype != np.uint8 or text.ndim != 1:
        raise ValueError("its meta is not text")
    try:
        content = parse_json(text.tobytes())
    except NotJson as error:
        raise ValueError(f"its meta is not JSON ({error})") from None
    if isinstance(content, dict) and content.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {content.get('schema')!r}, wanted {SCHEMA}"[:80])
    return as_record(content, Meta)


def _layer(record: LayerRecord, arrays: dict[str, np.ndarray], xp: Any) -> Layer:
    f = transfer(record.transfer, **record.parameters)
    wiring = None
    if record.wiring is not None:
        wiring = from_recipe(record.wiring.recipe, record.wiring.below)
    W, b, start = (_fetch(part, arrays, xp) for part in (record.W, record.b, record.initial_state))
    return Layer(W, b, f, wiring, record.recurrent, start)


def _positions(layer: Layer, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what the file says of a layer with positions beyond that of a dense one."""
    if layer.wiring is None:
        return {}
    found: dict[str, Any] = {"wiring": {"below": layer.wiring.below, "recipe": layer.wiring.recipe}}
    if layer.recurrent:
        start = _store(layer.initial_state, f"{name}_initial_state", arrays)
        found |= {"recurrent": True, "initial_state": start}
    return found


def _store(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a nest as JSON; its arrays go into `arrays`, and their names stand in their place."""
    if isinstance(value, dict):
        return {key: _store(item, f"{name}_{key}", arrays) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_store(item, f"{name}_{i}", arrays) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    arrays[name] = to_numpy(value)
    return {_ARRAY: name}


def _fetch(value: Any, arrays: dict[str, np.ndarray], xp: Any) -> Any:
    """Return the nest that `_store` took apart; lists come back as tuples."""
    if isinstance(value, dict) and set(value) == {_ARRAY}:
        if value[_ARRAY] not in arrays:
            raise ValueError(f"its array {value[_ARRAY]!r} is missing")
        return to_backend(arrays[value[_ARRAY]], xp=xp)
    if isinstance(value, dict):
        return {key: _fetch(item, arrays, xp) for key, item in value.items()}
    return tuple(_fetch(item, arrays, xp) for item in value) if isinstance(value, list) else value
