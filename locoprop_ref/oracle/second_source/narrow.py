"""Floats whose matrix products round their inputs to a few bits first, as TF32 products on a GPU do."""

from typing import Any


class Narrow(float):
    """A float of 53 bits that knows how its products of matrices round their inputs.

    Attributes:
        to: the function that rounds an input.
    """

    to: Any = None

    def narrowed(self) -> float:
        """Return the number as a product of matrices sees it."""
        return float(self.to(float(self)))


def _wrap(kind: type[Narrow], name: str) -> Any:
    plain = getattr(float, name)

    def operation(self: float, *others: float) -> Any:
        value = plain(self, *(float(other) for other in others))
        return kind(value) if isinstance(value, float) else value

    return operation


class NarrowProducts:
    """An arithmetic like `floats()`, whose numbers are `Narrow`."""

    def __init__(self, bits: int, cut: bool) -> None:
        import mpmath

        floats = mpmath.fp

        def to(value: float) -> float:
            if value - value != 0:  # not finite
                return value
            mantissa, exponent = floats.frexp(value)
            scaled = mantissa * 2.0**bits
            return float((int(scaled) if cut else round(scaled)) * 2.0 ** (exponent - bits))

        self._floats = floats
        self.kind = type("Rounded", (Narrow,), {"to": staticmethod(to)})
        operators = ("add", "sub", "mul", "truediv", "pow", "radd", "rsub", "rmul", "rtruediv", "rpow")
        for name in (*operators, "neg", "abs", "pos"):
            setattr(self.kind, f"__{name}__", _wrap(self.kind, f"__{name}__"))
        self.eps, self.inf, self.pi = (self.kind(v) for v in (floats.eps, floats.inf, floats.pi))

    def mpf(self, value: Any) -> Any:
        """Return a number of this arithmetic."""
        return self.kind(float(value))

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._floats, name)

        def wrapped(*arguments: Any) -> Any:
            value = function(*(float(a) for a in arguments))
            return self.kind(value) if isinstance(value, float) else value

        return wrapped
