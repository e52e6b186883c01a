"""A data set as a learning task: inputs and targets on the device, and the losses over all examples."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, to_backend, to_numpy
from locoprop_ref.data import Dataset, scaled
from locoprop_ref.network import Network, forward
from locoprop_ref.training.build import layer_sizes
from locoprop_ref.training.options import Config


@dataclass(frozen=True)
class Examples:
    """Inputs and targets of the training set and the test set on the device; labels in NumPy, or None."""

    x_train: Any
    t_train: Any
    x_test: Any
    t_test: Any
    labels_train: Any
    labels_test: Any


def examples(dataset: Dataset, config: Config, xp: Any) -> Examples:
    """Return a data set as a learning task; the targets are the inputs, one-hot labels, or outputs.

    Raises:
        ValueError: the widths of network and data differ, labels or outputs are missing, the batch is larger
            than the training set, or a user's own targets are outside [0, 1] with a cross-entropy as loss.
    """
    sizes = layer_sizes(config)
    if dataset.x_train.shape[1] != sizes[0]:
        raise ValueError(
            f"layers must begin with the {dataset.x_train.shape[1]} inputs of {dataset.name}, got {sizes[0]}"
        )
    _check_shape(dataset, str(config.layers))
    if config.batch_size is not None and config.batch_size > len(dataset.x_train):
        raise ValueError(
            f"batch_size must be at most the {len(dataset.x_train)} examples, "
            f"got {config.batch_size} (--batch-size)"
        )
    x_train, x_test = (scaled(x, config.dtype) for x in (dataset.x_train, dataset.x_test))
    if config.task == "autoencode":
        if sizes[-1] != sizes[0]:
            raise ValueError(f"layers must end as they begin to autoencode, {sizes[0]}, got {sizes[-1]}")
        _check_range({"x_train": x_train, "x_test": x_test}, config)
        on = [to_backend(x, xp=xp, dtype=config.dtype) for x in (x_train, x_test)]
        return Examples(on[0], on[0], on[1], on[1], None, None)
    t_train, t_test = (_labels if config.task == "classify" else _outputs)(dataset, config, sizes[-1])
    on = [to_backend(a, xp=xp, dtype=config.dtype) for a in (x_train, t_train, x_test, t_test)]
    labels = (dataset.labels_train, dataset.labels_test) if config.task == "classify" else (None, None)
    return Examples(on[0], on[1], on[2], on[3], *labels)


def _check_range(values: dict[str, Any], config: Config) -> None:
    for name, x in values.items():
        if config.output_loss != "squared_error" and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"{name} must lie in [0, 1] for {config.output_loss}, got values outside")


def _labels(dataset: Dataset, config: Config, width: int) -> list[Any]:
    """Return the labels of both parts as one-hot rows."""
    if dataset.labels_train is None or dataset.labels_test is None:
        raise ValueError(f"data must have labels for task classify, got {dataset.name}, which has none")
    largest = int(max(dataset.labels_train.max(), dataset.labels_test.max()))
    if largest >= width:
        raise ValueError(f"layers must end with at least {largest + 1} classes, got {width}")
    return [_one_hot(labels, width, config.dtype) for labels in (dataset.labels_train, dataset.labels_test)]


def _outputs(dataset: Dataset, config: Config, width: int) -> list[Any]:
    """Return the desired outputs of both parts, in the dtype of the run."""
    if dataset.y_train is None or dataset.y_test is None:
        raise ValueError(
            f"data must have y_train and y_test for task regress, got {dataset.name}, which has not both"
        )
    if dataset.y_train.shape[1] != width:
        columns = dataset.y_train.shape[1]
        raise ValueError(f"layers must end with the {columns} columns of y_train, got {width}")
    _check_range({"y_train": dataset.y_train, "y_test": dataset.y_test}, config)
    return [scaled(y, config.dtype) for y in (dataset.y_train, dataset.y_test)]


def _one_hot(labels: Any, classes: int, dtype: str) -> Any:
    t = np.zeros((len(labels), classes), dtype)
    t[np.arange(len(labels)), labels] = 1
    return t


def _check_shape(dataset: Dataset, layers: str) -> None:
    """Refuse an architecture for images or sequences of another shape; flat examples may be of any."""
    first = layers.partition("-")[0]
    wanted, given = tuple(map(int, first.split("x"))), dataset.example_shape
    if len(given) == 2 and len(wanted) == 3:
        given = (*given, 1)
    if len(wanted) > 1 and len(given) > 1 and wanted != given:
        shape = "x".join(map(str, dataset.example_shape))
        raise ValueError(f"layers must begin with the shape {shape} of {dataset.name}, got {first}")


def evaluate(network: Network, x: Any, t: Any, labels: Any = None, *, rows: int = 5000) -> dict[str, float]:
    """Return the losses on a whole set, `rows` examples at a time.

    Returns:
        "ce" (or "squared_error"): the network loss, summed over outputs, averaged over examples; "mse": the
        mean over outputs and examples; "accuracy", with labels: the share of rows whose largest output is
        their label's.

    Raises:
        ValueError, TypeError: x, t or labels do not fit each other or the network.
    """
    checks.instance("network", network, Network, "a Network, as initialize makes")
    checks.integer("rows", rows)
    checks.batch("x", x)
    checks.batch("t", t)
    if labels is not None and getattr(labels, "shape", None) != (x.shape[0],):
        raise ValueError(
            f"labels must be an array of {x.shape[0]}, one for each row, got {checks.shown(labels)}"
        )
    xp, count, last = array_namespace(x, t), x.shape[0], network.layers[-1].transfer
    name = "squared_error" if network.loss.name == "squared_error" else "ce"
    rows = examples_at_a_time(network, rows)
    totals = {name: 0.0, "mse": 0.0} | ({} if labels is None else {"accuracy": 0.0})
    for first in range(0, count, rows):
        part = slice(first, min(first + rows, count))
        trace, t_part, share = forward(network, x[part, :]), t[part, :], (part.stop - first) / count
        totals[name] += share * float(network.loss.value(trace.a_hat[-1], t_part, last))
        totals["mse"] += share * float(xp.mean((trace.y_hat[-1] - t_part) ** 2))
        if labels is not None:
            correct = np.argmax(to_numpy(trace.y_hat[-1]), axis=1) == labels[part]
            totals["accuracy"] += share * float(np.mean(correct))
    return totals


def examples_at_a_time(network: Network, rows: int, *, most_numbers: int = 5_000_000) -> int:
    """Return how many examples go through a network at once, so that the rows of its layers fit into memory.

    Args:
        network: the network.
        rows: what a dense network takes.
        most_numbers: of a layer with positions, in all its rows; 5 million are 20 MB in float32.
    """
    largest = max(layer.positions * layer.W.shape[0] for layer in network.layers)
    with_positions = any(layer.wiring is not None for layer in network.layers)
    return max(1, min(rows, most_numbers // largest)) if with_positions else rows


def losses_of(network: Network, data: Examples) -> dict[str, dict[str, float]]:
    """Return the losses on the whole training and test set."""
    return {
        "train": evaluate(network, data.x_train, data.t_train, data.labels_train),
        "test": evaluate(network, data.x_test, data.t_test, data.labels_test),
    }
