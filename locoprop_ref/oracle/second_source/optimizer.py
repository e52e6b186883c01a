r"""Local optimizers, in which every choice that differs between libraries has a name.

rmsprop   v ← ρv + (1 − ρ)G²;  D = G/√(v + ε) or G/(√v + ε);  then as momentum
momentum  c ← μc + D;  W ← W − rate·c           ("outside"), or
          c ← μc + rate·D;  W ← W − c           ("in buffer")
nesterov  c ← μc + G;  W ← W − rate·(G + μc)
adagrad   v ← v + G²;  W ← W − rate·G/√v or G/(√v + ε)
adam      m ← β₁m + (1 − β₁)G, v ← β₂v + (1 − β₂)G², both corrected for their initial value of zero
"""

from typing import Any

from locoprop_ref.oracle.second_source.numbers import number


class Optimizer:
    """The optimizer of one entry of W̃, which turns gradients into changes (W ← W − change)."""

    def __init__(self, ctx: Any, inputs: dict[str, Any], choices: dict[str, str]) -> None:
        self.ctx, self.choices, self.name = ctx, choices, inputs["optimizer"]
        hyper = ("momentum", "decay", "epsilon", "beta1", "beta2", "initial_accumulator")
        self.given = {key: number(ctx, inputs[key]) for key in hyper if key in inputs}
        self.buffer, self.count = ctx.mpf(0), 0
        self.v, self.total = ctx.mpf(0), ctx.mpf(0)
        if self.name == "rmsprop":
            self.v = ctx.mpf(1 if choices["mean_square_start"] == "ones" else 0)
        if self.name == "adagrad" and choices["accumulator_start"] == "given":
            self.v = self.given["initial_accumulator"]

    def change(self, G: Any, rate: Any) -> Any:
        """Return the change of the entry for the gradient G and this rate, and update the state."""
        ctx, given = self.ctx, self.given
        name = self.name
        if self.choices["local_gradient"] == "accumulated":
            G = self.total = self.total + G
        if name in ("momentum", "nesterov"):
            form = self.choices["momentum_form"]
            if form == "exchanged":
                name = "nesterov" if name == "momentum" else "momentum"
            elif form == "averaged":
                G = (1 - given["momentum"]) * G
            elif form == "rate in buffer":
                G, rate = rate * G, ctx.mpf(1)
        match name:
            case "sgd":
                return rate * G
            case "momentum":
                return self._momentum(G, rate)
            case "nesterov":
                self.buffer = given["momentum"] * self.buffer + G
                return rate * (G + given["momentum"] * self.buffer)
            case "adagrad":
                self.v = self.v + G * G
                place = self.choices["epsilon_place"]
                root = ctx.sqrt(self.v + (given["epsilon"] if place == "inside" else 0))
                root = root + (given["epsilon"] if place == "outside" else 0)
                return rate * G / root if G != 0 else 0 * G
            case "rmsprop":
                self.v = given["decay"] * self.v + (1 - given["decay"]) * G * G
                inside = self.choices["epsilon_place"] == "inside"
                root = ctx.sqrt(self.v + given["epsilon"]) if inside else ctx.sqrt(self.v) + given["epsilon"]
                return self._momentum(G / root, rate)
        return self._adam(G, rate)

    def _momentum(self, D: Any, rate: Any) -> Any:
        momentum = self.given.get("momentum", self.ctx.mpf(0))
        if self.choices["rate_place"] == "in buffer" and self.name == "rmsprop":
            self.buffer = momentum * self.buffer + rate * D
            return self.buffer
        self.buffer = momentum * self.buffer + D
        return rate * self.buffer

    def _adam(self, G: Any, rate: Any) -> Any:
        ctx, given = self.ctx, self.given
        beta1, beta2 = given["beta1"], given["beta2"]
        self.count += 1
        self.buffer = beta1 * self.buffer + (1 - beta1) * G
        self.v = beta2 * self.v + (1 - beta2) * G * G
        corrected = self.choices["bias_correction"] == "yes"
        first = 1 - beta1**self.count if corrected else ctx.mpf(1)
        second = 1 - beta2**self.count if corrected else ctx.mpf(1)
        if self.choices["adam_epsilon"] == "v":
            return rate * ctx.sqrt(second) / first * self.buffer / (ctx.sqrt(self.v) + given["epsilon"])
        return rate * (self.buffer / first) / (ctx.sqrt(self.v / second) + given["epsilon"])


def for_matrix(ctx: Any, rows: int, columns: int, inputs: dict[str, Any], choices: dict[str, str]) -> Any:
    """Return a matrix of optimizers, one for each entry."""
    return [[Optimizer(ctx, inputs, choices) for _ in range(columns)] for _ in range(rows)]


def updated(W: Any, G: Any, optimizers: Any, rate: Any) -> Any:
    """Return W after one update of every entry."""
    return [
        [w - optimizer.change(gradient, rate) for w, gradient, optimizer in zip(*rows, strict=True)]
        for rows in zip(W, G, optimizers, strict=True)
    ]
