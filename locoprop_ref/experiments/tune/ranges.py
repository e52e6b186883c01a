"""A searched option with its range."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import log
from typing import Any, Literal

from locoprop_ref.experiments.tuned.record import Value

Values = dict[str, Value]
Edge = Literal["low", "high"]


@dataclass(frozen=True)
class Range:
    """An option with its range: from low to high on a logarithmic scale, or values to choose from.

    A range with a condition is searched only where an option before it has one of some values. The values
    stand in its name, so that an option may have one range for each of them.

    Attributes:
        option: a field of `Config`.
        low, high: the ends of the searched number, which is 1 − option where `one_minus` is set.
        one_minus: search the distance from 1.
        no_edge: the end beyond which values have the same effect, or do not exist.
        choices: names, or numbers in ascending order, instead of a range.
        integer: search whole numbers alone.
        when: (option, values): the condition; None (default) for a range without one.

    >>> Range("local_lr", 1e-6, 1e-2, when=("optimizer", ("adam",))).name
    'local_lr@adam'
    """

    option: str
    low: float = 0.0
    high: float = 0.0
    one_minus: bool = False
    no_edge: Edge | None = None
    choices: tuple[Value, ...] = ()
    integer: bool = False
    when: tuple[str, tuple[Value, ...]] | None = None

    @property
    def name(self) -> str:
        """The name of the searched number: "learning_rate", "1 - momentum", "local_lr@adam"."""
        name = f"1 - {self.option}" if self.one_minus else self.option
        return name if self.when is None else f"{name}@{'+'.join(map(str, self.when[1]))}"

    def is_searched(self, values: Mapping[str, Value]) -> bool:
        """Tell whether the condition holds, given the values of the ranges before this one, by their names.

        >>> decay = one_minus("decay", 1e-3, 1.0, when=("optimizer", ("rmsprop", "adam")))
        >>> decay.is_searched({"optimizer": "adam"}), decay.is_searched({"optimizer": "nesterov"})
        (True, False)
        """
        return self.when is None or values[self.when[0]] in self.when[1]

    @property
    def record(self) -> list[Value]:
        """The range as JSON: [low, high], or the choices."""
        ends: list[Value] = [int(self.low), int(self.high)] if self.integer else [self.low, self.high]
        return list(self.choices) or ends

    @property
    def is_numeric(self) -> bool:
        """Whether numbers are searched, and not names."""
        return not any(isinstance(choice, str) for choice in self.choices)

    def clipped(self, value: Any) -> Value:
        """Return the value of an option as it is searched, moved to the nearer end if it lies outside."""
        if not self.is_numeric:
            return value
        searched = round(1 - value, 12) if self.one_minus else value
        return min(max(searched, self.record[0]), self.record[-1])

    def within(self, low: float, high: float) -> "Range":
        """Return the range with other ends; choices keep the numbers between them."""
        if self.integer and not (float(low).is_integer() and float(high).is_integer() and low >= 1):
            raise ValueError(f"range of {self.name} must be whole numbers from 1, got {low:g} to {high:g}")
        if not self.choices:
            return replace(self, low=float(low), high=float(high))
        kept = tuple(choice for choice in self.choices if low <= float(choice) <= high)
        if not kept:
            raise ValueError(f"range of {self.name} must hold one of {self.record}, got {low:g} to {high:g}")
        return replace(self, choices=kept, no_edge=self.no_edge if kept[0] == self.choices[0] else None)

    def edge(self, value: Any, share: float) -> Edge | None:
        """Return which edge of the range a value lies on; see `edges`."""
        if not self.is_numeric or len(self.choices) == 1:
            return None
        if self.choices:
            place = self.choices.index(value) / (len(self.choices) - 1)
        else:
            place = log(value / self.low) / log(self.high / self.low)
        end: Edge | None = "low" if place < share else "high" if place > 1 - share else None
        nothing_beyond = end == self.no_edge or (end == "high" and self.one_minus and self.high == 1)
        return None if nothing_beyond else end


one_minus = partial(Range, one_minus=True)


def among(option: str, *choices: Value) -> Range:
    """Return choices; of numbers, the first is the least that exists (every step, or no memory)."""
    return Range(option, choices=choices, no_edge=None if isinstance(choices[0], str) else "low")
