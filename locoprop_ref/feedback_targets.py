r"""Feedback targets: the same problem, its g through fixed random weights instead of the network's own.

BackProp takes the error down through the transposed weights, g_{m−1} = (g_m W_mᵀ) f′(â_{m−1}). Two rules
replace them by random matrices, drawn once, and keep the slopes f′:

    alignment    g_{m−1} = (g_m R_mᵀ) f′(â_{m−1})        feedback alignment: R_m in the shape of W_m
    direct       g_m = (g_M R_mᵀ) f′(â_m)                direct feedback alignment: from the output at once

The last layer's g is the true one. The targets are those of LocoProp, y* = f(â) − γg with this g, so that one
inner gradient step is the update of these rules.

Sources: Lillicrap, Cownden, Tweed, Akerman, "Random synaptic feedback weights support error backpropagation
for deep learning", Nature Communications 2016; Nøkland, "Direct Feedback Alignment Provides Learning in Deep
Neural Networks", NIPS 2016.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace, device, dtype_name, to_backend
from locoprop_ref.gauss_newton_targets import as_rows
from locoprop_ref.layers import Layer
from locoprop_ref.network import Network, Trace, pull_down
from locoprop_ref.targets import GradientTargets, LayerTarget, LocalLoss, State, check_state

Path = Literal["alignment", "direct"]
PATHS: tuple[str, ...] = get_args(Path)


@dataclass(frozen=True)
class FeedbackTargets:
    r"""The targets y* = f(â) − γg of feedback alignment, or of direct feedback alignment.

    The matrices R_m, m = 2..M (direct: 1..M−1), are drawn by `init` from its seed, uniform in
    ±scale·√(6/(rows + columns)), the range of Glorot and Bengio for weights. They are drawn in float64 by
    NumPy, and so the same on every array library, and stand in the state.

    A convolution shares R_m over its positions as it shares its weights. Direct feedback has one matrix for
    all positions together, (P d_m × d_M), and in a recurrent layer it leaves out the path through time.

    Args:
        step: γ > 0; default 10, that of `GradientTargets`, untuned here.
        path: "alignment" (default) or "direct".
        scale: factor > 0 of R; default 1.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> from locoprop_ref.network import initialize
    >>> network = initialize((3, 5, 2), transfers="tanh")
    >>> [R.shape for R in FeedbackTargets().init(network, seed=1)["feedback"]]
    [(5, 2)]
    """

    step: float = 10.0
    path: Path = "alignment"
    scale: float = 1.0

    def __post_init__(self) -> None:
        checks.keep(self, checks.positive, "step", "scale")
        checks.one_of("path", self.path, PATHS)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the matrices, {"feedback": (R, ...)}, from the bottom up.

        Raises:
            ValueError, TypeError: seed is no integer of at least 0.
        """
        checks.instance("network", network, Network, "a Network, as initialize makes")
        # the last number keeps these draws apart from those of other rules, and of the weights
        rng = np.random.default_rng([checks.integer("seed", seed, minimum=0, maximum=None), 0, 2])
        W = network.layers[0].W
        xp, where, dtype = array_namespace(W), device(W), dtype_name(W)
        drawn = [
            rng.uniform(-1, 1, shape) * self.scale * (6 / sum(shape)) ** 0.5
            for shape in self._shapes(network)
        ]
        return {"feedback": tuple(to_backend(R, xp=xp, dtype=dtype, device=where) for R in drawn)}

    def _shapes(self, network: Network) -> list[tuple[int, int]]:
        if self.path == "alignment":
            return [tuple(layer.W.shape) for layer in network.layers[1:]]
        outputs = network.layers[-1].W.shape[1]
        return [(layer.positions * layer.W.shape[1], outputs) for layer in network.layers[:-1]]

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return (x, f(â) − γg, f) of every layer, g through the state's matrices."""
        check_state(state, network, feedback=self._shapes(network))
        g_last = network.loss.g(trace.a_hat[-1], t, network.layers[-1].transfer)
        path = _aligned if self.path == "alignment" else _direct
        g, rule = path(network, trace, g_last, state["feedback"]), GradientTargets(self.step)
        parts = zip(network.layers, trace.x, trace.a_hat, trace.y_hat, g, strict=True)
        return [
            rule.of_layer(layer, local(layer), x, a_hat, y_hat, g_m, self.step)
            for layer, x, a_hat, y_hat, g_m in parts
        ], state


def _aligned(network: Network, trace: Trace, g_last: Any, feedback: Sequence[Any]) -> Sequence[Any]:
    """Return g of every layer by the backward pass of a network whose weights are R."""
    first, *others = network.layers
    swapped: list[Layer] = [
        Layer(R, None, layer.transfer, layer.wiring, layer.recurrent)
        for layer, R in zip(others, feedback, strict=True)
    ]
    return pull_down(replace(network, layers=(first, *swapped)), trace, g_last)


def _direct(network: Network, trace: Trace, g_last: Any, feedback: Sequence[Any]) -> Sequence[Any]:
    """Return g of every layer from that of the last one, by one matrix each."""
    hidden = zip(network.layers[:-1], trace.a_hat[:-1], feedback, strict=True)
    return *(layer.transfer.vjp(a, as_rows(g_last @ R.T, layer.positions)) for layer, a, R in hidden), g_last
