r"""Transfer functions from their definitions, for one row of pre-activations at a time.

f and F are written as in a textbook, because the arithmetic has enough digits to make cancellation harmless.
The derivative is the Jacobian of a row. f⁻¹ is given by its formula, and F* by the supremum that defines it,
which is attained at a = f⁻¹(y) inside the range of f and is a limit on its boundary.
"""

from typing import Any

from locoprop_ref.oracle.second_source.numbers import Matrix, dot


class Transfer:
    """A transfer function of a given name over the numbers of `ctx`.

    Args:
        ctx: mpmath context.
        name: identity relu leaky_relu tanh sigmoid softplus elu arctan softmax.
        choices: the conventions `derivative_at_kink`, `softmax_vjp` and `integral_constant`.
        slope: the slope of leaky_relu below zero.
        alpha: the parameter of elu.
    """

    def __init__(
        self, ctx: Any, name: str, choices: dict[str, str], *, slope: Any = 0.01, alpha: Any = 1.0
    ) -> None:
        self.ctx, self.name, self.choices = ctx, name, choices
        self.slope = {"relu": ctx.mpf(0), "leaky_relu": ctx.mpf(float(slope))}.get(name, ctx.mpf(1))
        self.alpha = ctx.mpf(float(alpha))

    def f(self, row: list[Any]) -> list[Any]:
        """Return f of one row."""
        if self.name == "softmax":
            weights = [self.ctx.exp(a - max(row)) for a in row]
            return [w / sum(weights) for w in weights]
        return [self._f(a) for a in row]

    def _f(self, a: Any) -> Any:
        ctx = self.ctx
        match self.name:
            case "tanh":
                return ctx.tanh(a)
            case "sigmoid":
                return 1 / (1 + ctx.exp(-a))
            case "softplus":
                return a + ctx.log1p(ctx.exp(-a)) if a > 0 else ctx.log1p(ctx.exp(a))
            case "arctan":
                return ctx.atan(a)
            case "elu":
                return a if a > 0 else self.alpha * ctx.expm1(a)
        return a if a > 0 else self.slope * a

    def derivative(self, a: Any) -> Any:
        """Return f′(a) of an elementwise transfer."""
        ctx = self.ctx
        right = a == 0 and self.choices["derivative_at_kink"] == "right"
        match self.name:
            case "tanh":
                return 1 / ctx.cosh(a) ** 2
            case "sigmoid":
                return 1 / (2 + ctx.exp(a) + ctx.exp(-a))
            case "softplus":
                return 1 / (1 + ctx.exp(-a))
            case "arctan":
                return 1 / (1 + a * a)
            case "elu":
                return ctx.mpf(1) if a > 0 or right else self.alpha * ctx.exp(a)
        return ctx.mpf(1) if a > 0 or right else self.slope

    def jacobian(self, row: list[Any]) -> Matrix:
        """Return ∂f_i/∂a_j as a matrix."""
        zero = self.ctx.mpf(0)
        if self.name != "softmax":
            return [
                [self.derivative(a) if i == j else zero for j in range(len(row))] for i, a in enumerate(row)
            ]
        p = self.f(row)
        full = self.choices["softmax_vjp"] == "full"
        return [
            [p_i * (1 - p_i) if i == j else (-p_i * p_j if full else zero) for j, p_j in enumerate(p)]
            for i, p_i in enumerate(p)
        ]

    def vjp(self, row: list[Any], u: list[Any]) -> list[Any]:
        """Return uᵀf′ of one row."""
        if self.name != "softmax":
            return [u_i * self.derivative(a) for a, u_i in zip(row, u, strict=True)]
        J = self.jacobian(row)
        return [dot(u, [J[i][j] for i in range(len(row))]) for j in range(len(row))]

    def F(self, row: list[Any]) -> list[Any]:
        """Return F of one row, as a list of the same length; for softmax a list of one number."""
        constant = self.ctx.mpf(0)
        if self.choices["integral_constant"] == "zero at zero":
            constant = self._F([constant] * len(row) if self.name == "softmax" else [constant])[0]
        return [value - constant for value in self._F(row)]

    def _F(self, row: list[Any]) -> list[Any]:
        ctx = self.ctx
        if self.name == "softmax":
            top = max(row)
            return [top + ctx.log(sum(ctx.exp(a - top) for a in row))]
        return [self._integral(a) for a in row]

    def _integral(self, a: Any) -> Any:
        ctx, size = self.ctx, abs(a)
        match self.name:
            case "tanh":  # log cosh a
                return size + ctx.log1p(ctx.exp(-2 * size)) - ctx.log(2)
            case "sigmoid":  # log(1 + eᵃ)
                return max(a, ctx.mpf(0)) + ctx.log1p(ctx.exp(-size))
            case "softplus":  # −Li₂(−eᵃ), reflected where eᵃ is large
                tail = -ctx.polylog(2, -ctx.exp(-size)) if a != 0 else ctx.pi**2 / 12
                return a * a / 2 + ctx.pi**2 / 6 - tail if a > 0 else tail
            case "arctan":
                return a * ctx.atan(a) - ctx.log(1 + a * a) / 2
            case "elu":
                return a * a / 2 if a > 0 else self.alpha * (ctx.expm1(a) - a)
        return a * a / 2 if a > 0 else self.slope * a * a / 2

    def inverse(self, y: Any) -> Any:
        """Return f⁻¹(y), for y inside the closed range of a strictly increasing f."""
        ctx, inf = self.ctx, self.ctx.inf
        match self.name:
            case "tanh":
                return y * inf if abs(y) == 1 else ctx.atanh(y)
            case "sigmoid":
                return inf * (2 * y - 1) if y in (0, 1) else ctx.log(y / (1 - y))
            case "softplus":
                return -inf if y == 0 else ctx.log(ctx.expm1(y))
            case "arctan":
                return ctx.tan(y)
            case "elu":
                return y if y > 0 else (-inf if y == -self.alpha else ctx.log1p(y / self.alpha))
        return y if y > 0 else y / self.slope

    def F_star(self, row: list[Any]) -> list[Any]:
        """Return F*(y) = sup_a (a·y − F(a)), as a list of the same length; for softmax one number."""
        if self.name != "softmax":
            return [self._conjugate(y) for y in row]
        if min(row) < 0 or sum(row) != 1:
            return [self.ctx.inf]
        return [sum((y * self.ctx.log(y) for y in row if y > 0), self.ctx.mpf(0))]

    def _conjugate(self, y: Any) -> Any:
        ctx = self.ctx
        low, high = self.range()
        if y < low or y > high:
            return ctx.inf
        if self.name == "relu":
            return y * y / 2
        if y in (low, high):  # the limit of a·y − F(a) as a → ±∞
            limits = {"tanh": ctx.log(2), "sigmoid": ctx.mpf(0), "softplus": ctx.mpf(0), "elu": self.alpha}
            return limits[self.name]
        a = self.inverse(y)
        return a * y - self._integral(a)

    def range(self) -> tuple[Any, Any]:
        """Return the ends of the closed range of f."""
        ctx = self.ctx
        match self.name:
            case "relu" | "softplus":
                return ctx.mpf(0), ctx.inf
            case "tanh":
                return ctx.mpf(-1), ctx.mpf(1)
            case "sigmoid" | "softmax":
                return ctx.mpf(0), ctx.mpf(1)
            case "arctan":
                return -ctx.pi / 2, ctx.pi / 2
            case "elu":
                return -self.alpha, ctx.inf
        return -ctx.inf, ctx.inf

    def project(self, row: list[Any]) -> list[Any]:
        """Return the nearest point of the closed range; for softmax the nearest point of the simplex."""
        low, high = self.range()
        if self.name != "softmax":
            return [min(max(y, low), high) for y in row]
        best = None
        for k in range(1, len(row) + 1):  # for the right k, exactly the k largest entries stay positive
            kept = sorted(row, reverse=True)[:k]
            theta = (sum(kept) - 1) / k
            if kept[-1] - theta >= 0:
                best = theta
        return [max(y - best, self.ctx.mpf(0)) for y in row]
