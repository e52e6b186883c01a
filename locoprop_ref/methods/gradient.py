r"""The template of BackProp and the second-order methods: they follow the gradient of the network loss.

    ∇ = ∂L/∂W̃ = X̃ᵀg        every layer by itself
    Δ = the preconditioner's answer to ∇, or ∇ itself            K-FAC, FOOF, Shampoo; none: BackProp
    ν = min(1, √(κ/q)),  q = (r·s)² Σ_m ⟨Δ_m, ∇_m⟩              with a clip κ, over all layers; else 1
    W̃ ← W̃ − change          of a first-order rule that is given νΔ in place of the gradient

A preconditioner of your own has the two methods of `Preconditioner`, and inherits from nothing:

>>> from locoprop_ref.methods.backprop import BackProp
>>> from locoprop_ref.optimizers import SGD
>>> class SignsOnly:
...     def init(self, W):
...         return {}
...     def update(self, gradient, x, g, state, step, num_examples):
...         return (gradient > 0) * 2.0 - 1.0, state
>>> BackProp(SGD(), 1e-3, preconditioner=SignsOnly()).clip
inf
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, Protocol, runtime_checkable

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.layers import Layer
from locoprop_ref.methods.base import Info, State, check_entries, check_network, check_step, run_layers
from locoprop_ref.microbatches import gradients_in_microbatches, microbatches_that_pay
from locoprop_ref.network import Network, Trace, backward, forward

Direction = tuple[Layer, State, State, Any, Any]  # a layer, the two parts of its state, ∇ and Δ


@runtime_checkable
class Preconditioner(Protocol):
    """The contract of a preconditioner."""

    def init(self, W: Any) -> State:
        """Return the state of one layer before the first step, for weights W̃ (d̃, d_out)."""

    def update(
        self, gradient: Any, x: Any, g: Any, state: State, step: int, num_examples: int
    ) -> tuple[Any, State]:
        """Return (Δ, state).

        Args:
            gradient: ∇ = X̃ᵀg, (d̃, d_out).
            x: X̃, (R, d̃) rows of the layer's input.
            g: (R, d_out), ∂L/∂â; for K-FAC that of outputs drawn from the network.
            state: what `init` or the step before returned.
            step: 0, 1, ...
            num_examples: B.
        """


class GradientMethod:
    """What BackProp, K-FAC, FOOF and Shampoo have in common; a subclass says which parts it has.

    Attributes:
        preconditioner: a `Preconditioner`, or None.
        optimizer: the first-order rule that is given νΔ.
        learning_rate: s > 0.
        clip: κ > 0, or inf for none.
        parallel_layers: run the layers side by side.
    """

    learning_rate: float
    parallel_layers: bool
    # fields in some subclasses, properties in others
    optimizer: Any = None
    preconditioner: Any = None
    clip: Any = inf

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state before the first step: what every layer keeps, and how many steps it has seen.

        Args:
            network: the network to train.
            seed: for methods that draw random numbers; most do not.
        """
        layers = tuple(self.init_layer(layer.stacked) for layer in check_network(network).layers)
        return {"layers": layers, **self.counts(seed)}

    def init_layer(self, W: Any) -> State:
        """Return what the state holds of a layer with the weights W̃ before the first step."""
        kept = {} if self.preconditioner is None else self.preconditioner.init(W)
        return self.joined(kept, self.optimizer.init(W))

    @functools.cached_property
    def example(self) -> State:
        """What the state holds of a layer with a single weight, for `check_entries`."""
        return self.init_layer(np.ones((1, 1)))

    def counts(self, seed: int) -> dict[str, int]:
        """Return the numbers of the state before the first step; the first of them counts the steps."""
        return {} if self.preconditioner is None else {"step": 0}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, info) after one batch; at rate 0 no weight moves, but all averages go on.

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
        rate = check_step(network, state, x, t, rate)
        counts = {n: checks.integer(f"state[{n!r}]", state.get(n), minimum=0) for n in self.counts(0)}
        check_entries(network, state, self.example)
        directions = self._directions(network, state, x, t, counts)
        rows = [layer.positions * x.shape[0] for layer in network.layers]
        run = partial(run_layers, network=network, rows=rows, parallel=self.parallel_layers)
        r = rate * self.learning_rate
        if self.clip == inf:  # one task a layer
            moved = run([partial(self._follow, direction, rate=r) for direction in directions])
        else:  # ν needs the directions of all layers
            found = run(directions)
            nu = self._clip_factor(found, r)
            moved = run([partial(self._move, *part, nu=nu, rate=r) for part in found])
        layers, entries = zip(*moved, strict=True)
        counts |= {name: count + 1 for name, count in list(counts.items())[:1]}
        return replace(network, layers=layers), {"layers": entries, **counts}, {}

    def _directions(
        self, network: Network, state: State, x: Any, t: Any, counts: dict[str, int]
    ) -> list[Callable[[], Direction]]:
        """Return a task for every layer, which returns its `_direction`."""
        checks.batch("x", x)
        blocks = microbatches_that_pay(network, x.shape[0]) if self.preconditioner is None else 1
        if blocks > 1:  # without a preconditioner nothing but the gradient needs a layer's rows
            gradients = gradients_in_microbatches(network, x, t, blocks)
            found = zip(network.layers, state["layers"], gradients, strict=True)
            return [partial(self._gradient_alone, *part) for part in found]
        trace = forward(network, x)
        g = backward(network, trace, t)
        g_model = self.model_g(network, trace, t, g, counts)
        step = next(iter(counts.values()), 0)
        parts = zip(network.layers, state["layers"], trace.x, g, g_model, strict=True)
        return [partial(self._direction, *part, step, x.shape[0]) for part in parts]

    def model_g(
        self, network: Network, trace: Trace, t: Any, g: Any, counts: dict[str, int]
    ) -> Sequence[Any]:
        """Return the derivatives ∂L/∂â of all layers that the preconditioner learns from; here g itself."""
        return g

    def joined(self, kept: State, of_optimizer: State) -> State:
        """Return what the state holds of a layer: the preconditioner's part and the optimizer's together."""
        return {**kept, **of_optimizer}

    def apart(self, entry: State) -> tuple[State, State]:
        """Return the preconditioner's part and the optimizer's: `joined` undone."""
        names = self.optimizer.init(np.ones((1, 1)))
        return {n: entry[n] for n in entry if n not in names}, {n: entry[n] for n in names}

    def update_layer(
        self,
        layer: Layer,
        entry: State,
        x: Any,
        g: Any,
        g_model: Any,
        step: int,
        num_examples: int,
        *,
        rate: float,
    ) -> tuple[Layer, State]:
        """Return a layer after its step, and what the state holds of it, where nothing is clipped.

        Args:
            layer: the layer, with its weights before the step.
            entry: what the state holds of it.
            x: (R, d_in) rows of its input.
            g: (R, d_out), ∂L/∂â.
            g_model: (R, d_out), the g that the preconditioner learns from, see `model_g`.
            step: 0, 1, ...
            num_examples: B.
            rate: r·s.
        """
        return self._follow(
            partial(self._direction, layer, entry, x, g, g_model, step, num_examples), rate=rate
        )

    def _follow(self, direction: Callable[[], Direction], *, rate: float) -> tuple[Layer, State]:
        """Return what `_move` does, where nothing is clipped."""
        return self._move(*direction(), rate=rate)

    def _direction(
        self, layer: Layer, entry: State, x: Any, g: Any, g_model: Any, step: int, num_examples: int
    ) -> Direction:
        """Return the layer, the two parts of its state, ∇ and Δ."""
        if self.preconditioner is None:
            return self._gradient_alone(layer, entry, layer.gradient(x, g))
        x = layer.augment(x)
        gradient = x.T @ g
        kept, of_optimizer = self.apart(entry)
        direction, kept = self.preconditioner.update(gradient, x, g_model, kept, step, num_examples)
        return layer, kept, of_optimizer, gradient, direction

    def _gradient_alone(self, layer: Layer, entry: State, gradient: Any) -> Direction:
        """Return the same where there is no preconditioner: Δ is ∇."""
        return layer, *self.apart(entry), gradient, gradient

    def _clip_factor(self, found: Sequence[Any], rate: float) -> Any:
        """Return ν = min(1, √(κ/q)) as √(κ/max(q, κ)), which divides by no zero."""
        xp = array_namespace(found[0][3])
        products = (xp.sum(gradient * direction) for *_, gradient, direction in found)
        q = rate**2 * sum(products)
        return xp.sqrt(self.clip / xp.maximum(q, self.clip))

    def _move(
        self, layer: Layer, kept: State, of_optimizer: State, gradient: Any, direction: Any,
        *, nu: Any = None, rate: float,
    ) -> tuple[Layer, State]:  # fmt: skip
        """Return the moved layer and what the state holds of it."""
        if nu is not None:
            direction = nu * direction
        change, of_optimizer = self.optimizer.update(direction, of_optimizer, rate)
        return layer.with_stacked(layer.stacked - change), self.joined(kept, of_optimizer)
