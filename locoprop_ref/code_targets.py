r"""Code targets: alternating minimization as a choice of targets and of inputs.

Methods of auxiliary coordinates give every hidden layer a variable of its own, its code c_m, here of the
pre-activation, and minimize in turn over the codes and over the weights:

    (1/μ) L(f(c_{M−1})W_M + b_M)  +  Σ_{m<M} ½‖ĉ_m − c_m‖²,        ĉ_m = f(c_{m−1})W_m + b_m,
                                                                    ĉ_1 = xW_1 + b_1.

One step of online alternating minimization:

1. forward, c_m = â_m;
2. codes, from m = M−1 down to 1, each of which sees the moved code above it: K gradient steps;
3. weights, all layers at the same time: the local problem of layer m has the target c_m and the input
   f(c_{m−1}), and the last layer has the network loss.

So the codes are a rule for targets and inputs, and the rest is LocoProp. With K = 1 they are the targets of
LocoProp-S with γ_m = s^{M−m}/μ, m < M.

Source: Choromanska, Cowen, Kumaravel, Luss, Rigotti, Rish et al., "Beyond Backprop: Online Alternating
Minimization with Auxiliary Variables", ICML 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.layers import Layer
from locoprop_ref.local import REDUCTIONS, Reduction
from locoprop_ref.network import Network, Trace
from locoprop_ref.optimizers import Momentum
from locoprop_ref.targets import LayerTarget, LocalLoss, State, check_state, network_loss_target

Inputs = Literal["moved", "forward"]
LastLayer = Literal["network_loss", "gradient"]
INPUTS: tuple[str, ...] = get_args(Inputs)
LAST_LAYERS: tuple[str, ...] = get_args(LastLayer)


@dataclass(frozen=True)
class CodeTargets:
    r"""The targets y* = f(c) and the inputs of alternating minimization.

    Args:
        code_steps: K ≥ 1 gradient steps on every code, default 1.
        code_lr: s > 0, their size; default 1, a first guess, untuned.
        coupling: μ > 0, the weight of the losses between layers: the network loss has the weight 1/μ, default
            1.
        momentum: ρ of Nesterov's momentum, 0 ≤ ρ < 1, which starts anew with every code of every batch;
            default 0 (the published code: 0.9).
        anchor: weight ≥ 0 of ½‖c − â‖², which keeps a code near the forward pass; default 0 (the published
            code has this term, but without a gradient).
        reduction: "sum" (default) of the losses between layers over batch and units, or "mean", as in the
            published code: ½‖·‖² becomes the mean of the squares, that is (2/(R·d)) ½‖·‖² with R rows of d
            units, in the steps of the codes and in the local problems of the hidden layers. The network loss
            is the mean over the batch in both.
        inputs: "moved" (default): a layer's input is made of the code below; or "forward": of the forward
            pass, as in LocoProp.
        last_layer: "network_loss" (default): the last layer's local loss is L itself; or "gradient": its
            target is f(â) − γ_M ∂L/∂â, for a network loss that is no matching loss, and for a closed form.
        last_step: γ_M > 0 of "gradient", default 1.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> import numpy as np
    >>> from locoprop_ref.network import forward, initialize
    >>> network = initialize((3, 5, 4, 2), transfers=("tanh", "tanh", "identity"))
    >>> trace = forward(network, np.ones((6, 3)))
    >>> [code.shape for code in CodeTargets(code_steps=5).codes(network, trace, np.ones((6, 2)))]
    [(6, 5), (6, 4)]
    """

    code_steps: int = 1
    code_lr: float = 1.0
    coupling: float = 1.0
    momentum: float = 0.0
    anchor: float = 0.0
    reduction: Reduction = "sum"
    inputs: Inputs = "moved"
    last_layer: LastLayer = "network_loss"
    last_step: float = 1.0

    def __post_init__(self) -> None:
        checks.keep(self, checks.integer, "code_steps")
        checks.keep(self, checks.positive, "code_lr", "coupling", "last_step")
        checks.keep(self, checks.fraction, "momentum")
        checks.keep(self, checks.not_negative, "anchor")
        checks.one_of("reduction", self.reduction, REDUCTIONS)
        checks.one_of("inputs", self.inputs, INPUTS)
        checks.one_of("last_layer", self.last_layer, LAST_LAYERS)

    def init(self, network: Network, seed: int = 0) -> State:
        """Return {}: the codes of a batch depend on nothing before it.

        Raises:
            ValueError: the network has a recurrent layer.
        """
        checks.instance("network", network, Network, "a Network, as initialize makes")
        if any(layer.recurrent for layer in network.layers):
            raise ValueError(
                "network must have no recurrent layer for codes: paths through it differ in length"
            )
        return {}

    def __call__(
        self, network: Network, trace: Trace, t: Any, local: LocalLoss, state: State
    ) -> tuple[Sequence[LayerTarget], State]:
        """Return (input, f(c), f) of every hidden layer, and of the last one what `last_layer` says.

        Raises:
            ValueError: the last layer shall have the network loss, which is not its matching loss, or a
                state that is not empty.
        """
        check_state(state, network)
        codes, targets = self.codes(network, trace, t), []
        for m, (layer, code) in enumerate(zip(network.layers, codes, strict=False)):
            x, f = self._input(network, trace, codes, m), local(layer)
            a_hat = trace.a_hat[m] if x is trace.x[m] else None
            targets.append(LayerTarget(x, f.f(code), f, a_hat, self._weight(code)))
        last, x = network.layers[-1], self._input(network, trace, codes, len(codes))
        if self.last_layer == "network_loss":
            return [*targets, network_loss_target(last, network.loss, x, t)], state
        a_hat, f = last.pre_activation(x), local(last)
        y_target = f.f(a_hat) - self.last_step * network.loss.g(a_hat, t, last.transfer)
        return [*targets, LayerTarget(x, y_target, f, a_hat)], state

    def codes(self, network: Network, trace: Trace, t: Any) -> tuple[Any, ...]:
        """Return the codes c_1..c_{M−1} after their steps, (R, d_m) each.

        Args:
            network: the network.
            trace: of its forward pass.
            t: (B, d_M), what the network should say.

        Raises:
            TypeError: no Network, or no Trace.
        """
        checks.instance("network", network, Network, "a Network, as initialize makes")
        checks.instance("trace", trace, Trace, "a Trace, as forward(network, x) makes")
        codes: list[Any] = []
        rule = Momentum(self.momentum, nesterov=True)
        for m in reversed(range(len(network.layers) - 1)):
            code = trace.a_hat[m]
            kept = rule.init(code)
            for _ in range(self.code_steps):
                gradient = self.gradient_above(network, m, code, codes[-1] if codes else None, t)
                if self.anchor:
                    gradient = gradient + self.anchor * self._weight(code) * (code - trace.a_hat[m])
                change, kept = rule.update(gradient, kept, self.code_lr)
                code = code - change
            codes.append(code)
        return tuple(reversed(codes))

    def loss_above(self, network: Network, m: int, code: Any, above: Any, t: Any) -> Any:
        """Return the loss that the layer above has with a code, a 0-d array: (1/μ)L, or ½‖ĉ − c‖².

        Args:
            network: the network.
            m: index of the code's layer, from 0.
            code: (R, d), its code.
            above: the code of layer m + 1; None where that is the last layer.
            t: (B, d_M), what the network should say.
        """
        layer, upper = network.layers[m], network.layers[m + 1]
        predicted = upper.pre_activation(upper.rows(layer.transfer.f(code)))
        if above is None:
            return network.loss.value(predicted, t, upper.transfer) / self.coupling
        return self._weight(predicted) / 2 * array_namespace(predicted).sum((predicted - above) ** 2)

    def gradient_above(self, network: Network, m: int, code: Any, above: Any, t: Any) -> Any:
        """Return the gradient of `loss_above` by the code, (R, d)."""
        layer, upper = network.layers[m], network.layers[m + 1]
        y = layer.transfer.f(code)
        predicted = upper.pre_activation(upper.rows(y))
        if above is None:
            error = network.loss.g(predicted, t, upper.transfer) / self.coupling
        else:
            error = self._weight(predicted) * (predicted - above)
        return layer.transfer.vjp(code, upper.pull_back(error, y))

    def _weight(self, values: Any) -> float:
        """Return the weight of ½‖·‖² of these numbers: 1, or 2/(R·d) for the mean of their squares."""
        return 1.0 if self.reduction == "sum" else 2.0 / (values.shape[0] * values.shape[1])

    def _input(self, network: Network, trace: Trace, codes: Sequence[Any], m: int) -> Any:
        """Return the rows of the input of layer m, counted from 0."""
        if self.inputs == "forward" or m == 0:
            return trace.x[m]
        below: Layer = network.layers[m - 1]
        return network.layers[m].rows(below.transfer.f(codes[m - 1]))
