r"""The search space: which options of every method are searched, and over which ranges.

Every method is searched in the options that are usually tuned for it. All ranges are searched on a
logarithmic scale; momenta and decays by their distance from 1, so that 0.9, 0.99 and 0.999 are equally far
apart. Values are rounded to three significant digits before they are used, so that the stored value is the
one that was measured.

>>> [r.name for r in search_space("momentum")]
['learning_rate', '1 - momentum']
>>> settings({"learning_rate": 0.0012345, "1 - momentum": 0.012345})
{'learning_rate': 0.00123, 'momentum': 0.9877}
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from math import inf
from typing import Any

from locoprop_ref import checks
from locoprop_ref.experiments.tune.budget import SHARE
from locoprop_ref.experiments.tune.ranges import Edge, Range, Values, among, one_minus
from locoprop_ref.experiments.tune.wide import SPACES, widened
from locoprop_ref.experiments.tuned import ALL, PROBLEMS, base_of, is_fast, lender
from locoprop_ref.experiments.tuned.record import Value
from locoprop_ref.training.options import Config

# LocoProp by K steps: s·γ plays the part of BackProp's rate, the rest is the local RMSProp. K = 10 and η = ∞
# stay the authors': their steps have no proximal term and are limited in number instead
_BY_STEPS = (
    Range("local_lr", 1e-7, 1e-3), Range("target_step", 0.3, 1e4),
    one_minus("momentum", 1e-4, 1.0), one_minus("decay", 1e-3, 1.0),
)  # fmt: skip

# the first range of every method is that of its rate
# fmt: off
SPACE: Mapping[str, tuple[Range, ...]] = {
    "sgd":        (Range("learning_rate", 1e-5, 1.0),),
    "momentum":   (Range("learning_rate", 1e-6, 1e-1), one_minus("momentum", 1e-3, 1.0)),
    "nesterov":   (Range("learning_rate", 1e-6, 1e-1), one_minus("momentum", 1e-3, 1.0)),
    "adagrad":    (Range("learning_rate", 1e-4, 1.0),  Range("initial_accumulator", 1e-10, 1.0)),
    "rmsprop":    (Range("learning_rate", 1e-6, 1e-1), one_minus("momentum", 1e-3, 1.0),
                   one_minus("decay", 1e-3, 1.0),     Range("epsilon", 1e-16, 1e-1, no_edge="low")),
    "adam":       (Range("learning_rate", 1e-5, 1e-1), one_minus("momentum", 1e-3, 1.0),
                   one_minus("decay", 1e-4, 1.0),     Range("epsilon", 1e-12, 1e-1, no_edge="low")),
    "shampoo":    (Range("learning_rate", 1e-5, 10.0), one_minus("momentum", 1e-2, 1.0),
                   Range("epsilon", 1e-12, 1.0),       among("grafting", "none", "sgd", "rmsprop"),
                   among("inverse_interval", 1, 5, 20)),
    # without its clip K-FAC stays on the first plateau of CURVES or diverges
    "kfac":       (Range("learning_rate", 1e-4, 10.0), one_minus("momentum", 1e-2, 1.0),
                   Range("damping", 1e-6, 10.0),       Range("kl_clip", 1e-4, 100, no_edge="high"),
                   among("inverse_interval", 1, 5, 20)),
    # rate γ/B and damping 1/(ηB) of the closed form below (identity I9); decay 0 uses this batch alone
    "foof":       (Range("learning_rate", 1e-3, 10.0), one_minus("momentum", 1e-2, 1.0),
                   Range("damping", 1e-5, 100.0),      among("factor_decay", 0.0, 0.5, 0.9, 0.95),
                   among("inverse_interval", 1, 5, 20)),
    "locoprop-s": _BY_STEPS,
    "locoprop-s-closed": (Range("target_step", 1.0, 1e5), Range("weight_step", 1e-5, 1e3)),
    "locoprop-m": _BY_STEPS,
}
# fmt: on

# A dozen trials cannot search ranges that were made for thirty: on the networks that classify, every method's
# are shorter, around what such networks are usually trained with, and around the package's defaults. The step
# γ of LocoProp is searched from 1 to 300: it must come down on a recurrent layer, where many steps add up
_LOCAL = {
    "local_lr": (1e-6, 3e-3), "target_step": (1.0, 300.0),
    "1 - momentum": (3e-4, 1.0), "1 - decay": (1e-2, 1.0),
}  # fmt: skip
_MOMENTUM = {"learning_rate": (1e-4, 1.0), "1 - momentum": (1e-2, 1.0)}
_FEW_TRIALS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "sgd": {"learning_rate": (1e-3, 1.0)},
    "momentum": _MOMENTUM,
    "nesterov": _MOMENTUM,
    "adagrad": {"learning_rate": (1e-3, 1.0)},
    "rmsprop": _MOMENTUM | {"learning_rate": (3e-5, 3e-2), "1 - decay": (1e-2, 1.0), "epsilon": (1e-8, 1e-2)},
    "adam": _MOMENTUM | {"learning_rate": (1e-4, 3e-2), "epsilon": (1e-10, 1e-2)},
    "shampoo": {"learning_rate": (1e-4, 1.0), "epsilon": (1e-8, 1e-1)},
    "kfac": {"learning_rate": (1e-3, 3.0), "damping": (1e-3, 10.0), "kl_clip": (1e-4, 10.0)},
    "foof": {"learning_rate": (1e-2, 10.0), "damping": (1e-3, 10.0)},
    "locoprop-s": _LOCAL,
    "locoprop-s-closed": {"target_step": (1.0, 300.0), "weight_step": (1e-3, 10.0)},
    "locoprop-m": _LOCAL,
}
# The relatives are searched with a dozen trials alone. Adam's ranges are the same wherever Adam takes the
# steps, its ε among them. AM: the codes' steps, and their size s, which is also the ratio of γ from a layer
# to the next; AM-mem, which minimizes what a first-order step only follows, needs the γ of both its losses,
# hence μ. DTP: the step of its targets, and the training of its inverses
_ADAM = (
    one_minus("momentum", 1e-2, 1.0), one_minus("decay", 1e-4, 1.0),
    Range("epsilon", 1e-10, 1e-2, no_edge="low"),
)  # fmt: skip
_ADAM_STEP = Range("local_lr", 1e-4, 3e-2)
# offline: the penalties, or what plays their part
_PENALTIES = (
    Range("activation_penalty", 1e-1, 1e3), Range("pre_activation_penalty", 1e-2, 1e2),
    among("last_loss", "squared", "hinge"),
)  # fmt: skip
_BACKPROP_ADAM = (Range("learning_rate", 1e-4, 3e-2), *_ADAM)
# fmt: off
RELATIVES_SPACE: Mapping[str, tuple[Range, ...]] = {
    "am-sgd":     (Range("local_lr", 1e-3, 30.0), Range("code_lr", 1e-2, 10.0),
                   among("code_steps", 1, 5, 20)),
    "am-adam":    (_ADAM_STEP, Range("code_lr", 1e-2, 10.0), among("code_steps", 1, 5, 20), *_ADAM),
    "am-mem":     (Range("last_target_step", 10.0, 5e3), Range("coupling", 1e-4, 1.0),
                   Range("weight_step", 1e-3, 10.0),     one_minus("memory_decay", 1e-2, 1.0)),
    "dtp":        (_ADAM_STEP, Range("target_step", 0.3, 300.0), Range("inverse_lr", 1e-4, 1e-2),
                   Range("inverse_noise", 1e-2, 1.0), *_ADAM),
    "offline-admm": _PENALTIES,
    "offline-bcd": _PENALTIES,
    "offline-mac": (Range("coupling", 1e-6, 1e-2), Range("code_lr", 1e-2, 10.0),
                   among("code_steps", 1, 5, 20)),
    "ste":        _BACKPROP_ADAM,
    "ste-frozen": _BACKPROP_ADAM,
}
# fmt: on
# with batches of 200 and a constant rate, steps of SGD may be longer than on the deep networks
_POSTER = {**_FEW_TRIALS, "sgd": {"learning_rate": (1e-3, 3.0)}}
_RANGES_OF_PROBLEM = {
    "lenet": _FEW_TRIALS, "sequential-mnist": _FEW_TRIALS, "poster": _POSTER, "poster-signs": _POSTER,
}  # fmt: skip

# Where the search begins, if not at the package's default. AdaGrad: its own default in the dialect tf1, which
# the Config leaves to it. FOOF: the closed form that it is at decay 0, because the first steps at its own
# 0.95 diverge. Shampoo: RMSProp's step length and a root at every step, as published, because a rate of 0.1
# without grafting diverges. K-FAC's clip, infinite by default, moves to the end of its range: no step of
# CURVES' first trial is clipped there, but 77 of MNIST's 300 are
_UNTUNED: Mapping[str, Values] = {
    "adagrad": {"initial_accumulator": 0.1},
    "foof": {"factor_decay": 0.0},
    "shampoo": {"grafting": "rmsprop", "learning_rate": 3e-4, "inverse_interval": 1},
}


def ranges_of(method: str) -> tuple[Range, ...]:
    """Return the ranges of a method as the tables have them, the first one that of its rate.

    Raises:
        ValueError: an unknown method, or one that has another's settings.
    """
    checks.one_of("method", method, ALL)
    if is_fast(method):
        raise ValueError(f"method {method} is searched as {base_of(method)} with fast, got it by itself")
    if lender(method) is not None:
        raise ValueError(f"method {method} has the settings of {lender(method)} and is not searched")
    return {**SPACE, **RELATIVES_SPACE}[method]


def search_space(
    method: str,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    *,
    problem: str = "mnist",
    space: str = "narrow",
) -> tuple[Range, ...]:
    """Return what is searched for a method.

    Args:
        method: one of `tuned.ALL` that has settings of its own.
        problem: one of `tuned.PROBLEMS`; those that classify have shorter ranges.
        ranges: {`Range.name`: (low, high)}, in place of the table's. Of an option with numbers to choose
            from, such as `inverse_interval`, the numbers between them remain.
        space: one of `wide.SPACES`: "narrow" (default), or "wide", see `wide`.

    Raises:
        ValueError: an unknown method, a name that is not searched for it, or not 0 < low < high (of numbers
            to choose from: none lies between).

    >>> search_space("sgd", {"learning_rate": (1e-6, 10)})[0].high
    10.0
    >>> search_space("locoprop-s-closed", problem="lenet")[0].record
    [1.0, 300.0]
    """
    checks.one_of("problem", problem, PROBLEMS)
    table = ranges_of(method)
    if checks.one_of("space", space, SPACES) == "wide":
        table = widened(method, table)
    numeric = {r.name: r for r in table if r.is_numeric}
    usual = _RANGES_OF_PROBLEM.get(problem, {}).get(method, {})
    given = {name: ends for name, ends in usual.items() if name in numeric} | dict(ranges or {})
    for name, (low, high) in given.items():
        checks.one_of(f"range of {method}", name, tuple(numeric))
        low, high = (checks.number(f"range of {name}", end) for end in (low, high))
        if not (0 < low < high < inf) and not numeric[name].choices:
            raise ValueError(f"range of {name} must be 0 < low < high, got {low:g} to {high:g}")
        if numeric[name].one_minus and high > 1:
            raise ValueError(f"range of {name} must end at 1, got {low:g} to {high:g}")
    return tuple(r.within(*given[r.name]) if r.name in given else r for r in table)


def parse_ranges(words: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Return the ranges of `--range NAME=LOW:HIGH`.

    Raises:
        ValueError: a word of another form, or two for one value.

    >>> parse_ranges(["1-momentum=1e-5:0.1"])
    {'1 - momentum': (1e-05, 0.1)}
    """
    found = {}
    for word in words:
        name, _, numbers = word.partition("=")
        low, _, high = numbers.partition(":")
        name = re.sub(r"^1\s*-\s*", "1 - ", name.strip())
        if name in found:
            raise ValueError(f"range must be given once for a value, got {name} twice")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            raise ValueError(
                f"range must be NAME=LOW:HIGH, as in learning_rate=1e-6:1, got {word!r}"
            ) from None
    return found


def values_at(space: Iterable[Range], options: Mapping[str, Any]) -> Values:
    """Return the searched values that options stand for, each moved to the nearer end of its range.

    Args:
        space: from `search_space`.
        options: {`Range.option`: value}, of all that are searched.

    >>> values_at(search_space("momentum"), {"learning_rate": 1.0, "momentum": 0.9})
    {'learning_rate': 0.1, '1 - momentum': 0.1}
    """
    found: Values = {}
    for r in space:
        if r.is_searched(found):
            found[r.name] = r.clipped(options[r.option])
    return found


def untuned(method: str, space: Iterable[Range], config: Config) -> Values:
    """Return where the search begins: the package's own defaults, with the few exceptions above.

    Args:
        method: one of `tuned.ALL`.
        space: from `search_space`; defaults outside a range are moved to its nearer end.
        config: of the method, with its defaults.
    """
    return values_at(space, asdict(config) | {SHARE.option: SHARE.high} | _UNTUNED.get(method, {}))


def settings(values: Mapping[str, Value]) -> Values:
    """Return the options that searched values stand for, with numbers rounded to three significant digits.

    These are the numbers that a trial trains with, not only those that are stored.
    """
    found: Values = {}
    for searched, value in values.items():
        name = searched.partition("@")[0]
        if isinstance(value, str | int):
            found[name] = value
        elif name.startswith("1 - "):
            found[name.removeprefix("1 - ")] = round(1 - float(f"{value:.3g}"), 12)
        else:
            found[name] = float(f"{value:.3g}")
    return found


def in_words(settings: Mapping[str, Value]) -> str:
    """Return settings as a line for the user.

    >>> in_words({"learning_rate": 0.00123, "momentum": 0.9877})
    'learning_rate 0.00123, momentum 0.9877'
    """
    return ", ".join(f"{option} {value}" for option, value in settings.items())


def edges(values: Mapping[str, Value], space: Iterable[Range], *, share: float = 0.05) -> dict[str, Edge]:
    """Return which values ended on an edge of their range: {name: "low" or "high"}.

    The end 1 of a distance from 1, which is a momentum of 0, is no edge, because nothing lies beyond; nor is
    an inverse at every step. The low end of an ε that only keeps a root from 0 is none either, nor the high
    end of a clip, because values beyond have the same effect.

    Args:
        values: searched values, by `Range.name`; those of conditions that do not hold are missing.
        space: from `search_space`.
        share: the part of a range's (logarithmic) length that counts as its edge; default 0.05. Of numbers to
            choose from, the first and the last are the edges.

    >>> edges({"learning_rate": 0.9}, search_space("sgd"))
    {'learning_rate': 'high'}
    """
    found = {r.name: r.edge(values[r.name], share) for r in space if r.name in values}
    return {name: edge for name, edge in found.items() if edge}
