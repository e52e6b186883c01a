r"""MAC, the method of auxiliary coordinates: alternating minimization on all examples at once.

Every example has for every hidden layer a code c_m of its own, here of the pre-activation. One objective in
codes and weights,

    P = (1/μ) L(ĉ_M, t) + Σ_{m<M} ½‖c_m − ĉ_m‖²,        ĉ_1 = xW_1 + b_1,  ĉ_m = f(c_{m−1})W_m + b_m,

is lowered in turn over the codes (Z-step) and over the weights (W-step). The sum is over all examples and
units, while L is the **mean** over the examples, so that a balanced μ is about one over their number.

    Z-step   from m = M−1 down to 1, each code below the moved code above it: gradient steps
    W-step   all layers by themselves, since the codes separate them: least squares to the codes;
             the last layer one step of LocoProp-S without regularizer on L

Where a block is not minimized exactly, a step that would raise P is halved until it does not. So P never
rises. Online alternating minimization (`CodeTargets`) makes its codes anew for every batch: its code step
with the anchor ½‖c − â‖² is one sweep of the Z-step from the forward pass, without the guard.

At the solution of the Z-step the codes are targets with the same step for every layer, c_m = ĉ_m − g_m/μ,
where g_m is ∂L/∂â_m by the chain rule along the codes; for μ → ∞ it is that of BackProp.

Source: Carreira-Perpiñán, Wang, "Distributed optimization of deeply nested systems", AISTATS 2014.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from locoprop_ref import checks
from locoprop_ref.backend import array_namespace
from locoprop_ref.code_targets import CodeTargets
from locoprop_ref.layers import Layer
from locoprop_ref.methods.base import Info, State, check_network, check_step
from locoprop_ref.methods.offline import check_examples, fitted, guarded_step, least_squares_change
from locoprop_ref.network import Network, forward

# sup f′ of the transfer functions whose matching loss is a network loss: B·L has at most this curvature in â
CURVATURE = {"identity": 1.0, "sigmoid": 0.25, "softmax": 0.5}


@dataclass(frozen=True)
class MAC:
    r"""The method of auxiliary coordinates.

    Args:
        code_steps: K ≥ 1 gradient steps on every code, default 5.
        code_lr: s > 0, the size that is tried first, default 1.
        coupling: μ > 0, the network loss has the weight 1/μ; default 1e-4, a first guess for about ten
            thousand examples.

    Raises:
        ValueError, TypeError: a setting out of its range.

    >>> import numpy as np
    >>> from locoprop_ref.network import initialize
    >>> network = initialize((3, 8, 2), transfers=("tanh", "identity"))
    >>> x = np.random.default_rng(0).normal(size=(50, 3))
    >>> t, ours = x[:, :2] ** 2, MAC(coupling=0.01)
    >>> state, objectives = ours.init(network), []
    >>> for _ in range(10):
    ...     network, state, info = ours.step(network, state, x, t)
    ...     objectives.append(float(ours.objective(network, state, x, t)))
    >>> objectives == sorted(objectives, reverse=True)
    True
    """

    sees_all_examples: ClassVar[bool] = True  # a step takes all examples, always in the same order

    code_steps: int = 5
    code_lr: float = 1.0
    coupling: float = 1e-4

    def __post_init__(self) -> None:
        checks.keep(self, checks.integer, "code_steps")
        checks.keep(self, checks.positive, "code_lr", "coupling")

    def init(self, network: Network, seed: int = 0) -> State:
        """Return the state before the examples are known: codes that are None.

        Raises:
            ValueError: the network has a recurrent layer.
        """
        CodeTargets().init(check_network(network))  # which refuses recurrent layers
        return {"layers": tuple(dict.fromkeys(names) for names in _names(network))}

    def step(
        self, network: Network, state: State, x: Any, t: Any, *, rate: float = 1.0
    ) -> tuple[Network, State, Info]:
        """Return (network, state, {}) after one Z-step and one W-step.

        The first step begins with the codes of the forward pass. The rate multiplies s; at rate 0 nothing
        moves.

        Args:
            network: the network.
            state: what `init` or the step before returned.
            x: (B, d_0), all examples.
            t: (B, d_M), what the network should say.
            rate: r ≥ 0, default 1.

        Raises:
            ValueError, TypeError: another number of examples than before; see also `init`.
        """
        r = check_step(network, state, x, t, rate)
        CodeTargets().init(network)
        if check_examples(network, state, x, t, _names(network)):
            codes = list(forward(network, x).a_hat[:-1])
        else:
            codes = [entry["code"] for entry in state["layers"][:-1]]
        if r:
            codes = self.code_sweep(network, codes, x, t, rate=r)
            network = self._fitted(network, codes, x, t)
        return network, {"layers": (*({"code": code} for code in codes), {})}, {}

    def objective(self, network: Network, state: State, x: Any, t: Any) -> Any:
        """Return P, a 0-d array, for the codes of a state after a step.

        Args:
            network: the network.
            state: after a step.
            x: (B, d_0), all examples.
            t: (B, d_M).
        """
        codes = [entry["code"] for entry in state["layers"][:-1]]
        *predicted, output = predictions(network, codes, x)
        total = network.loss.value(output, t, network.layers[-1].transfer) / self.coupling
        for code, p in zip(codes, predicted, strict=True):
            total = total + _half_square(code - p)
        return total

    def code_sweep(
        self, network: Network, codes: Sequence[Any], x: Any, t: Any, *, rate: float = 1.0
    ) -> list[Any]:
        """Return the codes after one Z-step: K guarded gradient steps on each, from the top down.

        Args:
            network: the network.
            codes: c_1..c_{M−1}.
            x: (B, d_0), all examples.
            t: (B, d_M).
            rate: factor of s, default 1.
        """
        rule = CodeTargets(coupling=self.coupling)
        predicted = predictions(network, codes, x)  # the codes below a code move after it
        moved: list[Any] = []
        for m in reversed(range(len(codes))):
            above, code, p = moved[-1] if moved else None, codes[m], predicted[m]

            def block(c: Any, m: int = m, above: Any = above, p: Any = p) -> Any:
                return rule.loss_above(network, m, c, above, t) + _half_square(c - p)

            for _ in range(self.code_steps):
                gradient = rule.gradient_above(network, m, code, above, t) + (code - p)
                code = guarded_step(block, code, gradient, rate * self.code_lr)
            moved.append(code)
        return moved[::-1]

    def _fitted(self, network: Network, codes: Sequence[Any], x: Any, t: Any) -> Network:
        """Return the network after the W-step."""
        inputs = _inputs(network, codes, x)
        hidden = zip(network.layers, inputs, codes, strict=False)  # the last layer has no code
        layers = [fitted(layer, rows, code) for layer, rows, code in hidden]
        return replace(network, layers=(*layers, _last_layer(network, inputs[-1], t)))


def _last_layer(network: Network, x: Any, t: Any) -> Layer:
    """Return the last layer after a step −γX̃⁺g, LocoProp-S's with η = ∞, that does not raise L.

    With γ = B/sup f′ the squared loss bounds a matching network loss from above, and for the squared error of
    a linear layer this is its minimum.
    """
    last = network.layers[-1]
    rows, W, f = last.augment(x), last.stacked, last.transfer
    g = network.loss.g(rows @ W, t, f)
    gamma = x.shape[0] / CURVATURE.get(f.name, 1.0)
    direction = least_squares_change(rows, g)
    return last.with_stacked(guarded_step(lambda W: network.loss.value(rows @ W, t, f), W, direction, gamma))


def predictions(network: Network, codes: Sequence[Any], x: Any) -> list[Any]:
    """Return ĉ_1..ĉ_M, what every layer makes of the code below it.

    Args:
        network: the network.
        codes: c_1..c_{M−1}, (R, d_m) each.
        x: (B, d_0), all examples.
    """
    inputs = _inputs(network, codes, x)
    return [layer.pre_activation(rows) for layer, rows in zip(network.layers, inputs, strict=True)]


def _inputs(network: Network, codes: Sequence[Any], x: Any) -> list[Any]:
    said = [x, *(layer.transfer.f(code) for layer, code in zip(network.layers, codes, strict=False))]
    return [layer.rows(y) for layer, y in zip(network.layers, said, strict=True)]


def _half_square(a: Any) -> Any:
    return array_namespace(a).sum(a**2) / 2


def _names(network: Network) -> list[tuple[str, ...]]:
    return [*[("code",) for _ in network.layers[:-1]], ()]
