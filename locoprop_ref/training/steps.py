"""The steps of an epoch: its batches, its rate, and what counts as divergence."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from locoprop_ref.backend import array_namespace, to_backend
from locoprop_ref.methods.base import Method
from locoprop_ref.network import Network
from locoprop_ref.training.build import epoch_rate
from locoprop_ref.training.options import Config
from locoprop_ref.training.task import Examples

#: A run counts as diverged when its loss exceeds this multiple of the untrained network's.
DIVERGENCE = 100.0


class Diverged(Exception):
    """The loss is not finite or far above the untrained network's, or a step failed by its numbers."""


def diverged(loss: float, untrained: float) -> bool:
    """Tell whether a loss counts as divergence, given the untrained network's loss on the same examples.

    >>> diverged(101.0, 1.0), diverged(float("nan"), 1.0), diverged(99.0, 1.0)
    (True, True, False)
    """
    return not isfinite(loss) or loss > DIVERGENCE * untrained


def check_state(state: Any) -> None:
    """Check that no array or number of a method's state is nan or infinite, as an overflowed average is.

    Args:
        state: a nest of dicts and tuples.

    Raises:
        Diverged: one is.
    """
    nests = [state]
    for nest in nests:
        if isinstance(nest, dict):
            nests += nest.values()
        elif isinstance(nest, tuple | list):
            nests += nest
        elif isinstance(nest, float) and not isfinite(nest):
            raise Diverged("the method's state is no longer finite")
        elif hasattr(nest, "shape") and not bool(
            array_namespace(nest).all(array_namespace(nest).isfinite(nest))
        ):
            raise Diverged("the method's state is no longer finite")


def with_first_layers(moved: Network, before: Network, frozen: int) -> Network:
    """Return the network after a step with the first layers as they were before it.

    Every method takes its whole step and knows nothing of this: its state (momentum, running averages,
    learned inverses) goes on as if the frozen layers had moved, the bound of a clip is that of all layers,
    and where layers are solved one after the other, those above have seen the moved ones.

    Args:
        moved: after the step.
        before: before it.
        frozen: how many layers, counted from the input; 0 for none.
    """
    if not frozen:
        return moved
    return dataclasses.replace(moved, layers=(*before.layers[:frozen], *moved.layers[frozen:]))


@dataclass(frozen=True)
class Steps:
    """The steps of a run, epoch by epoch.

    Args:
        config: resolved.
        method: of the config.
        data: inputs and targets on the device.
        xp: array namespace.
    """

    config: Config
    method: Any
    data: Examples
    xp: Any

    @property
    def batches(self) -> int:
        """How many batches an epoch has; the remainder of the examples is dropped.

        For a method that sees all examples at once it is one, of all of them.
        """
        if self._sees_all:
            return 1
        return self.data.x_train.shape[0] // self.config.batch_size

    @property
    def _sees_all(self) -> bool:
        return getattr(self.method, "sees_all_examples", False)

    def shuffled(self, rng: np.random.Generator) -> Any:
        """Draw the order of an epoch's examples: their row numbers, on the device.

        None for a method that sees all examples at once, in the order that they have: nothing is drawn.
        """
        if self._sees_all:
            return None
        return to_backend(rng.permutation(self.data.x_train.shape[0]), xp=self.xp, dtype="int32")

    def epoch(
        self,
        number: int,
        network: Network,
        state: Any,
        order: Any,
        after_step: Callable[[], object],
        see: Callable[[Network], object] = lambda network: None,
    ) -> tuple[Network, Any, dict[str, Any]]:
        """Take the steps of an epoch; return the network, the state and what the last step reports.

        Args:
            number: of the epoch, from 0.
            network, state: after the epoch before.
            order: from `shuffled`.
            after_step: called after every step; may raise KeyboardInterrupt.
            see: called with the network after every step.

        Raises:
            Diverged: a step raised LinAlgError, or a step after the first raised ValueError. The first step
                has shown that shapes and settings are right, so that only the numbers can be the cause.
        """
        rate, info = epoch_rate(self.config, number), dict[str, Any]()
        for batch, (x, t, method) in enumerate(self._each_batch(order)):
            try:
                moved, state, info = method.step(network, state, x, t, rate=rate)
            except ValueError as error:  # which LinAlgError is
                if number == batch == 0 and not isinstance(error, np.linalg.LinAlgError):
                    raise
                raise Diverged(str(error)) from error
            network = with_first_layers(moved, network, self.config.frozen_layers or 0)
            see(network)
            after_step()
        return network, state, info

    def _each_batch(self, order: Any) -> Iterator[tuple[Any, Any, Method]]:
        """Yield x, t and the method; only the last batch of an epoch records diagnostics."""
        if self._sees_all:
            yield self.data.x_train, self.data.t_train, self.method
            return
        size, take = self.config.batch_size, self.xp.take
        for number in range(self.batches):
            rows = order[number * size : (number + 1) * size]
            x = take(self.data.x_train, rows, axis=0)
            t = x if self.data.t_train is self.data.x_train else take(self.data.t_train, rows, axis=0)
            diagnose = self.config.diagnostics and number == self.batches - 1
            yield x, t, dataclasses.replace(self.method, diagnose=True) if diagnose else self.method
