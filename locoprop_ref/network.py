r"""The network: layers, initialization, forward pass and hand-written backward pass.

Examples are rows. A layer maps x (B, d_in) to the pre-activation â = xW + b and on to ŷ = f(â), both
(B, d_out). The bias is one more input that is always 1: with x̃ = [x, 1] and W̃ = [W; b], â = x̃W̃.

>>> network = initialize((3, 4, 2), transfers="tanh", output_loss="squared_error", seed=0)
>>> [tuple(layer.W.shape) for layer in network.layers]
[(3, 4), (4, 2)]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from locoprop_ref import checks
from locoprop_ref.architectures import LayerPlan, architecture, dense
from locoprop_ref.backend import namespace, to_backend
from locoprop_ref.layers import Layer
from locoprop_ref.losses import OutputLoss
from locoprop_ref.losses import output_loss as _output_loss
from locoprop_ref.transfers import Transfer
from locoprop_ref.transfers import transfer as _transfer

INITIALIZERS = ("glorot_uniform", "glorot_uniform_zero_bias")


@dataclass(frozen=True)
class Network:
    """Layers m = 1..M and the network loss L.

    Raises:
        ValueError: no layer, widths that do not meet, or a loss that does not go with the last transfer.
        TypeError: layers that are no tuple of layers, or a loss that is none.
    """

    layers: tuple[Layer, ...]
    loss: OutputLoss

    def __post_init__(self) -> None:
        self._check_types()
        if not self.layers:
            raise ValueError("layers must hold at least one layer, got none")
        for m, (below, above) in enumerate(pairwise(self.layers), start=1):
            _check_meet(m, below, above)
        first, last = self.layers[0], self.layers[-1]
        if first.wiring is not None and first.wiring.below != 1:
            raise ValueError(
                "layers must begin with one that reads flat examples, got one that reads positions"
            )
        if last.positions != 1:
            raise ValueError(f"layers must end with one row for an example, got {last.positions} positions")
        weights = {}
        for m, layer in enumerate(self.layers, start=1):
            weights[f"W of layer {m}"] = layer.W
        checks.same_dtype(**weights)
        self.loss.check_transfer(self.layers[-1].transfer)

    def _check_types(self) -> None:
        """Refuse what is no layer and no loss; every step makes a network, so that it calls nothing else."""
        wanted = "a tuple of layers, such as Layer(W, b, transfer('tanh'))"
        if not isinstance(self.layers, tuple | list):
            checks.instance("layers", self.layers, tuple, wanted)
        for layer in self.layers:
            if not isinstance(layer, Layer):
                checks.instance("layers", layer, Layer, wanted)
        if not isinstance(self.loss, OutputLoss):
            loss = "a network loss, as output_loss('squared_error') makes"
            checks.instance("loss", self.loss, OutputLoss, loss)


def _check_meet(m: int, below: Layer, above: Layer) -> None:
    """Check that a layer reads what the one below it says."""
    says = below.W.shape[1] * below.positions
    if says != above.inputs:
        raise ValueError(
            f"layers must meet: layer {m} has {says} outputs, layer {m + 1} takes {above.inputs} inputs"
        )
    reads = 1 if above.wiring is None else above.wiring.below
    if reads != below.positions:
        raise ValueError(
            f"layers must meet: layer {m} has {below.positions} positions, layer {m + 1} reads {reads}"
        )


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves: x, a_hat and y_hat of every layer, before any weight changes."""

    x: tuple[Any, ...]
    a_hat: tuple[Any, ...]
    y_hat: tuple[Any, ...]


def initialize(
    layer_sizes: Sequence[int] | str,
    *,
    transfers: str | Transfer | Sequence[str | Transfer],
    output_loss: str | OutputLoss = "squared_error",
    bias: bool = True,
    init: str = "glorot_uniform",
    seed: int | np.random.Generator = 0,
    dtype: str = "float64",
    xp: Any = None,
    device: Any = None,
) -> Network:
    r"""Draw a network; the same seed gives the same weights on every array library.

    Layer by layer, W and then b, uniform in float64, cast to `dtype`, then moved to the device.

    Args:
        layer_sizes: d_0, d_1, ..., d_M of dense layers, or an architecture in words, see `architectures`.
        transfers: one for every layer, or one for all.
        output_loss: network loss, by name.
        bias: whether layers have one.
        init: "glorot_uniform" (default, the authors' code: W from U(±√(6/(d_in + d_out))) (Glorot and
            Bengio 2010; with a kernel of S×S the fans are S² times the channels), and the bias too, whose
            fans Keras takes as (d_out, d_out): U(±√(3/d_out))), or
            "glorot_uniform_zero_bias" (draws W alone; b = 0).
        seed: for numpy.random.default_rng; a Generator is drawn from as it stands.
        dtype: "float32" or "float64".
        xp: array namespace, default NumPy's; see `backend.namespace`.
        device: where the arrays live, default the library's own.

    Raises:
        ValueError, TypeError: fewer than two sizes, a size below 1, a number of transfers other than the
            number of layers, unknown names, or an array namespace that is none.
    """
    plans = architecture(layer_sizes) if isinstance(layer_sizes, str) else _dense(layer_sizes)
    checks.one_of("dtype", dtype, checks.FLOATS)
    checks.one_of("init", init, INITIALIZERS)
    checks.boolean("bias", bias)
    xp = namespace("numpy") if xp is None else checks.array_library("xp", xp)
    if not isinstance(seed, np.random.Generator):
        checks.integer("seed", seed, minimum=0, maximum=None)
    rng = np.random.default_rng(seed)
    layers = []
    for plan, f in zip(plans, _transfers(transfers, len(plans)), strict=True):
        d_out = plan.d_out
        W = rng.uniform(-1, 1, (plan.d_in, d_out)) * (6 / sum(plan.fans)) ** 0.5
        b = (
            rng.uniform(-1, 1, d_out) * (3 / d_out) ** 0.5
            if bias and init == "glorot_uniform"
            else np.zeros(d_out)
        )
        W, b = (to_backend(values, xp=xp, dtype=dtype, device=device) for values in (W, b))
        layers.append(Layer(W, b if bias else None, f, plan.wiring, plan.recurrent))
    loss = _output_loss(output_loss) if isinstance(output_loss, str) else output_loss
    return Network(tuple(layers), loss)


def _dense(layer_sizes: Sequence[int]) -> tuple[LayerPlan, ...]:
    sizes = checks.several("layer_sizes", layer_sizes, "a sequence of sizes, or their name")
    if len(sizes) < 2:
        raise ValueError(f"layer_sizes must hold at least two sizes, got {sizes}")
    return dense([checks.integer("layer_sizes", size) for size in sizes])


def _transfers(transfers: Any, layers: int) -> list[Transfer]:
    wanted = "a transfer function or its name, or one for each layer"
    one = isinstance(transfers, str | Transfer)
    given = (transfers,) * layers if one else checks.several("transfers", transfers, wanted)
    if len(given) != layers:
        raise ValueError(
            f"transfers must be one for each of {layers} layers or one for all, got {len(given)}"
        )
    return [_transfer(f) if isinstance(f, str) else f for f in given]


def forward(network: Network, x: Any, memory_limit: int | None = None) -> Trace:
    """Return the inputs, pre-activations and post-activations of every layer.

    Args:
        network: the network.
        x: (B, d_0) batch, in the dtype of the network.
        memory_limit: bytes for the rows of one layer; a convolution with more has `blocks.RowBlocks` for x.
            None (default) for no limit.

    Raises:
        ValueError, TypeError: x is empty, or of another width, dtype or library than the network.
    """
    _check_batch(network, x, memory_limit)
    y, xs, a_hats, y_hats = x, [], [], []
    for layer in network.layers:
        rows, a_hat, y = layer.through(y, memory_limit)
        xs.append(rows)
        a_hats.append(a_hat)
        y_hats.append(y)
    return Trace(tuple(xs), tuple(a_hats), tuple(y_hats))


def backward(network: Network, trace: Trace, t: Any) -> tuple[Any, ...]:
    r"""Return g_m = ∂L/∂â_m of every layer, (R, d_m), the 1/B of the mean over the batch included.

    From the output loss down by the chain rule: g_{m−1} = (g_m W_mᵀ) f′_{m−1}(â_{m−1}), where a layer with
    positions adds what all its rows pull back, and a recurrent layer goes back through time.

    Args:
        network: the network.
        trace: of the forward pass.
        t: (B, d_M), what the network should say.

    Raises:
        ValueError, TypeError: t does not fit the network's output.
    """
    _check_trace(network, trace)
    last = network.layers[-1]
    return pull_down(network, trace, network.loss.g(trace.a_hat[-1], t, last.transfer))


def pull_down(network: Network, trace: Trace, g_last: Any) -> tuple[Any, ...]:
    r"""Return Σ g_last ∂â_M/∂â_m for every layer, (R, d_m), from the bottom up, by the chain rule.

    With ∂L/∂â_M for `g_last` this is `backward`; with other rows, each a cotangent of one example, it
    multiplies them by the Jacobians of the layers above m.

    Args:
        network: the network.
        trace: of the forward pass.
        g_last: (B, d_M), one row for every example.

    Raises:
        TypeError: no Network, or no Trace.
    """
    if type(network) is not Network or type(trace) is not Trace:
        _check_trace(network, trace)
    g = [g_last]
    for m in range(len(network.layers) - 1, 0, -1):
        pulled = network.layers[m].pull_back(g[-1], trace.y_hat[m - 1])
        g.append(network.layers[m - 1].total(trace.a_hat[m - 1], pulled))
    return tuple(reversed(g))


def _check_batch(network: Network, x: Any, memory_limit: int | None) -> None:
    """Refuse what `forward` cannot take; sound arguments cost a call or two, because a step is short."""
    if not isinstance(network, Network):
        checks.instance("network", network, Network, "a Network, as initialize makes")
    W = network.layers[0].W
    checks.batch("x", x, width=network.layers[0].inputs)
    if type(x) is not type(W) or x.dtype != W.dtype:
        checks.same_dtype(network=W, x=x)
    if memory_limit is not None and not (type(memory_limit) is int and memory_limit > 0):
        checks.integer("memory_limit", memory_limit)


def _check_trace(network: Network, trace: Trace) -> None:
    """Refuse what is no network with its trace."""
    if not isinstance(network, Network):
        checks.instance("network", network, Network, "a Network, as initialize makes")
    if not isinstance(trace, Trace):
        checks.instance("trace", trace, Trace, "a Trace, as forward(network, x) makes")
    a_hat, W = trace.a_hat[-1], network.layers[-1].W
    if a_hat.dtype != W.dtype:
        checks.same_dtype(network=W, trace=a_hat)


def predict(network: Network, x: Any) -> Any:
    """Return the network's output ŷ_M, (B, d_M).

    Args:
        network: the network.
        x: (B, d_0) batch.

    Raises:
        ValueError, TypeError: as for `forward`.
    """
    return forward(network, x).y_hat[-1]


def network_loss(network: Network, x: Any, t: Any) -> Any:
    """Return L on a batch, a 0-d array: the sum over outputs, the mean over the batch.

    Args:
        network: the network.
        x: (B, d_0) batch.
        t: (B, d_M), what the network should say.

    Raises:
        ValueError, TypeError: x as for `forward`, or t does not fit the network's output.
    """
    trace = forward(network, x)
    return network.loss.value(trace.a_hat[-1], t, network.layers[-1].transfer)


def gradients(network: Network, x: Any, t: Any) -> tuple[Any, ...]:
    r"""Return ∂L/∂W̃_m = X̃_mᵀ g_m of every layer, (d_in + 1, d_out) (without bias: (d_in, d_out)).

    L is the mean over the batch, and so its gradient.

    Args:
        network: the network.
        x: (B, d_0) batch.
        t: (B, d_M), what the network should say.

    Raises:
        ValueError, TypeError: as for `network_loss`.

    >>> import numpy as np
    >>> network = initialize((3, 2), transfers="identity")
    >>> gradients(network, np.ones((5, 3)), np.ones((5, 2)))[0].shape
    (4, 2)
    """
    trace = forward(network, x)
    g = backward(network, trace, t)
    return tuple(layer.gradient(x, g_m) for layer, x, g_m in zip(network.layers, trace.x, g, strict=True))
