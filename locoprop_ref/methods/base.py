r"""The contract of every training method, and what all of them do: check their arguments, run their layers.

    state = method.init(network, seed)
    network, state, info = method.step(network, state, x, t, rate=1.0)

A method is a frozen dataclass of settings; `network` and `state` go in and come out, and nothing is changed
in place. The state is a nest of dicts and tuples of arrays and numbers. `rate` is the schedule's factor r of
the step size, never of γ.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, dtype_name, on_host
from locoprop_ref.network import Network
from locoprop_ref.parallel import side_by_side

State = dict[str, Any]
Info = dict[str, Any]


class Method(Protocol):
    """The contract of every training method."""

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


def check_step(network: Network, state: Any, x: Any, t: Any, rate: float) -> None:
    """Check the arguments of a method's `step`; on a device, the values of x and t are not looked at.

    Raises:
        ValueError, TypeError: r < 0, a state of another network, x or t of another shape or dtype than the
            network, or (on the host) with nan or infinity in it.
    """
    entries = state.get("layers") if isinstance(state, dict) else None
    if not isinstance(entries, tuple) or len(entries) != len(network.layers):
        count = len(network.layers)
        raise ValueError(f"state must be what init made of this network of {count} layers, got another nest")
    checks.not_negative("rate", rate)
    checks.batch("x", x, width=network.layers[0].W.shape[0])
    checks.batch("t", t, width=network.layers[-1].W.shape[1])
    checks.array("t", t, shape=(x.shape[0], None))
    if on_host(x):  # on a GPU a look at the values would wait for the device
        xp = array_namespace(x, t)
        checks.finite("x", x, xp=xp)
        checks.finite("t", t, xp=xp)


def check_entries(network: Network, state: State, names: Iterable[str]) -> None:
    """Check what the state holds for every layer: the method's names, arrays that the layer's sizes make.

    Args:
        network: the network.
        state: with as many layers, see `check_step`.
        names: what the method keeps for a layer. With d = d_in + 1 (d_in without bias), its arrays are
            (d, d_out), (d, d) or (d_out, d_out), of the dtype of the network.

    Raises:
        ValueError: a layer's entry is another nest.
    """
    names = set(names)
    for number, (layer, entry) in enumerate(zip(network.layers, state["layers"], strict=True)):
        d_in, d_out = layer.W.shape
        d, dtype = d_in + (layer.b is not None), dtype_name(layer.W)
        whole = isinstance(entry, dict) and set(entry) == names
        if not whole or any(
            tuple(array.shape) not in ((d, d_out), (d, d), (d_out, d_out)) or dtype_name(array) != dtype
            for array in _arrays(entry)
        ):
            raise ValueError(
                f"state['layers'][{number}] must be what init made of a layer of {d_in} inputs and {d_out} "
                f"outputs in {dtype}, got another nest"
            )


def _arrays(nest: Any) -> Iterator[Any]:
    if isinstance(nest, dict | tuple):
        for item in nest.values() if isinstance(nest, dict) else nest:
            yield from _arrays(item)
    elif hasattr(nest, "shape"):
        yield nest


def run_layers(tasks: Sequence[Callable[[], Any]], network: Network, parallel: bool) -> list[Any]:
    """Run one task a layer, side by side or in order; return their results in order.

    Args:
        tasks: functions without arguments, one for every layer, that share nothing they write to.
        network: its layers' sizes say which task to begin with.
        parallel: whether side by side.
    """
    if not parallel:
        return [task() for task in tasks]
    sizes = [layer.W.shape[0] * layer.W.shape[1] for layer in network.layers]
    return side_by_side(tasks, sizes, like=network.layers[0].W)
