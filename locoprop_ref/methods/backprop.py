"""BackProp: gradient descent on the network loss."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from locoprop_ref import checks
from locoprop_ref.layers import Layer, layer_input, stacked, unstacked
from locoprop_ref.methods.base import Info, State, check_entries, check_step, run_layers
from locoprop_ref.network import Network, backward, forward
from locoprop_ref.optimizers import OPTIMIZERS, Optimizer, RMSProp, optimizer


@dataclass(frozen=True)
class BackProp:
    """Gradient descent on the network loss with a first-order optimizer.

    Args:
        optimizer: first-order rule, default RMSProp (tf1).
        learning_rate: default 3e-4, a plain first guess for RMSProp on the deep autoencoders.
        parallel_layers: update the layers side by side (default False: a layer has one product here, which
            threads inside BLAS do better; on two cores the step is 4 % slower side by side).

    Raises:
        ValueError, TypeError: a setting out of its range.
    """

    optimizer: Optimizer = field(default_factory=RMSProp)
    learning_rate: float = 3e-4
    parallel_layers: bool = False

    def __post_init__(self) -> None:
        checks.instance("optimizer", self.optimizer, Optimizer, "an Optimizer, as optimizer('sgd') makes")
        checks.positive("learning_rate", self.learning_rate)
        checks.boolean("parallel_layers", self.parallel_layers)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return {"layers": the optimizer's state of every layer}.

        Args:
            network: the network to train.
            seed: for methods that draw random numbers; this one does not.
        """
        return {"layers": tuple(self.optimizer.init(stacked(layer)) for layer in network.layers)}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info) after W̃ ← W̃ − change(∂L/∂W̃) on every layer.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0) batch, in the dtype of the network.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, the schedule's factor of the step size, default 1.

        Returns:
            the network and the state after the step, and an empty dict.

        Raises:
            ValueError, TypeError: r < 0, a state of another network or method, x or t of another shape, dtype
                or library than the network, or (on the host) with nan or infinity in it.
        """
        check_step(network, state, x, t, rate)
        check_entries(network, state, self.optimizer.init(network.layers[0].W[:1, :1]))
        trace = forward(network, x)
        g = backward(network, trace, t)
        everything = zip(network.layers, state["layers"], trace.x, g, strict=True)
        tasks = [partial(self._update, *parts, rate * self.learning_rate) for parts in everything]
        updated = run_layers(tasks, network, self.parallel_layers)
        layers, states = zip(*updated, strict=True)
        return replace(network, layers=layers), {"layers": states}, {}

    def _update(self, layer: Layer, state: State, x: Any, g: Any, rate: float) -> tuple[Layer, State]:
        gradient = layer_input(layer, x).T @ g
        change, state = self.optimizer.update(gradient, state, rate)
        return unstacked(layer, stacked(layer) - change), state


def backprop(optimizer_name: str = "rmsprop", learning_rate: float = 3e-4, **hyper: Any) -> BackProp:
    """Return BackProp with an optimizer by name.

    Args:
        optimizer_name: one of `OPTIMIZERS`, default "rmsprop" (tf1).
        learning_rate: default 3e-4, a plain first guess for RMSProp on the deep autoencoders.
        **hyper: the optimizer's own hyper-parameters, see `optimizer`.

    Raises:
        ValueError, TypeError: unknown name, learning rate ≤ 0, or a hyper-parameter that does not fit.

    >>> backprop("sgd", 0.1).learning_rate
    0.1
    """
    return BackProp(optimizer(checks.one_of("optimizer", optimizer_name, OPTIMIZERS), **hyper), learning_rate)
