r"""The contract of every training method, and what all of them do: check their arguments, run their layers.

    state = method.init(network, seed)
    network, state, info = method.step(network, state, x, t, rate=1.0)

A method is a frozen dataclass of settings; `network` and `state` go in and come out, and nothing is changed
in place. The state is a nest of dicts and tuples of arrays and numbers. `rate` is the schedule's factor r of
the step size, never of γ.
"""

import numbers
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import dtype_name, on_host
from locoprop_ref.network import Network
from locoprop_ref.parallel import side_by_side

State = dict[str, Any]
Info = dict[str, Any]


class Method(Protocol):
    """The contract of every training method.

    A class whose `sees_all_examples` is True keeps something for every example, see `offline`: its steps take
    all examples, always in the same order, and the training loop makes one step an epoch.
    """

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state before the first step.

        Args:
            network: the network to train.
            seed: for methods that draw random numbers; most do not.
        """

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info) after one batch.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0) batch, in the dtype of the network.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, the schedule's factor of the step size, default 1.

        Returns:
            the network and the state after the step, and a dict of what the method has to report.
        """


def check_network(network: Network) -> Network:
    """Check that what a method is given to train is a network, and not its state or the class.

    Raises:
        TypeError: it is not.
    """
    checked: Network = checks.instance("network", network, Network, "a Network, as initialize makes")
    return checked


def check_step(network: Network, state: Any, x: Any, t: Any, rate: float) -> float:
    """Check of a method's `step` what the forward and the backward pass do not: state, rate, finite values.

    On a device the values of x and t are not looked at. The rate is returned, as a plain number.

    Raises:
        ValueError, TypeError: no network, r < 0, a state of another network, or (on the host) nan or infinity
            in x or t.
    """
    if not isinstance(network, Network):
        check_network(network)  # which raises the error; a step of a small network calls as little as it can
    entries = state.get("layers") if isinstance(state, dict) else None
    if not isinstance(entries, tuple) or len(entries) != len(network.layers):
        count = len(network.layers)
        raise ValueError(f"state must be what init made of this network of {count} layers, got another nest")
    r = checks.not_negative("rate", rate)
    for name, values in (("x", x), ("t", t)):
        if (
            on_host(values) and values.dtype.kind == "f"
        ):  # on a GPU a look at the values would wait for the device
            if not np.isfinite(values).all():
                checks.finite(name, values, xp=np)  # which raises the error
    return r


def check_entries(network: Network, state: State, example: Any) -> None:
    """Check what the state holds for every layer: names and arrays like those of an example.

    Args:
        network: the network.
        state: with as many layers, see `check_step`.
        example: what the method keeps of a layer with a single weight. A 1×1 array in it is (d, d_out), (d,
            d) or (d_out, d_out) for a layer with the weights W̃, (d, d_out).

    Raises:
        ValueError: a layer's entry is another nest.
    """
    for number, (layer, entry) in enumerate(zip(network.layers, state["layers"], strict=True)):
        d_in, d_out = layer.W.shape
        d = d_in + (layer.b is not None)
        if not _alike(entry, example, ((d, d_out), (d, d), (d_out, d_out)), layer.W.dtype):
            raise ValueError(
                f"state['layers'][{number}] must be what init made of a layer of {d_in} inputs and {d_out} "
                f"outputs in {dtype_name(layer.W)}, got another nest"
            )


def _alike(entry: Any, example: Any, shapes: tuple[tuple[int, int], ...], dtype: Any) -> bool:
    """Tell whether a nest has the names of the example, and arrays of those shapes and that dtype."""
    pairs = [(entry, example)]
    for got, wanted in pairs:
        if isinstance(wanted, dict):
            if not isinstance(got, dict) or got.keys() != wanted.keys():
                return False
            pairs += [(got[name], wanted[name]) for name in wanted]
        elif isinstance(wanted, tuple):
            if not isinstance(got, tuple) or len(got) != len(wanted):
                return False
            pairs += zip(got, wanted, strict=True)
        elif hasattr(wanted, "shape"):
            if not hasattr(got, "shape") or type(got.dtype) is not type(dtype) or got.dtype != dtype:
                return False
            if wanted.shape == (1, 1) and got.shape not in shapes:
                return False
        elif hasattr(got, "shape"):
            return False
        elif _is_number(wanted) and not _is_number(got):
            return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def run_layers(
    tasks: Sequence[Callable[[], Any]], network: Network, rows: Sequence[int], parallel: bool
) -> list[Any]:
    """Run one task a layer, side by side or in order; return their results in order.

    Args:
        tasks: functions without arguments, one for every layer, that share nothing they write to.
        network: the sizes of its layers and `rows` say how much each task has to do.
        rows: R of every layer.
        parallel: whether side by side, where the sizes say that it pays.
    """
    if not parallel:
        return [task() for task in tasks]
    weights = (layer.W.shape[0] * layer.W.shape[1] for layer in network.layers)
    costs = [R * size for R, size in zip(rows, weights, strict=True)]
    return side_by_side(tasks, costs, like=network.layers[0].W)
