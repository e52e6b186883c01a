r"""What is searched: the options of every contestant that its own practice tunes, with their ranges.

All ranges are searched on a logarithmic scale; momenta and decays by their distance from 1, so that 0.9, 0.99
and 0.999 are equally far apart. Values are rounded to three significant digits before they are used: what is
stored is what was measured.

>>> [r.name for r in search_space("momentum")]
['learning_rate', '1 - momentum']
>>> settings({"learning_rate": 0.0012345, "1 - momentum": 0.012345})
{'learning_rate': 0.00123, 'momentum': 0.9877}
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, log
from typing import Any

from locoprop_ref import checks
from locoprop_ref.experiments.tuned import CONTESTANTS
from locoprop_ref.training.config import resolve

Params = dict[str, float | str | int]


@dataclass(frozen=True)
class Range:
    """An option with its range: low to high on a logarithmic scale, or names to choose from.

    Attributes:
        option: of `config.Config`.
        low, high: of the searched number, which is 1 − option where `one_minus` is set.
        one_minus: search the distance from 1.
        nothing_below, nothing_above: beyond `low` or `high` nothing changes any more, or there is nothing.
        choices: names, or numbers in ascending order, instead of a range.
    """

    option: str
    low: float = 0.0
    high: float = 0.0
    one_minus: bool = False
    nothing_below: bool = False
    nothing_above: bool = False
    choices: tuple[str | float, ...] = ()

    @property
    def name(self) -> str:
        """What is searched: "learning_rate", "1 - momentum"."""
        return f"1 - {self.option}" if self.one_minus else self.option

    @property
    def record(self) -> list[Any]:
        """As JSON: [low, high], or the names."""
        return list(self.choices) or [self.low, self.high]

    @property
    def of_numbers(self) -> bool:
        """Whether numbers are searched, from a range or among choices, and no names."""
        return not any(isinstance(choice, str) for choice in self.choices)

    def within(self, low: float, high: float) -> "Range":
        """Return the range with other ends; of numbers to choose from those that lie between them."""
        if not self.choices:
            return replace(self, low=float(low), high=float(high))
        kept = tuple(choice for choice in self.choices if low <= float(choice) <= high)
        if not kept:
            raise ValueError(f"range of {self.name} must hold one of {self.record}, got {low:g} to {high:g}")
        return replace(self, choices=kept, nothing_below=self.nothing_below and kept[0] == self.choices[0])


def _log(option: str, low: float, high: float) -> Range:
    return Range(option, float(low), float(high))


def _one_minus(option: str, low: float, high: float) -> Range:
    return Range(option, float(low), float(high), one_minus=True)


def _tiny(option: str, low: float, high: float) -> Range:
    return Range(option, low, high, nothing_below=True)


def _bound(option: str, low: float, high: float) -> Range:
    return Range(option, low, high, nothing_above=True)


def _names(option: str, *choices: str) -> Range:
    return Range(option, choices=choices)


def _among(option: str, *choices: float) -> Range:
    """Numbers of which there is none below the first: every step, or no memory."""
    return Range(option, choices=choices, nothing_below=True)


# LocoProp by steps: s·γ is the rate of BackProp, the rest is the local RMSProp. K = 10 and η = ∞ stay the
# authors': their steps have no proximal term and are kept few instead
_BY_STEPS = (
    _log("local_lr", 1e-7, 1e-3), _log("target_step", 0.3, 1e4),
    _one_minus("momentum", 1e-4, 1), _one_minus("decay", 1e-3, 1),
)  # fmt: skip

# fmt: off
SPACE: dict[str, tuple[Range, ...]] = {
    "sgd":        (_log("learning_rate", 1e-5, 1),),
    "momentum":   (_log("learning_rate", 1e-6, 1e-1), _one_minus("momentum", 1e-3, 1)),
    "nesterov":   (_log("learning_rate", 1e-6, 1e-1), _one_minus("momentum", 1e-3, 1)),
    "adagrad":    (_log("learning_rate", 1e-4, 1),    _log("initial_accumulator", 1e-10, 1)),
    "rmsprop":    (_log("learning_rate", 1e-6, 1e-1), _one_minus("momentum", 1e-3, 1),
                   _one_minus("decay", 1e-3, 1),      _tiny("epsilon", 1e-16, 1e-1)),
    "adam":       (_log("learning_rate", 1e-5, 1e-1), _one_minus("momentum", 1e-3, 1),
                   _one_minus("decay", 1e-4, 1),      _tiny("epsilon", 1e-12, 1e-1)),
    "shampoo":    (_log("learning_rate", 1e-5, 10),   _one_minus("momentum", 1e-2, 1),
                   _log("epsilon", 1e-12, 1),         _names("grafting", "none", "sgd", "rmsprop"),
                   _among("inverse_interval", 1, 5, 20)),
    # without its clip K-FAC stays on the first plateau of CURVES or diverges
    "kfac":       (_log("learning_rate", 1e-4, 10),   _one_minus("momentum", 1e-2, 1),
                   _log("damping", 1e-6, 10),         _bound("kl_clip", 1e-4, 100),
                   _among("inverse_interval", 1, 5, 20)),
    # rate γ/B and damping 1/(ηB) of the closed form below (identity I9); decay 0 is this batch alone
    "foof":       (_log("learning_rate", 1e-3, 10),   _one_minus("momentum", 1e-2, 1),
                   _log("damping", 1e-5, 100),        _among("factor_decay", 0.0, 0.5, 0.9, 0.95),
                   _among("inverse_interval", 1, 5, 20)),
    "locoprop-s": _BY_STEPS,
    "locoprop-s-closed": (_log("target_step", 1, 1e5), _log("weight_step", 1e-5, 1e3)),
    "locoprop-m": _BY_STEPS,
}
# fmt: on

# AdaGrad's own default in the dialect tf1, which `config` leaves to it; FOOF begins as the closed form that
# it is at decay 0, because the first steps at its own 0.95 diverge, and Shampoo with the length of RMSProp's
# own step and with roots at every step, as published, because a rate of 0.1 without grafting diverges.
# K-FAC's clip, infinite by default, moves to the end of its range: no step of CURVES' first trial clips
# there, but 77 of MNIST's 300 do
_UNTUNED: dict[str, Params] = {
    "adagrad": {"initial_accumulator": 0.1},
    "foof": {"factor_decay": 0.0},
    "shampoo": {"grafting": "rmsprop", "learning_rate": 3e-4, "inverse_interval": 1},
}


def search_space(
    contestant: str, ranges: Mapping[str, tuple[float, float]] | None = None
) -> tuple[Range, ...]:
    """Return what is searched for a contestant.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        ranges: name, as in `Range.name`, → (low, high) in place of the table's. Of an option with numbers to
            choose from, as `inverse_interval`, those that lie between stay.

    Raises:
        ValueError: an unknown contestant, a name that is not searched for it, or no range 0 < low < high
            (of numbers to choose from, one that holds none of them).

    >>> search_space("sgd", {"learning_rate": (1e-6, 10)})[0].high
    10.0
    """
    space = SPACE[checks.one_of("contestant", contestant, CONTESTANTS)]
    given = dict(ranges or {})
    for name, (low, high) in given.items():
        numbers = {r.name: r for r in space if r.of_numbers}
        checks.one_of(f"range of {contestant}", name, tuple(numbers))
        low, high = checks.number("low", low), checks.number("high", high)
        if not (0 < low < high < inf) and not numbers[name].choices:
            raise ValueError(f"range of {name} must be 0 < low < high, got {low:g} to {high:g}")
        if name.startswith("1 - ") and high > 1:
            raise ValueError(f"range of {name} must end at 1, got {low:g} to {high:g}")
    return tuple(r.within(*given[r.name]) if r.name in given else r for r in space)


def parse_ranges(words: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return the ranges of `--range NAME=LOW:HIGH`.

    Raises:
        ValueError: other words.

    >>> parse_ranges(["1-momentum=1e-5:0.1"])
    {'1 - momentum': (1e-05, 0.1)}
    """
    found = {}
    for word in words:
        name, _, numbers = word.partition("=")
        low, _, high = numbers.partition(":")
        try:
            found[re.sub(r"^1\s*-\s*", "1 - ", name.strip())] = (float(low), float(high))
        except ValueError:
            raise ValueError(
                f"range must be NAME=LOW:HIGH, as in learning_rate=1e-6:1, got {word!r}"
            ) from None
    return found


def untuned(contestant: str, space: Iterable[Range], **problem: Any) -> Params:
    """Return where the search begins: the package's own defaults as searched, but for a few exceptions.

    Args:
        contestant: one of `tuned.CONTESTANTS`.
        space: of `search_space`; defaults outside a range are moved to its nearer end.
        **problem: options that the defaults may depend on.
    """
    config = resolve(**CONTESTANTS[contestant], **problem)
    params: Params = {}
    for r in space:
        value: Any = getattr(config, r.option)
        value = _UNTUNED.get(contestant, {}).get(r.option, value)
        if not r.choices:
            searched = round(1 - value, 12) if r.one_minus else value
            value = min(max(searched, r.low), r.high)
        elif r.of_numbers:
            value = min(max(value, r.choices[0]), r.choices[-1])
        params[r.name] = value
    return params


def settings(params: Mapping[str, float | str | int]) -> dict[str, Any]:
    """Return the options of searched values, rounded to three significant digits (1 − option where searched).

    The numbers are those that a trial trains with, not only those that are stored.
    """
    found: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, str | int):
            found[name] = value
            continue
        rounded = float(f"{value:.3g}")
        if name.startswith("1 - "):
            found[name.removeprefix("1 - ")] = round(1 - rounded, 12)
        else:
            found[name] = rounded
    return found


def edges(
    params: Mapping[str, float | str | int], space: Iterable[Range], *, share: float = 0.05
) -> dict[str, str]:
    """Return which values ended on the edge of their range: {name: "low" or "high"}.

    Args:
        params: searched values, by `Range.name`.
        space: of `search_space`.
        share: of a range's (logarithmic) length that counts as its edge; default 0.05. Of numbers to choose
            from it is the first or the last. The end 1 of a distance from 1, a momentum of 0, is no edge:
            there is nothing beyond; nor is an inverse at every step. Nor is the low end of an ε that only
            keeps a root from 0, nor the high end of a clip: beyond it the same happens.

    >>> edges({"learning_rate": 0.9}, search_space("sgd"))
    {'learning_rate': 'high'}
    """
    found = {}
    for r in space:
        value = params[r.name]
        if not r.of_numbers or isinstance(value, str) or len(r.choices) == 1:
            continue
        if r.choices:
            place = r.choices.index(value) / (len(r.choices) - 1)
        else:
            place = log(value / r.low) / log(r.high / r.low)
        if place < share and not r.nothing_below:
            found[r.name] = "low"
        elif place > 1 - share and not (r.nothing_above or (r.one_minus and r.high == 1)):
            found[r.name] = "high"
    return found
